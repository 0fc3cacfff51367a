"""What can go wrong, each kind with one sentence a user can act on.

Every message names the file, key or field, says what was expected, and ends with what to do.
Hosts show ``str(error)`` as it is; a traceback is never needed to understand one.
"""

import reprlib


class SoupError(Exception):
    """Base of every error caused by what the user gave us."""


class FileError(SoupError):
    """A file is missing, damaged, unsafe or cannot be written."""


class RecipeError(SoupError):
    """A recipe, or a field of one, does not say something that can be cooked."""


class MismatchError(SoupError):
    """The ingredients do not belong together (architecture, channels, prediction type, keys)."""


class OutOfMemory(SoupError):
    """Cooking would not fit; found out before the first tensor is read."""


class Cancelled(Exception):
    """The user asked to stop. Not a :class:`SoupError`: nothing went wrong."""


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def shown(value: object) -> str:
    """What was given, as it is shown in a message: on one line, and short however large it is."""
    return _SHORT.repr(value)
