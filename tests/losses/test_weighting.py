"""Softmax, re-weighting, focal and GHM: formulas as loops, ranges."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lt_core import losses
from lt_core.errors import ConfigError
from lt_core.losses.ghm import equal_bins
from lt_core.testing import COUNTS, batch, step


def test_weights_at_the_ends_of_beta():
    inverse = losses.create("class_balanced", COUNTS).class_weight
    near_one = losses.create("effective_number", COUNTS, beta=1 - 1e-12).class_weight
    torch.testing.assert_close(near_one, inverse, rtol=1e-6, atol=0)
    assert inverse.sum().item() == pytest.approx(len(COUNTS))
    assert (inverse * torch.tensor(COUNTS)).std().item() == pytest.approx(0, abs=1e-12)


def test_both_weightings_are_one_at_tinyimagenets_counts():
    """Why two rows of the poster's Table 1 are equal there: within 2.5 % for n <= 500."""
    from lt_core.data import class_counts

    counts = class_counts(200, 500, 100)
    inverse = losses.create("class_balanced", counts).class_weight
    effective = losses.create("effective_number", counts).class_weight
    assert (effective / inverse - 1).abs().max() < 0.025


def test_focal_is_the_formula():
    logits, target = batch(0)
    probability = logits.softmax(dim=1)[torch.arange(len(target)), target]
    for gamma in (0.5, 1.0, 2.0):
        expected = (-((1 - probability) ** gamma) * probability.log()).mean()
        value, _ = step(losses.create("focal", COUNTS, gamma=gamma), logits, target)
        torch.testing.assert_close(value, expected)


def test_focal_gradient_is_finite_at_certainty():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    for gamma in (0.1, 0.5, 1.0):
        _, gradient = step(
            losses.create("focal", [1, 1], gamma=gamma), logits, torch.tensor([0, 0])
        )
        assert gradient.isfinite().all()


def naive_ghm(mass, gradients, bins, momentum):
    """GHM-C in softmax form: mass after the batch, and the weight of each sample."""
    counts = np.zeros(bins)
    for gradient in gradients:
        counts[min(int(gradient * bins), bins - 1)] += 1
    mass = momentum * mass + (1 - momentum) * counts
    weight = [
        mass.sum() / (bins * mass[min(int(gradient * bins), bins - 1)]) for gradient in gradients
    ]
    return mass, weight


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_ghm_softmax_is_the_formula_step_by_step(momentum):
    loss = losses.create("ghm", COUNTS, momentum=momentum)
    mass = np.zeros(10)
    for seed in range(4):
        logits, target = batch(seed)
        probability = logits.softmax(dim=1)[torch.arange(len(target)), target]
        mass, weight = naive_ghm(mass, (1 - probability).tolist(), 10, momentum)
        value, gradient = step(loss, logits, target)
        np.testing.assert_allclose(loss.bin_mass.numpy(), mass, rtol=1e-12)
        expected = -(torch.tensor(weight) * probability.log()).mean()
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        onehot = F.one_hot(target, len(COUNTS))
        expected = torch.tensor(weight)[:, None] * (logits.softmax(dim=1) - onehot) / len(target)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


def test_l13_gradients_at_the_ends_fall_in_the_end_bins():
    ends = torch.tensor([0.0, 1e-12, 1 - 1e-12, 1.0], dtype=torch.float64)
    assert equal_bins(ends, 10).tolist() == [0, 0, 9, 9]
    loss = losses.create("ghm", [5, 5], momentum=0)
    value, _ = step(loss, torch.tensor([[0.0, 500.0], [500.0, 0.0]]), torch.tensor([0, 0]))
    assert loss.bin_mass.tolist() == [1, *[0] * 8, 1]
    assert value.isfinite()


def test_l14_ghm_survives_a_long_absence():
    """Bins fade for as long as nothing falls in them, and work again when something does."""
    loss = losses.create("ghm", [5, 5], momentum=0.75)
    right, wrong = torch.tensor([[30.0, 0.0]]), torch.tensor([[0.0, 30.0]])
    step(loss, wrong, torch.tensor([0]))
    for _ in range(900):
        step(loss, right, torch.tensor([0]))
    value, _ = step(loss, wrong, torch.tensor([0]))
    assert value.item() == pytest.approx(30 * 1 / (10 * 0.25), rel=1e-5)


@pytest.mark.parametrize(
    ("class_counts", "message"),
    [
        ([[3, 2]], "shape"),
        ([3.5, 2], "whole numbers"),
        ([3, -2], "class 1 has -2"),
        ([], "at least 2 classes"),
    ],
)
def test_class_counts_that_cannot_be_are_refused(class_counts, message):
    with pytest.raises(ConfigError, match=message):
        losses.create("softmax", class_counts)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ConfigError, match="reduction: expected one of"):
        losses.create("softmax", COUNTS, reduction="average")


def test_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'softmax'"):
        losses.create("sofmax", COUNTS)
    with pytest.raises(ConfigError, match="did you mean 'gamma'"):
        losses.create("focal", COUNTS, gama=1)


def test_a_loss_of_your_own_is_registered_in_one_line(monkeypatch):
    class Halved(losses.LongTailLoss):
        def __init__(self, class_counts, reduction="mean", *, factor: float = 0.5):
            super().__init__(class_counts, reduction)
            self.factor = factor

        def per_sample(self, logits, target):
            return self.factor * F.cross_entropy(logits, target, reduction="none"), None

    monkeypatch.setattr(losses, "_METHODS", dict(losses._METHODS))
    losses.register("halved", Halved)
    assert losses.names()[-1] == "halved"
    logits, target = batch(0)
    value, _ = step(losses.create("halved", COUNTS, factor="0.25"), logits, target)
    torch.testing.assert_close(value, F.cross_entropy(logits, target) / 4)
    with pytest.raises(ConfigError, match="taken"):
        losses.register("softmax", Halved)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_compiles_it_into_one_graph():
    eager, traced = losses.create("class_balanced", COUNTS), losses.create("class_balanced", COUNTS)
    compiled = torch.compile(traced, fullgraph=True)
    logits, target = batch(0)
    expected, gradient = step(eager, logits, target)
    value, other = step(compiled, logits, target)
    torch._dynamo.reset()
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(other, gradient, rtol=1e-10, atol=1e-12)
