"""Mixup image by image, against torchvision and a plain loop."""

import pytest
import torch
import torch.nn.functional as F
from images import DEVICES, SIZE, loaded, noise
from scipy.stats import beta, ks_2samp, kstest
from tiny import same_tensors
from torchvision.transforms import v2

from lt_core import losses
from lt_core.training.augment import ImageBank, Normaliser
from lt_core.training.epoch_plan import Augmentation, draw_plan

COUNTS = [50, 20, 8, 3]


def batch(seed=0, count=32):
    """Logits, first labels, second labels and shares of a batch."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, len(COUNTS), generator=generator).tanh()
    target = torch.randint(len(COUNTS), (count,), generator=generator)
    return logits, target, target.roll(1), torch.rand(count, generator=generator)


# -- images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_shares_follow_torchvisions_distribution(alpha):
    shares = draw_plan(Augmentation(mixup_alpha=alpha), 20_000, SIZE, 0, 0).mixing.double()
    assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 1e-4
    assert kstest(shares, beta(1.2 * alpha, alpha).cdf).pvalue < 1e-6  # the bar has power
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = v2.MixUp(alpha=alpha, num_classes=2)._dist.sample((20_000,)).flatten()
    assert ks_2samp(shares, theirs).pvalue > 1e-4


@pytest.mark.parametrize("device", DEVICES)
def test_each_image_equals_torchvisions_given_its_share(device):
    bank = ImageBank(noise(32), Augmentation(mixup_alpha=1.0), device)
    feed, plan = loaded(bank)
    places = torch.arange(8, 24, device=device)
    shares = feed.mixing(places)
    assert torch.equal(shares.cpu(), plan.mixing[8:24])
    normalise = Normaliser([0.5, 0.4, 0.3], [0.25, 0.2, 0.3], 32, device)
    plain = normalise(feed.batch(places))
    mixed = normalise(feed.batch(places), shares)
    mixup = v2.MixUp(num_classes=2)
    for place, share in enumerate(shares.tolist()):
        params = {"lam": share, "labels": None, "batch_size": 16}
        expected = mixup.transform(plain.contiguous(), params)[place]
        torch.testing.assert_close(mixed[place], expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(normalise(feed.batch(places), torch.ones_like(shares)), plain)


# -- losses ---------------------------------------------------------------------------------


def test_softmax_equals_cross_entropy_with_soft_labels():
    logits, target, other, share = batch()
    hard = [F.one_hot(each, len(COUNTS)).float() for each in (target, other)]
    soft = torch.lerp(hard[1], hard[0], share[:, None])
    got = losses.create("softmax", COUNTS).mixed(logits, target, other, share)
    torch.testing.assert_close(got, F.cross_entropy(logits, soft))


def blend(share, one, other):
    pairs = zip(share, one, other, strict=True)
    return torch.stack([part * a + (1 - part) * b for part, a, b in pairs])


@pytest.mark.parametrize("method", losses.names())
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "sum", "none"])
def test_every_loss_equals_a_loop_over_images(method, reduction):
    logits, target, other, share = batch()
    got = losses.create(method, COUNTS, reduction=reduction).mixed(logits, target, other, share)
    plain = losses.create(method, COUNTS)
    (one, weight), (two, other_weight) = (plain.per_sample(logits, y) for y in (target, other))
    loss = blend(share, one, two)
    total = len(target) if weight is None else blend(share, weight, other_weight).sum()
    expected = {
        "none": loss,
        "sum": loss.sum(),
        "mean": loss.mean(),
        "weighted_mean": loss.sum() / total,
    }
    torch.testing.assert_close(got, expected[reduction], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", losses.names())
def test_statistics_are_those_of_two_calls(method):
    logits, target, other, share = batch()
    mixed, twice = (losses.create(method, COUNTS) for _ in range(2))
    logits.requires_grad_()
    mixed.mixed(logits, target, other, share)
    twice(logits, target), twice(logits, other)
    assert same_tensors(dict(mixed.state_dict()), dict(twice.state_dict()))


@pytest.mark.parametrize("method", ["softmax", "class_balanced", "ldam"])
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
def test_one_share_for_all_images_is_the_mean_of_two_losses(method, reduction):
    """The published form, which draws one lambda a batch, is a case of ours."""
    logits, target, other, _ = batch()
    loss = losses.create(method, COUNTS, reduction=reduction)
    got = loss.mixed(logits, target, other, torch.full((32,), 0.3))
    torch.testing.assert_close(got, 0.3 * loss(logits, target) + 0.7 * loss(logits, other))
