"""Fixtures of the engine's tests."""

import pytest
from hypothesis import settings

from .kitchen import Pantry

settings.register_profile("engine", deadline=5000)  # ms for one example: hangs are found, busy machines forgiven
settings.load_profile("engine")


@pytest.fixture
def pantry(tmp_path):
    """An empty models folder."""
    return Pantry(tmp_path)
