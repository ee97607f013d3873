"""Which losses the contract covers, and the batches it feeds them."""

from __future__ import annotations

import contextlib

import pytest
import torch

from lt_core import losses
from lt_core.losses.draws import DrawingLoss

COUNTS = [400, 90, 25, 6, 1, 1]
CLASSES = len(COUNTS)

#: Beside its defaults, every registered loss is covered in these forms.
FORMS = {
    "effective_number": [{"form": "sigmoid"}, {"form": "focal"}, {"form": "port"}],
    "focal": [{"gamma": 0.5}, {"beta": 0.99}, {"detach_modulator": True}],
    "ghm": [{"form": "sigmoid"}, {"momentum": 0}],
    "equalization": [{"form": "sigmoid"}],
    "seesaw": [{"q": 0}],
    "icb": [
        {"memory": 200},
        {"density": "uniform"},
        {"density": "exact", "memory": 200},
        {"normalize": "none", "gradient": "adjusted"},
        {"intra": False},
        {"inter": False},
    ],
    "gala": [{"variant": "released"}, {"lambda1": 1.2, "lambda2": 0.9}],
    "gcl": [{"margin": 0.1, "focal_gamma": 1}],
}


def covered() -> list:
    """(name, parameters) of every registered loss, first with its defaults."""
    return [
        pytest.param(name, params, id="-".join([name, *map(str, params.values())]))
        for name in losses.names()
        for params in [{}, *FORMS.get(name, [])]
    ]


def batch(
    seed: int, samples: int = 24, class_counts=COUNTS, scale: float = 2.0, takes_cosines=False
):
    """Logits in float64 (cosines where the loss takes them) and a long-tailed target."""
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, len(class_counts))
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    share = torch.tensor(class_counts, dtype=torch.float64).sqrt()
    target = torch.multinomial(share, samples, replacement=True, generator=generator)
    return (logits.tanh() if takes_cosines else logits), target


def batches_for(loss, steps: int, **kwargs):
    return [batch(seed, takes_cosines=loss.takes_cosines, **kwargs) for seed in range(steps)]


def draws(loss, logits, seed: int = 0) -> dict:
    """The random numbers to pass, for a loss that would draw its own."""
    if not isinstance(loss, DrawingLoss):
        return {}
    generator = torch.Generator().manual_seed(seed)
    return {"draw": (torch.rand(logits.shape, generator=generator) < 0.5).to(logits.dtype)}


def state_of(loss) -> dict[str, torch.Tensor]:
    """A copy of everything that ``state_dict`` saves."""
    return {key: value.clone() for key, value in loss.state_dict().items()}


def assert_same_state(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(actual[key], value), f"{key} changed"


def step(loss, logits, target, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
    """One call: the loss and its gradient with respect to the logits."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **kwargs)
    value.sum().backward()
    return value.detach(), leaf.grad


@contextlib.contextmanager
def frozen_detached(monkeypatch):
    """Whatever a loss detaches keeps the values of its first call.

    A weight without gradient is a constant to autograd; numerical differentiation must
    see it as one too. Yields a function to call before each evaluation.
    """
    recorded: list[torch.Tensor] = []
    position = [0]
    original = torch.Tensor.detach

    def detach(tensor):
        if position[0] == len(recorded):
            recorded.append(original(tensor).clone())
        position[0] += 1
        return recorded[position[0] - 1].clone()

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "detach", detach)
        yield lambda: position.__setitem__(0, 0)
