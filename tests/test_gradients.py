"""The tracker equals autograd, a loop over samples, and the identities of softmax."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from lt_core import gradients, losses, models
from lt_core.errors import ConfigError
from lt_core.gradients import GradientTracker

C = 5


def batch(n=40, scale=3.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, C, generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(C, (n,), generator=generator)


def tracked(logits, target, num_classes=C):
    tracker = GradientTracker(num_classes)
    tracker.update(logits, target)
    return tracker


def test_equals_autograd():
    logits, target = batch()
    logits.requires_grad_()
    F.cross_entropy(logits, target, reduction="sum").backward()
    magnitude = logits.grad.abs()
    by_class = torch.zeros(C, C, dtype=torch.float64).index_add_(0, target, magnitude)
    tracker = tracked(logits, target)
    torch.testing.assert_close(tracker.positive, by_class.diagonal(), rtol=0, atol=1e-12)
    off_diagonal = by_class - torch.diag(by_class.diagonal())
    torch.testing.assert_close(tracker.negative, off_diagonal, rtol=0, atol=1e-12)
    net = tracker.received - tracker.positive
    torch.testing.assert_close(net, logits.grad.sum(dim=0), rtol=0, atol=1e-12)


def test_equals_loop_over_samples():
    logits, target = batch(seed=1)
    positive, negative = [0.0] * C, [[0.0] * C for _ in range(C)]
    for z, y in zip(logits.tolist(), target.tolist(), strict=True):
        total = sum(math.exp(v) for v in z)
        for j in range(C):
            if j == y:
                positive[y] += 1 - math.exp(z[y]) / total
            else:
                negative[y][j] += math.exp(z[j]) / total
    tracker = tracked(logits, target)
    torch.testing.assert_close(
        tracker.positive, torch.tensor(positive, dtype=torch.float64), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        tracker.negative, torch.tensor(negative, dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert tracker.samples.tolist() == torch.bincount(target, minlength=C).tolist()


@pytest.mark.parametrize("scale", [0.0, 3.0, 30.0, 1e4])
def test_pull_equals_push_of_the_same_samples(scale):
    tracker = tracked(*batch(scale=scale))
    torch.testing.assert_close(tracker.positive, tracker.negative.sum(dim=1), rtol=1e-12, atol=0)
    assert tracker.negative.diagonal().count_nonzero() == 0
    assert (tracker.negative >= 0).all()


def test_pull_of_a_certain_sample_does_not_round_to_zero():
    tracker = tracked(torch.tensor([[100.0, 0.0]]), torch.tensor([0]), num_classes=2)
    assert tracker.positive[0].item() == pytest.approx(math.exp(-100), rel=1e-12)


def test_closed_forms():
    """Uniform predictions give (C-1) * odds; predicting the prior balances every logit."""
    counts = torch.tensor([90, 9, 1])
    target = torch.repeat_interleave(torch.arange(3), counts)
    uniform = tracked(torch.zeros(100, 3), target, num_classes=3)
    torch.testing.assert_close(uniform.ratio, 2 * counts / (100.0 - counts).double())
    at_prior = tracked((counts / 100).log().expand(100, 3), target, num_classes=3)
    torch.testing.assert_close(at_prior.ratio, torch.ones(3, dtype=torch.float64))


def test_batches_accumulate_merge_and_reset():
    logits, target = batch()
    whole, first, second = tracked(logits, target), GradientTracker(C), GradientTracker(C)
    first.update(logits[:13], target[:13])
    second.update(logits[13:], target[13:])
    first.merge(second)
    for name in ("positive", "negative", "samples"):
        torch.testing.assert_close(getattr(first, name), getattr(whole, name))
    first.reset()
    assert first.positive.sum() == first.negative.sum() == first.samples.sum() == 0
    assert first.ratio.isnan().all()
    first.update(logits[:0], target[:0])
    assert first.samples.sum() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_accumulates_in_float64_and_outside_the_graph(dtype):
    logits, target = batch(dtype=dtype)
    logits.requires_grad_()
    before = logits.detach().clone()
    tracker = tracked(logits, target)
    assert tracker.positive.dtype == tracker.negative.dtype == torch.float64
    assert not tracker.positive.requires_grad
    assert not tracker.negative.requires_grad
    assert logits.grad is None
    assert torch.equal(logits, before)
    torch.testing.assert_close(tracker.negative, tracked(before.double(), target).negative)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(2, C + 1), torch.tensor([0, 1]), r"logits: expected shape \(N, 5\)"),
        (torch.zeros(C), torch.tensor([0]), r"logits: expected shape"),
        (torch.zeros(2, C, dtype=torch.int64), torch.tensor([0, 1]), "floating point"),
        (torch.zeros(2, C), torch.tensor([0, 1, 2]), r"target: expected shape \(2,\)"),
        (torch.zeros(2, C), torch.tensor([0.0, 1.0]), "target: expected class indices as int64"),
        (torch.zeros(2, C), [0, 1], "target: expected a torch tensor, got a list"),
        (torch.zeros(2, C), torch.tensor([0, C]), "from 0 to 4, got 5"),
        (torch.zeros(2, C), torch.tensor([-1, 0]), "from 0 to 4, got -1"),
        (torch.full((2, C), math.inf), torch.tensor([0, 1]), "logits: row 0 is not finite"),
    ],
)
def test_bad_input_is_named_and_adds_nothing(logits, target, message):
    tracker = tracked(*batch())
    before = tracker.positive.clone()
    with pytest.raises(ConfigError, match=message):
        tracker.update(logits, target)
    assert torch.equal(tracker.positive, before)


@pytest.mark.parametrize("num_classes", [1, 0, 2.5, "ten", True, float("nan")])
@pytest.mark.parametrize(
    "made", [GradientTracker, lambda classes: models.create("resnet32", classes)]
)
def test_number_of_classes_is_checked(made, num_classes):
    with pytest.raises(ConfigError, match="num_classes"):
        made(num_classes)


@pytest.mark.parametrize("wrong", [{"in_channels": 0}, {"in_channels": "three"}, {"seed": "x"}])
def test_what_a_network_is_made_of_is_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        models.create("resnet32", 10, **wrong)


def test_merge_refuses_another_number_of_classes():
    with pytest.raises(ConfigError, match="tracker of 5 classes, got one of 3"):
        GradientTracker(C).merge(GradientTracker(3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device_of_logits_does_not_matter():
    logits, target = batch()
    tracker = GradientTracker(C, device="cuda")
    tracker.update(logits, target.cuda())
    torch.testing.assert_close(tracker.negative.cpu(), tracked(logits, target).negative)


@pytest.mark.parametrize("name", ["focal", "gala", "ldam"])
def test_the_gradient_of_any_loss_at_the_scores_it_sees(name):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    target = torch.tensor([0, 0, 0, 1, 1, 2])
    loss = losses.create(name, [50, 15, 5])
    scale = getattr(loss, "scale", 1)
    loss(scores / scale, target)
    before = copy.deepcopy(loss.state_dict())
    gradient = gradients.measured(loss, scores, target)
    assert loss.training
    assert all(torch.equal(loss.state_dict()[key], value) for key, value in before.items())
    step = 1e-6 * torch.eye(3, dtype=torch.float64)[1]
    value = [loss.eval().per_sample((scores + sign * step) / scale, target)[0] for sign in (1, -1)]
    torch.testing.assert_close(gradient[:, 1], (value[0] - value[1]) / 2e-6, rtol=1e-6, atol=1e-7)
