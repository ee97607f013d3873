"""Losses that draw: a generator of their own, resumable, silent outside training."""

import math

import pytest
import torch

from lt_core import losses
from lt_core.errors import ConfigError

COUNTS = [1000, 300, 30, 3, 1]
DRAWING = ("equalization", "gcl")


def batch(seed: int, samples: int = 64):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.rand(samples, len(COUNTS), generator=generator) - 1
    target = torch.randint(len(COUNTS), (samples,), generator=generator)
    return logits.requires_grad_(), target


def values(loss, seeds) -> list[float]:
    return [loss(*batch(seed)).item() for seed in seeds]


def create(name: str, seed: int = 0):
    loss = losses.create(name, COUNTS)
    loss.seed = seed
    return loss


@pytest.mark.parametrize("name", DRAWING)
def test_the_seed_decides_and_the_global_generator_does_not(name):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = values(create(name), range(5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert values(create(name), range(5)) == first
    assert values(create(name, seed=7), range(5)) != first


@pytest.mark.parametrize("name", DRAWING)
def test_it_resumes_at_every_step(name):
    whole, stopped = create(name), create(name)
    for step in range(4):
        fresh = create(name, seed=99)
        fresh.load_state_dict(stopped.state_dict())
        assert torch.equal(fresh.get_extra_state(), stopped.get_extra_state())
        stopped = fresh
        stopped.seed = 0  # used only while nothing has been drawn
        assert values(stopped, [step]) == values(whole, [step])
    early = create(name).state_dict()
    whole.load_state_dict(early)
    assert values(whole, range(4)) == values(create(name), range(4))


@pytest.mark.parametrize("name", DRAWING)
def test_a_state_from_another_kind_of_device_goes_on_elsewhere(name):
    from_gpu = torch.arange(16, dtype=torch.uint8)
    resumed, again = create(name), create(name)
    resumed.set_extra_state(from_gpu)
    again.set_extra_state(from_gpu)
    first = values(resumed, range(3))
    assert values(again, range(3)) == first
    assert values(create(name), range(3)) != first


@pytest.mark.parametrize("name", DRAWING)
def test_nothing_is_drawn_outside_training(name):
    loss = create(name)
    logits, target = batch(0)
    with torch.no_grad():
        quiet = loss(logits, target)
    assert torch.equal(loss.eval()(logits, target), quiet)
    assert loss.generator is None
    assert not loss.train()(logits, target).isclose(quiet)
    assert isinstance(loss.generator, torch.Generator)


@pytest.mark.parametrize("name", DRAWING)
def test_a_given_draw_is_used_as_it_is(name):
    loss = create(name)
    logits, target = batch(0)
    draw = torch.ones_like(logits)
    assert torch.equal(loss(logits, target, draw=draw), loss.eval()(logits, target, draw=draw))
    assert loss.generator is None
    with pytest.raises(ConfigError, match=r"draw: expected shape \(64, 5\)"):
        loss(logits, target, draw=draw[:, :4])


def test_equalization_ignores_at_its_rate():
    loss = losses.create("equalization", COUNTS, reduction="none")
    logits = torch.zeros(20_000, len(COUNTS), requires_grad=True)
    loss(logits, torch.zeros(20_000, dtype=torch.int64)).sum().backward()
    ignored = (logits.grad == 0).double().mean(dim=0)
    assert loss.rare.tolist() == [False, False, True, True, True]
    assert ignored[:2].tolist() == [0, 0]
    assert (ignored[2:] - 0.9).abs().max() < 5 * math.sqrt(0.9 * 0.1 / 20_000)


def test_gcls_cloud_has_its_width():
    """At a large scale the loss of the rarest class against the head is its own lowering."""
    loss = losses.create("gcl", [1000, 1], reduction="none", scale=1)
    logits = torch.zeros(20_000, 2, requires_grad=True)
    value = loss(logits, torch.ones(20_000, dtype=torch.int64)).detach().double()
    lowered = value.expm1().log()  # loss = log(1 + e^lowered)
    assert lowered.min() >= -1e-6
    assert lowered.max() == pytest.approx(0.5, abs=1e-6)  # noise, where the draw is clipped
    half_normal = math.sqrt(2 / math.pi) / 3
    assert lowered.mean().item() == pytest.approx(0.5 * half_normal, rel=0.02)
