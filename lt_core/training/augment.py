"""Training images on the device, augmented in batches.

All randomness of an epoch is drawn on the CPU before the epoch begins, from
generators seeded by (seed, epoch): an :class:`EpochPlan`. So a run sees the same
images on a CPU and on a GPU, alone and packed, uninterrupted and resumed, and a
captured CUDA graph holds nothing random.

Three parts:

- :class:`ImageBank`: the images, uint8, padded and mirrored once. Runs on the same
  data share it.
- :class:`EpochFeed`: what one run reads in its current epoch. Its buffers keep their
  addresses, so that captured graphs stay valid when the next epoch is loaded.
- :class:`Normaliser`: uint8 to standardised floating point.

A run::

    bank = ImageBank(images, Augmentation(crop_padding=4, flip=True), device)
    feed = EpochFeed(bank)
    for epoch in range(epochs):
        feed.load(bank.plan(seed, epoch))             # outside the graph
        for start in range(0, bank.count, batch_size):
            positions = torch.arange(...)             # places within the epoch
            pixels = feed.batch(positions)            # inside the graph, as all that follows
            target = targets[feed.order[positions]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lt_core.errors import ConfigError, DataError

# One stream of random numbers for each kind of draw: switching one kind of augmentation
# on leaves the draws of the others as they were.
_STREAMS = ("order", "crop", "flip")


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image, in the order of the fields.

    crop_padding
        Pixels of black added on each side before a window of the original size is cut
        at random; 0 = no crop.
    flip
        Mirror left and right with probability 1/2.
    """

    crop_padding: int = 0
    flip: bool = False

    def __post_init__(self):
        padding = self.crop_padding
        if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
            raise ConfigError(f"crop_padding: expected 0 or more pixels, got {padding!r}")


@dataclass(frozen=True)
class EpochPlan:
    """The draws of one epoch, on the CPU; entry i belongs to place i of the epoch.

    order : (N,) int64, the image at each place, a permutation
    top, left : (N,) int64, corner of the window in the padded image, 0 to 2 * padding
    flip : (N,) bool, mirrored after the crop
    """

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor


def draw_plan(augmentation: Augmentation, count: int, seed: int, epoch: int) -> EpochPlan:
    """The plan of one epoch for ``count`` images; ``epoch`` counts from 0."""
    if seed < 0 or epoch < 0:
        raise ConfigError(f"seed and epoch: expected 0 or more, got {seed} and {epoch}")
    streams = {
        name: torch.Generator().manual_seed(_seed_of(seed, epoch, number))
        for number, name in enumerate(_STREAMS)
    }
    shifts = 2 * augmentation.crop_padding + 1
    corner = torch.randint(shifts, (2, count), generator=streams["crop"])
    coin = torch.rand(count, generator=streams["flip"]) < 0.5
    return EpochPlan(
        order=torch.randperm(count, generator=streams["order"]),
        top=corner[0],
        left=corner[1],
        flip=coin if augmentation.flip else torch.zeros_like(coin),
    )


def _seed_of(*entropy: int) -> int:
    # Neighbouring seeds and epochs must not give related streams; SeedSequence hashes them.
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


class ImageBank:
    """Training images resident on a device, ready for crops and flips.

    images : (N, C, H, W) uint8

    They are stored once as (N or 2N, H + 2p, W + 2p, C), padded with black by p pixels
    and, for flips, followed by their mirror images. A view with overlapping strides
    then has every window of every image as a row, so that crop and flip of a batch are
    one indexed copy.
    """

    def __init__(self, images: Tensor, augmentation: Augmentation, device="cpu"):
        if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
            shape, dtype = getattr(images, "shape", "?"), getattr(images, "dtype", type(images))
            raise DataError(f"images: expected uint8 (N, C, H, W), got {dtype} {tuple(shape)}")
        self.augmentation = augmentation
        self.device = torch.device(device)
        self.count, self.channels, self.height, self.width = images.shape
        pad = augmentation.crop_padding
        rows = self.count * (2 if augmentation.flip else 1)
        self._padded_height, self._padded_width = self.height + 2 * pad, self.width + 2 * pad
        stored = torch.zeros(
            (rows, self._padded_height, self._padded_width, self.channels),
            dtype=torch.uint8,
            device=self.device,
        )
        inner = stored[:, pad : pad + self.height, pad : pad + self.width]
        inner[: self.count] = images.to(self.device).permute(0, 2, 3, 1)
        if augmentation.flip:
            inner[self.count :] = inner[: self.count].flip(2)

        pixel, line = self.channels, self._padded_width * self.channels
        last = (self.height - 1) * self._padded_width + self.width
        self._windows = stored.as_strided(
            (stored.numel() // pixel - last + 1, self.height, self.width, self.channels),
            (pixel, line, pixel, 1),
        )

    def __len__(self) -> int:
        return self.count

    def plan(self, seed: int, epoch: int) -> EpochPlan:
        """The draws of epoch ``epoch`` (from 0) of the run with seed ``seed``."""
        return draw_plan(self.augmentation, self.count, seed, epoch)

    def window_rows(self, plan: EpochPlan) -> Tensor:
        """(N,) int64 on the CPU: the row of :meth:`windows` at each place of the epoch."""
        flip = plan.flip.long()
        # A window cut from the left of an image is cut from the right of its mirror image.
        left = torch.where(plan.flip, 2 * self.augmentation.crop_padding - plan.left, plan.left)
        image = plan.order + flip * self.count
        return (image * self._padded_height + plan.top) * self._padded_width + left

    def windows(self, rows: Tensor) -> Tensor:
        """The windows at ``rows`` (B,) int64: (B, C, H, W) uint8, channels last in memory."""
        return self._windows.index_select(0, rows).permute(0, 3, 1, 2)


class EpochFeed:
    """The images of one run's current epoch, in the epoch's order.

    Several feeds may read one :class:`ImageBank`. :meth:`load` begins an epoch and runs
    outside captured graphs; :meth:`batch` runs inside them.
    """

    def __init__(self, bank: ImageBank):
        self.bank = bank
        #: (N,) int64: the image at each place of the epoch, for looking up its target.
        self.order = torch.zeros(bank.count, dtype=torch.int64, device=bank.device)
        self._rows = torch.zeros_like(self.order)

    def load(self, plan: EpochPlan) -> None:
        """Begin the epoch that ``plan`` describes; every buffer is written in place."""
        if len(plan.order) != self.bank.count:
            raise ConfigError(
                f"plan: expected draws for {self.bank.count} images, got {len(plan.order)}"
            )
        fill(self.order, plan.order)
        fill(self._rows, self.bank.window_rows(plan))

    def batch(self, positions: Tensor) -> Tensor:
        """The augmented images at ``positions`` (B,) int64: uint8 (B, C, H, W), channels last."""
        return self.bank.windows(self._rows.index_select(0, positions))


class Normaliser:
    r"""``(x / 255 - mean) / std`` as one multiply-add, :math:`x s + b` in float32.

    mean, std : per channel, as fractions of 1. Equal to torchvision's ``ToTensor`` and
    ``Normalize`` to within rounding (about 1e-6). Other floating-point types are rounded
    from float32.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        width: int,
        device="cpu",
        dtype: torch.dtype = torch.float32,
    ):
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise ConfigError(
                f"mean and std: expected one value a channel and std above 0, got {mean} and {std}"
            )
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        # Repeated over a line of pixels: long inner loops are what a CPU vectorises.
        self._scale = scale.float().repeat(width).to(device)
        self._shift = shift.float().repeat(width).to(device)
        self._channels = len(mean)
        self.dtype = dtype

    def __call__(self, pixels: Tensor) -> Tensor:
        """``pixels`` uint8 (B, C, H, W) to ``dtype``, both channels last in memory."""
        count, _, height, width = pixels.shape
        lines = pixels.permute(0, 2, 3, 1).reshape(count, height, width * self._channels)
        lines = torch.addcmul(self._shift, lines, self._scale).to(self.dtype)
        return lines.view(count, height, width, self._channels).permute(0, 3, 1, 2)


def fill(buffer: Tensor, values: Tensor) -> None:
    """Copy CPU ``values`` into ``buffer`` without making the host wait for the device."""
    if buffer.device.type == "cuda":
        values = values.pin_memory()
    buffer.copy_(values, non_blocking=True)
