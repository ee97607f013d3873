"""What the margin methods must do beyond agreeing with published code."""

import pytest
import torch
import torch.nn.functional as F

from lt_core import losses
from lt_core.losses import base
from lt_core.losses.seesaw import log_factors

COUNTS = [50, 20, 5, 1]
STEPS = 5


def batches(samples: int = 12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        logits = 3 * torch.randn(samples, len(COUNTS), generator=generator, dtype=dtype)
        yield logits.requires_grad_(), torch.randint(len(COUNTS), (samples,), generator=generator)


def naive_gala(logits, target, theta, phi, lambda1, lambda2, eps):
    """GALA's formula entry by entry; returns the mean loss and adds to theta and phi."""
    total = 0.0
    own, others = torch.zeros_like(theta), torch.zeros_like(phi)
    for row, k in zip(logits.detach(), target.tolist(), strict=True):
        adjusted = row.clone()
        for j in range(len(row)):
            if j != k:
                adjusted[j] += lambda1 * (theta[j] + eps).log() - lambda2 * (phi[k] + eps).log()
        total -= adjusted.log_softmax(0)[k]
        p = adjusted.softmax(0)
        own[k] += abs(p[k] - 1)
        others[k] += sum(p[j] for j in range(len(row)) if j != k)
    theta += own
    phi += others
    return total / len(target)


@pytest.mark.parametrize(("lambda1", "lambda2"), [(1, 1), (1.2, 0.9), (0, 1), (1, 0), (0.5, 2)])
def test_gala_is_its_formula(lambda1, lambda2):
    loss = losses.create("gala", COUNTS, lambda1=lambda1, lambda2=lambda2)
    theta, phi = torch.zeros(2, len(COUNTS), dtype=torch.float64)
    for logits, target in batches():
        expected = naive_gala(logits, target, theta, phi, lambda1, lambda2, 1e-3)
        torch.testing.assert_close(loss(logits, target), expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(loss.theta, theta, rtol=1e-12, atol=0)
        torch.testing.assert_close(loss.phi, phi, rtol=1e-12, atol=0)


def test_gala_at_equal_lambdas_is_logit_adjustment_with_theta_for_a_prior():
    loss = losses.create("gala", COUNTS, lambda1=0.7, lambda2=0.7)
    for logits, target in batches():
        expected = F.cross_entropy(logits + 0.7 * (loss.theta + loss.eps).log(), target)
        torch.testing.assert_close(loss(logits, target), expected)


def test_galas_paper_and_release_part_at_the_third_step():
    paper = losses.create("gala", COUNTS, gradient_scale="mean")
    released = losses.create("gala", COUNTS, variant="released")
    same = [
        bool(paper(logits, target).isclose(released(logits, target), rtol=1e-12))
        for logits, target in batches()
    ]
    assert same == [True, True, False, False, False]


def test_galas_lambda2_is_without_effect_in_the_released_form():
    one = losses.create("gala", COUNTS, variant="released", lambda2=0)
    other = losses.create("gala", COUNTS, variant="released", lambda2=3)
    for logits, target in batches():
        assert torch.equal(one(logits, target), other(logits, target))


def test_seesaws_factors_are_its_formula():
    loss = losses.create("seesaw", COUNTS, initial_counts=COUNTS)
    logits, target = next(batches())
    factors = log_factors(logits.detach(), target, loss.seen, p=0.8, q=2, eps=0.01)
    factors = (factors - factors.gather(1, target[:, None])).exp()
    scores = logits.detach().softmax(1)
    for i, y in enumerate(target.tolist()):
        for j, count in enumerate(COUNTS):
            mitigation = min(1, count / COUNTS[y]) ** 0.8
            compensation = max(1, scores[i, j] / max(scores[i, y], 0.01)) ** 2
            expected = mitigation * compensation if j != y else 1.0
            assert float(factors[i, j]) == pytest.approx(float(expected), rel=1e-12)
    assert loss.seen.tolist() == COUNTS


@pytest.mark.parametrize("damage", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("name", "state"), [("seesaw", "seen"), ("gala", "theta")])
def test_a_damaged_row_stays_out_of_the_state(name, state, damage, monkeypatch):
    """As on a GPU, where nothing raises."""
    monkeypatch.setattr(base, "looks_at_values", lambda _: False)
    loss, clean = losses.create(name, COUNTS), losses.create(name, COUNTS)
    logits, target = next(batches())
    clean(logits[1:], target[1:])
    damaged = logits.detach().clone()
    damaged[0, (target[0] + 1) % len(COUNTS)] = damage
    loss(damaged.requires_grad_(), target)
    assert torch.equal(getattr(loss, state), getattr(clean, state))
