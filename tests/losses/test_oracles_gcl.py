"""GCL, both stages, with the recorded noise, against the authors' code."""

import oracles
import pytest
import torch

from lt_core import losses

STAGES = [
    ("stage1_m0_s30_mul0.5", {}),
    ("stage2_m0.1_s20_mul0.5_gamma1", {"scale": 20, "margin": 0.1, "focal_gamma": 1}),
]


@pytest.mark.parametrize("case", oracles.COSINES)
@pytest.mark.parametrize(("variant", "params"), STAGES, ids=["stage1", "stage2"])
def test_both_stages(case, variant, params):
    archive = oracles.load("gcl")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("gcl", class_counts, **params)
    noise = torch.from_numpy(archive[f"{case}/noise"])
    key = f"{case}/{variant}"
    oracles.compare(lambda z, y: loss(z, y, draw=noise), logits, target, archive, key)
    zeros = torch.zeros_like(logits)
    oracles.compare(
        lambda z, y: loss(z, y, draw=zeros), logits, target, archive, f"{key}_zeronoise"
    )
    oracles.compare(loss.eval(), logits, target, archive, f"{key}_zeronoise")
    assert loss.generator is None


@pytest.mark.parametrize("case", oracles.COSINES)
def test_widths(case):
    _, _, class_counts = oracles.inputs(case)
    widths = oracles.load("gcl")[f"{case}/m_list"]
    loss = losses.create("gcl", class_counts)
    oracles.assert_near(loss.cloud, widths / widths.max(), 1e-9)
