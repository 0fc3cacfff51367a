"""What the WebUI finds: it loads ``scripts/*.py`` under a throw-away name, so the extension is loaded from here."""

import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("diffusion_soup_extension", Path(__file__).parent.parent / "extension.py")
extension = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(extension)
globals().update(extension.load())  # the WebUI registers the Script classes it finds among these names
