"""The store: one directory per run, complete or absent.

Layout of a store::

    runs/<key>/result.json      written last; the run counts once it is there
               metrics.npz      numbers per class
               history.csv      one row per epoch
               logits.npz       test logits in half precision; may be left behind
               checkpoint       while the run is unfinished, and the one before it
    runs/.locks/<key>           held by the process that trains the run

Every file is written beside its place and renamed, so that a process killed at any moment
leaves the old file or the new one. ``result.json`` holds its own hash and the hashes of the
files beside it.

A run counts if its result is whole and lies under its own name, and if its metrics and its
history are the files that the result describes. A run that does not count is set aside and
named. Logits are checked only when they are read: a run whose logits are damaged counts, and
reading its logits is refused.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from lt_core import write_atomically
from lt_core.errors import BusyError, CheckpointError, StoreError
from lt_core.runs.environment import checkout

if TYPE_CHECKING:  # imported where they are used: to show a finished run takes neither
    import numpy as np
    import pandas as pd

FORMAT = 1
RESULT, METRICS, HISTORY, LOGITS = "result.json", "metrics.npz", "history.csv", "logits.npz"
CHECKPOINTS = ("checkpoint", "checkpoint.previous")
LOCKS = ".locks"
MOVE_AWAY = "move the run's folder away to have it made again"
#: The range of the numbers in a record.
NUMBERS = {
    "imbalance_factor": (1, 1e6),
    "subset_seed": (0, 2**31),
    "epochs": (1, 1e6),
    "seed": (0, 2**31),
    "seconds": (0, 1e9),
    **dict.fromkeys(("top1", "top1_best"), (0, 100)),
    **dict.fromkeys(("top1_many", "top1_medium", "top1_few", "top1_rebalanced"), (0, 100)),
}


#: What a record must tell of its run.
NEEDED = ("dataset", "imbalance_factor", "method", "model", "recipe", "epochs", "seed", "top1")


@dataclass
class Run:
    """A finished run: its key, configuration, record and files.

    ``record`` is the row of the results table, ``history`` a frame with one row per
    epoch, ``metrics`` the arrays per class. ``arrays`` also holds, where they were kept,
    ``test_logits`` ``(N, C)`` in half precision with ``test_target`` ``(N,)``. Files are
    read when they are used; StoreError names one that is not what the result describes.
    """

    path: Path
    key: str
    config: dict
    record: dict
    files: dict = field(repr=False)

    def content(self, name: str) -> bytes:
        """The bytes of one of the run's files, checked against its hash."""
        content = read_bytes(self.path / name)
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise StoreError(
                f"{self.path / name}: differs from the file that {RESULT} describes; {MOVE_AWAY}"
            )
        return content

    @cached_property
    def history(self) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(io.BytesIO(self.content(HISTORY)))

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        return _unpacked(self.content(METRICS))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return self.metrics | (_unpacked(self.content(LOGITS)) if self.has_logits else {})

    @property
    def has_logits(self) -> bool:
        return LOGITS in self.files and _is_there(self.path / LOGITS)


class Store:
    """A directory of runs that several processes can share."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def prepare(self) -> None:
        """Create the store, and find out before training whether it can be written."""
        with reported(self.path):
            (self.path / LOCKS).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):  # leaves nothing behind, even if killed
                pass

    def directory(self, key: str) -> Path:
        return self.path / key

    def is_finished(self, key: str) -> bool:
        """Whether a result is there; :func:`read` says whether it counts."""
        return _is_there(self.directory(key) / RESULT)

    def unfinished(self) -> list[str]:
        """Keys of runs that left a checkpoint and no result."""
        found = {path.parent.name for name in CHECKPOINTS for path in self.path.glob(f"*/{name}")}
        return sorted(key for key in found if not self.is_finished(key))

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the run, or raise BusyError at once.

        The operating system releases the lock when the process that holds it dies, so nobody
        ever unlocks by hand. On file systems without locks, use a store from one host only.
        Temporary files that a killed process left are deleted.
        """
        lock = filelock.FileLock(self.path / LOCKS / key)
        with reported(self.path):
            (self.path / LOCKS).mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                raise BusyError(
                    f"run {key} in {self.path}: another process is training it; "
                    "wait for it, or call again later"
                ) from None
        try:
            with reported(self.path):
                self.directory(key).mkdir(exist_ok=True)
                for leftover in self.directory(key).glob("*.tmp"):
                    leftover.unlink()
            yield
        finally:
            lock.release()

    def finish(
        self,
        key: str,
        config: Mapping,
        record: Mapping,
        history: Sequence[Mapping],
        metrics: Mapping[str, np.ndarray],
        logits: Mapping[str, np.ndarray],
    ) -> Run:
        """Write a run's files, its result last, and delete its checkpoints.

        ``history`` has one row per epoch.
        """
        directory = self.directory(key)
        contents = {
            METRICS: _packed(metrics),
            HISTORY: _table(history),
            LOGITS: _packed(logits),
        }
        with reported(directory):
            for name, content in contents.items():
                write_atomically(directory / name, content)
            files = {name: hashlib.sha256(c).hexdigest() for name, c in contents.items()}
            write_atomically(directory / RESULT, result_bytes(key, config, record, files))
            for name in CHECKPOINTS:
                (directory / name).unlink(missing_ok=True)
        return read(directory)

    def write_checkpoint(self, key: str, content: bytes) -> None:
        """Write a checkpoint beside the one before it, each with its own hash."""
        current, previous = (self.directory(key) / name for name in CHECKPOINTS)
        digest = hashlib.sha256(content).hexdigest().encode()
        with reported(current):
            if current.exists():
                os.replace(current, previous)
            write_atomically(current, digest + b"\n" + content)

    def checkpoints(self, key: str) -> Iterator[bytes]:
        """The checkpoints whose content is what was written, newest first.

        Raises CheckpointError for one that cannot be read: to train without it would
        overwrite it, and what it holds may be whole.
        """
        for name in CHECKPOINTS:
            path = self.directory(key) / name
            if not _is_there(path):
                continue
            try:
                whole = read_bytes(path, "move it away to start the run afresh")
            except StoreError as error:
                raise CheckpointError(str(error)) from None
            digest, _, content = whole.partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() == digest:
                yield content
            else:
                warnings.warn(f"{path}: damaged, not used", stacklevel=2)


def read(directory: str | os.PathLike) -> Run:
    """The finished run in ``directory``; StoreError says why it does not count.

    Checkpoints that a killed process left beside a finished run are deleted.
    """
    directory = Path(directory)
    path = directory / RESULT
    if not _is_there(path):
        raise StoreError(f"{directory}: holds no finished run")
    try:
        # decode: without it json would also read UTF-16, which we never write
        result = json.loads(read_bytes(path).decode())
        if result["format"] != FORMAT:
            raise StoreError(f"{path}: format {result['format']!r:.40}, expected {FORMAT}")
        sealed = result.pop("sha256")
        run = Run(directory, *(result[k] for k in ("key", "config", "record", "files")))
        intact = sealed == _seal(result)
        described = all(isinstance(part, dict) for part in (run.config, run.record, run.files))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        intact = described = None
    if not described:
        raise StoreError(f"{path}: damaged; {MOVE_AWAY}")
    if not intact:
        raise StoreError(f"{path}: its content does not match its hash; {MOVE_AWAY}")
    if directory.name != run.key:
        raise StoreError(f"{directory}: holds run {run.key!s:.40}, copied or renamed; move it back")
    for name, value in (dict.fromkeys(NEEDED) | run.record).items():
        if not _can_be(name, value):
            raise StoreError(f"{path}: {name} is {value!r:.40}, {_expected(name)}; {MOVE_AWAY}")
    for name in (METRICS, HISTORY):
        run.content(name)
    for path in (directory / name for name in CHECKPOINTS):
        if _is_there(path):  # its process was killed before it deleted them
            with contextlib.suppress(OSError):  # a read-only store keeps them
                path.unlink()
    return run


def _can_be(name: str, value: object) -> bool:
    """Whether a record may hold ``value`` under ``name``."""
    if value is None:
        return name not in NEEDED
    if name not in NUMBERS:
        return isinstance(value, str | int | float)
    low, high = NUMBERS[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and low <= value <= high


def _expected(name: str) -> str:
    low, high = NUMBERS.get(name, (None, None))
    return "expected a word or a number" if low is None else f"expected {low:g} to {high:g}"


def open(store: str | os.PathLike | Store, key: str) -> Run:
    """The finished run ``key`` of ``store``."""
    store = store if isinstance(store, Store) else Store(store)
    return read(store.directory(key))


def load(store: str | os.PathLike | Store) -> pd.DataFrame:
    """One row per finished run. ``attrs["set_aside"]`` names the runs that do not count."""
    import pandas as pd

    runs, set_aside = scan(store)
    rows = [{"key": run.key, **run.record} for run in runs]
    frame = pd.DataFrame([{k: math.nan if v is None else v for k, v in r.items()} for r in rows])
    frame.attrs["set_aside"] = set_aside
    return frame


def scan(store: str | os.PathLike | Store) -> tuple[list[Run], list[str]]:
    """The finished runs of a store, and what was set aside, with the reason."""
    path = (store if isinstance(store, Store) else Store(store)).path
    runs, set_aside = [], []
    for directory in _entries(path):
        if _is_there(directory / RESULT):
            try:
                runs.append(read(directory))
            except StoreError as error:
                set_aside.append(str(error))
    return runs, set_aside


def default_store(start: str | os.PathLike = ".") -> Path:
    """``runs`` in the checkout around ``start``, else in the package's, else in ``start``.

    So a notebook keeps its runs in one place, whether Jupyter starts it in the notebook's
    folder or papermill in the caller's.
    """
    start = Path(start).resolve()
    around = filter(checkout, (start, *start.parents))
    return (next(around, None) or checkout() or start) / "runs"


def missing_store(path: str | os.PathLike) -> str:
    """Why ``path`` is no store, such as "the folder is empty"; "" if it is a store."""
    path = Path(path)
    if not os.path.isdir(path):  # False for a name that is too long, where Path raises
        return "it is not a folder" if _is_there(path) else "there is no such folder"
    entries = _entries(path)
    names = (RESULT, *CHECKPOINTS)
    if path / LOCKS in entries or any(_is_there(e / name) for e in entries for name in names):
        return ""
    return "the folder holds no run" if entries else "the folder is empty"


def read_bytes(path: Path, advice: str = MOVE_AWAY) -> bytes:
    """The content of a file; StoreError names whatever else lies in its place."""
    try:
        if stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            return path.read_bytes()
        found = "is a folder or a device, expected a file"
    except FileNotFoundError:
        found = "is a link to nothing" if path.is_symlink() else "missing"
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
    raise StoreError(f"{path}: {found}; {advice}")


def result_bytes(key: str, config: Mapping, record: Mapping, files: Mapping) -> bytes:
    """``result.json`` with a hash over everything else in it."""
    result = {
        "format": FORMAT,
        "key": key,
        "config": dict(config),
        "record": {name: _finite(value) for name, value in record.items()},
        "files": dict(files),
    }
    return json.dumps(result | {"sha256": _seal(result)}, indent=1, allow_nan=False).encode()


@contextlib.contextmanager
def reported(path: Path, option: str = "store") -> Iterator[None]:
    """Turn an error of the file system into a StoreError that names ``path`` and the option."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        place = error.filename2 or error.filename
        reason = (error.strerror or str(error)[:200]) + (f": {place}" if place else "")
        raise StoreError(
            f"{option} {path}: cannot be written ({reason}); "
            f"what was there is unchanged; free space or choose another --{option}"
        ) from error


def _entries(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir()) if os.path.isdir(path) else []
    except OSError as error:
        raise StoreError(f"store {path}: cannot be read ({error.strerror or error})") from None


def _is_there(path: Path) -> bool:
    """Whether anything has this name, even a link to nothing or a file we may not read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _seal(result: Mapping) -> str:
    text = json.dumps(result, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _finite(value: object) -> object:
    """JSON has no NaN: an empty group is stored as null and read back as NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(rows: Sequence[Mapping]) -> bytes:
    """Rows of finite numbers as CSV, each number with all its digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpacked(content: bytes) -> dict[str, np.ndarray]:
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)
