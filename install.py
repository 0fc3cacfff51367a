"""Run once after cloning, by both hosts. They bring all that is needed, so this is silent unless something is missing.

The WebUI runs it in its own environment and folder; ComfyUI's managers run it in theirs, where there is no
``launch`` to install with, and nothing is installed.
"""

import importlib.util

#: module -> what is installed where it is missing; never torch or numpy, which are the host's own choice.
NEEDED = {"safetensors": "safetensors", "tqdm": "tqdm"}


def main():
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return
    try:
        import launch
    except ImportError:
        print("Diffusion Soup needs " + ", ".join(missing) + ", which this Python does not have.")
        return
    for package in missing:
        launch.run_pip("install " + package, package + " for Diffusion Soup")


main()
