"""The errors a user can meet, each with the exit code of the command line.

Every message is one line that names the thing, says what was expected and what to do. A
mistake in lt_core itself is none of these errors: it keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Characters of a message, more than any list of known names takes.
LONGEST = 2000


class LtError(Exception):
    r"""Base of all errors that the command line prints as one line.

    Line breaks and bytes that are no text, which the name of a file may hold, are written as
    ``\n`` and ``\udce9``, and the middle of a very long message is left out.
    """

    exit_code = 1

    def __init__(self, message: object = ""):
        text = printable(message)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
        super().__init__(text)


class ConfigError(LtError, ValueError):
    """An argument, parameter or name that cannot be used."""

    exit_code = 2


class BusyError(LtError):
    """Another process holds the run."""

    exit_code = 3


class DataError(LtError, ValueError):
    """Data that is missing, damaged, or other than its name says."""

    exit_code = 4


class CheckpointError(LtError):
    """A checkpoint that cannot be resumed without changing a number."""

    exit_code = 5


class StoreError(LtError, OSError):
    """A store that cannot be read or written."""

    exit_code = 6


class TrainingError(LtError):
    """Training that cannot continue, for example because the loss is no longer finite."""

    exit_code = 1


class Unfinished(LtError):
    """Work that stopped at a checkpoint on purpose; the next call continues it."""

    exit_code = 75


def printable(text: object) -> str:
    """``text`` with escapes for whatever a terminal cannot show on one line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def unknown(kind: str, name: object, options: Iterable[str]) -> ConfigError:
    """The error for a name that is not among ``options``, with the nearest one.

    Near is what is spelled alike, whatever its case, hyphens and spaces: ``CIFAR-10`` is
    near ``cifar10``.
    """
    options = [str(option) for option in options]
    spelled = {_letters(option): option for option in reversed(options)}
    close = difflib.get_close_matches(_letters(str(name)), spelled, n=1, cutoff=0.5)
    hint = f"; did you mean {spelled[close[0]]!r}?" if close else ";"
    return ConfigError(f"unknown {kind} {name!r}{hint} known: {', '.join(options)}")


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
