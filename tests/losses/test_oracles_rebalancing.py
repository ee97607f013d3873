"""Post-hoc methods against the released code's values."""

import oracles
import pytest
import torch

from lt_core.rebalancing import adjust_logits, column_sums, rebalance, rebalance_by


def whole_set(case):
    logits, target, class_counts = oracles.inputs(case)
    return logits.flatten(0, 1), target.flatten(), class_counts


@pytest.mark.parametrize("case", oracles.SEQUENCES)
@pytest.mark.parametrize("tau", [0.5, 1, 1.7])
def test_released_rebalancing(case, tau):
    archive = oracles.load("prediction_rebalancing")
    logits, target, _ = whole_set(case)
    probabilities = logits.softmax(dim=1)
    scores = rebalance(probabilities, tau)
    key = f"{case}/tau{tau}"
    rows = archive[f"{key}/scores_rows"]
    oracles.assert_near(scores[: len(rows)], rows, 1e-9)
    oracles.assert_near(scores.sum(0), archive[f"{key}/scores_colsum"], 1e-9)
    assert scores.argmax(1).tolist() == archive[f"{key}/pred"].tolist()
    accuracy = (scores.argmax(1) == target).double().mean()
    oracles.assert_near(accuracy, archive[f"{key}/acc_all_many_median_low"][0], 1e-9)
    sums = column_sums(probabilities)
    oracles.assert_near(sums, archive[f"{case}/class_l1_norm"], 1e-9)
    torch.testing.assert_close(rebalance_by(probabilities, sums, tau), scores)


@pytest.mark.parametrize("case", oracles.STATIC)
@pytest.mark.parametrize("tau", [0.5, 1, 2])
def test_released_posthoc_logit_adjustment(case, tau):
    archive = oracles.load("logit_adjustment")
    logits, _, class_counts = oracles.inputs(case)
    prediction = adjust_logits(logits, class_counts, tau).argmax(dim=1).numpy()
    clear = ~archive[f"{case}/posthoc_tau{tau}_tie"]
    expected = archive[f"{case}/posthoc_tau{tau}_pred"]
    assert prediction[clear].tolist() == expected[clear].tolist()
