"""Training recipes: what one may say, and what a run of any length makes of it.

The recipes themselves are data, ``recipes.toml``, each value with where it comes from. Runs of
another length scale a recipe's warm-up and milestones; a length that cannot hold every stage of
the schedule is refused.
"""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from itertools import pairwise
from typing import Annotated, Literal

from lt_core.errors import ConfigError
from lt_core.models import weights
from lt_core.parameters import Range, choice, convert_fields, converted, in_range, kinds_of

#: Fields of a recipe that only images on disk know.
ON_DISK = ("image_size", "smallest_crop", "colour_jitter")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to a training image, in the order of the fields.

    image_size
        Side in pixels to which an image on disk is brought, for training and for evaluation;
        0 = the data set's own. In evaluation the shorter side becomes 8/7 of it and the
        centre is cut out.
    smallest_crop
        Least share of the picture's area that a random crop of it covers, its aspect 3/4 to
        4/3, before it is resized to ``image_size``; 0 = as in evaluation. Szegedy et al.
        2015, arXiv:1409.4842.
    colour_jitter
        Brightness, contrast and saturation are each multiplied by a factor between 1 minus
        and 1 plus this, in random order; 0 = none.
    crop_padding
        Pixels of black added on each side before a window of the original size is cut
        at random; 0 = no crop.
    flip
        Mirror left and right with probability 1/2.
    autoaugment
        ``"cifar10"``: two random operations per image, see
        :mod:`lt_core.training.autoaugment`.
    cutout
        Side in pixels, even, of a square set to black before normalising. Its centre is
        uniform over the image and it is cut off at the border. DeVries and Taylor 2017,
        arXiv:1708.04552.
    mixup_alpha
        Mix each image with its neighbour in the batch, with the weights lambda and
        1 - lambda, lambda ~ Beta(alpha, alpha) drawn for each image. Zhang et al. 2018,
        arXiv:1710.09412. torchvision and GCL's published code draw one lambda per batch:
        the expected gradient of a mean over images is the same, but for what couples the
        images of a batch (batch normalisation), and it varies less.
    """

    image_size: Annotated[int, Range(0, 1024)] = 0
    smallest_crop: Annotated[float, Range(0, 1)] = 0.0
    colour_jitter: Annotated[float, Range(0, 1)] = 0.0
    crop_padding: Annotated[int, Range(0, 64)] = 0
    flip: bool = False
    autoaugment: Literal["cifar10"] | None = None
    cutout: Annotated[int, Range(0, 256)] = 0
    mixup_alpha: Annotated[float, Range(0, 100)] = 0.0

    def __post_init__(self) -> None:
        convert_fields(self)
        if self.cutout % 2:
            raise ConfigError(f"cutout: expected an even side in pixels, got {self.cutout}")


@dataclass(frozen=True, kw_only=True)
class Recipe(Augmentation):
    """Stochastic gradient descent, its schedule, and the augmentation.

    ``schedule="step"`` sets the learning rate to ``learning_rate * factors[i]`` after epoch
    ``milestones[i]``; ``"cosine"`` lets it fall to zero in the last epoch (a single
    epoch trains at the full rate). Either begins with ``warmup_epochs`` epochs of linear
    warm-up, the last of them at the full rate. Epochs count from 1 here, as in the papers.
    ``weights`` are what the network begins with, all but its classifier: ``imagenet`` or a
    file, see :mod:`lt_core.models.weights`. ``frozen`` trains the classifier alone, on the
    features of those weights.
    """

    name: str
    source: str
    epochs: Annotated[int, Range(1, 100_000)]
    batch_size: Annotated[int, Range(1, 65_536)]
    learning_rate: Annotated[float, Range(above=0, high=100)]
    weight_decay: Annotated[float, Range(0, 1)]
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    nesterov: bool = False
    schedule: Literal["step", "cosine"] = "step"
    warmup_epochs: Annotated[int, Range(0, 100_000)] = 0
    milestones: tuple[int, ...] = ()
    factors: tuple[Annotated[float, Range(0, 1000)], ...] = ()
    drop_last: bool = False
    weights: str | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None:
            object.__setattr__(self, "weights", weights.name_of(self.weights))
        elif self.frozen:
            raise ConfigError("frozen: expected weights as well, to take the features from")
        if len(self.milestones) != len(self.factors):
            raise ConfigError(
                "milestones and factors: expected the same number of values, got "
                f"{list(self.milestones)} and {list(self.factors)}"
            )
        for milestone in self.milestones:
            in_range("milestones", milestone, 0, self.epochs)
        ends = [0, *self.milestones, self.epochs]
        rising = all(one < other for one, other in pairwise(ends))
        if not rising and (self.schedule == "step" or ends != sorted(ends)):
            raise ConfigError(
                f"milestones: expected rising epochs from 1 to {self.epochs - 1}, so that every "
                f"stage has an epoch, got {list(self.milestones)}"
            )
        longest = self._longest_warmup(self.milestones, self.epochs)
        if self.warmup_epochs > longest:
            raise ConfigError(
                f"warmup_epochs: expected 0 to {longest}, so that an epoch at the full learning "
                f"rate is followed by the rest of the schedule, got {self.warmup_epochs}"
            )

    def scaled_milestones(self, epochs: int) -> list[int]:
        """The milestones of a run of ``epochs`` epochs; none for a cosine.

        Rounded to whole epochs, and moved to an earlier epoch (the first ones to a later
        epoch) where rounding would leave a stage between two milestones, before the first
        or after the last, without an epoch.

        Raises :class:`~lt_core.errors.ConfigError` where there are fewer epochs than stages.
        """
        if self.schedule == "cosine":
            return []
        stages = len(self.milestones) + 1
        if epochs < stages:
            raise ConfigError(
                f"epochs: expected {stages} or more, one for each stage of the schedule of "
                f"recipe {self.name}, got {epochs}"
            )
        scale, scaled = epochs / self.epochs, [epochs]
        for earlier, milestone in reversed(list(enumerate(self.milestones))):
            latest = scaled[0] - 1
            scaled.insert(0, max(earlier + 1, min(round(milestone * scale), latest)))
        return scaled[:-1]

    def place(self, epoch: int, epochs: int) -> tuple[float, int]:
        """What a loss is told in epoch ``epoch`` (from 0): an epoch, and of how many.

        Where there are milestones these are the recipe's own epochs, with fractions, so that a
        loss that changes at a milestone does so in a run of any length.
        """
        milestones = self.scaled_milestones(epochs)
        if not milestones:
            return epoch, epochs
        mine, full = [0, *milestones, epochs], [0, *self.milestones, self.epochs]
        stage = bisect_right(milestones, epoch)
        width, full_width = (ends[stage + 1] - ends[stage] for ends in (mine, full))
        return full[stage] + (epoch - mine[stage]) * full_width / width, self.epochs

    def learning_rates(self, epochs: int) -> list[float]:
        """The learning rate of each of ``epochs`` epochs, the schedule scaled to fit.

        Raises what :meth:`scaled_milestones` raises.
        """
        milestones = self.scaled_milestones(epochs)
        warmup = round(self.warmup_epochs * (epochs / self.epochs))
        warmup = min(warmup, self._longest_warmup(milestones, epochs))
        if self.schedule == "cosine":
            return [self._cosine(epoch, epochs, warmup) for epoch in range(1, epochs + 1)]
        rates = []
        for epoch in range(1, epochs + 1):
            rate = self.learning_rate
            if epoch <= warmup:
                rate *= epoch / warmup
            for milestone, factor in zip(milestones, self.factors, strict=True):
                if epoch > milestone:
                    rate = self.learning_rate * factor
            rates.append(rate)
        return rates

    def _longest_warmup(self, milestones: Sequence[int], epochs: int) -> int:
        """The last epoch that may reach the full rate: what follows needs the epochs after it."""
        if self.schedule == "cosine":
            return epochs - 1
        return milestones[0] if milestones else epochs

    def _cosine(self, epoch: int, epochs: int, warmup: int) -> float:
        if epoch <= warmup:
            return self.learning_rate * epoch / warmup
        # The peak belongs to the last warm-up epoch, zero to the last epoch.
        start = max(warmup, 1)
        fraction = (epoch - start) / max(epochs - start, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * fraction))

    def augmentation(self) -> Augmentation:
        """What is done to a training image."""
        values = self.numbers()
        return Augmentation(**{entry.name: values[entry.name] for entry in fields(Augmentation)})

    def numbers(self) -> dict:
        """Every field that changes the numbers: all but the name and the source."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["name"], values["source"]
        return values

    def changed(self) -> dict:
        """The fields that differ from those of the recipe called ``name``."""
        return changed(self.name, self.numbers())


_FILE = resources.files("lt_core.training").joinpath("recipes.toml")
RECIPES = {
    name: Recipe(name=name, **entry) for name, entry in tomllib.loads(_FILE.read_text()).items()
}


def get(name: str, overrides: Mapping | None = None) -> Recipe:
    """The recipe ``name``, with some of its fields replaced."""
    own = RECIPES[choice("recipe", name, RECIPES)]
    for field in overrides or {}:
        choice(f"field of recipe {name}", field, own.numbers())
    return replace(own, **(overrides or {}))


def changed(name: str, numbers: Mapping) -> dict:
    """Those ``numbers`` that are not the recipe's own, in their declared types.

    Each is checked by itself: an older record may hold numbers that do not fit together today.
    """
    own = get(name).numbers()
    given = converted(f"recipe {name}", kinds_of(Recipe), numbers)
    return {field: value for field, value in given.items() if value != own[field]}
