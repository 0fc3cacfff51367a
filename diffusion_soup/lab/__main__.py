"""``python -m diffusion_soup.lab``: the lab's part of the command line."""

import sys

from ..cli import main

sys.exit(main(["lab", *sys.argv[1:]]))
