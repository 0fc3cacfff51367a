"""What ``panorama_reference.py`` runs; imported beside ComfyUI's code, in a process of its own."""

from . import basics, guidance, moments, places, refusals, sizes

CASES = {name: case for module in (basics, places, guidance, moments, sizes, refusals)
         for name, case in module.CASES.items()}
