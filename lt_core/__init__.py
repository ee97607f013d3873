"""Long-tailed image classification: losses, data, runs and tables.

Importing this package downloads nothing, seeds nothing and touches no file.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

__version__ = "0.1.0"


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__``: ``homes`` says which of its modules holds which name.

    A module is imported when a name of it is first used. Names and ranges can so be checked,
    and a finished run shown, before torch and pandas are imported, which takes seconds.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``path`` so that a crash leaves its old content or the new, never a part."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
