"""Seesaw against mmpretrain's and mmdetection's code."""

import oracles
import pytest
import torch
import torch.nn.functional as F

from lt_core import losses
from lt_core.losses.seesaw import log_factors


@pytest.mark.parametrize("case", oracles.STATIC)
@pytest.mark.parametrize(
    ("variant", "params"),
    [("p0.8_q2", {}), ("p0.8_q0", {"q": 0}), ("p0_q2", {"p": 0})],
    ids=["p0.8_q2", "p0.8_q0", "p0_q2"],
)
def test_counts_given(case, variant, params):
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("seesaw", class_counts, initial_counts=class_counts, **params)
    oracles.compare(loss, logits, target, oracles.load("seesaw"), f"{case}/{variant}")


@pytest.mark.parametrize("case", oracles.SEQUENCES)
def test_counting_from_zero(case):
    archive = oracles.load("seesaw")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("seesaw", class_counts)
    for step in range(len(logits)):
        key = f"{case}/p0.8_q2_from_zero"
        # The released counter, and so its factor, is float32 even in the double run.
        oracles.compare(loss, logits[step], target[step], archive, key, step=step, rtol=1e-7)
        oracles.assert_near(loss.seen.numpy(), archive[f"{key}/cum_samples"][step], rtol=0)


@pytest.mark.parametrize("case", oracles.SEQUENCES)
def test_the_difference_when_counting_is_the_references_rounding(case):
    """With the mitigation factor rounded to float32 as there, ours agrees to the last digits."""
    archive = oracles.load("seesaw")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("seesaw", class_counts, p=0)
    for step in range(len(logits)):
        loss(logits[step], target[step])
        counts = loss.seen.clamp_min(1).float()
        mitigation = ((counts / counts[target[step]][:, None]).clamp_max(1) ** 0.8).double().log()
        factors = log_factors(logits[step], target[step], loss.seen, p=0, q=2, eps=0.01)
        value = F.cross_entropy(logits[step] + factors + mitigation, target[step])
        oracles.assert_near(value, archive[f"{case}/p0.8_q2_from_zero/loss"][step], 1e-13)


def test_counts_beyond_single_precision():
    loss = losses.create("seesaw", [5, 5], initial_counts=[2**24, 2**24])
    loss(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
    assert loss.seen.tolist() == [2**24 + 2, 2**24 + 1]
    assert loss.half().seen.tolist() == [2**24 + 2, 2**24 + 1]


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, -1], [1, 2, float("nan")]])
def test_initial_counts_are_checked(counts):
    with pytest.raises(ValueError, match="initial_counts"):
        losses.create("seesaw", [5, 5, 5], initial_counts=counts)
