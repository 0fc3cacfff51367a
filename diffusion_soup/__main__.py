"""``python -m diffusion_soup``: the command line."""

import sys

from .cli import main

sys.exit(main())
