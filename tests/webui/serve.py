"""The Soup tab and the styles section in one gradio, with their style and scripts in the page as the hosts put them
there.

    .gradio/4.40.0/bin/python -m tests.webui.serve MODELS PORT [SECONDS]
    .gradio/4.40.0/bin/python -m tests.webui.serve FOLDER PORT CHECKPOINT

In the first form a kitchen that only pretends, over MODELS/checkpoints and MODELS/loras. In the second the real one on
the fake Forge of the tests, with checkpoints and LoRAs where Forge has them in FOLDER, and that checkpoint chosen.
"""

from __future__ import annotations

import json
import mimetypes
import sys
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response

from diffusion_soup_webui import style_section, styles, tab
from diffusion_soup_webui.gradio_compat import on
from diffusion_soup_webui.kitchen import Kitchen
from diffusion_soup_webui.panorama import ui as panorama
from tests.webui.double import WebUI
from tests.webui.fake_kitchen import FakeKitchen

ROOT = Path(__file__).resolve().parents[2]
HERE = "file=extensions/soup"  # as the hosts' own route is called


def main(models: str, port: str, seconds: str = "2") -> None:
    mimetypes.add_type("application/javascript", ".js")
    kitchen = FakeKitchen(Path(models), float(seconds)) if seconds[0].isdigit() else _real(Path(models), seconds)
    app = FastAPI()

    @app.get(f"/{HERE}/{{path:path}}")
    def file(path: str) -> FileResponse:
        return FileResponse(ROOT / path)

    @app.get("/asked")
    def asked() -> JSONResponse:
        return JSONResponse({"status": kitchen.asked})

    @app.get("/pace/{seconds}")
    def pace(seconds: float) -> JSONResponse:
        kitchen.seconds = seconds
        return JSONResponse({})

    @app.get("/scorers/{names}")
    def scorers(names: str) -> JSONResponse:
        kitchen.selections.scorers = [name for name in names.split(",") if name != "none"]
        return JSONResponse({})

    @app.get("/student/{names}")
    def student(names: str) -> JSONResponse:
        kitchen.styles = [name for name in names.split(",") if name != "none"]
        return JSONResponse({})

    app.add_middleware(BaseHTTPMiddleware, dispatch=_with_scripts)
    soup = tab.build(kitchen)  # outside of the page, as the hosts do
    with gr.Blocks(title=f"gradio {gr.__version__}") as page, gr.Tabs():
        with gr.Tab("Soup", elem_id="tab_dsoup"):
            soup.render()
        with gr.Tab("txt2img", elem_id="tab_txt2img"):
            sides = [gr.Slider(64, 2048, value, step=8, label=side, elem_id=f"txt2img_{side.lower()}")
                     for side, value in (("Width", 1024), ("Height", 512))]
            panorama.build("txt2img", sides)
            _generation(kitchen)
        with gr.Tab("Other"):
            gr.Textbox(label="Something of another tab")
            gr.Button("A button of another tab")
    gr.mount_gradio_app(app, page, path="/")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


def _real(folder: Path, chosen: str) -> Kitchen:
    """Ours on a host that stays until the process ends."""
    WebUI(folder, chosen, "forge").__enter__()
    from diffusion_soup_webui.bridge import connect
    return Kitchen(connect())


def _generation(kitchen: FakeKitchen | Kitchen) -> None:
    """As much of a host's txt2img as the section meets: widgets go to Python, and an infotext comes back."""
    widgets, fields = style_section.build(kitchen, lambda name: f"script_txt2img_dmm_styles_{name}")
    infotext = gr.Textbox(label="infotext", elem_id="infotext")
    with gr.Row():
        generate, paste = gr.Button("Generate", elem_id="generate"), gr.Button("Paste", elem_id="paste")

    def generated(*values: object) -> str:
        settings = styles.read(values)
        params: dict = {}
        if settings is not None:
            styles.describe(settings, params)
        return json.dumps(params)

    def pasted(text: str) -> list:
        found = {name: str(value) for name, value in json.loads(text).items()}
        values = [make(found) for _, make in fields]
        return [gr.update() if value is None else gr.update(value=_typed(widget, value))
                for (widget, _), value in zip(fields, values)]

    on(generate.click, fn=generated, inputs=widgets, outputs=[infotext])
    on(paste.click, fn=pasted, inputs=[infotext], outputs=[widget for widget, _ in fields])


def _typed(widget, value):
    """As the hosts do: a value has the type that the widget's own has."""
    return type(widget.value)(value)


async def _with_scripts(request, call_next):
    response = await call_next(request)
    if request.url.path != "/" or "text/html" not in response.headers.get("content-type", ""):
        return response
    body = b"".join([part async for part in response.body_iterator])
    scripts = "".join(f'<script src="{HERE}/javascript/{path.name}?1"></script>'
                      for path in sorted((ROOT / "javascript").glob("*.js")))
    style = f'<link rel="stylesheet" href="{HERE}/style.css">'
    body = body.replace(b"</head>", f"{scripts}</head>".encode()).replace(b"</body>", f"{style}</body>".encode())
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(body, response.status_code, headers)


if __name__ == "__main__":
    main(*sys.argv[1:])
