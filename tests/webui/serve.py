"""The Soup tab in one gradio, with its style and scripts in the page as the hosts put them there.

    .gradio/4.40.0/bin/python -m tests.webui.serve MODELS PORT [SECONDS]
    .gradio/4.40.0/bin/python -m tests.webui.serve FOLDER PORT real

In the first form a kitchen that only pretends, over MODELS/checkpoints and MODELS/loras. In the second the real one on
the fake Forge of the tests, with checkpoints and LoRAs where Forge has them in FOLDER, and the section of the scripts.
"""

from __future__ import annotations

import mimetypes
import sys
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response

from diffusion_soup_webui import style_section, tab
from diffusion_soup_webui.kitchen import Kitchen
from tests.webui.double import WebUI
from tests.webui.fake_kitchen import FakeKitchen

ROOT = Path(__file__).resolve().parents[2]
HERE = "file=extensions/soup"  # as the hosts' own route is called


def main(models: str, port: str, seconds: str = "2") -> None:
    mimetypes.add_type("application/javascript", ".js")
    kitchen = _real(Path(models)) if seconds == "real" else FakeKitchen(Path(models), float(seconds))
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

    app.add_middleware(BaseHTTPMiddleware, dispatch=_with_scripts)
    soup = tab.build(kitchen)  # outside of the page, as the hosts do
    with gr.Blocks(title=f"gradio {gr.__version__}") as page, gr.Tabs():
        with gr.Tab("Soup", elem_id="tab_dsoup"):
            soup.render()
        with gr.Tab("Other"):
            if seconds == "real":
                style_section.build(kitchen, lambda name: f"script_txt2img_dmm_styles_{name}")
            gr.Textbox(label="Something of another tab")
            gr.Button("A button of another tab")
    gr.mount_gradio_app(app, page, path="/")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


def _real(folder: Path) -> Kitchen:
    """Ours on a host that stays until the process ends."""
    chosen = next(path.name for path in sorted((folder / "models/Stable-diffusion").iterdir()))
    WebUI(folder, chosen, "forge").__enter__()
    from diffusion_soup_webui.bridge import connect
    return Kitchen(connect())


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
