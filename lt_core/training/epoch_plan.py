"""The random draws of one epoch: order, crops, flips and everything else.

They are made on the CPU before the epoch begins and follow from (seed, epoch) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lt_core.training import autoaugment
from lt_core.training.recipes import Augmentation

# One stream of random numbers for each kind of draw: switching one kind of augmentation
# on leaves the draws of the others as they were.
_STREAMS = ("order", "crop", "flip", "autoaugment", "cutout", "mixup")


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
    numbers = {name: seed_of(seed, epoch, place) for place, name in enumerate(_STREAMS)}
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


def seed_of(*entropy: int) -> int:
    # Neighbouring seeds and epochs must not give related streams; SeedSequence hashes them.
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
