"""The random draws of one epoch: order, crops, flips and everything else.

They are made on the CPU before the epoch begins and follow from (seed, epoch) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lt_core.errors import ConfigError, unknown
from lt_core.training import autoaugment

# One stream of random numbers for each kind of draw: switching one kind of augmentation
# on leaves the draws of the others as they were.
_STREAMS = ("order", "crop", "flip", "autoaugment", "cutout", "mixup")


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image, in the order of the fields.

    crop_padding
        Pixels of black added on each side before a window of the original size is cut
        at random; 0 = no crop.
    flip
        Mirror left and right with probability 1/2.
    autoaugment
        ``"cifar10"``: two random operations an image, see :mod:`.autoaugment`.
    cutout
        Side in pixels, even, of a square set to black before normalising. Its centre is
        uniform over the image and it is cut off at the border. DeVries and Taylor 2017,
        arXiv:1708.04552.
    mixup_alpha
        Mix each image with its neighbour in the batch, with the weights lambda and
        1 - lambda, lambda ~ Beta(alpha, alpha) drawn for each image. Zhang et al. 2018,
        arXiv:1710.09412. torchvision and GCL's published code draw one lambda a batch:
        the expected gradient of a mean over images is the same, but for what couples the
        images of a batch (batch normalisation), and it varies less.
    """

    crop_padding: int = 0
    flip: bool = False
    autoaugment: str | None = None
    cutout: int = 0
    mixup_alpha: float = 0.0

    def __post_init__(self):
        for name in ("crop_padding", "cutout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"{name}: expected 0 or more pixels, got {value!r}")
        if self.cutout % 2:
            raise ConfigError(f"cutout: expected an even side in pixels, got {self.cutout}")
        if self.autoaugment not in (None, *autoaugment.POLICIES):
            raise unknown("autoaugment policy", self.autoaugment, autoaugment.POLICIES)
        alpha = self.mixup_alpha
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha < 1e6:
            raise ConfigError(f"mixup_alpha: expected 0 (no mixup) or more, got {alpha!r}")


@dataclass(frozen=True)
class EpochPlan:
    """The draws of one epoch, on the CPU; entry i belongs to place i of the epoch.

    order : (N,) int64, the image at each place, a permutation
    top, left : (N,) int64, corner of the window in the padded image, 0 to 2 * padding
    flip : (N,) bool, mirrored after the crop
    operations : (2, N) int64, codes of :func:`.autoaugment.operations`, or None
    hole : (2, N) int64, line and column of the centre of the cut-out square, or None
    mixing : (N,) float32, lambda of mixup, or None
    """

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    operations: Tensor | None = None
    hole: Tensor | None = None
    mixing: Tensor | None = None


def draw_plan(
    augmentation: Augmentation, count: int, size: tuple[int, int], seed: int, epoch: int
) -> EpochPlan:
    """The plan of one epoch for ``count`` images of ``size`` (H, W); epochs count from 0."""
    if seed < 0 or epoch < 0:
        raise ConfigError(f"seed and epoch: expected 0 or more, got {seed} and {epoch}")
    numbers = {name: _seed_of(seed, epoch, place) for place, name in enumerate(_STREAMS)}
    streams = {name: torch.Generator().manual_seed(number) for name, number in numbers.items()}
    operations = hole = mixing = None
    corner = torch.randint(2 * augmentation.crop_padding + 1, (2, count), generator=streams["crop"])
    coin = torch.rand(count, generator=streams["flip"]) < 0.5
    if augmentation.autoaugment:
        operations = autoaugment.draw(count, streams["autoaugment"])
    if augmentation.cutout:
        sides = [torch.randint(side, (count,), generator=streams["cutout"]) for side in size]
        hole = torch.stack(sides)
    if augmentation.mixup_alpha:
        # torch.distributions draws from the global generator only.
        beta = np.random.default_rng(numbers["mixup"]).beta
        alpha = augmentation.mixup_alpha
        mixing = torch.from_numpy(beta(alpha, alpha, count)).float()
    return EpochPlan(
        order=torch.randperm(count, generator=streams["order"]),
        top=corner[0],
        left=corner[1],
        flip=coin if augmentation.flip else torch.zeros_like(coin),
        operations=operations,
        hole=hole,
        mixing=mixing,
    )


def _seed_of(*entropy: int) -> int:
    # Neighbouring seeds and epochs must not give related streams; SeedSequence hashes them.
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
