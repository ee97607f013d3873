"""AutoAugment in groups against torchvision, operation by operation and draw by draw."""

from collections import Counter

import pytest
import torch
from images import DEVICES, SIZE, loaded, noise, positions
from scipy.stats import chi2_contingency
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from lt_core.errors import ConfigError
from lt_core.training import autoaugment
from lt_core.training.augment import ImageBank
from lt_core.training.epoch_plan import Augmentation, draw_plan


def smooth(count, size=32):
    """Images with large even areas, as photographs have: noise alone hides equalizing."""
    coarse = noise(count, 3, 6, 6).float()
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").to(torch.uint8)


class Recorder(v2.AutoAugment):
    """torchvision's policy, noting what it drew instead of changing the image."""

    def __init__(self):
        super().__init__(v2.AutoAugmentPolicy.CIFAR10)
        self.drawn = []

    def _apply_image_or_video_transform(self, image, transform_id, magnitude, **_):
        self.drawn.append((transform_id, magnitude))
        return image


def magnitude(operation, height, width):
    """The number that torchvision would hand to the operation."""
    name, strength, sign = operation
    values = v2.AutoAugment._AUGMENTATION_SPACE[name][0](10, height, width)
    return 0.0 if values is None else sign * float(values[strength])


def by_torchvision(policy, image, operation):
    """One operation on one image, as torchvision does it; where pixels go, on a CPU."""
    name, device = operation[0], image.device
    changed = policy._apply_image_or_video_transform(
        image.cpu() if name in autoaugment.GEOMETRIC else image,
        name,
        magnitude(operation, *image.shape[-2:]),
        interpolation=policy.interpolation,
        fill=policy._fill,
    )
    return changed.to(device)


def test_every_operation_of_torchvision_is_known():
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    assert list(autoaugment.sub_policies()) == policy._policies
    for name, (_, signed) in policy._AUGMENTATION_SPACE.items():
        assert signed == (name not in autoaugment.UNSIGNED)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", list(v2.AutoAugment._AUGMENTATION_SPACE))
def test_groups_equal_torchvision_image_by_image(name, size, device):
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    images = torch.cat(
        [smooth(24, size), noise(8, 3, size, size), noise(1, 3, 1, 1).expand(1, 3, size, size)]
    )
    images = images.to(device)
    signs = (1,) if name in autoaugment.UNSIGNED else (1, -1)
    weak = magnitude((name, 9, 1), size, size) == 0  # the operation has no strength
    for strength in [None] if weak and name != "Solarize" else range(10):
        for sign in signs:
            operation = (name, strength, sign)
            expected = torch.stack([by_torchvision(policy, image, operation) for image in images])
            assert torch.equal(autoaugment.apply(images, operation), expected), operation


@pytest.mark.parametrize("device", DEVICES)
def test_an_epoch_equals_torchvision_after_crop_and_flip(device):
    images = smooth(400)
    plain = ImageBank(images, Augmentation(crop_padding=4, flip=True), device)
    bank = ImageBank(images, Augmentation(crop_padding=4, flip=True, autoaugment="cifar10"), device)
    cropped = loaded(plain, 0, 0)[0].batch(positions(plain))
    feed, plan = loaded(bank, 0, 0)
    pixels = feed.batch(positions(bank))
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    for place in range(400):
        image = cropped[place].contiguous()
        for code in plan.operations[:, place].tolist():
            if code != autoaugment.NOTHING:
                image = by_torchvision(policy, image, autoaugment.operations()[code])
        assert torch.equal(pixels[place], image)


def test_draws_follow_torchvisions_distribution():
    """Pairs of operations with their signs, ours against torchvision's own sampler."""
    recorder, pixel = Recorder(), torch.zeros(3, *SIZE, dtype=torch.uint8)
    theirs = Counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(20_000):
            recorder.drawn = []
            recorder(pixel)
            theirs[tuple(recorder.drawn)] += 1
    named = [(name, magnitude((name, *rest), *SIZE)) for name, *rest in autoaugment.operations()]
    codes = autoaugment.draw(80_000, torch.Generator().manual_seed(0)).T.tolist()
    ours = Counter(tuple(named[code] for code in pair if code >= 0) for pair in codes)
    assert p_value(ours, theirs) > 1e-4
    # The bar has power: the same sampler with a coin of 45 % for the sign is refused.
    generator = torch.Generator().manual_seed(1)
    lost = torch.rand(len(codes), generator=generator).tolist()
    biased = Counter(
        tuple((n, abs(m) if chance < 0.1 else m) for n, m in (named[c] for c in pair if c >= 0))
        for pair, chance in zip(codes, lost, strict=True)
    )
    assert p_value(biased, theirs) < 1e-6


def p_value(ours, theirs):
    keys = set(ours) | set(theirs)
    common = [key for key in keys if ours[key] + theirs[key] >= 50]
    table = [[counts[key] for key in common] for counts in (ours, theirs)]
    for row, counts in zip(table, (ours, theirs), strict=True):
        row.append(counts.total() - sum(row))
    return chi2_contingency(table).pvalue


def test_grouping_covers_every_image_once():
    codes = autoaugment.draw(1000, torch.Generator().manual_seed(0))[0]
    drawn, sizes, places = autoaugment.grouped(codes)
    assert torch.equal(places.sort().values, torch.arange(1000))
    for code, group in zip(drawn, places.split(sizes), strict=True):
        assert (codes[group] == code).all()


def policy_on(device):
    """All of the policy's operations on a few images of ``device``."""
    pixels = torch.zeros(200, 8, 8, 3, dtype=torch.uint8, device=device)
    codes = torch.arange(200).remainder(len(autoaugment.operations())).expand(2, -1)
    autoaugment.augment_(pixels, codes, torch.empty_like(pixels))


def test_nothing_depends_on_values_and_no_tensor_is_made_from_host_data(monkeypatch):
    """For either a GPU's host would wait. On "meta" there are no values to depend on."""
    make = torch.tensor

    def made(*values, device="cpu", **options):
        assert torch.device(device).type == "cpu"
        return make(*values, device=device, **options)

    monkeypatch.setattr(torch, "tensor", made)
    policy_on("meta")
    image = torch.zeros(3, 8, 8, dtype=torch.uint8, device="meta")
    with pytest.raises(AssertionError):  # torchvision's own call, to show that it is seen
        v2.functional.rotate(image, 10)


class Names(TorchDispatchMode):
    """Notes the operations that are dispatched."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function._schema.name)
        return function(*args, **(kwargs or {}))


def test_no_operation_is_a_convolution():
    """cuDNN plans one for each shape, and groups have other sizes every epoch."""
    with Names() as names:
        policy_on("cpu")
    assert len(names.seen) > 10
    assert not [name for name in names.seen if "conv" in name]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_the_host_does_not_wait_for_a_gpu():
    policy_on("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        policy_on("cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_grey_images_pass():
    bank = ImageBank(noise(200, 1, 8, 8), Augmentation(crop_padding=1, autoaugment="cifar10"))
    assert loaded(bank)[0].batch(positions(bank)).shape == (200, 1, 8, 8)


def test_an_unknown_policy_is_named():
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        Augmentation(autoaugment="cifar1")
    assert draw_plan(Augmentation(), 10, SIZE, 0, 0).operations is None
