"""From image files to batches of pixels, in loader processes.

What is done to an image follows from (seed, epoch, image) alone.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from lt_core.data.images import LazyImages, centred, decode, read_bytes
from lt_core.errors import DataError, TrainingError
from lt_core.training.augment import cut_out_
from lt_core.training.epoch_plan import seed_of
from lt_core.training.recipes import Augmentation

#: In evaluation the shorter side is resized to this share of the square that is cut out.
RESIZE = 8 / 7
#: The place of an image in training is (epoch, row); in evaluation the epoch is this.
EVALUATION = -1


class Pictures:
    """The images of a run as loader processes see them: ``[epoch, row]`` gives pixels.

    uint8 ``(H, W, 3)``, augmented, or, in evaluation, the centre of the test image ``row``.
    What cannot be read gives the reason in words.
    """

    def __init__(self, train: LazyImages, test: LazyImages, augmentation: Augmentation, seed: int):
        self.size = augmentation.image_size or train.size
        self.augmentation, self.seed = augmentation, seed
        # Text as one array: a million Python strings would be copied into every process.
        self._paths = [np.array([os.fsencode(path) for path in p.paths]) for p in (train, test)]
        self._folders = train.folder, test.folder
        self._transform = None

    def path(self, epoch: int, row: int) -> Path:
        part = int(epoch == EVALUATION)
        return Path(self._folders[part]) / os.fsdecode(self._paths[part][row])

    def __getitem__(self, place: tuple[int, int]) -> Tensor | str:
        epoch, row = place
        path = self.path(epoch, row)
        try:
            image = decode(read_bytes(path), str(path))
        except DataError as error:
            return str(error)
        if epoch == EVALUATION:
            return _pixels(centred(image, self.size, round(self.size * RESIZE)))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed_of(self.seed, epoch, row))
            return self._augmented(image)

    def _augmented(self, image: Image.Image) -> Tensor:
        chosen = self.augmentation
        if not chosen.smallest_crop:
            image = centred(image, self.size, round(self.size * RESIZE))
        if self._transform is None:  # made where it is used: importing torchvision takes seconds
            self._transform = _transform(chosen, self.size)
        pixels = _pixels(self._transform(image))
        if chosen.cutout:
            cut_out_(pixels[None], torch.randint(self.size, (2, 1)), chosen.cutout)
        return pixels


def _transform(chosen: Augmentation, size: int):
    """The augmentation of a picture by torchvision, in the order of the recipe's fields."""
    from torchvision.transforms import v2

    steps = [v2.Identity()]
    if chosen.smallest_crop:
        steps.append(v2.RandomResizedCrop(size, scale=(chosen.smallest_crop, 1)))
    if chosen.colour_jitter:
        steps.append(v2.ColorJitter(*[chosen.colour_jitter] * 3))
    if chosen.crop_padding:
        steps.append(v2.RandomCrop(size, padding=chosen.crop_padding))
    if chosen.flip:
        steps.append(v2.RandomHorizontalFlip())
    if chosen.autoaugment:
        steps.append(v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10))
    return v2.Compose(steps)


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))


class DiskFeed:
    """Batches of pixels from loader processes, which serve training and evaluation in turn."""

    def __init__(self, pictures: Pictures, workers: int, pinned: bool):
        self.width, self.workers = pictures.size, workers
        self._places: list[list[tuple[int, int]]] = []
        self._loader = DataLoader(
            pictures,
            batch_sampler=self._places,
            num_workers=workers,
            collate_fn=_collated,
            pin_memory=pinned,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # the loader draws a number that nobody needs
        )

    def batches(
        self, epoch: int, rows: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, list[str]]]:
        """For each batch of ``rows``: pixels, which of the rows they are of, and problems."""
        self._places[:] = [[(epoch, row) for row in batch.tolist()] for batch in rows]
        with self._told(), warnings.catch_warnings():
            # Of Python 3.12 about forks beside threads: loader processes run none of ours.
            warnings.simplefilter("ignore", DeprecationWarning)
            batches = iter(self._loader)
        for _ in rows:
            with self._told():
                batch = next(batches)
            yield batch

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What ends the loader, in one line."""
        try:
            yield
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise TrainingError(
                f"a loader process has died or could not begin ({reason[0]}); often there is too "
                f"little memory for {self.workers} of them: call again with fewer (workers) to go "
                "on from the last checkpoint"
            ) from error


def _collated(images: list[Tensor | str]) -> tuple[Tensor, Tensor, list[str]]:
    problems = [image for image in images if isinstance(image, str)]
    readable = torch.tensor([not isinstance(image, str) for image in images])
    pixels = [image for image in images if not isinstance(image, str)]
    return torch.stack(pixels) if pixels else torch.empty(0), readable, problems
