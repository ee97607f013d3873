"""A plan on the nodes of a Ray cluster: a task per run, and a store that all nodes share.

Ray places the tasks, and starts one again, on any node, when its worker process or its node was
lost: the run then goes on from its checkpoint in the store, whose locks keep a run from being
trained twice at once. Which data a node has is the node's matter: unless a data root is given,
its own environment variable ``LT_DATA_ROOT`` says where they lie.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Mapping, Sequence

from lt_core.data.own import FOLDERS
from lt_core.errors import ConfigError, LtError, StoreError, TrainingError
from lt_core.runs import Store, read
from lt_core.runs.store import LOCKS
from lt_core.training.batch import Outcome, Progress, interleaved
from lt_core.training.config import RunConfig
from lt_core.training.loop import Images, choose_device, settings

#: How often a run is started again after its worker or its node was lost.
RETRIES = 3
#: Seconds between attempts at a run that is locked: the loader processes of a killed worker
#: hold its lock until they notice that it is gone.
PAUSES = (1, 2, 4, 8, 0)


def on_cluster(
    plan: Sequence[RunConfig],
    store: Store,
    report: Progress,
    device: str | None,
    gpus_per_run: float | None,
    deadline: float | None,
    **how: object,
) -> Outcome:
    """Make the runs of ``plan`` on the cluster that ``RAY_ADDRESS`` or this machine names.

    Where there is none, Ray starts one on this machine. ``how`` is what :func:`make` is told.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the way that will stay
    try:
        import ray
    except ImportError:
        raise ConfigError("engine 'ray': not installed; pip install 'lt_core[ray]'") from None
    mine = not ray.is_initialized()
    if mine:
        ray.init(logging_level="warning")
    try:
        cpus, gpus = _share(ray, device, gpus_per_run, how["loader"]["workers"])
        task = ray.remote(make).options(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)
        how |= {
            "store": str(store.path.absolute()),
            "folders": os.environ.get(FOLDERS, ""),
            "gpus": gpus,
            # The clocks of two machines agree on the time of day alone.
            "until": None if deadline is None else time.time() + deadline - time.monotonic(),
            "pause": report.lines and report.lines.pause,
        }
        running = {task.remote(config.key, config.to_dict(), how): config for config in plan}
        outcome = Outcome()
        while running:
            (done,), _ = ray.wait(list(running))
            config = running.pop(done)
            try:
                part = ray.get(done)
            except ray.exceptions.RayTaskError:
                raise  # a mistake of ours, with its traceback
            except ray.exceptions.RayError as error:
                reason = " ".join(str(error).split())[:200]
                lost = f"its worker was lost {RETRIES + 1} times, the last time: {reason}"
                outcome.failed[config.key] = TrainingError.exit_code, lost
                continue
            outcome.add(part)
            if part["finished"]:
                report.finished(config, read(store.directory(config.key)))
        return outcome
    finally:
        if mine:
            ray.shutdown()


def _share(ray, device: str | None, gpus: float | None, workers: int | None) -> tuple[int, float]:
    """CPUs and GPUs of one run; a share that no node has would be waited for without end."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if gpus is None:
        gpus = 1 if device != "cpu" and any(node.get("GPU") for node in nodes) else 0
    if device is not None and (device == "cpu") != (gpus == 0):
        raise ConfigError(f"device and gpus_per_run: {device!r} does not go with {gpus:g} GPUs")
    cpus = 1 + (workers or 0)
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise ConfigError(
            f"gpus_per_run and workers: no node of the cluster has {cpus} CPUs and {gpus:g} GPUs, "
            "which one run would take"
        )
    return cpus, gpus


def make(key: str, entry: Mapping, how: Mapping) -> dict:
    """On a node: make or resume one run; the outcome as plain values."""
    # Own images: where the node says, else where the caller has them.
    folders = f"{os.environ.get(FOLDERS, '')}{os.pathsep}{how['folders']}".split(os.pathsep)
    os.environ[FOLDERS] = os.pathsep.join(dict.fromkeys(filter(None, folders)))
    store = Store(how["store"])
    report = Progress(1, 0, shown=False, pause=how["pause"])
    until = how["until"]
    deadline = None if until is None else time.monotonic() + until - time.time()
    try:
        if not (store.path / LOCKS).is_dir():
            raise StoreError(
                f"store {store.path}: not there; expected a folder that all nodes share"
            )
        config = RunConfig.from_dict(entry)
        device = choose_device("cuda" if how["gpus"] else "cpu")
        images = Images(device, how["data_root"], how["download"], **how["loader"])
        sharing = int(1 / how["gpus"]) if how["gpus"] else 1  # runs on the device, for the record
        with settings(device, how["deterministic"]):
            for pause in PAUSES:
                outcome = interleaved([config], store, images, sharing, deadline, report)
                if not outcome.busy:
                    break
                time.sleep(pause)
    except LtError as error:
        outcome = Outcome(failed={key: (error.exit_code, str(error))})
    for code, reason in outcome.failed.values():
        outcome.failed[key] = code, f"on {platform.node()}: {reason}"
    return dataclasses.asdict(outcome)
