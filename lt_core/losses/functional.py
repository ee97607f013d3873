"""The losses as functions, for those who write their own loop.

Each stands above its class in the file of its name, and the class calls it: the mathematics is in
one place. What a class derives from the class counts once, a function takes as an argument, and
helpers that derive it are here too: :func:`inverse_frequency_weights`,
:func:`effective_number_weights`, :func:`prior_shift`, :func:`ldam_margin` and
:func:`cloud_widths`; :func:`drawn_distances` draws what :func:`gcl` needs. What a class keeps as
state is an argument as well. Like the running mean of ``torch.nn.functional.batch_norm``, it
changes in place where ``training`` is true; on several ranks of ``torch.distributed`` it counts
the samples of all.

Parameters
----------
logits : Tensor, shape (N, C)
    Unnormalised, in nats; cosines in ``[-1, 1]`` for :func:`ldam` and :func:`gcl`. Half precision
    is computed in float32.
target : Tensor of int64, shape (N,)
    Class indices from 0 to C - 1.
reduction : {"mean", "weighted_mean", "sum", "none"}
    ``"mean"`` divides the sum of the losses by the batch size, ``"weighted_mean"`` by the sum of
    the samples' weights (by the batch size where there are none), ``"sum"`` by nothing;
    ``"none"`` keeps ``(N,)``. An empty batch gives 0.

Notes
-----
Every function returns nats: a scalar, or ``(N,)`` for ``"none"``. It raises
:class:`~lt_core.errors.ConfigError`, a ``ValueError``, for logits and targets of a wrong shape or
type, for a wrong shape of what is given per class or per logit, and on a CPU for labels out of
range and logits that are not finite. Parameters such as ``gamma`` are taken as they
are; the classes check their ranges.

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

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, get_args

from torch import Tensor

from lt_core import losses
from lt_core.errors import ConfigError
from lt_core.losses.base import checked, checked_reduction, distributed, reduce
from lt_core.parameters import kinds_of

#: An argument that holds one value per class, shape ``(C,)``.
PerClass = Annotated[Tensor, "(C,)"]

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


def checked_and_reduced(takes_cosines: bool = False) -> Callable[[Callable], Callable]:
    """Make the mathematics of a loss a function that checks its input and takes ``reduction``.

    What is decorated takes logits and target, which have been checked, and whatever else the
    loss needs, and returns loss and weight of each sample, both ``(N,)``; an argument annotated
    ``PerClass`` is checked to be a tensor of shape ``(C,)``. The class, which checks and reduces
    itself, calls what was decorated as ``function.per_sample``.
    """

    def decorate(per_sample: Callable) -> Callable:
        signature, kinds = inspect.signature(per_sample), kinds_of(per_sample)
        by_class = {
            name: position
            for position, name in enumerate(signature.parameters)
            if PerClass in (kinds.get(name), *get_args(kinds.get(name)))
        }

        @functools.wraps(per_sample)
        def function(logits, target, *args, reduction="mean", **kwargs) -> Tensor:
            checked_reduction(reduction)
            logits = checked(logits, target, takes_cosines=takes_cosines)
            for name, position in by_class.items():
                given = args[position - 2] if position - 2 < len(args) else kwargs.get(name)
                _check_by_class(name, given, logits)
            if not len(target) and not distributed():
                return reduce(logits.sum(dim=1), None, reduction)
            return reduce(*per_sample(logits, target, *args, **kwargs), reduction)

        parameter = inspect.Parameter(
            "reduction", inspect.Parameter.KEYWORD_ONLY, default="mean", annotation="str"
        )
        function.__signature__ = signature.replace(
            parameters=[*signature.parameters.values(), parameter], return_annotation="Tensor"
        )
        function.per_sample = per_sample
        return function

    return decorate


def _check_by_class(name: str, given: Tensor | None, logits: Tensor) -> None:
    expected = (logits.shape[1],)
    if given is not None and not (isinstance(given, Tensor) and given.shape == expected):
        got = tuple(given.shape) if isinstance(given, Tensor) else f"a {type(given).__name__}"
        raise ConfigError(f"{name}: expected a tensor of shape {expected}, got {got}")
