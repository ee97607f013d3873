"""Many runs: several processes on a CPU, several streams on a GPU.

A plan is a list of configurations, the most important first. Finished runs are skipped,
stopped ones resumed, and those that another process trains are left to it, so that
any number of processes and machines can be given the same plan and store.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import torch

from lt_core import data
from lt_core.errors import (
    BusyError,
    ConfigError,
    DataError,
    LtError,
    StoreError,
    TrainingError,
    Unfinished,
)
from lt_core.runs import Run, Store, read
from lt_core.training import ranks
from lt_core.training.config import (
    RunConfig,
    check_device,
    in_range,
    loading,
    pack_of,
    seconds,
    shares,
)
from lt_core.training.loop import Images, choose_device, settings, train_in_steps

#: Runs that share one GPU when the number is left to us: a guess, until one was measured.
GPU_PACK = 8
#: Seconds between two lines that say in which epoch a run is.
LINE_INTERVAL = 60.0
WORKER = "lt_core.training.worker"


@dataclass
class Outcome:
    """What became of a plan, by run key."""

    finished: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    #: Exit code and message of the error.
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, part: Mapping) -> None:
        """Take in the outcome of another process, given as plain values."""
        self.finished += part["finished"]
        self.busy += part["busy"]
        self.unfinished += part["unfinished"]
        self.failed |= part["failed"]


def reproduce(
    plan: Iterable[RunConfig | Mapping],
    store: Store | str | os.PathLike,
    processes: int = 1,
    pack: int | str = "auto",
    data_root: str | os.PathLike | None = None,
    download: bool = False,
    device: str | None = None,
    time_budget: float | None = None,
    deterministic: bool = False,
    progress: bool = True,
    workers: int | None = None,
    damaged: str = "stop",
    engine: str = "local",
    gpus_per_run: float | None = None,
) -> None:
    """Make every run of ``plan`` that ``store`` does not hold yet.

    ``processes`` share a CPU, each with its part of the threads; ``pack`` runs share a
    GPU, each equal to itself run alone: to the bit with ``deterministic``, else to
    rounding. ``time_budget`` in seconds, more than 0: past it everything stops at a
    checkpoint. ``progress`` shows a bar on a terminal, elsewhere a line per run and, once a
    minute, where a run stands. A run whose stored result is damaged is not trained again but
    named; delete its folder to have it made again. ``workers`` and ``damaged`` concern
    images that stay on disk, as in :func:`~lt_core.training.train`.

    ``engine="ray"`` trains on the nodes of a Ray cluster instead (:mod:`.cluster`): each run
    takes ``gpus_per_run`` of a GPU (default: one, where there are any), a CPU, and one more for
    each of ``workers`` if you give their number; ``processes`` and ``pack`` mean nothing.

    Raises :class:`~lt_core.errors.Unfinished` when runs remain for another call,
    :class:`~lt_core.errors.TrainingError` when runs failed, after all others were made; its
    exit code is that of the first failure.
    """
    processes = in_range("processes", processes, 1, 1024)
    gpus_per_run, loader = shares(engine, gpus_per_run), loading(workers, damaged)
    check_device(device)
    here = None if engine == "ray" else choose_device(device)
    if ranks.started():
        raise ConfigError("torchrun: expected lt-core run, a single run on several processes")
    store = store if isinstance(store, Store) else Store(store)
    configs = {}
    for entry in plan:
        config = entry if isinstance(entry, RunConfig) else RunConfig.from_dict(entry)
        configs.setdefault(config.key, config)
    budget = seconds("time_budget", time_budget)
    deadline = None if budget is None else time.monotonic() + budget
    # Runs on images from disk keep a GPU busy one at a time, and each has loader processes.
    on_disk = any(data.info(config.dataset).head_count is None for config in configs.values())
    width = pack_of(pack) or (GPU_PACK if here and here.type == "cuda" and not on_disk else 1)
    missing, broken = missing_runs(configs, store)
    if here:
        check_data(missing, data_root, download)
    if missing:
        store.prepare()
    there = len(configs) - len(missing) - len(broken)
    with Progress(len(configs), there, progress) as report:
        if not missing:
            outcome = Outcome()
        elif not here:
            from lt_core.training.cluster import on_cluster

            outcome = on_cluster(
                missing,
                store,
                report,
                device,
                gpus_per_run,
                deadline,
                data_root=data_root and str(Path(data_root).expanduser().absolute()),
                download=download,
                deterministic=deterministic,
                loader=loader,
            )
        elif here.type == "cpu" and processes > 1:
            # One missing run too goes to a worker: its threads must be those of all others.
            if download:  # once, before several processes want the same files
                images = Images(here, data_root, download)
                for config in missing:
                    images.train(config)
            outcome = _in_processes(missing, store, processes, data_root, deadline, report, loader)
        else:
            images = Images(here, data_root, download, **loader)
            with settings(here, deterministic):
                outcome = interleaved(missing, store, images, width, deadline, report)
    outcome.failed = broken | outcome.failed
    _raise_for(outcome, configs)


def check_data(
    missing: Iterable[RunConfig], data_root: str | os.PathLike | None, download: bool = False
) -> None:
    """Raise DataError where ``missing`` runs can none of them be made, for want of images."""
    if download:
        return
    problems = []
    for name in dict.fromkeys(config.dataset for config in missing):
        try:
            data.look_for(name, data_root)
        except DataError as error:
            problems.append(error)
        else:
            return
    if problems:
        raise problems[0]


def missing_runs(configs: Mapping[str, RunConfig], store: Store) -> tuple[list[RunConfig], dict]:
    """The runs that ``store`` does not hold, and why those do not count that it holds."""
    missing, damaged = [], {}
    for key, config in configs.items():
        try:
            if store.is_finished(key):
                read(store.directory(key))
            else:
                missing.append(config)
        except StoreError as error:
            damaged[key] = error.exit_code, str(error)
    return missing, damaged


def interleaved(
    plan: Sequence[RunConfig],
    store: Store,
    images: Images,
    width: int = 1,
    deadline: float | None = None,
    report: Progress | None = None,
) -> Outcome:
    """Train ``plan`` in this process, ``width`` runs at a time, a step of each in turn.

    A device that has no memory for so many is given fewer.
    """
    waiting, active, outcome = deque(plan), {}, Outcome()
    report = report or Progress(len(plan), 0, shown=False)
    while waiting or active:
        while waiting and len(active) < width:
            config = waiting.popleft()
            if deadline is not None and time.monotonic() > deadline:
                outcome.unfinished.append(config.key)
            else:
                steps = train_in_steps(
                    config, store, images, deadline=deadline, report=report.lines, pack=width
                )
                active[config.key] = config, steps
        for key, (config, steps) in list(active.items()):
            try:
                next(steps)
                continue
            except StopIteration as end:
                outcome.finished.append(key)
                report.finished(config, end.value)
            except BusyError:
                outcome.busy.append(key)
            except Unfinished:
                outcome.unfinished.append(key)
            except torch.OutOfMemoryError:
                if len(active) > 1:  # later again, and from now on fewer at a time
                    waiting.appendleft(config)
                    width = len(active) - 1
                else:
                    alone = f"out of memory on {images.device}, with no other run beside it"
                    outcome.failed[key] = TrainingError.exit_code, alone
            except LtError as error:
                outcome.failed[key] = error.exit_code, str(error)
                if isinstance(error, StoreError):
                    waiting.clear()  # what cannot be stored need not be trained
            del active[key]
    return outcome


def _raise_for(outcome: Outcome, configs: Mapping[str, RunConfig]) -> None:
    """The error that says what is missing of a plan; none when all of it was made."""
    failures = ""
    if outcome.failed:
        key, (exit_code, reason) = next(iter(outcome.failed.items()))
        failures = (
            f"{len(outcome.failed)} of {len(configs)} runs failed, finished ones are stored; "
            f"the first, {key} ({_label(configs[key])}): {reason}"
        )
    if outcome.unfinished:
        raise Unfinished(
            f"time is up: {len(outcome.unfinished)} of {len(configs)} runs remain; "
            f"call again to go on. {failures}".strip()
        )
    if failures:
        error = TrainingError(failures)
        error.exit_code = exit_code
        raise error
    if outcome.busy:
        raise BusyError(
            f"{len(outcome.busy)} of {len(configs)} runs are held by other processes; "
            "call again when they have ended"
        )


def _in_processes(
    plan: Sequence[RunConfig],
    store: Store,
    processes: int,
    data_root: str | os.PathLike | None,
    deadline: float | None,
    report: Progress,
    loader: Mapping,
) -> Outcome:
    """Give the plan to worker processes; the store's locks share it out among them."""
    request = {
        "plan": {config.key: config.to_dict() for config in plan},
        "store": str(store.path),
        "data_root": None if data_root is None else str(data_root),
        "deadline": deadline,  # time.monotonic() is one clock for all processes
        "parent": os.getpid(),
        "pause": report.lines and report.lines.pause,
        "loader": loader,
    }
    threads = str(max(1, torch.get_num_threads() // processes))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "request").write_text(json.dumps(request))
        workers = {}
        for number in range(min(processes, len(plan))):
            answer = folder / f"outcome-{number}"
            command = [sys.executable, "-m", WORKER, folder / "request", answer]
            # In a session of their own: Ctrl-C reaches this process, which ends them.
            workers[answer] = subprocess.Popen(command, env=environment, start_new_session=True)
            stack.callback(workers[answer].wait)
            stack.callback(workers[answer].kill)
        remaining = {config.key: config for config in plan}
        running = True
        while running:
            running = any(process.poll() is None for process in workers.values())
            for key in [key for key in remaining if store.is_finished(key)]:
                report.finished(remaining.pop(key), read(store.directory(key)))
            time.sleep(0.1)
        return _collected(workers, remaining, store)


def _collected(
    workers: Mapping[Path, subprocess.Popen], remaining: Mapping, store: Store
) -> Outcome:
    """One outcome from those of the workers: what one was refused another has made."""
    outcome = Outcome()
    for answer, process in workers.items():
        if process.returncode != 0:
            ended = f"a worker process ended with exit code {process.returncode}"
            for key in remaining:
                outcome.failed.setdefault(key, (TrainingError.exit_code, ended))
            continue
        outcome.add(json.loads(answer.read_bytes()))
    for keys in (outcome.unfinished, outcome.busy):
        keys[:] = sorted({key for key in keys if not store.is_finished(key)})
    outcome.busy = [key for key in outcome.busy if key not in outcome.unfinished]
    return outcome


class EpochLines:
    """Prints where a run stands after an epoch, at least ``pause`` seconds after the last line."""

    def __init__(self, file: TextIO | None = None, pause: float = 0.0):
        self.file, self.pause, self.last = file, pause, time.monotonic()

    def __call__(self, config: RunConfig, epoch: int, numbers: Mapping) -> None:
        if time.monotonic() - self.last < self.pause:
            return
        self.last = time.monotonic()
        print(
            f"{_label(config)}: epoch {epoch} of {config.epochs}, loss "
            f"{numbers['train_loss']:.4f}, {numbers['top1']:.2f} %{_left(numbers['seconds_left'])}",
            file=self.file or sys.stdout,
            flush=True,
        )


class Progress:
    """A bar on a terminal, a line per run elsewhere; ``lines`` says where each run stands."""

    def __init__(self, total: int, done: int, shown: bool, pause: float | None = None):
        self.total, self.done, self.shown = total, done, shown
        self.bar = None
        #: A process that another one started shows no bar, only these lines where it is told to.
        self.lines = None if pause is None else EpochLines(pause=pause)
        self.already, self.began = done, time.monotonic()

    def __enter__(self) -> Progress:
        if self.shown and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=self.total, initial=self.done, unit="run")
        elif self.shown and self.total:
            self.lines = EpochLines(pause=LINE_INTERVAL)
            print(f"{self.done} of {self.total} runs are there already", flush=True)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def finished(self, config: RunConfig, run: Run) -> None:
        self.done += 1
        if self.bar is not None:
            self.bar.set_postfix_str(_label(config), refresh=False)
            self.bar.update()
        elif self.shown:
            pace = (time.monotonic() - self.began) / (self.done - self.already)
            left = _left(pace * (self.total - self.done))
            accuracy = run.record["top1"]
            print(
                f"[{self.done}/{self.total}] {_label(config)}: {accuracy:.2f} %{left}", flush=True
            )


def _left(seconds: float) -> str:
    """In words, about how long the rest takes."""
    minutes = round(seconds / 60)
    if not seconds:
        return ""
    if seconds < 90:
        return f" (about {seconds:.0f} s left)"
    if minutes < 90:
        return f" (about {minutes} min left)"
    return f" (about {minutes // 60} h {minutes % 60:02d} min left)"


def _label(config: RunConfig) -> str:
    variant, seed = f"[{config.variant}]" if config.variant else "", f"seed {config.seed}"
    cut = data.at(config.dataset, config.imbalance_factor).partition("at ")[2]
    return " ".join(filter(None, (config.dataset, cut, f"{config.method}{variant}", seed)))
