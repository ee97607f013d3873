"""Losses for long-tailed classification, by name.

Each method is one file of its name: the function with the formula, and the class that keeps its
parameters and state. A new one is such a file, its line in ``_METHODS`` below, and a test that
compares it with its formula, as in ``tests/losses``; that it keeps the contract of all losses
(:mod:`lt_core.testing`) is then tested by itself. Enter it in the book's pages
``notebooks/methods_at_a_glance.ipynb`` and ``book/losses_in_full.md``; a test asks for it.

>>> import torch
>>> from lt_core import losses
>>> loss = losses.create("softmax", class_counts=[500, 50, 5])
>>> float(loss(torch.zeros(2, 3), torch.tensor([0, 2])))  # doctest: +ELLIPSIS
1.0986...
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lt_core import lazily, parameters
from lt_core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from lt_core.losses.base import LongTailLoss

__all__ = [
    *("LongTailLoss", "converted", "create", "declared", "defaults", "functional", "names"),
    *("register", "takes_cosines"),
]

#: One line registers a loss: its class, in the file of its name.
_METHODS: dict[str, str | type[LongTailLoss]] = {
    "softmax": "Softmax",
    "class_balanced": "ClassBalanced",
    "effective_number": "EffectiveNumber",
    "focal": "Focal",
    "ghm": "GHM",
    "equalization": "Equalization",
    "seesaw": "Seesaw",
    "icb": "ICB",
    "gala": "GALA",
    "ldam": "LDAM",
    "balanced_softmax": "BalancedSoftmax",
    "logit_adjustment": "LogitAdjustment",
    "gcl": "GCL",
}

#: What the annotations of parameters are written with.
_ANNOTATIONS = {
    "Annotated": Annotated,
    "Literal": Literal,
    "Range": parameters.Range,
    "Sequence": Sequence,
}

# The classes are imported when they are used, and torch with them.
_class = lazily(
    __name__, {"LongTailLoss": "base", **{name: method for method, name in _METHODS.items()}}
)


def __getattr__(name: str) -> Any:
    return import_module(f"{__name__}.functional") if name == "functional" else _class(name)


def names() -> tuple[str, ...]:
    """All methods."""
    return tuple(_METHODS)


def register(name: str, new_class: type[LongTailLoss]) -> type[LongTailLoss]:
    """Add a loss of your own: from then on every table of this process knows it.

    Other processes, such as those of ``reproduce(..., processes=2)``, do not. A class that is
    defined again, as when a notebook's cell runs a second time, takes the place of the first.
    """
    if name in _METHODS and _defined_at(loss_class(name)) != _defined_at(new_class):
        taken = loss_class(name).__name__
        raise ConfigError(f"loss {name!r} is taken by {taken}; choose a new name")
    _METHODS[name] = new_class
    return new_class


def _defined_at(new_class: type[LongTailLoss]) -> tuple[str, str]:
    return new_class.__module__, new_class.__qualname__


def loss_class(name: str) -> type[LongTailLoss]:
    """The class behind a method's name."""
    found = _known(name)
    return getattr(import_module(f"{__name__}.{name}"), found) if isinstance(found, str) else found


def declared(name: str) -> dict[str, tuple[Any, Any]]:
    """The parameters of a method: name -> (type with its range, default)."""
    return _read(name)[0]


def defaults(name: str) -> dict[str, Any]:
    """The parameters of a method and their defaults."""
    return {key: default for key, (_, default) in declared(name).items()}


def converted(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` in the types that the method declares: ``"1"`` and ``1`` become ``1.0``."""
    kinds = {key: kind for key, (kind, _) in declared(name).items()}
    return parameters.converted(name, kinds, params)


def takes_cosines(name: str) -> bool:
    """Whether the method expects cosines in [-1, 1], from ``classifier="cosine"``."""
    return _read(name)[1]


def _read(name: str) -> tuple[dict[str, tuple[Any, Any]], bool]:
    found = _known(name)
    if isinstance(found, str):
        return _written(name, found)
    return parameters.declared(found), found.takes_cosines


@functools.cache
def _written(name: str, class_name: str) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """What :func:`parameters.declared` finds, and ``takes_cosines``, read from the class's source.

    Reading the source instead of importing the class leaves torch out, so that a run's
    configuration is checked, or refused, at once.
    """
    source = Path(__file__).with_name(f"{name}.py").read_text()
    body = next(
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    found, takes_cosines = {}, False
    for node in body:
        match node:
            case ast.FunctionDef(name="__init__", args=arguments):
                for argument, default in zip(
                    arguments.kwonlyargs, arguments.kw_defaults, strict=True
                ):
                    written = ast.unparse(argument.annotation)
                    kind = eval(written, dict(_ANNOTATIONS))  # safe: the package's own source
                    found[argument.arg] = kind, ast.literal_eval(default)
            case ast.Assign(targets=[ast.Name(id="takes_cosines")], value=ast.Constant(value)):
                takes_cosines = value
    return found, takes_cosines


def _known(name: str) -> str | type[LongTailLoss]:
    if name not in names():
        raise unknown("loss", name, names())
    return _METHODS[name]


def create(
    name: str, class_counts: Sequence[int], reduction: str = "mean", **params: Any
) -> LongTailLoss:
    """Make the loss of a method.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    class_counts : sequence, array or mapping of int, shape (C,)
        Training images per class, in the order of the classes.
    reduction : {"mean", "weighted_mean", "sum", "none"}
        ``"mean"`` divides by the batch size, ``"weighted_mean"`` by the sum of the sample weights,
        ``"sum"`` by nothing, ``"none"`` keeps ``(N,)``.
    **params
        See :func:`defaults`; ``help`` of the class shows their ranges.

    Raises
    ------
    ConfigError
        For an unknown name or parameter, with the nearest known one; for a wrong type and a value
        out of range.
    """
    params = converted(name, params)
    return loss_class(name)(class_counts, reduction, **params)
