"""Softmax, re-weighting and focal losses against the authors' published code."""

import numpy as np
import oracles
import pytest
import torch

from lt_core import losses

CUI_SOFTMAX_RTOL = 3e-7  # the reference passes through a float32 cast in its framework

VARIANTS = [
    ("ce", "mean", "softmax", {}, "mean"),
    ("class_balanced", "inverse_frequency", "class_balanced", {}, "weighted_mean"),
    ("class_balanced", "cui_softmax_beta0.9999", "effective_number", {}, "mean"),
    ("class_balanced", "cui_sigmoid_beta0.9999", "effective_number", {"form": "sigmoid"}, "mean"),
    (
        "class_balanced",
        "cui_focal_beta0.9999_gamma1",
        "effective_number",
        {"form": "focal", "gamma": 1},
        "mean",
    ),
    (
        "class_balanced",
        "cui_focal_beta0.9999_gamma0.5",
        "effective_number",
        {"form": "focal", "gamma": 0.5},
        "mean",
    ),
    (
        "class_balanced",
        "port_focal_beta0.9999_gamma2",
        "effective_number",
        {"form": "focal", "gamma": 2},
        "mean",
    ),
    ("class_balanced", "port_softmax_beta0.9999", "effective_number", {"form": "port"}, "mean"),
    (
        "effective_number",
        "ldamdrw_reweight_ce_beta0.9999",
        "effective_number",
        {},
        "weighted_mean",
    ),
    (
        "effective_number",
        "ldamdrw_reweight_ce_beta0.999",
        "effective_number",
        {"beta": 0.999},
        "weighted_mean",
    ),
    ("focal", "ldamdrw_gamma1", "focal", {}, "mean"),
    ("focal", "ldamdrw_gamma2", "focal", {"gamma": 2}, "mean"),
    (
        "focal",
        "ldamdrw_gamma1_weighted",
        "focal",
        {"beta": 0.9999, "modulator": "released"},
        "mean",
    ),
    ("focal", "gcl_detached_gamma1", "focal", {"detach_modulator": True}, "mean"),
]


@pytest.mark.parametrize("case", oracles.STATIC)
@pytest.mark.parametrize(
    ("file", "variant", "method", "params", "reduction"),
    VARIANTS,
    ids=[f"{row[0]}-{row[1]}" for row in VARIANTS],
)
def test_value_and_gradient(case, file, variant, method, params, reduction):
    archive = oracles.load(file)
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create(method, class_counts, reduction=reduction, **params)
    rtol = CUI_SOFTMAX_RTOL if variant.startswith("cui_softmax") else 1e-9
    oracles.compare(loss, logits, target, archive, f"{case}/{variant}", rtol=rtol)


@pytest.mark.parametrize("case", oracles.STATIC)
def test_class_weights(case):
    _, _, class_counts = oracles.inputs(case)
    inverse = losses.create("class_balanced", class_counts).class_weight.numpy()
    expected = oracles.load("class_balanced")[f"{case}/inverse_frequency/weight_sum1"]
    oracles.assert_near(inverse / len(class_counts), expected, 1e-9)
    for file, key, beta in [
        ("class_balanced", "cui_weight_beta0.9999", 0.9999),
        ("effective_number", "ldamdrw_reweight_ce_beta0.9999/weight", 0.9999),
        ("effective_number", "ldamdrw_reweight_ce_beta0.999/weight", 0.999),
        ("focal", "ldamdrw_gamma1_weighted/weight", 0.9999),
    ]:
        weight = losses.create("effective_number", class_counts, beta=beta).class_weight.numpy()
        oracles.assert_near(weight, oracles.load(file)[f"{case}/{key}"], 1e-9)


@pytest.mark.parametrize("classes", [10, 100])
def test_the_ports_softmax_is_another_loss(classes):
    """It averages over classes as well, so it is no scaled copy of ours: rows differ in ratio."""
    logits, target, class_counts = oracles.inputs(f"c{classes}_imb100_b64_normal")
    ours = losses.create("effective_number", class_counts, reduction="none")(logits, target)
    port = losses.create("effective_number", class_counts, reduction="none", form="port")
    ratio = (ours / port(logits, target)).numpy()
    assert ratio.min() > 1
    assert ratio.max() / ratio.min() > 1.2
    assert np.median(ratio) > classes / 2
    assert torch.isfinite(ours).all()
