"""Stores with invented results, for tests that need no training."""

import contextlib
import errno
import json
import os
import socket
from pathlib import Path

import numpy as np

from lt_core.runs import RESULT, Store

CLASSES = 3


def add_run(store, key, top1=60.0, **record):
    """A finished run of two epochs and three classes in ``store``."""
    store = Store(store)
    logits = np.eye(CLASSES, dtype=np.float16)
    numbers = {
        "class_counts": np.array([100, 10, 1]),
        "class_accuracy": np.array([0.9, 0.5, 0.1]),
        "class_accuracy_rebalanced": np.array([0.8, 0.6, 0.3]),
    }
    config = {"dataset": "digits", "method": "softmax", "seed": 0}
    complete = {
        **{"dataset": "digits", "imbalance_factor": 100.0, "subset_seed": 0},
        **{"method": "softmax", "variant": "", "recipe": "digits", "model": "resnet_digits"},
        **{"epochs": 2, "precision": "float32", "seed": 0, "top1": top1, "top1_best": top1},
        **{"top1_many": float("nan"), "data_sha256": "ab" * 32, "seconds": 1.5},
        **{"hardware": "a CPU", "torch": "2.11", "commit": "4e09210"},
        **record,
    }
    history = [{"epoch": 1, "lr": 0.1, "top1": 50.0}, {"epoch": 2, "lr": 0.0, "top1": top1}]
    with store.lock(key):
        targets = {"test_logits": logits, "test_target": np.arange(CLASSES)}
        return store.finish(key, config, complete, history, numbers, targets)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(path.parent):
        end.bind(path.name)  # a socket's address has room for 100 letters


#: What may lie where a file should: by name, a function that puts it there.
IN_PLACE_OF_A_FILE = {
    "a folder": os.mkdir,
    "a pipe": os.mkfifo,
    "a socket": a_socket,
    "a link to nothing": lambda path: os.symlink("nowhere", path),
    "a link to itself": lambda path: os.symlink(path.name, path),
    "an unreadable file": lambda path: os.symlink("/proc/self/mem", path),
}


def stopped_at(number, monkeypatch, error):
    """Raise ``error()`` at that operation on files and at all later ones; a list counts them."""
    seen = []
    for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink"), (Path, "mkdir")):
        operation = getattr(owner, name)

        def counted(*arguments, operation=operation, **options):
            seen.append(operation)
            if len(seen) >= number:
                raise error()
            return operation(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)
    return seen


class Killed(BaseException):
    """What nothing catches, as a signal that kills; ``finally`` closes files and locks."""


def disk_full():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files(directory):
    """Every file below ``directory`` with its bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def edited(directory, change):
    """Rewrite a run's result after ``change(result)``, as a person would by hand."""
    result = json.loads((directory / RESULT).read_bytes())
    change(result)
    (directory / RESULT).write_text(json.dumps(result))
