"""One run on images that stay on disk: decoded and augmented step by step, in processes.

:class:`DiskEngine` takes the place of :class:`~lt_core.training.engine.Engine` where the
images are too many, or too different in size, to lie in memory as one array. Network, loss,
optimizer, one training step and what a checkpoint holds are the engine's own; here is where
the pixels come from.

Loader processes read a file, decode it and augment it; the device normalises. What is done to
an image follows from (seed, epoch, image) alone, and the order from (seed, epoch), so that a
run sees the same pixels whatever the number of processes and wherever an epoch was resumed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from lt_core.data import Dataset
from lt_core.data.images import LazyImages, centred, decode, read_bytes
from lt_core.errors import ConfigError, DataError, TrainingError
from lt_core.losses.base import all_reduced, whole_batch_size
from lt_core.losses.draws import DrawingLoss
from lt_core.training import ranks
from lt_core.training.augment import cut_out_
from lt_core.training.config import RunConfig
from lt_core.training.engine import Engine
from lt_core.training.epoch_plan import draw_plan, seed_of
from lt_core.training.readout import Readout
from lt_core.training.recipes import Augmentation

#: Loader processes for a GPU when the number is left to us: more rarely help.
MOST_WORKERS = 16
#: In evaluation the shorter side is resized to this share of the square that is cut out.
RESIZE = 8 / 7
#: The place of an image in training is (epoch, row); in evaluation the epoch is this.
EVALUATION = -1


class DiskEngine(Engine):
    """The network, loss, optimizer and loader of one run whose images stay on disk.

    ``workers`` processes decode images, 0 decodes in this one; None: as many as there are
    cores, up to 16, for a GPU, and 0 for a CPU, whose cores are busy with the network.
    ``damaged`` says what happens to a training image that cannot be read: ``"stop"`` ends
    training with the name of the file, ``"skip"`` leaves it out and counts it in the history's
    column ``skipped``. A test image that cannot be read always stops.
    """

    def __init__(
        self,
        config: RunConfig,
        train: Dataset,
        test: Dataset,
        device: torch.device,
        workers: int | None = None,
        damaged: str = "stop",
    ):
        if workers is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
            here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # ranks on this machine
            workers = min(cores // here, MOST_WORKERS) if device.type == "cuda" else 0
        self.workers, self.damaged = workers, damaged
        self.rank, self.ranks = ranks.mine(), ranks.count()
        super().__init__(config, train, None, test, device, graphs=False)
        #: Training images of the epoch so far that could be read, over all ranks.
        self.seen = torch.zeros((), dtype=torch.int64, device=device)
        if self.ranks > 1:
            self._share_batches()
            self.network = DistributedDataParallel(self.model)

    def _share_batches(self) -> None:
        """Leave out a last batch too small for the ranks; refuse what they cannot share."""
        size = self.recipe.batch_size
        if size < self.ranks:
            raise ConfigError(f"batch_size: expected {self.ranks} or more, an image per rank")
        if self.last_batch < self.ranks:  # a rank without an image could not take part
            self.images_per_epoch -= self.last_batch
            self.last_batch = 0
        uneven = size % self.ranks or self.last_batch % self.ranks or self.damaged == "skip"
        if uneven and self.config.params.get("density") == "exact":
            raise ConfigError(
                f"density: expected one that is not 'exact', whose {self.ranks} ranks need equal "
                f"parts of every batch; batches are of {size} images, the last of "
                f"{self.last_batch}"
            )

    def _feed(self, train: Dataset) -> DiskFeed:
        augmentation = self.recipe.augmentation()
        pictures = Pictures(train.images, self.test.images, augmentation, self.config.seed)
        return DiskFeed(pictures, self.workers, pinned=self.device.type == "cuda")

    def _prepare_steps(self) -> None:
        """Nothing is captured."""

    def _load(self, epoch: int) -> None:
        # The crops and the rest are drawn where an image is decoded.
        augmentation = Augmentation(mixup_alpha=self.recipe.mixup_alpha)
        count = len(self.targets)
        self.plan = draw_plan(augmentation, count, (1, 1), self.config.seed, epoch)
        self.epoch = epoch
        self.seen.zero_()

    def steps(self) -> Iterator[None]:
        """Take the steps that the epoch still has; of each batch a rank takes its part."""
        size, plan = self.recipe.batch_size, self.plan
        places = torch.arange(self.images_per_epoch).split(size)[self.step :]
        mine = [part.tensor_split(self.ranks)[self.rank] for part in places]
        batches = self.feed.batches(self.epoch, [plan.order[part] for part in mine])
        for part, (pixels, readable, problems) in zip(mine, batches, strict=True):
            self._refuse(problems, len(pixels))
            start, part = self.step * size, part[readable]
            mixing = None if plan.mixing is None else plan.mixing[part].to(self.device)
            self.step += 1
            with self.on_stream(), self._told():
                self.position.fill_(start)
                self._reseed()
                target = self.targets[plan.order[part].to(self.device)]
                self._learn(self._on_device(pixels), target, mixing)
            yield

    def _gradients(self, loss: Tensor, count: int) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        whole = whole_batch_size(torch.empty(count, device=self.device))
        self.seen += whole
        if self.ranks == 1:
            return super()._gradients(loss, count)
        if self.config.params["reduction"] == "mean":  # the average over ranks is the batch's
            loss = loss * (count * self.ranks / whole)
        for weight in self.weights.working:
            weight.grad = None
        loss.backward()
        gradients = [weight.grad for weight in self.weights.working]
        return all_reduced(loss.detach()) / self.ranks, whole, gradients

    def _reseed(self) -> None:
        """Let each rank draw its own numbers, the same after a checkpoint, which knows rank 0."""
        if self.ranks > 1 and isinstance(self.loss, DrawingLoss):
            number = seed_of(self.config.seed, self.epoch, self.step, self.rank)
            self.loss.generator_on(self.device).manual_seed(number)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What ends a step, in one line."""
        try:
            yield
        except (DataError, torch.OutOfMemoryError):
            raise
        except ValueError as error:  # on a CPU a loss refuses logits that are not finite
            raise TrainingError(f"step {self.step}: {error}") from error
        except RuntimeError as error:
            if self.ranks == 1:
                raise
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"another process of this run has ended ({reason})") from error

    def _refuse(self, problems: Sequence[str], readable: int) -> None:
        if problems and self.damaged == "stop":
            raise DataError(
                f"{problems[0]}; get the file again, or leave such images out (damaged='skip')"
            )
        if not readable:
            step = self.step + 1
            raise DataError(f"none of the images of step {step} can be read; first: {problems[0]}")

    def _on_device(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def end_epoch(self) -> Readout:
        with self.on_stream(), torch.no_grad():
            self.model.eval()
            with self._told():
                self._evaluation()
            seen = int(self.seen)
            return Readout(
                (self.loss_sum, self.correct, self.diverged_at, self.usable),
                seen,
                len(self.test.targets),
                self.recipe.batch_size,
                {"skipped": self.images_per_epoch - seen} if self.damaged == "skip" else None,
            )

    def _evaluation(self) -> None:
        self.logits.zero_()
        mine = torch.arange(len(self.test.targets))[self.rank :: self.ranks]
        rows = mine.split(self.recipe.batch_size)
        batches = self.feed.batches(EVALUATION, rows)
        for chosen, (pixels, _, problems) in zip(rows, batches, strict=True):
            if problems:  # without it the accuracy could be compared with no other
                raise DataError(f"{problems[0]}; every test image is needed")
            images = self.normalise(self._on_device(pixels))
            self.logits[chosen.to(self.device)] = self.model(images)
        self.logits.copy_(all_reduced(self.logits))  # each row is of one rank, 0 on the others
        targets = self.test.targets.to(self.device)
        self.correct.copy_((self.logits.argmax(dim=1) == targets).sum())
        self.usable.copy_(self.logits.isfinite().all())

    def state_dict(self) -> dict:
        return {**super().state_dict(), "seen": self.seen.clone()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.seen.copy_(state["seen"])


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
        batches = iter(self._loader)
        for _ in rows:
            try:
                batch = next(batches)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, OSError) as error:
                raise TrainingError(self._why(error)) from error
            yield batch

    def _why(self, error: Exception) -> str:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        return (
            f"a loader process has died ({reason[0]}); often there is too little memory for "
            f"{self.workers} of them: call again with fewer (workers) to go on from the last "
            "checkpoint"
        )


def _collated(images: list[Tensor | str]) -> tuple[Tensor, Tensor, list[str]]:
    problems = [image for image in images if isinstance(image, str)]
    readable = torch.tensor([not isinstance(image, str) for image in images])
    pixels = [image for image in images if not isinstance(image, str)]
    return torch.stack(pixels) if pixels else torch.empty(0), readable, problems
