"""Inter-category margin and uniform intra-category weights against naive float64 loops."""

import oracles
import pytest
import torch

from lt_core import losses
from lt_core.losses.icb import with_margin

VARIANTS = {
    "M10_gamma1_allbins": {"bins": 10, "gamma": 1, "normalize": "none"},
    "M10_gamma1_nonempty": {"bins": 10, "gamma": 1, "normalize": "category"},
    "M20_gamma0.5_allbins": {"bins": 20, "gamma": 0.5, "normalize": "none"},
    "M10_gamma0_allbins": {"bins": 10, "gamma": 0, "normalize": "none"},
    "gamma1_noweight": {"gamma": 1, "intra": False},
    "M10_gamma1_allbins_gadj": {
        "bins": 10,
        "gamma": 1,
        "normalize": "none",
        "gradient": "adjusted",
    },
}


@pytest.mark.parametrize("case", oracles.STATIC)
@pytest.mark.parametrize("variant", VARIANTS)
def test_value_gradient_and_weight(case, variant):
    archive = oracles.load("icb_ura")
    logits, target, class_counts = oracles.inputs(case)
    loss = losses.create("icb", class_counts, density="uniform", **VARIANTS[variant])
    key = f"{case}/{variant}"
    oracles.compare(loss, logits, target, archive, key)
    if loss.intra:
        fresh = losses.create("icb", class_counts, density="uniform", **VARIANTS[variant])
        _, weight = fresh.per_sample(logits, target)
        oracles.assert_near(weight.numpy(), archive[f"{key}/weight"], 1e-9)
        bins = fresh.density.located(torch.from_numpy(archive[f"{key}/g"]))
        assert bins.tolist() == archive[f"{key}/bin"].tolist()


@pytest.mark.parametrize("case", [case for case in oracles.STATIC if case.startswith("c10_")])
def test_margin(case):
    expected = oracles.load("icb_ura")[f"{case}/margin_gamma1"]
    log_counts = torch.tensor(oracles.inputs(case)[2]).double().log()
    classes = torch.arange(len(log_counts))
    adjusted = with_margin(torch.zeros(len(classes), len(classes)).double(), classes, log_counts)
    margin = adjusted - log_counts[:, None]  # the constant per row that softmax ignores
    oracles.assert_near(margin.numpy(), expected, 1e-9)


@pytest.mark.parametrize("normalize", ["none", "category"])
def test_uniform_gradients_weigh_one(normalize):
    archive = oracles.load("icb_ura")
    loss = losses.create(
        "icb",
        archive["sanity_uniform/class_counts"].tolist(),
        density="uniform",
        bins=len(archive["sanity_uniform/weight"]) // 2,
        normalize=normalize,
    )
    logits = torch.from_numpy(archive["sanity_uniform/logits"]).double()
    target = torch.from_numpy(archive["sanity_uniform/targets"]).long()
    _, weight = loss.per_sample(logits, target)
    oracles.assert_near(weight.numpy(), archive["sanity_uniform/weight"], 1e-9)
