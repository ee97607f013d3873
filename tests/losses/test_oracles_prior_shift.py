"""Balanced Softmax and logit adjustment against their authors' code."""

import oracles
import pytest

from lt_core import losses

VARIANTS = [
    ("balanced_softmax", "mean", "balanced_softmax", {}),
    ("logit_adjustment", "loss_tau1", "logit_adjustment", {"variant": "released"}),
    ("logit_adjustment", "loss_tau2", "logit_adjustment", {"variant": "released", "tau": 2}),
    ("logit_adjustment", "loss_tau1", "logit_adjustment", {}),
    ("balanced_softmax", "mean", "logit_adjustment", {}),
]


@pytest.mark.parametrize("case", oracles.STATIC)
@pytest.mark.parametrize(("file", "variant", "method", "params"), VARIANTS)
def test_value_and_gradient(case, file, variant, method, params):
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create(method, class_counts, **params)
    # Only the released variant has the 1e-12, which shows in the gradients' last digits.
    plain = file == "logit_adjustment" and not params
    rtol = 3e-8 if plain else 1e-9
    oracles.compare(loss, logits, target, oracles.load(file), f"{case}/{variant}", rtol=rtol)


@pytest.mark.parametrize("case", oracles.STATIC)
def test_prior(case):
    _, _, class_counts = oracles.inputs(case)
    loss = losses.create("logit_adjustment", class_counts)
    expected = oracles.load("logit_adjustment")[f"{case}/base_probs"]
    oracles.assert_near(loss.shift.exp(), expected, 1e-12)


def test_tau_must_be_finite():
    with pytest.raises(ValueError, match=r"logit_adjustment\.tau"):
        losses.create("logit_adjustment", [9, 1], tau=float("inf"))
