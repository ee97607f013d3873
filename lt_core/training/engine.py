"""One run on one device: what a training step is, and an evaluation.

A step does everything in one go: it looks up the batch in the resident images,
crops and flips it, runs the network forward and backward, lets the loss update its
statistics and applies the optimizer. On a GPU the whole step is captured once in a
CUDA graph and replayed, because a small network spends its time on launches, not on
arithmetic; a second graph serves the short last batch. Nothing in a step reads a
value back to the host. On a CPU the same step runs as it is written.

Precision ``"bfloat16"`` keeps the weights, the normalisation, the classifier, the
loss and the optimizer in float32 and runs the convolutions in bfloat16.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from lt_core import data, losses, models
from lt_core.data import Dataset
from lt_core.errors import TrainingError
from lt_core.losses.draws import DrawingLoss
from lt_core.models import weights
from lt_core.training.augment import EpochFeed, ImageBank, Normaliser
from lt_core.training.config import RunConfig
from lt_core.training.precision import MasterWeights
from lt_core.training.readout import Readout

#: Test images in one forward pass: small enough for a CPU's cache, large for a GPU.
EVALUATION_BATCH = {"cpu": 500, "cuda": 2500}
#: Steps before a capture: cuDNN chooses its algorithms and allocations settle.
WARMUP_STEPS = 3


class SGD(torch.optim.SGD):
    """``torch.optim.SGD`` without ``torch.compile``, whose import takes seconds.

    The decorators of these two methods import it, only to tell it to leave them alone.
    """

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Engine:
    """The network, loss, optimizer and buffers of one run.

    ``bank`` and ``test`` are shared between the runs of one device. ``graphs=None``
    captures CUDA graphs where there is CUDA.
    """

    def __init__(
        self,
        config: RunConfig,
        train: Dataset,
        bank: ImageBank,
        test: TestImages,
        device: torch.device,
        graphs: bool | None = None,
    ):
        self.config, self.bank, self.test, self.device = config, bank, test, device
        self.recipe = config.resolved_recipe()
        self.rates = self.recipe.learning_rates(config.epochs)
        self.uses_graphs = device.type == "cuda" if graphs is None else graphs
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self.stream is not None:  # what is shared was filled on the current stream
            self.stream.wait_stream(torch.cuda.current_stream(device))
        size, batch = len(train.targets), self.recipe.batch_size
        self.full_steps, self.last_batch = divmod(size, batch)
        if self.recipe.drop_last and self.full_steps:
            self.last_batch = 0
        self.images_per_epoch = self.full_steps * batch + self.last_batch
        with self.on_stream():
            self._create(train)

    def _create(self, train: Dataset) -> None:
        config, device = self.config, self.device
        model = models.create(
            config.model,
            train.num_classes,
            seed=config.seed,
            in_channels=train.images.shape[1],
            classifier=config.classifier,
        )
        if self.recipe.weights is not None:
            weights.load(model, config.model, self.recipe.weights)
        self.model = model.to(device, memory_format=torch.channels_last)
        trained = None
        if self.recipe.frozen:
            self.model.requires_grad_(False)
            trained = self.model.classifier.requires_grad_(True)
        self.weights = MasterWeights(self.model, config.precision, trained)
        #: What a training step calls: the model, or what goes around it.
        self.network = self.model
        self.feed = self._feed(train)
        about = data.info(config.dataset)
        width = self.feed.width
        self.normalise = Normaliser(about.mean, about.std, width, device, self.weights.dtype)
        params = dict(config.params)
        self.loss = losses.create(
            config.method, train.class_counts, reduction=params.pop("reduction"), **params
        ).to(device)
        self.targets = train.targets.to(device)
        if isinstance(self.loss, DrawingLoss):
            self.loss.seed = config.seed  # runs of other seeds draw other numbers
            # Made now, so that warming up finds a state to put back.
            self.loss.generator_on(self.targets.device)
        self.optimizer = SGD(
            self.weights.master,
            lr=torch.tensor(0.0, device=device) if device.type == "cuda" else 0.0,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
            nesterov=self.recipe.nesterov,
            fused=True,
        )
        for weight in self.weights.master:
            # A buffer of zeros gives the first step that PyTorch gives without one.
            self.optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        #: Steps of the epoch that are done.
        self.step = 0
        self.within_batch = torch.arange(self.recipe.batch_size, device=device)
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        #: Position in the epoch of the first batch with a non-finite loss, or -1.
        self.diverged_at = torch.full((), -1, dtype=torch.int64, device=device)
        self.logits = torch.empty(
            len(self.test.targets), train.num_classes, dtype=torch.float32, device=device
        )
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        #: Whether all test logits are finite.
        self.usable = torch.ones((), dtype=torch.bool, device=device)
        self._train = self._evaluate = self._train_last = None

    def _feed(self, train: Dataset) -> EpochFeed:
        return EpochFeed(self.bank)

    @contextlib.contextmanager
    def on_stream(self) -> Iterator[None]:
        with torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext():
            yield

    # -- an epoch ---------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Set the learning rate, tell the loss, and draw the epoch's order and crops."""
        with self.on_stream():
            self.model.train(not self.recipe.frozen)
            self.loss.train()
            self._prepare_steps()
            self.loss.set_epoch(*self.recipe.place(epoch, self.config.epochs))
            for group in self.optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(self.rates[epoch])
                else:
                    group["lr"] = self.rates[epoch]
            self._load(epoch)
            self.step = 0
            self.position.zero_()
            self.loss_sum.zero_()

    def _load(self, epoch: int) -> None:
        self.feed.load(self.bank.plan(self.config.seed, epoch))

    def steps(self) -> Iterator[None]:
        """Enqueue the steps that the epoch still has, one at each turn of the iterator."""
        work = [self._train] * self.full_steps + [self._train_last] * bool(self.last_batch)
        for train in work[self.step :]:
            self.step += 1
            try:
                with self.on_stream():
                    train()
            except ValueError as error:  # on a CPU a loss refuses logits that are not finite
                raise TrainingError(f"step {self.step}: {error}") from error
            yield

    def end_epoch(self) -> Readout:
        """Evaluate; the numbers arrive with ``.read()``, once the device is done."""
        with self.on_stream():
            self.model.eval()
            if self._evaluate is None:
                self._evaluation()  # cuDNN chooses its algorithms, which no capture allows
                self._evaluate = self.captured(self._evaluation)
            self._evaluate()
            return self._readout(self.images_per_epoch)

    def _readout(self, train_images: int, known: Mapping[str, float] | None = None) -> Readout:
        values = (self.loss_sum, self.correct, self.diverged_at, self.usable)
        tested, batch = len(self.test.targets), self.recipe.batch_size
        return Readout(values, train_images, tested, batch, known)

    # -- what a graph captures --------------------------------------------------

    def _step(self, batch: int) -> None:
        rows = self.within_batch[:batch] + self.position
        target = self.targets.index_select(0, self.feed.order.index_select(0, rows))
        self._learn(self.feed.batch(rows), target, self.feed.mixing(rows))

    def _learn(self, pixels: Tensor, target: Tensor, mixing: Tensor | None) -> None:
        logits = self._logits(pixels, mixing)
        if mixing is None:
            loss = self.loss(logits, target)
        else:  # each image is mixed with its neighbour in the batch, and so is its loss
            loss = self.loss.mixed(logits, target, target.roll(1), mixing)
        loss, count, gradients = self._gradients(loss, len(target))
        finite = loss.isfinite()
        # The fused update skips a step whose loss is not finite.
        self.optimizer.found_inf = (~finite).float()
        self.weights.take(gradients)
        self.optimizer.step()
        self.weights.give()
        self.loss_sum += torch.where(finite, loss, 0) * count
        first = (~finite) & (self.diverged_at < 0)
        self.diverged_at.copy_(torch.where(first, self.position, self.diverged_at))
        self.position += len(target)

    def _logits(self, pixels: Tensor, mixing: Tensor | None) -> Tensor:
        return self.network(self.normalise(pixels, mixing))

    def _gradients(self, loss: Tensor, count: int) -> tuple[Tensor, int, Sequence[Tensor]]:
        """The loss of the batch, its number of images and the gradients of the weights."""
        return loss.detach(), count, torch.autograd.grad(loss, self.weights.working)

    @torch.no_grad()
    def _evaluation(self) -> None:
        size = EVALUATION_BATCH[self.device.type]
        for start in range(0, len(self.test.targets), size):
            images = self.test.images[start : start + size].permute(0, 3, 1, 2)
            self.logits[start : start + size] = self.model(self.normalise(images))
        self.correct.copy_((self.logits.argmax(dim=1) == self.test.targets).sum())
        self.usable.copy_(self.logits.isfinite().all())

    def _prepare_steps(self) -> None:
        if self._train is not None:
            return
        full = self.recipe.batch_size
        if not self.uses_graphs:
            self._train = lambda: self._step(full)
            self._train_last = lambda: self._step(self.last_batch)
            self._evaluate = self._evaluation
            return
        # Warm-up steps move weights and statistics; what they moved is put back.
        state = self.state_dict()
        self._load(0)
        for batch in {full if self.full_steps else self.last_batch, self.last_batch} - {0}:
            for _ in range(WARMUP_STEPS):
                self.position.zero_()
                self._step(batch)
        self._train = self.captured(lambda: self._step(full)) if self.full_steps else None
        if self.last_batch:
            self._train_last = self.captured(lambda: self._step(self.last_batch))
        self.load_state_dict(state)

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """``work`` as a CUDA graph on this run's stream; what it does happens at each replay.

        A graph knows addresses: the tensors that ``work`` reads have to live as long as it.
        """
        graph = torch.cuda.CUDAGraph()
        if self.loss.generator is not None:
            graph.register_generator_state(self.loss.generator)
        torch.cuda.synchronize(self.device)
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            work()
        return graph.replay

    # -- state --------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Everything that training changes, as copies: tensors and plain values only.

        Waits for the device.
        """
        momentum = [self.optimizer.state[w]["momentum_buffer"] for w in self.weights.master]
        state = {
            "weights": self.weights.master,
            "momentum": momentum,
            "buffers": dict(self.model.named_buffers()),
            "loss": self.loss.state_dict(),
            "step": self.step,
            "loss_sum": self.loss_sum,
            "diverged_at": self.diverged_at,
        }
        with self.on_stream():  # copied between two steps, whatever is enqueued after
            copies = _cloned(state)
        if self.stream is not None:
            self.stream.synchronize()
        return copies

    def load_state_dict(self, state: dict) -> None:
        """Put a state back in place, so that captured graphs keep seeing it.

        A state taken inside an epoch goes on there once :meth:`begin_epoch` has begun it.
        """
        with torch.no_grad(), self.on_stream():
            momentum = [self.optimizer.state[w]["momentum_buffer"] for w in self.weights.master]
            for mine, saved in zip(self.weights.master, state["weights"], strict=True):
                mine.copy_(saved)
            for mine, saved in zip(momentum, state["momentum"], strict=True):
                mine.copy_(saved)
            for name, mine in self.model.named_buffers():
                mine.copy_(state["buffers"][name])
            self.weights.give()
            self.loss.load_state_dict(state["loss"])
            self.step = state["step"]
            self.position.fill_(min(self.step * self.recipe.batch_size, self.images_per_epoch))
            self.loss_sum.copy_(state["loss_sum"])
            self.diverged_at.copy_(state["diverged_at"])


class TestImages:
    """The test set on the device, uint8 and channels last, for every run there."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, data: Dataset, device: torch.device):
        self.images = data.images.permute(0, 2, 3, 1).contiguous().to(device)
        self.targets = data.targets.to(device)


def _cloned(value):
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _cloned(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_cloned(entry) for entry in value]
    return value
