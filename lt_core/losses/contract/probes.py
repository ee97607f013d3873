"""What the contract feeds a loss, and how it looks at what the loss does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lt_core.losses.base import LongTailLoss
from lt_core.losses.draws import DrawingLoss

#: Makes a fresh loss from class counts, with whatever parameters are under test.
Make = Callable[..., LongTailLoss]

COUNTS = [400, 90, 25, 6, 1, 1]
CLASSES = len(COUNTS)


def batch(
    seed: int,
    samples: int = 24,
    class_counts: Sequence[int] = COUNTS,
    scale: float = 2.0,
    takes_cosines: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits in float64 (cosines where the loss takes them) and a long-tailed target."""
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, len(class_counts))
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    share = torch.tensor(class_counts, dtype=torch.float64).sqrt()
    target = torch.multinomial(share, samples, replacement=True, generator=generator)
    return (logits.tanh() if takes_cosines else logits), target


def batches_for(loss: LongTailLoss, steps: int, **kwargs) -> list[tuple[Tensor, Tensor]]:
    return [batch(seed, takes_cosines=loss.takes_cosines, **kwargs) for seed in range(steps)]


def draws(loss: LongTailLoss, logits: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """The random numbers to pass, for a loss that would draw its own."""
    if not isinstance(loss, DrawingLoss):
        return {}
    generator = torch.Generator().manual_seed(seed)
    return {"draw": (torch.rand(logits.shape, generator=generator) < 0.5).to(logits.dtype)}


def step(loss: LongTailLoss, logits: Tensor, target: Tensor, **kwargs) -> tuple[Tensor, Tensor]:
    """One call: the loss and its gradient with respect to the logits."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **kwargs)
    value.sum().backward()
    return value.detach(), leaf.grad


def trained(make: Make) -> LongTailLoss:
    """A loss that has seen three batches."""
    loss = make(COUNTS)
    for logits, target in batches_for(loss, 3):
        step(loss, logits, target)
    return loss


def state_of(loss: LongTailLoss) -> dict[str, Tensor]:
    """A copy of everything that ``state_dict`` saves."""
    return {key: value.clone() for key, value in loss.state_dict().items()}


def assert_same_state(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys(), "state_dict: other entries than before"
    for key, value in expected.items():
        assert torch.equal(actual[key], value), f"{key} changed"


@contextlib.contextmanager
def frozen_detached() -> Iterator[Callable[[], None]]:
    """Whatever a loss detaches keeps the values of its first call.

    A weight without gradient is a constant to autograd; numerical differentiation must
    see it as one too. Yields a function to call before each evaluation.
    """
    recorded: list[Tensor] = []
    position = [0]
    original = Tensor.detach

    def detach(tensor: Tensor) -> Tensor:
        if position[0] == len(recorded):
            recorded.append(original(tensor).clone())
        position[0] += 1
        return recorded[position[0] - 1].clone()

    with mock.patch.object(Tensor, "detach", detach):
        yield lambda: position.__setitem__(0, 0)


#: Operations that read a value on the host or whose output shape depends on values.
FORBIDDEN = {
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
#: Operations that only describe memory anew and launch nothing.
VIEWS = {"alias", "detach", "expand", "select", "slice", "squeeze", "t", "unsqueeze", "view"}


class Recorder(TorchDispatchMode):
    """Counts operations that launch work; notes the forbidden ones and the largest tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.forbidden: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        self.operations += name not in VIEWS
        masks = name.startswith("index") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool
            for indices in args
            if isinstance(indices, (list, tuple))
            for index in indices
        )
        if name in FORBIDDEN or masks:
            self.forbidden.append(name)
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result
