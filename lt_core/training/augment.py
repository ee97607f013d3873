"""Training images on the device, augmented in batches.

All randomness of an epoch is drawn on the CPU before the epoch begins, from
generators seeded by (seed, epoch): an :class:`EpochPlan`. So a run sees the same
images alone and packed, uninterrupted and resumed, on a CPU and on a GPU (there but
for how AutoAugment's blends are rounded), and a captured CUDA graph holds nothing random.

Beside the draws themselves (:mod:`.epoch_plan`) there are three parts. An :class:`ImageBank`
has the images, uint8, padded and mirrored once; runs on the same data share it. An
:class:`EpochFeed` is what one run reads in its current epoch; its buffers keep their addresses,
so that captured graphs stay valid when the next epoch is loaded. A :class:`Normaliser` makes
standardised floating point of uint8. ``Engine._step`` shows how they work together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_core.errors import ConfigError, DataError
from lt_core.training import autoaugment
from lt_core.training.autoaugment import on_device
from lt_core.training.epoch_plan import Augmentation, EpochPlan, draw_plan
from lt_core.training.recipes import ON_DISK


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
        for name in ON_DISK:
            if getattr(augmentation, name):
                raise ConfigError(
                    f"{name}: only for images that are read from disk, these are "
                    f"{images.shape[3]} pixels wide and in memory; leave it out, or take "
                    "another recipe"
                )
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

    def plan(self, seed: int, epoch: int) -> EpochPlan:
        """The draws of epoch ``epoch`` (from 0) of the run with seed ``seed``."""
        return draw_plan(self.augmentation, self.count, (self.height, self.width), seed, epoch)

    def window_rows(self, plan: EpochPlan) -> Tensor:
        """(N,) int64 on the CPU: the row of :meth:`windows` at each place of the epoch."""
        flip = plan.flip.long()
        # A window cut from the left of an image is cut from the right of its mirror image.
        left = torch.where(plan.flip, 2 * self.augmentation.crop_padding - plan.left, plan.left)
        image = plan.order + flip * self.count
        return (image * self._padded_height + plan.top) * self._padded_width + left

    def windows(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """The windows at ``rows`` (B,) int64: (B, H, W, C) uint8."""
        return torch.index_select(self._windows, 0, rows, out=out)


class EpochFeed:
    """The images of one run's current epoch, in the epoch's order.

    Several feeds may read one :class:`ImageBank`. :meth:`load` begins an epoch and runs
    outside captured graphs; :meth:`batch` and :meth:`mixing` run inside them. Crops and
    flips are made batch by batch; AutoAugment and Cutout need the epoch's images as a
    whole, in buffers of N images of this feed.
    """

    def __init__(self, bank: ImageBank):
        self.bank, self.width = bank, bank.width
        augmentation, device = bank.augmentation, bank.device
        #: (N,) int64: the image at each place of the epoch, for looking up its target.
        self.order = torch.zeros(bank.count, dtype=torch.int64, device=device)
        self._rows = torch.zeros_like(self.order)
        self._pixels = self._spare = self._mixing = None
        if augmentation.autoaugment or augmentation.cutout:
            shape = (bank.count, bank.height, bank.width, bank.channels)
            self._pixels = torch.zeros(shape, dtype=torch.uint8, device=device)
        if augmentation.autoaugment:
            self._spare = torch.zeros_like(self._pixels)
        if augmentation.mixup_alpha:
            self._mixing = torch.zeros(bank.count, device=device)

    def load(self, plan: EpochPlan) -> None:
        """Begin the epoch that ``plan`` describes; every buffer is written in place."""
        self.order.copy_(on_device(plan.order, self.order))
        self._rows.copy_(on_device(self.bank.window_rows(plan), self._rows))
        if self._mixing is not None:
            self._mixing.copy_(on_device(plan.mixing, self._mixing))
        if self._pixels is not None:
            self.bank.windows(self._rows, out=self._pixels)
            if plan.operations is not None:
                autoaugment.augment_(self._pixels, plan.operations, self._spare)
            if plan.hole is not None:
                cut_out_(self._pixels, plan.hole, self.bank.augmentation.cutout)

    def batch(self, positions: Tensor) -> Tensor:
        """The augmented images at ``positions`` (B,) int64: uint8 (B, C, H, W), channels last."""
        if self._pixels is not None:
            pixels = self._pixels.index_select(0, positions)
        else:
            pixels = self.bank.windows(self._rows.index_select(0, positions))
        return pixels.permute(0, 3, 1, 2)

    def mixing(self, positions: Tensor) -> Tensor | None:
        """Lambda of the images at ``positions`` (B,), float32 (B,), or None without mixup.

        The loss is ``loss.mixed(z, y, y.roll(1), lam)`` for the logits ``z`` of
        ``normalise(pixels, lam)``.
        """
        return None if self._mixing is None else self._mixing.index_select(0, positions)


def cut_out_(pixels: Tensor, hole: Tensor, side: int) -> None:
    """Set to black, in ``pixels`` (N, H, W, C), the squares centred at ``hole`` (2, N).

    The square covers the lines and columns from c - side/2 up to, without, c + side/2.
    """
    count, height, width, channels = pixels.shape
    # 255 outside the square's lines (columns) and 0 inside: a pixel stays where either is 255.
    outside = []
    for centre, length in zip(on_device(hole, pixels), (height, width), strict=True):
        distance = torch.arange(length, device=pixels.device) - centre[:, None]
        along = (distance < -side // 2) | (distance >= side // 2)
        outside.append(along.to(torch.uint8).mul_(255))
    outside[1] = outside[1].repeat_interleave(channels, dim=1)
    slices = (part.split(1024) for part in (pixels.view(count, height, -1), *outside))
    for lines, above, beside in zip(*slices, strict=True):
        lines.bitwise_and_(above[:, :, None] | beside[:, None, :])


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
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        # Repeated over a line of pixels: long inner loops are what a CPU vectorises.
        self._scale = scale.float().repeat(width).to(device)
        self._shift = shift.float().repeat(width).to(device)
        self._channels = len(mean)
        self.dtype = dtype

    def __call__(self, pixels: Tensor, mixing: Tensor | None = None) -> Tensor:
        """``pixels`` uint8 (B, C, H, W) to ``dtype``, both channels last in memory.

        With ``mixing`` (lambda, (B,)) each image becomes lambda times itself plus
        1 - lambda times the image before it in the batch.
        """
        count, _, height, width = pixels.shape
        lines = pixels.permute(0, 2, 3, 1).reshape(count, height, width * self._channels)
        lines = torch.addcmul(self._shift, lines, self._scale)
        if mixing is not None:
            lines = torch.lerp(lines.roll(1, 0), lines, mixing[:, None, None])
        lines = lines.to(self.dtype)
        return lines.view(count, height, width, self._channels).permute(0, 3, 1, 2)
