"""GALA: the formula read literally, and the authors' released step."""

import oracles
import pytest

from lt_core import losses

PAPER = [
    ("l1_1_l2_1_mean", {"gradient_scale": "mean"}),
    ("l1_1.2_l2_0.9_mean", {"lambda1": 1.2, "lambda2": 0.9, "gradient_scale": "mean"}),
    ("l1_1.2_l2_0.9_sum", {"lambda1": 1.2, "lambda2": 0.9}),
]
RELEASED = [("l1_1_l2_1", {}), ("l1_1.2_l2_0.9", {"lambda1": 1.2, "lambda2": 0.9})]


@pytest.mark.parametrize("case", oracles.SEQUENCES)
@pytest.mark.parametrize(("variant", "params"), PAPER, ids=[row[0] for row in PAPER])
def test_paper(case, variant, params):
    archive = oracles.load("gala_paper")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("gala", class_counts, **params)
    for step in range(len(logits)):
        key = f"{case}/{variant}"
        oracles.compare(loss, logits[step], target[step], archive, key, step=step)
        oracles.assert_near(loss.theta.numpy(), archive[f"{key}/theta"][step], 1e-9)
        oracles.assert_near(loss.phi.numpy(), archive[f"{key}/phi"][step], 1e-9)


@pytest.mark.parametrize("case", oracles.SEQUENCES)
@pytest.mark.parametrize(("variant", "params"), RELEASED, ids=[row[0] for row in RELEASED])
def test_released(case, variant, params):
    archive = oracles.load("gala_released")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("gala", class_counts, variant="released", **params)
    assert loss.gradient_scale == "mean"
    for step in range(len(logits)):
        key = f"{case}/{variant}"
        row = logits[step][0] + loss.lambda1 * (loss.theta + loss.eps).log()
        row = row - loss.lambda2 * (loss.phi + loss.eps).log()[target[step][0]]
        oracles.assert_near(row, archive[f"{key}/adjusted_logits_row0"][step], 1e-9)
        oracles.compare(loss, logits[step], target[step], archive, key, step=step)
        oracles.assert_near(loss.theta.numpy(), archive[f"{key}/theta_pos"][step], 1e-9)
        oracles.assert_near(loss.phi.numpy(), archive[f"{key}/phi_neg"][step], 1e-9)
        diagonal = loss.running_total.numpy()
        oracles.assert_near(diagonal, archive[f"{key}/fine_diag"][step], 1e-9)
