"""One run on images that stay on disk: decoded and augmented step by step, in processes.

:class:`DiskEngine` takes the place of :class:`~lt_core.training.engine.Engine` where the
images are too many, or too different in size, to lie in memory as one array. Network, loss,
optimizer, one training step and what a checkpoint holds are the engine's own. The pixels come
from loader processes, which read a file, decode it and augment it (:mod:`.pictures`); the device
normalises. What is done to an image follows from (seed, epoch, image) alone, and the order from
(seed, epoch), so that a run sees the same pixels whatever the number of processes and wherever
an epoch was resumed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lt_core.data import Dataset
from lt_core.errors import ConfigError, DataError, TrainingError
from lt_core.losses.base import all_reduced, whole_batch_size
from lt_core.losses.draws import DrawingLoss
from lt_core.training import ranks
from lt_core.training.config import RunConfig
from lt_core.training.engine import Engine
from lt_core.training.epoch_plan import draw_plan, seed_of
from lt_core.training.pictures import EVALUATION, DiskFeed, Pictures
from lt_core.training.readout import Readout
from lt_core.training.recipes import Augmentation

#: Loader processes for a GPU when the number is left to us: more rarely help.
MOST_WORKERS = 16


class DiskEngine(Engine):
    """The network, loss, optimizer and loader of one run whose images stay on disk.

    ``workers`` processes decode images, 0 decodes in this one; None: as many as there are
    cores, up to 16, for a GPU, and 0 for a CPU, whose cores are busy with the network.
    ``damaged`` says what happens to a training image that cannot be read: ``"stop"`` ends
    training with the name of the file, ``"skip"`` leaves it out and counts it in the history's
    column ``skipped``. A test image that cannot be read always stops. A single image that would
    be the last batch of an epoch is left out of it: in each epoch another one.
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
        if self.last_batch == 1 and self.full_steps:  # batch normalisation needs two images
            self.images_per_epoch -= 1
            self.last_batch = 0
        #: Training images of the epoch so far that could be read, over all ranks.
        self.seen = torch.zeros((), dtype=torch.int64, device=device)
        if self.ranks > 1:
            self._share_batches()
            with self.on_stream():
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
            if not len(pixels):
                pixels = torch.empty(0, self.feed.width, self.feed.width, 3, dtype=torch.uint8)
            start, part = self.step * size, part[readable]
            mixing = None if plan.mixing is None else plan.mixing[part].to(self.device)
            self.step += 1
            with self.on_stream(), self._told():
                self.position.fill_(start)
                self._reseed()
                target = self.targets[plan.order[part].to(self.device)]
                self._learn(self._on_device(pixels), target, mixing)
            yield

    def _logits(self, pixels: Tensor, mixing: Tensor | None) -> Tensor:
        if len(pixels):
            return super()._logits(pixels, mixing)
        # None of this rank's images could be read. It takes part with a black one, which changes
        # neither the statistics of batch normalisation nor, left out here, the loss.
        black = pixels.new_zeros(1, *pixels.shape[1:])
        self.model.eval()
        logits = self.network(self.normalise(black))[:0]
        self.model.train(not self.recipe.frozen)
        return logits

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
        except ValueError as error:
            if "more than 1 value per channel" in str(error):  # of batch normalisation
                raise TrainingError(
                    f"step {self.step}: batch normalisation cannot learn from a batch of one "
                    f"image; expected batches of 2 or more readable images per process, "
                    f"batch_size is {self.recipe.batch_size} (--override batch_size=N)"
                ) from error
            # On a CPU a loss refuses logits that are not finite.
            raise TrainingError(f"step {self.step}: {error}") from error
        except RuntimeError as error:
            if self.ranks == 1:
                raise
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"another process of this run has ended ({reason})") from error

    def _refuse(self, problems: Sequence[str], readable: int) -> None:
        if problems and self.damaged == "stop":
            raise DataError(
                f"{problems[0]}; get the file again, or leave such images out (--damaged skip)"
            )
        if self.ranks > 1 and self.damaged == "skip":
            readable = all_reduced(torch.tensor(readable, device=self.device))
        if not readable:
            step = self.step + 1
            first = f"; first: {problems[0]}" if problems else ""
            raise DataError(f"none of the images of step {step} can be read{first}")

    def _on_device(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def end_epoch(self) -> Readout:
        with self.on_stream(), torch.no_grad():
            self.model.eval()
            with self._told():
                self._evaluation()
            seen = int(self.seen)
            skipped = {"skipped": self.images_per_epoch - seen}
            return self._readout(seen, skipped if self.damaged == "skip" else None)

    def _evaluation(self) -> None:
        if self.ranks > 1:  # each rank's running statistics know its own images: take rank 0's
            for buffer in self.model.buffers():
                dist.broadcast(buffer, 0)
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
