"""The smallest real runs: digits at factor 100, a few steps an epoch, tenths of a second."""

import functools

import torch

from lt_core.runs import Store
from lt_core.runs.merging import CIRCUMSTANCES
from lt_core.training import RunConfig
from lt_core.training.engine import Engine
from lt_core.training.loop import Images, train_in_steps


def tiny(method="softmax", epochs=3, **values):
    """A configuration of 3 steps an epoch, the last one short (304 images by 128)."""
    overrides = {"batch_size": 128, "learning_rate": 0.05, **values.pop("overrides", {})}
    values = {"imbalance_factor": 100, "epochs": epochs, **values}
    return RunConfig(dataset="digits", method=method, overrides=overrides, **values)


@functools.cache
def images(device="cpu"):
    """The data of all tests on one device."""
    return Images(torch.device(device))


def engine(config, device="cpu", **options):
    data = images(device)
    return Engine(
        config, data.train(config), data.bank(config), data.test(config), data.device, **options
    )


def epochs(engine, first, last):
    """Train from epoch ``first`` up to, without, ``last``; the numbers of each."""
    numbers = []
    for epoch in range(first, last):
        engine.begin_epoch(epoch)
        for _ in engine.steps():
            pass
        numbers.append(engine.end_epoch().read())
    return numbers


def tensors(state):
    """All tensors of a nested state, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict):
        state = list(state.values())
    return [t for entry in state for t in tensors(entry)] if isinstance(state, list) else []


def same_tensors(one, other):
    one, other = tensors(one), tensors(other)
    return len(one) == len(other) and all(
        torch.equal(a.cpu(), b.cpu()) for a, b in zip(one, other, strict=True)
    )


def trained(config, store):
    """The finished run of ``config``, made or resumed in this process."""
    steps = train_in_steps(config, Store(store), images())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def numbers(run):
    """All that a run found out, without when and where."""
    record = {name: v for name, v in run.record.items() if name not in CIRCUMSTANCES}
    arrays = {name: (a.dtype.str, a.tobytes()) for name, a in sorted(run.arrays.items())}
    return record, run.history.to_csv(), arrays
