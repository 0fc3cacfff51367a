"""Small files that are written whole or not at all, and logs, line by line.

Checkpoints have a writer of their own, :mod:`.writer`.
"""

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


def append_line(path: Path, line: bytes, sync: bool = False) -> None:
    """Append a line (without its end) in one write, so that no two processes mix theirs.

    One that was cut off there by a kill is ended first. ``sync``: return when it is on the disk. Raises
    :class:`OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line += b"\n"
    with open(path, "ab+", buffering=0) as out:
        if out.tell():
            out.seek(-1, os.SEEK_END)
            if out.read(1) != b"\n":
                line = b"\n" + line
        out.write(line)
        if sync:
            os.fsync(out.fileno())
