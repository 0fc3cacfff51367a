"""Small files that are written whole or not at all. Checkpoints have a writer of their own, :mod:`.writer`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; what is there in the end takes the place of ``path``.

    If anything fails, ``path`` stays as it was and nothing is left beside it. Raises :class:`OSError`.
    """
    part = path.with_name(f".{path.name[:100]}-{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
