"""LDAM and its deferred re-weighting against the authors' code."""

import oracles
import pytest
import torch

from lt_core import losses


@pytest.mark.parametrize("case", oracles.COSINES)
def test_before_re_weighting(case):
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("ldam", class_counts)
    archive = oracles.load("ldam")
    oracles.assert_near(loss.margin, archive[f"{case}/margins"], 1e-9)
    oracles.compare(loss, logits, target, archive, f"{case}/s30_maxm0.5")
    loss.set_epoch(159, 200)
    oracles.compare(loss, logits, target, archive, f"{case}/s30_maxm0.5")


@pytest.mark.parametrize("case", oracles.COSINES)
def test_deferred_re_weighting(case):
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("ldam", class_counts, reduction="weighted_mean")
    weight = loss.class_weight
    loss.set_epoch(160, 200)
    assert loss.class_weight is weight
    archive = oracles.load("ldam")
    oracles.assert_near(weight, archive[f"{case}/drw_weight"], 1e-9)
    oracles.compare(loss, logits, target, archive, f"{case}/s30_maxm0.5_drw")


@pytest.mark.parametrize(
    ("deferred_from", "first"), [(0, 0), (0.8, 160), (0.7, 140), (0.795, 159), (1, None)]
)
def test_the_epoch_from_which_weights_apply(deferred_from, first):
    loss = losses.create("ldam", [100, 10, 1], deferred_from=deferred_from)
    weighted = []
    for epoch in range(200):
        loss.set_epoch(epoch, 200)
        weighted.append(bool((loss.class_weight != 1).any()))
    assert weighted == [first is not None and epoch >= first for epoch in range(200)]


def test_the_phase_is_part_of_the_state():
    loss = losses.create("ldam", [100, 10, 1])
    loss.set_epoch(9, 10)
    fresh = losses.create("ldam", [100, 10, 1])
    fresh.load_state_dict(loss.state_dict())
    assert torch.equal(fresh.class_weight, loss.class_weight)
    fresh.set_epoch(0, 10)
    assert torch.equal(fresh.class_weight, torch.ones(3, dtype=torch.float64))
