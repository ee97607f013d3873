"""The losses as functions, for those who write their own loop.

Each stands above its class in the file of its name, and the class calls it: the mathematics is
in one place. What a class derives from the class counts once, a function takes as an argument,
and the helpers that derive it are here too: :func:`inverse_frequency_weights`,
:func:`effective_number_weights`, :func:`prior_shift`, :func:`ldam_margin`, :func:`cloud_widths`
and :func:`drawn_distances`. What a class keeps as state is an argument as well. Like the running
mean of ``torch.nn.functional.batch_norm``, it changes in place where ``training`` is true; on
several ranks of ``torch.distributed`` it counts the samples of all.

Parameters
----------
logits : Tensor, shape (N, C)
    Unnormalised, in nats; cosines in [-1, 1] for :func:`ldam` and :func:`gcl`. Half precision is
    computed in float32.
target : Tensor of int64, shape (N,)
    Class indices from 0 to C - 1.
reduction : {"mean", "weighted_mean", "sum", "none"}
    ``"mean"`` divides the sum of the losses by the batch size, ``"weighted_mean"`` by the sum of
    the samples' weights (by the batch size where there are none), ``"sum"`` by nothing;
    ``"none"`` keeps ``(N,)``. An empty batch gives 0.

Returns
-------
Tensor
    Nats: a scalar, or ``(N,)`` for ``"none"``.

Raises
------
ConfigError
    A ``ValueError``, for wrong shapes and types, and on a CPU for labels out of range and logits
    that are not finite. Parameters such as ``gamma`` are taken as they are; the classes check
    their ranges.

Examples
--------
>>> import torch
>>> from lt_core.losses import functional
>>> counts = torch.tensor([500, 50, 5])
>>> logits, target = torch.zeros(2, 3), torch.tensor([0, 2])
>>> print(f"{functional.balanced_softmax(logits, target, counts.log()):.4f}")
2.4069
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lt_core import losses

#: What derives arguments of the functions, and where it stands.
_HELPERS = {
    "inverse_frequency_weights": "class_balanced",
    "effective_number_weights": "effective_number",
    "prior_shift": "logit_adjustment",
    "ldam_margin": "ldam",
    "cloud_widths": "gcl",
    "drawn_distances": "gcl",
}


def __getattr__(name: str) -> Any:
    home = _HELPERS.get(name, name)
    if not isinstance(losses._METHODS.get(home), str):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lt_core.losses.{home}"), name)


def __dir__() -> list[str]:
    return [*losses.names(), *_HELPERS]
