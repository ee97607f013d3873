"""Losses for long-tailed classification, by name.

>>> import torch
>>> from lt_core import losses
>>> loss = losses.create("softmax", class_counts=[500, 50, 5])
>>> float(loss(torch.zeros(2, 3), torch.tensor([0, 2])))  # doctest: +ELLIPSIS
1.0986...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lt_core.errors import ConfigError, unknown
from lt_core.losses import parameters
from lt_core.losses.balanced_softmax import BalancedSoftmax
from lt_core.losses.base import LongTailLoss
from lt_core.losses.class_balanced import ClassBalanced
from lt_core.losses.effective_number import EffectiveNumber
from lt_core.losses.equalization import Equalization
from lt_core.losses.focal import Focal
from lt_core.losses.gala import GALA
from lt_core.losses.gcl import GCL
from lt_core.losses.ghm import GHM
from lt_core.losses.icb import ICB
from lt_core.losses.ldam import LDAM
from lt_core.losses.logit_adjustment import LogitAdjustment
from lt_core.losses.seesaw import Seesaw
from lt_core.losses.softmax import Softmax

__all__ = ["LongTailLoss", "converted", "create", "defaults", "names", "register"]

#: One line registers a loss; the order is that of the tables.
_METHODS: dict[str, type[LongTailLoss]] = {
    "softmax": Softmax,
    "class_balanced": ClassBalanced,
    "effective_number": EffectiveNumber,
    "focal": Focal,
    "ghm": GHM,
    "equalization": Equalization,
    "seesaw": Seesaw,
    "icb": ICB,
    "gala": GALA,
    "ldam": LDAM,
    "balanced_softmax": BalancedSoftmax,
    "logit_adjustment": LogitAdjustment,
    "gcl": GCL,
}


def names() -> tuple[str, ...]:
    """All methods, in the order of the tables."""
    return tuple(_METHODS)


def register(name: str, loss_class: type[LongTailLoss]) -> type[LongTailLoss]:
    """Add a loss of your own: from then on every table of this process knows it.

    Other processes, such as those of ``reproduce(..., processes=2)``, do not.
    """
    if _METHODS.get(name, loss_class) is not loss_class:
        raise ConfigError(f"loss {name!r} is taken by {_METHODS[name].__name__}; choose a new name")
    _METHODS[name] = loss_class
    return loss_class


def loss_class(name: str) -> type[LongTailLoss]:
    """The class behind a method's name."""
    if name not in _METHODS:
        raise unknown("loss", name, names())
    return _METHODS[name]


def defaults(name: str) -> dict[str, Any]:
    """The parameters of a method and their defaults."""
    return {key: default for key, (_, default) in parameters.declared(loss_class(name)).items()}


def converted(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` in the types that the method declares: ``"1"`` and ``1`` become ``1.0``."""
    return parameters.converted(name, loss_class(name), params)


def create(
    name: str, class_counts: Sequence[int], reduction: str = "mean", **params: Any
) -> LongTailLoss:
    """A loss for ``class_counts`` training images per class.

    ``reduction``: ``"mean"`` divides by the batch size, ``"weighted_mean"`` by the sum
    of the sample weights, ``"sum"`` by nothing, ``"none"`` keeps ``(N,)``.
    ``params``: see :func:`defaults`; ranges are in the class's docstring.

    Raises :class:`~lt_core.errors.ConfigError` for an unknown name or parameter (with
    the nearest known one), a wrong type or a value out of range.
    """
    params = converted(name, params)
    return loss_class(name)(class_counts, reduction, **params)
