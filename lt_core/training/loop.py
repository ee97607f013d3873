"""Training a run from its configuration to its place in the store.

:func:`train` makes one run. The training loop is :func:`train_in_steps`, a generator that
hands over after every step, so that several runs can share a GPU: see
:mod:`lt_core.training.batch`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Generator, Mapping
from functools import partial

import numpy as np
import torch

from lt_core import data
from lt_core.errors import ConfigError, DataError, TrainingError, Unfinished
from lt_core.models import weights
from lt_core.runs import Run, Store, environment
from lt_core.runs import read as read_run
from lt_core.training import ranks
from lt_core.training.augment import ImageBank
from lt_core.training.checkpoint import Checkpoint
from lt_core.training.config import RunConfig, check_device, in_range, loading
from lt_core.training.engine import Engine, TestImages
from lt_core.training.metrics import evaluation

#: Where PyTorch looks up how to compute float32: in general, for a library, for a kind of
#: operation. What is unset takes its value from the entry above it.
FLOAT32 = (
    torch.backends,
    torch.backends.cudnn,
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,
    torch.backends.cudnn.rnn,
    torch.backends.mkldnn.matmul,
    torch.backends.mkldnn.conv,
)
#: Seconds between checkpoints; writing one takes some ten milliseconds.
CHECKPOINT_INTERVAL = 30.0


class Images:
    """The data sets of one device, loaded once for all runs that need them."""

    def __init__(
        self,
        device: torch.device,
        data_root: str | os.PathLike | None = None,
        download: bool = False,
        workers: int | None = None,
        damaged: str = "stop",
    ):
        self.device, self._loader = device, loading(workers, damaged)
        self._download = download
        self._load = partial(data.load, root=data_root, download=download)
        self._train, self._banks, self._evaluated, self._on_device = {}, {}, {}, {}

    def train(self, config: RunConfig) -> data.Dataset:
        """The training images, compared with the test images for overlap."""
        key = self._train_key(config)
        if key not in self._train:
            dataset, factor, subset_seed, holdout = key
            train = self._load(dataset, "train", factor, subset_seed=subset_seed, holdout=holdout)
            data.check_apart(train, self.evaluated(config))
            self._train[key] = train
        return self._train[key]

    def evaluated(self, config: RunConfig) -> data.Dataset:
        """The test set; for a run that holds images out, those: it serves a choice only."""
        key = self._evaluated_key(config)
        if key not in self._evaluated:
            dataset, factor, subset_seed, holdout = key
            self._evaluated[key] = self._load(
                dataset,
                "val" if holdout else "test",
                factor,
                subset_seed=subset_seed,
                holdout=holdout,
            )
        return self._evaluated[key]

    @staticmethod
    def _train_key(config: RunConfig) -> tuple:
        return config.dataset, config.imbalance_factor, config.subset_seed, config.holdout

    @classmethod
    def _evaluated_key(cls, config: RunConfig) -> tuple:
        # Images held out come from the files of the training images, which the factor names.
        return cls._train_key(config) if config.holdout else (config.dataset, 1, 0, 0)

    def engine(self, config: RunConfig) -> Engine:
        """What trains ``config``: on images in memory, or on images that stay on disk."""
        train, evaluated = self.train(config), self.evaluated(config)
        if self._download and config.resolved_recipe().weights == weights.IMAGENET:
            weights.fetch(config.model)
        if not train.is_lazy:
            if ranks.count() > 1:
                raise ConfigError(
                    f"torchrun: {config.dataset} lies in memory, where one process trains a run; "
                    "leave torchrun out (reproduce makes several runs at once)"
                )
            return Engine(config, train, self.bank(config), self.test(config), self.device)
        from lt_core.training.disk import DiskEngine

        return DiskEngine(config, train, evaluated, self.device, **self._loader)

    def bank(self, config: RunConfig) -> ImageBank:
        augmentation = config.resolved_recipe().augmentation()
        key = self._train_key(config), augmentation
        if key not in self._banks:
            self._banks[key] = ImageBank(self.train(config).images, augmentation, self.device)
        return self._banks[key]

    def test(self, config: RunConfig) -> TestImages:
        key = self._evaluated_key(config)
        if key not in self._on_device:
            self._on_device[key] = TestImages(self.evaluated(config), self.device)
        return self._on_device[key]


def train(
    config: RunConfig | Mapping,
    store: Store | str | os.PathLike,
    *,
    data_root: str | os.PathLike | None = None,
    download: bool = False,
    device: str | torch.device | None = None,
    deadline: float | None = None,
    deterministic: bool = False,
    workers: int | None = None,
    damaged: str = "stop",
    report=None,
) -> Run | None:
    """Train one run, resume it, or return it if it is finished.

    ``config``: a :class:`RunConfig` or its fields. ``device``: CUDA where there is any.
    ``deadline``: a value of ``time.monotonic()``; past it the run stops after its step,
    at a checkpoint, with :class:`~lt_core.errors.Unfinished`; infinity means none.
    ``deterministic`` makes a GPU repeat itself bit for bit, more slowly.
    ``workers`` and ``damaged`` are of images that stay on disk: how many processes decode
    them, and whether one that cannot be read stops training or is skipped and counted, see
    :class:`~lt_core.training.disk.DiskEngine`.
    ``report(config, epoch, numbers)`` is called every epoch, with ``train_loss``, ``top1``
    and about how many ``seconds_left`` the run takes.

    Started by torchrun, the processes train the run together (:mod:`lt_core.training.ranks`);
    all but the first return None.

    A run that was killed at any moment and is started again ends with the numbers of
    one that was not: same machine, versions and threads; on a GPU with ``deterministic``.
    """
    config = config if isinstance(config, RunConfig) else RunConfig.from_dict(config)
    if deadline is not None:
        in_range("deadline", deadline, 0.0, math.inf)
    with ranks.joined(choose_device(device)) as device:
        if ranks.count() > 1:
            store = ranks.SharedStore(store.path if isinstance(store, Store) else store)
        elif not isinstance(store, Store):
            store = Store(store)
        if ranks.mine() > 0:  # rank 0 keeps the time and reports
            deadline = report = None
        if store.is_finished(config.key):
            return read_run(store.directory(config.key)) if ranks.mine() == 0 else None
        images = Images(device, data_root, download, workers, damaged)
        images.train(config)  # what is wrong with the data is found before the store is touched
        with settings(device, deterministic):
            steps = train_in_steps(config, store, images, deadline=deadline, report=report)
            while True:
                try:
                    next(steps)
                except StopIteration as finished:
                    return finished.value


def train_in_steps(
    config: RunConfig,
    store: Store,
    images: Images,
    *,
    deadline: float | None = None,
    report=None,
    pack: int = 1,
) -> Generator[None, None, Run]:
    """Train one run; yields after every step and returns the finished run.

    ``pack`` is how many runs share the device, for the record.
    """
    with store.lock(config.key):
        if store.is_finished(config.key):  # by another process, since we looked
            return read_run(store.directory(config.key)) if ranks.mine() == 0 else None
        started = time.monotonic()
        dataset = images.train(config)
        engine = images.engine(config)
        checkpoint = Checkpoint(config, store, dataset.rows_sha256, images.device)
        history, seconds_before = checkpoint.resume(engine)
        last_saved = time.monotonic()
        resumed = len(history)
        for epoch in range(resumed, config.epochs):
            with _located(epoch):
                for _ in engine.steps():
                    now = time.monotonic()
                    late = deadline is not None and now > deadline
                    if late or now - last_saved > CHECKPOINT_INTERVAL:
                        checkpoint.save(engine, history, seconds_before + now - started)
                        last_saved = now
                    if late:
                        raise Unfinished(
                            f"run {config.key}: stopped in epoch {epoch + 1} of {config.epochs} "
                            f"after step {engine.step}; call again to go on"
                        )
                    yield
                readout = engine.end_epoch()
                while not readout.ready():
                    yield
                numbers = readout.read()
            history.append({"epoch": epoch + 1, "lr": engine.rates[epoch], **numbers})
            if report is not None:
                pace = (time.monotonic() - started) / (epoch + 1 - resumed)
                left = pace * (config.epochs - epoch - 1)
                report(config, epoch + 1, {**numbers, "seconds_left": left})
            if epoch + 1 < config.epochs:
                engine.begin_epoch(epoch + 1)
        seconds = seconds_before + time.monotonic() - started
        shared = {"seconds": round(seconds, 3), "pack": pack}
        return _finish(config, store, engine, dataset, history, shared)


def choose_device(device: str | torch.device | None) -> torch.device:
    check_device(device)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: expected cpu, or cuda where there is any, got {str(device)!r}; "
            f"this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return chosen


@contextlib.contextmanager
def settings(device: torch.device, deterministic: bool):
    """The process-wide switches that training wants, put back afterwards.

    Float32 is computed as such, with neither TF32 nor bfloat16 inside, whatever the
    process has set, through PyTorch's newer fields or through its older functions.
    """
    with contextlib.ExitStack() as put_back:

        def switch(owner: object, name: str, value: object) -> None:
            if (before := getattr(owner, name)) != value:  # what is unset stays unset
                put_back.callback(setattr, owner, name, before)
                setattr(owner, name, value)

        for place in FLOAT32:
            switch(place, "fp32_precision", "ieee")
        if device.type == "cuda":
            switch(torch.backends.cudnn, "enabled", True)
            switch(torch.backends.cudnn, "benchmark", not deterministic)
            switch(torch.backends.cudnn, "deterministic", deterministic)
            _determinism(deterministic, put_back)
        yield


def _determinism(wanted: bool, put_back: contextlib.ExitStack) -> None:
    if "CUBLAS_WORKSPACE_CONFIG" not in os.environ:
        # Deterministic mode needs it, and cuBLAS reads it once, at its first call.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        put_back.callback(os.environ.pop, "CUBLAS_WORKSPACE_CONFIG", None)
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    if (before, warned) != (wanted, False):  # the call imports PyTorch's compiler: seconds
        put_back.callback(torch.use_deterministic_algorithms, before, warn_only=warned)
        torch.use_deterministic_algorithms(wanted)


@contextlib.contextmanager
def _located(epoch: int):
    try:
        yield
    except (TrainingError, ValueError) as error:
        kind = DataError if isinstance(error, DataError) else TrainingError
        raise kind(f"epoch {epoch + 1}: {error}") from error
    except RuntimeError as error:  # torch's signal handler raises it wherever this process is
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"epoch {epoch + 1}: a loader process has died ({str(error).strip()}); often there is "
            "too little memory: call again with fewer (workers) to go on from the last checkpoint"
        ) from error


def _finish(
    config: RunConfig,
    store: Store,
    engine: Engine,
    dataset: data.Dataset,
    history: list[dict],
    shared: dict,
) -> Run:
    with engine.on_stream():
        logits = engine.logits.cpu().numpy()
        target = engine.test.targets.cpu().numpy()
        classifier = engine.model.classifier
        norms = classifier.weight.detach().float().norm(dim=1).cpu().numpy()
        bias = getattr(classifier, "bias", None)
    counts = np.asarray(dataset.class_counts)
    numbers = evaluation(logits, target, counts)
    arrays = {name: numbers.pop(name) for name in list(numbers) if name.startswith("class_")}
    arrays |= {"class_counts": counts, "weight_norms": norms}
    if bias is not None:
        arrays["bias"] = bias.detach().float().cpu().numpy()
    best = max(history, key=lambda row: row["top1"])  # the first of equals
    record = {
        "dataset": config.dataset,
        "imbalance_factor": config.imbalance_factor,
        "subset_seed": config.subset_seed,
        "holdout": config.holdout,
        "evaluated_on": "val" if config.holdout else "test",
        "method": config.method,
        "variant": config.variant,
        "model": config.model,
        "classifier": config.classifier,
        "recipe": config.recipe,
        "overrides": config.overrides_text,
        "epochs": config.epochs,
        "precision": config.precision,
        # In full, so that runs made under other defaults are told apart.
        "params": json.dumps(config.params, sort_keys=True),
        "recipe_numbers": json.dumps(config.resolved_recipe().numbers(), sort_keys=True),
        "seed": config.seed,
        **numbers,
        "top1_best": best["top1"],
        "best_epoch": best["epoch"],
        "train_images": int(counts.sum()),
        "data_sha256": dataset.sha256,
        "test_overlap": dataset.overlap,
        **shared,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "device": engine.device.type,
        "hardware": environment.hardware(engine.device),
        **environment.versions(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    # Half precision holds logits to three digits; what is beyond it comes from a run that
    # has diverged, and stays finite.
    limit = np.finfo(np.float16).max
    kept = {
        "test_logits": logits.clip(-limit, limit).astype(np.float16),
        "test_target": target,
    }
    return store.finish(config.key, config.to_dict(), record, history, arrays, kept)
