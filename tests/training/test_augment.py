"""Crops, flips and normalisation against torchvision, image by image."""

import pytest
import torch
from torchvision.transforms import v2

from lt_core.errors import ConfigError, DataError
from lt_core.training.augment import Augmentation, EpochFeed, ImageBank, Normaliser, draw_plan

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
        ],
    ),
]


def noise(count, channels=3, height=32, width=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def loaded(bank, seed=0, epoch=0):
    feed, plan = EpochFeed(bank), bank.plan(seed, epoch)
    feed.load(plan)
    return feed, plan


def positions(bank):
    return torch.arange(bank.count, device=bank.device)


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
    bank = ImageBank(torch.full((400, 3, 4, 4), 255, dtype=torch.uint8), Augmentation(2, True))
    feed, plan = loaded(bank)
    pixels = feed.batch(positions(bank))
    inside_y = 4 - (plan.top - 2).abs()
    inside_x = 4 - (plan.left - 2).abs()
    assert torch.equal((pixels == 255).sum((1, 2, 3)), 3 * inside_y * inside_x)
    assert set(pixels.unique().tolist()) == {0, 255}
    assert Normaliser([0.5] * 3, [0.25] * 3, 4)(pixels).min() == -2  # 0 before normalising


def test_plans_follow_from_seed_and_epoch_alone():
    augmentation = Augmentation(crop_padding=4, flip=True)
    before = torch.random.get_rng_state()
    plan, again = (draw_plan(augmentation, 500, 3, 7) for _ in range(2))
    assert all(torch.equal(getattr(plan, name), getattr(again, name)) for name in vars(plan))
    for seed, epoch in [(3, 8), (4, 7), (7, 3)]:
        other = draw_plan(augmentation, 500, seed, epoch)
        assert not any(
            torch.equal(getattr(plan, name), getattr(other, name)) for name in vars(plan)
        )
    assert torch.equal(before, torch.random.get_rng_state())
    # Switching one kind of augmentation on leaves the draws of the others alone.
    assert torch.equal(plan.order, draw_plan(Augmentation(), 500, 3, 7).order)
    assert torch.equal(plan.top, draw_plan(Augmentation(4), 500, 3, 7).top)


def test_draws_are_uniform():
    plan = draw_plan(Augmentation(crop_padding=4, flip=True), 81_000, seed=0, epoch=0)
    assert torch.equal(plan.order.sort().values, torch.arange(81_000))
    observed = torch.bincount(plan.top * 9 + plan.left, minlength=81).double()
    # 99.99 % point of chi-square with 80 degrees of freedom
    assert ((observed - 1000) ** 2 / 1000).sum() < 138
    assert abs(plan.flip.double().mean() - 0.5) < 4 * 0.5 / 81_000**0.5


def test_a_new_epoch_keeps_every_address():
    bank = ImageBank(noise(20), Augmentation(4, True))
    feed, _ = loaded(bank, epoch=0)
    buffers = {
        name: value.data_ptr() for name, value in vars(feed).items() if torch.is_tensor(value)
    }
    first = feed.batch(positions(bank))
    feed.load(bank.plan(0, 1))
    assert buffers == {n: v.data_ptr() for n, v in vars(feed).items() if torch.is_tensor(v)}
    assert not torch.equal(first, feed.batch(positions(bank)))


def test_feeds_share_a_bank_without_touching_each_other():
    bank = ImageBank(noise(20), Augmentation(4, True))
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
    with pytest.raises(DataError, match="uint8"):
        ImageBank(torch.zeros(2, 3, 4, 4), Augmentation())
    with pytest.raises(ConfigError, match="seed and epoch"):
        draw_plan(Augmentation(), 4, -1, 0)
    with pytest.raises(ConfigError, match="20 images"):
        EpochFeed(ImageBank(noise(20), Augmentation())).load(draw_plan(Augmentation(), 4, 0, 0))
    with pytest.raises(ConfigError, match="std above 0"):
        Normaliser([0.5], [0.0], 8)
