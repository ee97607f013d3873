"""How fast training images reach the network: ours against PIL and a DataLoader.

    python -m benchmarks.data_path                          # synthetic images
    LT_DATA_ROOT=data python -m benchmarks.data_path        # CIFAR-10-LT, factor 100

Both sides run in turn in one process, each doing an epoch from stored uint8 images to
normalised float32 batches; the ratio is taken within a round. The peer is what published
code does: one PIL image at a time in two DataLoader workers, which are started before
the clock. Ours includes drawing the epoch's random numbers. Each pair of paths is first
given the same draws on the same images and compared.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import numpy as np
import PIL.Image
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional as F
from torchvision.transforms import v2

from benchmarks.common import Report, arguments
from lt_core import data
from lt_core.training import autoaugment
from lt_core.training.augment import EpochFeed, ImageBank, Normaliser
from lt_core.training.epoch_plan import Augmentation, EpochPlan

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
CROP = Augmentation(crop_padding=4, flip=True)
POLICY = Augmentation(crop_padding=4, flip=True, autoaugment="cifar10", cutout=16)
AUTOAUGMENT = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)


class Cutout:
    """One black square an image, drawn and cut as in published code."""

    def __init__(self, side: int):
        self.half = side // 2

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[1:]
        y, x = np.random.randint(height), np.random.randint(width)  # noqa: NPY002
        lines = slice(max(y - self.half, 0), min(y + self.half, height))
        columns = slice(max(x - self.half, 0), min(x + self.half, width))
        image[:, lines, columns] = 0
        return image


class PilImages(Dataset):
    """Images one by one, as torchvision's CIFAR10 hands them out."""

    def __init__(self, images: torch.Tensor, transform):
        self.pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.transform = transform

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.transform(PIL.Image.fromarray(self.pixels[index]))


def peer(images: torch.Tensor, augmentation: Augmentation, batch_size: int) -> DataLoader:
    steps = [transforms.RandomCrop(images.shape[-1], padding=augmentation.crop_padding)]
    steps.append(transforms.RandomHorizontalFlip())
    if augmentation.autoaugment:
        steps.append(transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10))
    steps.append(transforms.ToTensor())
    if augmentation.cutout:
        steps.append(Cutout(augmentation.cutout))
    steps.append(transforms.Normalize(MEAN, STD))
    dataset = PilImages(images, transforms.Compose(steps))
    return DataLoader(dataset, batch_size, shuffle=True, num_workers=2, persistent_workers=True)


class Ours:
    """The same epochs from a resident bank; counts them, so that each draws anew."""

    def __init__(self, images, augmentation, batch_size, device):
        self.bank = ImageBank(images, augmentation, device)
        self.feed = EpochFeed(self.bank)
        self.normalise = Normaliser(MEAN, STD, self.bank.width, device)
        self.places = torch.arange(self.bank.count, device=device).split(batch_size)
        self.epoch = 0

    def __iter__(self):
        self.feed.load(self.bank.plan(0, self.epoch))
        self.epoch += 1
        for positions in self.places:
            yield self.normalise(self.feed.batch(positions))


def crop_by_pil(bank: ImageBank, plan: EpochPlan, images: torch.Tensor, place: int):
    """The image at ``place`` of the plan, padded, cropped and mirrored by torchvision on PIL."""
    image = F.to_pil_image(images[plan.order[place]])
    top, left = int(plan.top[place]), int(plan.left[place])
    image = F.crop(F.pad(image, bank.augmentation.crop_padding), top, left, bank.height, bank.width)
    return F.pil_to_tensor(F.hflip(image) if plan.flip[place] else image)


def by_torchvision(image: torch.Tensor, operation: tuple[str, int | None, int]) -> torch.Tensor:
    """One operation of AutoAugment by torchvision's class, strength by its own table.

    Where pixels go is computed on a CPU: a GPU rounds halves of a pixel its own way.
    """
    name, strength, sign = operation
    values, signed = AUTOAUGMENT._AUGMENTATION_SPACE[name]
    values = values(10, *image.shape[-2:])
    magnitude = 0.0 if values is None else float(values[strength])
    changed = AUTOAUGMENT._apply_image_or_video_transform(
        image.cpu() if name in autoaugment.GEOMETRIC else image,
        name,
        sign * magnitude if signed else magnitude,
        interpolation=AUTOAUGMENT.interpolation,
        fill=AUTOAUGMENT._fill,
    )
    return changed.to(image.device)


def check_crops(ours: Ours, images: torch.Tensor, count: int = 2000) -> None:
    """The pixels of ``count`` places equal PIL's, given the same draws."""
    bank, plan = ours.bank, ours.bank.plan(0, 0)
    ours.feed.load(plan)
    pixels = ours.feed.batch(torch.arange(min(count, bank.count), device=bank.device)).cpu()
    for place, got in enumerate(pixels):
        if not torch.equal(got, crop_by_pil(bank, plan, images, place)):
            raise SystemExit(f"crop at place {place} differs from PIL's")


def check_policy(ours: Ours, images: torch.Tensor, count: int = 2000) -> None:
    """AutoAugment and Cutout equal torchvision's own calls, image by image."""
    bank, plan = ours.bank, ours.bank.plan(0, 0)
    ours.feed.load(plan)
    pixels = ours.feed.batch(torch.arange(min(count, bank.count), device=bank.device))
    for place, got in enumerate(pixels):
        image = crop_by_pil(bank, plan, images, place).to(bank.device)
        for code in plan.operations[:, place].tolist():
            if code != autoaugment.NOTHING:
                image = by_torchvision(image, autoaugment.operations()[code])
        y, x = plan.hole[:, place].tolist()
        half = bank.augmentation.cutout // 2
        top, left = max(y - half, 0), max(x - half, 0)
        size = (min(y + half, bank.height) - top, min(x + half, bank.width) - left)
        black = torch.zeros((), device=bank.device)
        if not torch.equal(got, v2.functional.erase(image, top, left, *size, black)):
            raise SystemExit(f"augmented image at place {place} differs from torchvision's")


def seconds(batches) -> float:
    start = time.perf_counter()
    for batch in batches:
        last = batch
    if last.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(report: Report, name, bar, images, augmentation, options) -> None:
    theirs = peer(images, augmentation, options.batch_size)
    ours = Ours(images, augmentation, options.batch_size, report.device)
    check = check_policy if augmentation.autoaugment else check_crops
    check(ours, images)
    seconds(theirs), seconds(ours)  # starts the workers, fills the caches
    rounds = [(seconds(theirs), seconds(ours)) for _ in range(options.rounds)]
    slow, fast = zip(*rounds, strict=True)
    ratios = [peer_time / our_time for peer_time, our_time in zip(slow, fast, strict=True)]
    report.add(f"{name}: PIL, DataLoader, 2 workers", rate(images, slow), "images/s")
    report.add(f"{name}: ours", rate(images, fast), "images/s")
    report.add(f"{name}: lowest ratio of {options.rounds} rounds", min(ratios), "x")
    ratio = statistics.median(ratios)
    report.add(f"{name}: ours / DataLoader", ratio, "x", f">= {bar}", ratio >= bar)


def rate(images: torch.Tensor, times) -> float:
    return len(images) / statistics.median(times)


def training_images(root: str | None) -> tuple[str, torch.Tensor]:
    if root:
        return "CIFAR-10-LT, factor 100", data.load("cifar10", "train", 100, root=root).images
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((12_406, 3, 8, 8), generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return "synthetic, shaped as CIFAR-10-LT at factor 100", smooth.to(torch.uint8)


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data-root", default=os.environ.get("LT_DATA_ROOT"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", default="cpu", help="where our images live (cpu, cuda)")
    options = parser.parse_args()
    source, images = training_images(options.data_root)
    print(f"{len(images):,} images ({source}), batch {options.batch_size}")
    report = Report("data_path", torch.device(options.device))
    with report.kept(options.out, "data_path"):
        measure(report, "crop, flip", 20, images, CROP, options)
        measure(report, "+ AutoAugment, Cutout", 10, images, POLICY, options)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
