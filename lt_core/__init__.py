"""Long-tailed image classification: losses, data, runs and tables.

Importing this package downloads nothing, seeds nothing and touches no file.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

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
