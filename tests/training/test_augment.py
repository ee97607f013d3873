"""Crops, flips, Cutout and normalisation, against torchvision and plain loops."""

import pytest
import torch
from images import DEVICES, SIZE, loaded, noise, positions
from scipy.stats import chisquare
from torchvision.transforms import v2

from lt_core.errors import ConfigError, DataError
from lt_core.training.augment import ImageBank, Normaliser
from lt_core.training.epoch_plan import Augmentation, draw_plan


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("shape", "padding", "flip"),
    [((3, 32, 32), 4, True), ((3, 64, 64), 8, True), ((1, 8, 8), 1, False), ((3, 5, 9), 0, True)],
)
def test_crops_and_flips_equal_torchvision_exactly(shape, padding, flip, device):
    images = noise(60, *shape)
    bank = ImageBank(images, Augmentation(crop_padding=padding, flip=flip), device)
    feed, plan = loaded(bank)
    pixels = feed.batch(positions(bank)).cpu()
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(feed.order.cpu(), plan.order)
    for i, image in enumerate(images[plan.order]):
        window = v2.functional.pad(image, [padding] * 4, fill=0)
        window = v2.functional.crop(window, int(plan.top[i]), int(plan.left[i]), *shape[1:])
        if plan.flip[i]:
            window = v2.functional.hflip(window)
        assert torch.equal(pixels[i], window)


def test_the_border_is_black():
    bank = ImageBank(
        torch.full((400, 3, 4, 4), 255, dtype=torch.uint8), Augmentation(crop_padding=2, flip=True)
    )
    feed, plan = loaded(bank)
    pixels = feed.batch(positions(bank))
    inside_y = 4 - (plan.top - 2).abs()
    inside_x = 4 - (plan.left - 2).abs()
    assert torch.equal((pixels == 255).sum((1, 2, 3)), 3 * inside_y * inside_x)
    assert set(pixels.unique().tolist()) == {0, 255}
    assert Normaliser([0.5] * 3, [0.25] * 3, 4)(pixels).min() == -2  # 0 before normalising


EVERYTHING = Augmentation(
    crop_padding=4, flip=True, autoaugment="cifar10", cutout=16, mixup_alpha=1.0
)


def test_plans_follow_from_seed_and_epoch_alone():
    before = torch.random.get_rng_state()
    plan, again = (draw_plan(EVERYTHING, 500, SIZE, 3, 7) for _ in range(2))
    assert all(torch.equal(getattr(plan, name), getattr(again, name)) for name in vars(plan))
    for seed, epoch in [(3, 8), (4, 7), (7, 3)]:
        other = draw_plan(EVERYTHING, 500, SIZE, seed, epoch)
        for name in vars(plan):
            assert not torch.equal(getattr(plan, name), getattr(other, name))
    assert torch.equal(before, torch.random.get_rng_state())
    # Switching one kind of augmentation on leaves the draws of the others alone.
    assert torch.equal(plan.order, draw_plan(Augmentation(), 500, SIZE, 3, 7).order)
    assert torch.equal(plan.top, draw_plan(Augmentation(crop_padding=4), 500, SIZE, 3, 7).top)
    assert torch.equal(plan.hole, draw_plan(Augmentation(cutout=2), 500, SIZE, 3, 7).hole)


def test_draws_are_uniform():
    plan = draw_plan(Augmentation(crop_padding=4, flip=True), 81_000, SIZE, seed=0, epoch=0)
    assert torch.equal(plan.order.sort().values, torch.arange(81_000))
    observed = torch.bincount(plan.top * 9 + plan.left, minlength=81).double()
    # 99.99 % point of chi-square with 80 degrees of freedom
    assert ((observed - 1000) ** 2 / 1000).sum() < 138
    assert abs(plan.flip.double().mean() - 0.5) < 4 * 0.5 / 81_000**0.5


@pytest.mark.parametrize("side", [2, 16, 40])
def test_cutout_equals_a_plain_loop(side):
    images = torch.full((300, 3, 12, 32), 255, dtype=torch.uint8)
    bank = ImageBank(images, Augmentation(cutout=side))
    feed, plan = loaded(bank)
    expected = images.clone()
    for image, line, column in zip(expected, *plan.hole.tolist(), strict=True):
        lines = slice(max(line - side // 2, 0), min(line + side // 2, 12))
        columns = slice(max(column - side // 2, 0), min(column + side // 2, 32))
        image[:, lines, columns] = 0
    assert torch.equal(feed.batch(positions(bank)), expected)


def test_cutout_areas_follow_the_published_distribution():
    """The square's centre is uniform over the pixels, so the border cuts off parts of it."""
    count, side = 40_000, 16
    bank = ImageBank(
        torch.full((count, 1, 32, 32), 255, dtype=torch.uint8), Augmentation(cutout=side)
    )
    feed, _ = loaded(bank)
    black = (feed.batch(positions(bank)) == 0).sum((1, 2, 3))
    lengths = [min(c + side // 2, 32) - max(c - side // 2, 0) for c in range(32)]
    expected = torch.bincount(torch.tensor([a * b for a in lengths for b in lengths]))
    areas = expected.nonzero().flatten()
    observed = torch.bincount(black, minlength=len(expected))
    assert observed[expected == 0].sum() == 0
    result = chisquare(observed[areas], expected[areas] * count / 32**2)
    assert result.pvalue > 1e-4


@pytest.mark.parametrize("augmentation", [Augmentation(crop_padding=4, flip=True), EVERYTHING])
def test_a_new_epoch_keeps_every_address(augmentation):
    bank = ImageBank(noise(20), augmentation)
    feed, _ = loaded(bank, epoch=0)
    addresses = [value.data_ptr() for value in vars(feed).values() if torch.is_tensor(value)]
    first = feed.batch(positions(bank))
    feed.load(bank.plan(0, 1))
    assert addresses == [v.data_ptr() for v in vars(feed).values() if torch.is_tensor(v)]
    assert not torch.equal(first, feed.batch(positions(bank)))
    feed.load(bank.plan(0, 0))
    assert torch.equal(first, feed.batch(positions(bank)))


def test_feeds_share_a_bank_without_touching_each_other():
    bank = ImageBank(noise(20), Augmentation(crop_padding=4, flip=True))
    one, _ = loaded(bank, seed=1)
    alone = one.batch(positions(bank))
    loaded(bank, seed=2)
    assert torch.equal(alone, one.batch(positions(bank)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
def test_normalising_equals_torchvision(channels, device):
    mean, std = [0.4914, 0.4822, 0.4465][:channels], [0.2023, 0.1994, 0.2010][:channels]
    images = noise(8, channels).to(device)
    expected = v2.functional.normalize(v2.functional.to_dtype(images, scale=True), mean, std)
    got = Normaliser(mean, std, 32, device)(images)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    half = Normaliser(mean, std, 32, device, torch.bfloat16)(images)
    assert torch.equal(half, got.bfloat16())
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="crop_padding"):
        Augmentation(crop_padding=-1)
    with pytest.raises(ConfigError, match="even side"):
        Augmentation(cutout=7)
    with pytest.raises(ConfigError, match="mixup_alpha"):
        Augmentation(mixup_alpha=float("nan"))
    with pytest.raises(DataError, match="uint8"):
        ImageBank(torch.zeros(2, 3, 4, 4), Augmentation())
