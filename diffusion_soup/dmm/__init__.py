"""DMM: one student distilled from N teachers, steered by style prompts (arXiv 2504.12364)."""

from .codebook import MODES, Codebook, StyleMix, StyleMLP
from .student import Student, has_unet, open_student
from .style import EASINGS, KeyFrame, Style

__all__ = ["EASINGS", "MODES", "Codebook", "KeyFrame", "Student", "Style", "StyleMLP", "StyleMix", "has_unet",
           "open_student"]
