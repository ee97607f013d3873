"""Post-hoc methods: their formulas, what they leave alone, and what they refuse."""

import numpy as np
import pytest
import torch

from lt_core.errors import ConfigError, DataError
from lt_core.rebalancing import adjust_logits, column_sums, rebalance, rebalance_by, tau_normalise


def random_logits(samples: int = 40, classes: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)


def test_tau_zero_changes_nothing():
    logits = random_logits()
    probabilities = logits.softmax(1)
    torch.testing.assert_close(rebalance(probabilities, tau=0), probabilities)
    torch.testing.assert_close(adjust_logits(logits, range(1, 7), tau=0), logits)
    torch.testing.assert_close(tau_normalise(logits, range(1, 7), tau=0), logits)


def test_tau_normalised_logits_are_those_of_scaled_weights():
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(6, generator=generator, dtype=torch.float64)
    norms = weight.norm(dim=1)
    scaled = weight / norms[:, None] ** 0.7
    scores = tau_normalise(embeddings @ weight.T + bias, norms, tau=0.7, bias=bias)
    torch.testing.assert_close(scores, embeddings @ scaled.T)


def test_sums_of_the_training_set_make_it_logit_adjustment():
    """Where the column sums are the class counts, both give the same order of classes."""
    logits, counts = random_logits(), torch.tensor([500, 200, 80, 30, 10, 4])
    inductive = rebalance_by(logits.softmax(1), counts, tau=0.8)
    adjusted = adjust_logits(logits, counts, tau=0.8)
    torch.testing.assert_close(inductive.log().log_softmax(1), adjusted.log_softmax(1))


def test_the_inductive_form_looks_at_one_image_at_a_time():
    probabilities, reference = random_logits().softmax(1), random_logits(99).softmax(1)
    sums = column_sums(reference)
    together = rebalance_by(probabilities, sums)
    torch.testing.assert_close(rebalance_by(probabilities[3:4], sums), together[3:4])
    alone = rebalance(probabilities[3:4])
    assert not torch.allclose(alone, rebalance(probabilities)[3:4])


@pytest.mark.parametrize("tau", [0.5, 1, 1.7])
def test_a_class_without_probability_and_extreme_logits_stay_finite(tau):
    probabilities = (random_logits() * torch.tensor([1e4, 1, 1, 1, 1, 1])).softmax(1)
    probabilities[:, 5] = 0
    probabilities[:, 4] = 1e-200
    scores = rebalance(probabilities, tau)
    assert scores.isfinite().all()
    assert (scores[:, 5] == 0).all()


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.float64, np.longdouble])
@pytest.mark.parametrize("step", [1, -1])
def test_arrays_of_any_floating_type_and_order_come_back_as_arrays(dtype, step):
    probabilities = random_logits().softmax(1).numpy().astype(dtype)[::step]
    probabilities.flags.writeable = False
    before = probabilities.copy()
    scores = rebalance(probabilities)
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float64
    assert (probabilities == before).all()
    np.testing.assert_allclose(scores.sum(0), 1, rtol=1e-12)


def test_bad_input_is_named():
    good = random_logits().softmax(1)
    for wrong in (good[0], (good * 100).long(), good.to_sparse(), good.numpy().astype(object)):
        with pytest.raises(ConfigError, match=r"probabilities: expected .* of shape \(N, C\)"):
            rebalance(wrong)
    for use in (rebalance, lambda values: rebalance_by(values, [1] * 6)):
        with pytest.raises(DataError, match="apply softmax first"):
            use(good - 1)
    damaged = good.clone()
    damaged[7, 0] = float("nan")
    for missing in (damaged, np.ma.masked_invalid(damaged.numpy())):
        with pytest.raises(DataError, match="row 7 is not finite"):
            rebalance(missing)
    for tau in (-1, float("nan"), "much"):
        with pytest.raises(ConfigError, match="tau"):
            rebalance(good, tau)
    with pytest.raises(ConfigError, match=r"reference_sums: expected shape \(6,\)"):
        rebalance_by(good, [1, 2, 3])
    with pytest.raises(ConfigError, match=r"reference_sums.*class 2"):
        rebalance_by(good, [1, 1, 0, 1, 1, 1])
    with pytest.raises(ConfigError, match=r"class_counts.*class 5"):
        adjust_logits(good, [5, 4, 3, 2, 1, 0])
    with pytest.raises(ConfigError, match="weight_norms"):
        tau_normalise(good, [1, 1, 1, 1, 1, 0])
    with pytest.raises(ConfigError, match="bias"):
        tau_normalise(good, [1] * 6, bias=[1])
