"""Every loss at its neutral setting is cross-entropy: the same value, the same gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from contract import THIRTEEN

from lt_core import losses
from lt_core.testing import COUNTS, batches_for, step

EVEN = [7] * len(COUNTS)
NEUTRAL = [
    ("softmax", COUNTS, {}),
    ("class_balanced", EVEN, {}),
    ("effective_number", EVEN, {}),
    ("effective_number", COUNTS, {"beta": 0}),
    ("focal", COUNTS, {"gamma": 0}),
    ("ghm", COUNTS, {"bins": 1}),
    ("equalization", COUNTS, {"threshold": 0}),
    ("equalization", COUNTS, {"ignore_probability": 0}),
    ("seesaw", COUNTS, {"p": 0, "q": 0}),
    ("icb", COUNTS, {"intra": False, "gamma": 0}),
    ("icb", EVEN, {"intra": False}),
    ("icb", COUNTS, {"bins": 1, "inter": False}),
    ("icb", COUNTS, {"bins": 1, "inter": False, "density": "uniform"}),
    ("gala", COUNTS, {"lambda1": 0, "lambda2": 0}),
    ("gala", COUNTS, {"lambda1": 0, "lambda2": 0, "variant": "released"}),
    ("ldam", COUNTS, {"max_margin": 0, "scale": 1, "deferred_from": 1}),
    ("balanced_softmax", EVEN, {}),
    ("logit_adjustment", COUNTS, {"tau": 0}),
    ("logit_adjustment", EVEN, {}),
    ("gcl", COUNTS, {"noise": 0, "scale": 1}),
    ("gcl", EVEN, {"scale": 1}),
]


@pytest.mark.parametrize(("name", "class_counts", "params"), NEUTRAL)
def test_it_is_cross_entropy(name, class_counts, params):
    loss = losses.create(name, class_counts, **params)
    for logits, target in batches_for(loss, 2):
        value, gradient = step(loss, logits, target)
        expected, plain = step(F.cross_entropy, logits, target)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(gradient, plain, rtol=1e-10, atol=1e-14)


def test_every_loss_has_a_neutral_setting():
    assert {name for name, _, _ in NEUTRAL} >= set(THIRTEEN)
