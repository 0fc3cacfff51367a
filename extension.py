"""The WebUI's entry: whatever fails in here, the WebUI starts as without us, and our tab says what failed.

Written for any Python 3 that a WebUI may run on, so that an old one gets a sentence too.
"""

import sys
import traceback
from pathlib import Path

ROOT = str(Path(__file__).parent)
TITLE, TAB = "Soup", "diffusion_soup"


def load():
    """Register everything; the Script classes by name. Called once for each (re)load of the WebUI's scripts."""
    if ROOT not in sys.path:  # the WebUI takes it away again; by then everything is imported
        sys.path.insert(0, ROOT)
    try:
        if sys.version_info < (3, 10):  # noqa: UP036
            raise RuntimeError("it needs Python 3.10 or newer, and this WebUI runs {}.{}".format(*sys.version_info))
        from diffusion_soup_webui import register
        return register(_tab)
    except Exception as error:
        traceback.print_exc()
        _tab(_failed(error))
        return {}


def _failed(error):
    """The error as one sentence."""
    if isinstance(error, ModuleNotFoundError):
        what = f"the Python module {error.name} is missing. Restart the WebUI, which installs it, or install it by hand"
    elif isinstance(error, (RuntimeError, SystemError)) or type(error).__name__.endswith("SoupError"):
        what = str(error).rstrip(".")
    else:
        what = "{}: {}. Update the extension, or report this".format(type(error).__name__, str(error).rstrip("."))
    return f"Diffusion Soup could not start: {what}. The console has the details."


def _tab(content):
    """Show our tab: a function that builds its gradio Blocks, or a sentence."""
    from modules import script_callbacks

    def on_ui_tabs():
        sentence = content
        if callable(content):
            try:
                return [(content(), TITLE, TAB)]
            except Exception as error:
                traceback.print_exc()
                sentence = _failed(error)
        import gradio

        with gradio.Blocks(analytics_enabled=False) as blocks:
            gradio.Markdown(sentence, elem_id="diffusion_soup_failed")
        return [(blocks, TITLE, TAB)]

    script_callbacks.on_ui_tabs(on_ui_tabs)
