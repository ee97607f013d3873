"""Which reading of the poster's weight helps? Compared on held-out images, never on the test set.

The poster (arXiv:2204.09234) weights a sample by 1 / D_m(g), the density of its gradient norm
among the samples of its category, and leaves open how the density is kept, how many bins a
category has and how weights are scaled. Each row of :data:`READINGS` answers those questions
once. All rows but the first train with the poster's margin.

The rule, written before the first of these runs:

1. CIFAR-10-LT at factor 100 with 400 images per class held out before the subset is cut; the
   network ``resnet_rehearsal``, 40 epochs of the recipe ``ldam_drw``, seeds 0, 1, 2; the number
   is the accuracy of the last epoch on the 4,000 held-out images.
2. A reading's gain is the mean over seeds of its difference to the margin alone with the same
   seed, with a 95 % interval from the residuals of method + seed over all rows.
3. The reading with the largest gain becomes the default of ``icb`` if its interval lies above
   0, after a repetition of that row and of the margin alone with ResNet-32 over 60 epochs has
   the same sign. Otherwise the default stays what is closest to the poster's own words, and the
   chapter says that no reading gains.

    python results/icb_readings.py --data-root DIR [--seeds 3]

makes the missing runs in ``--store`` and writes ``results/icb_readings.csv``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core import losses
from lt_core.losses.icb import ICB
from lt_core.runs import records
from lt_core.training import RunConfig, reproduce


class ICBReading(ICB):
    """ICB's margin with a weight that :class:`~lt_core.losses.icb.ICB` does not have.

    ``keeps="batch"``: equal bins that count the samples of a category in this batch alone.
    ``keeps="average"``: equal bins whose counts are averaged over the batches in which they are
    not empty, with GHM's momentum of .75, as GHM's authors released it, but per category.
    ``keeps="frequency"``: as ``"batch"``, the number of a category's bins in proportion to its
    number of images (12 for the largest, at least one): the rarest categories are not weighted.
    ``scale``: ``"category"`` divides by the mean weight of the category in the batch,
    ``"none"`` by nothing.
    """

    momentum = 0.75

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        gamma: float = 0.8,
        bins: int = 12,
        keeps: Literal["batch", "average", "frequency"] = "batch",
        scale: Literal["category", "none"] = "category",
    ):
        super().__init__(class_counts, reduction, gamma=gamma, intra=False)
        self.keeps, self.scale = keeps, scale
        counts = torch.tensor(self.class_counts.tolist(), dtype=torch.float64)
        share = counts / counts.max() if keeps == "frequency" else torch.ones_like(counts)
        self.register_buffer("bins_of", (share * bins).round().clamp_min(1).long())
        self.register_buffer("average", torch.zeros(len(counts), bins, dtype=torch.float64))

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        loss, _ = super().per_sample(logits, target)
        gradient = -torch.expm1(-F.cross_entropy(logits.detach(), target, reduction="none"))
        weight = self.weights(gradient.double(), target).to(logits.dtype)
        return weight * loss, weight

    @torch.no_grad()
    def weights(self, gradient: Tensor, target: Tensor) -> Tensor:
        if not self.training:
            return torch.ones_like(gradient)
        classes, most = self.average.shape
        place = (gradient * self.bins_of[target]).long().clamp_min(0)
        place = torch.minimum(place, self.bins_of[target] - 1)
        counts = torch.bincount(target * most + place, minlength=classes * most)
        counts = counts.view(classes, most).double()
        total, filled = counts.sum(dim=1), (counts > 0).sum(dim=1)
        if self.keeps == "average":
            moved = self.momentum * self.average + (1 - self.momentum) * counts
            self.average.copy_(torch.where(counts > 0, moved, self.average))
            weight = (total / filled)[target] / self.average[target, place]
        else:
            weight = (total / self.bins_of)[target] / counts[target, place]
        if self.scale == "category":
            sums = torch.zeros_like(total).index_add_(0, target, weight)
            weight = weight * (total / sums)[target]
        return weight


losses.register("icb_reading", ICBReading)

#: What is varied, in words, and how it is trained. The first two are what to compare with.
READINGS = {
    "softmax": ("softmax", {}),
    "margin alone": ("icb", {"intra": False}),
    "equal mass, scaled per category (the default)": ("icb", {}),
    "equal mass, not scaled": ("icb", {"normalize": "none"}),
    "equal mass, scaled per batch": ("icb", {"normalize": "none", "reduction": "weighted_mean"}),
    "equal mass, memory of 20 samples": ("icb", {"memory": 20}),
    "equal bins, scaled per category": ("icb", {"density": "uniform"}),
    "equal bins, scaled per batch": (
        "icb",
        {"density": "uniform", "normalize": "none", "reduction": "weighted_mean"},
    ),
    "equal bins of the batch, scaled per category": ("icb_reading", {"keeps": "batch"}),
    "equal bins of the batch, not scaled": ("icb_reading", {"keeps": "batch", "scale": "none"}),
    "GHM's moving average, not scaled": ("icb_reading", {"keeps": "average", "scale": "none"}),
    "GHM's moving average, scaled per category": ("icb_reading", {"keeps": "average"}),
    "bins in proportion to images": ("icb_reading", {"keeps": "frequency"}),
}


def plan(
    seeds: int = 3,
    model: str = "resnet_rehearsal",
    epochs: int = 40,
    precision: str = "float32",
    readings: Sequence[str] = tuple(READINGS),
) -> list[RunConfig]:
    """The runs, seed by seed."""
    return [
        RunConfig(
            "cifar10",
            READINGS[reading][0],
            100,
            params=READINGS[reading][1],
            model=model,
            epochs=epochs,
            precision=precision,
            holdout=400,
            seed=seed,
        )
        for seed in range(seeds)
        for reading in readings
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", type=Path, default=Path("runs_icb_readings"))
    asked = parser.parse_args()
    reproduce(plan(asked.seeds), asked.store, data_root=asked.data_root)
    records.write(asked.store, Path(__file__).with_suffix(".csv"))


if __name__ == "__main__":
    main()
