"""GHM's one-vs-all form against the released code, sequences step by step."""

import oracles
import pytest

from lt_core import losses

DIVISOR_EPSILON = 1.1920929e-07  # the released file adds float32's epsilon to B·C


def released_factor(elements: int) -> float:
    return elements / (elements + DIVISOR_EPSILON)


@pytest.mark.parametrize("bins", [10, 30])
@pytest.mark.parametrize("case", oracles.STATIC)
def test_without_momentum(case, bins):
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("ghm", class_counts, form="sigmoid", bins=bins, momentum=0)
    key = f"{case}/ghmc_bins{bins}_mom0"
    factor = released_factor(logits.numel())
    oracles.compare(loss, logits, target, oracles.load("ghm"), key, factor=factor)


@pytest.mark.parametrize("bins", [10, 30])
@pytest.mark.parametrize("case", oracles.SEQUENCES)
def test_with_momentum_step_by_step(case, bins):
    archive = oracles.load("ghm")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("ghm", class_counts, form="sigmoid", bins=bins, momentum=0.75)
    key = f"{case}/ghmc_bins{bins}_mom0.75"
    factor = released_factor(logits[0].numel())
    for step in range(len(logits)):
        oracles.compare(loss, logits[step], target[step], archive, key, step=step, factor=factor)
        oracles.assert_near(loss.bin_mass.numpy(), archive[f"{key}/acc_sum"][step], 1e-9)
