"""Margins read from gradients, and the boundary they give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_core import losses, margins
from lt_core.errors import ConfigError

COUNTS = [90, 9, 1]
LOG_RATIO = np.log(np.array(COUNTS) / np.array(COUNTS)[:, None])
SEEN = {"initial_counts": COUNTS}


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("softmax", {}, 0 * LOG_RATIO),
        ("balanced_softmax", {}, LOG_RATIO),
        ("logit_adjustment", {"tau": 0.5}, 0.5 * LOG_RATIO),
        ("icb", {"intra": False, "gamma": 0.6}, 0.6 * np.minimum(0, LOG_RATIO)),
        ("seesaw", {"p": 0.6, **SEEN}, 0.6 * np.minimum(0, LOG_RATIO)),
        ("gcl", {}, 0 * LOG_RATIO),  # without a draw there is no cloud
    ],
)
def test_the_margin_is_read_from_the_gradient(name, params, expected):
    loss = losses.create(name, COUNTS, **params)
    np.testing.assert_allclose(margins.measured(loss), expected, atol=1e-9)
    assert loss.training


def test_reading_a_margin_leaves_the_state_alone():
    loss = losses.create("gala", COUNTS)
    margins.measured(loss)
    assert loss.theta.sum() == 0


def test_draws_are_passed_on():
    ignored = torch.ones(3, 3, dtype=torch.bool)
    margin = margins.measured(losses.create("equalization", COUNTS), draw=ignored)
    assert np.isneginf(margin[0]).tolist() == [False, True, True]
    assert margin[2].tolist() == [0, -np.inf, 0]


@pytest.mark.parametrize(
    ("name", "params"),
    [("class_balanced", {}), ("focal", {}), ("equalization", {"form": "sigmoid"})],
)
def test_what_is_more_than_a_margin_is_refused(name, params):
    with pytest.raises(ConfigError, match="softmax form whose samples are not weighted"):
        margins.measured(losses.create(name, COUNTS, **params))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("softmax", {}),
        ("balanced_softmax", {}),
        ("logit_adjustment", {"tau": 0.4}),
        ("icb", {"intra": False}),
        ("seesaw", SEEN),
        ("ldam", {"scale": 3}),
        ("class_balanced", {}),
    ],
)
def test_at_the_boundary_the_mixture_has_no_gradient(name, params):
    """Images mixed at the odds of the boundary, both logits equal."""
    pair = [90, 1]
    params = {"initial_counts": pair} if name == "seesaw" else params
    loss = losses.create(name, pair, "none", **params).eval()
    weighted = name == "class_balanced"
    margin = np.zeros((2, 2)) if weighted else margins.measured(loss)
    weight = loss.class_weight.numpy() if weighted else None
    odds = np.exp(margins.boundaries(margin, weight)[0, 1])
    mixture = torch.tensor([1, odds], dtype=torch.float64) / (1 + odds)
    logits = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixture @ loss(logits, torch.arange(2)), logits)
    torch.testing.assert_close(gradient.sum(dim=0), torch.zeros(2, dtype=torch.float64))


def test_the_full_prior_is_taken_out_by_logit_adjustment_and_by_weights():
    np.testing.assert_allclose(margins.boundaries(LOG_RATIO), LOG_RATIO)
    even = np.zeros((3, 3))
    assert (margins.boundaries(even) == 0).all()
    np.testing.assert_allclose(margins.boundaries(even, 1 / np.array(COUNTS)), LOG_RATIO)


def test_draws_are_averaged():
    spared = np.where(np.triu(np.ones((3, 3)), 1), -np.inf, 0)
    drawn = np.stack([spared, np.zeros((3, 3))])
    assert margins.boundaries(drawn)[0, 2] == pytest.approx(np.log(0.5))
