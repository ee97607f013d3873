"""The store: one directory a run, complete or absent.

Layout of a store::

    runs/<key>/result.json      written last; the run counts once it is there
               metrics.npz      per-class numbers
               history.csv      a row an epoch
               logits.npz       test logits in half precision; may be left behind
               checkpoint       while the run is unfinished, and the one before it
    runs/.locks/<key>           held by the process that trains the run

Every file is written beside its place and renamed, so that a process killed at
any moment leaves the old file or the new one. ``result.json`` carries its own hash
and those of its neighbours; a run whose files do not agree with it, or that lies
under another run's name, is set aside and named, never counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import filelock
import numpy as np
import pandas as pd

from lt_core.errors import BusyError, StoreError

FORMAT = 1
RESULT, METRICS, HISTORY, LOGITS = "result.json", "metrics.npz", "history.csv", "logits.npz"
CHECKPOINTS = ("checkpoint", "checkpoint.previous")


@dataclass
class Run:
    """A finished run: its key, configuration, record and files.

    ``record`` is the row of the results table; ``history`` a frame with a row an
    epoch; ``arrays`` the per-class arrays and, where they were kept, ``test_logits``
    ``(N, C)`` in half precision with ``test_target`` ``(N,)``.
    """

    path: Path
    key: str
    config: dict
    record: dict
    files: dict = field(repr=False)

    def content(self, name: str) -> bytes:
        """The bytes of one of the run's files, checked against its hash."""
        content = (self.path / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise StoreError(
                f"{self.path / name}: differs from the file that {RESULT} describes; "
                "delete the run's directory to train it again"
            )
        return content

    @cached_property
    def history(self) -> pd.DataFrame:
        return pd.read_csv(io.BytesIO(self.content(HISTORY)))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        arrays = _unpacked(self.content(METRICS))
        if self.has_logits:
            arrays |= _unpacked(self.content(LOGITS))
        return arrays

    @property
    def has_logits(self) -> bool:
        return LOGITS in self.files and (self.path / LOGITS).exists()


class Store:
    """A directory of runs that several processes can share."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def prepare(self) -> None:
        """Create the store and find out now, not after an hour, whether it can be written."""
        with reported(self.path):
            (self.path / ".locks").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):  # leaves nothing behind, even if killed
                pass

    def directory(self, key: str) -> Path:
        return self.path / key

    def is_finished(self, key: str) -> bool:
        return (self.directory(key) / RESULT).exists()

    def unfinished(self) -> list[str]:
        """Keys of runs that left a checkpoint and no result."""
        found = {path.parent.name for name in CHECKPOINTS for path in self.path.glob(f"*/{name}")}
        return sorted(key for key in found if not self.is_finished(key))

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the run, or raise BusyError at once.

        The operating system releases the lock when its holder dies, so nothing is
        ever unlocked by hand. File systems without locks need one host a store.
        """
        lock = filelock.FileLock(self.path / ".locks" / key)
        with reported(self.path):
            (self.path / ".locks").mkdir(parents=True, exist_ok=True)
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
        history: pd.DataFrame,
        metrics: Mapping[str, np.ndarray],
        logits: Mapping[str, np.ndarray],
    ) -> Run:
        """Write a run's files, its result last, and delete its checkpoints."""
        directory = self.directory(key)
        contents = {
            METRICS: _packed(metrics),
            HISTORY: history.to_csv(index=False).encode(),
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
        """The checkpoints whose content is what was written, newest first."""
        for name in CHECKPOINTS:
            path = self.directory(key) / name
            if not path.exists():
                continue
            digest, _, content = path.read_bytes().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() == digest:
                yield content
            else:
                warnings.warn(f"{path}: damaged, not used", stacklevel=2)


def read(directory: str | os.PathLike) -> Run:
    """The finished run in ``directory``; StoreError says what is wrong with it."""
    directory = Path(directory)
    path = directory / RESULT
    try:
        result = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        if result["format"] != FORMAT:
            raise StoreError(f"{path}: format {result['format']!r}, expected {FORMAT}")
        sealed = result.pop("sha256")
        key, config, record, files = (result[k] for k in ("key", "config", "record", "files"))
        intact = sealed == _seal(result)
    except FileNotFoundError:
        raise StoreError(f"{directory}: holds no finished run") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(f"{path}: damaged; delete the directory to train it again") from None
    if not intact:
        raise StoreError(f"{path}: its content does not match its hash; delete the directory")
    if directory.name != key:
        raise StoreError(f"{directory}: holds run {key}, copied or renamed; move it back")
    run = Run(directory, key, config, record, files)
    for name in (METRICS, HISTORY):  # the small ones; logits are checked when they are read
        try:
            run.content(name)
        except FileNotFoundError:
            raise StoreError(
                f"{directory / name}: missing; delete the directory to train again"
            ) from None
    return run


def open(store: str | os.PathLike | Store, key: str) -> Run:
    """The finished run ``key`` of ``store``."""
    store = store if isinstance(store, Store) else Store(store)
    return read(store.directory(key))


def load(store: str | os.PathLike | Store) -> pd.DataFrame:
    """A row a finished run. ``attrs["set_aside"]`` names the runs that do not count."""
    runs, set_aside = scan(store)
    rows = [{"key": run.key, **run.record} for run in runs]
    frame = pd.DataFrame([{k: math.nan if v is None else v for k, v in r.items()} for r in rows])
    frame.attrs["set_aside"] = set_aside
    return frame


def scan(store: str | os.PathLike | Store) -> tuple[list[Run], list[str]]:
    """The finished runs of a store, and what was set aside, with the reason."""
    path = (store if isinstance(store, Store) else Store(store)).path
    runs, set_aside = [], []
    if not path.is_dir():
        return runs, set_aside
    for directory in sorted(entry for entry in path.iterdir() if (entry / RESULT).exists()):
        try:
            runs.append(read(directory))
        except (StoreError, OSError) as error:
            set_aside.append(str(error))
    return runs, set_aside


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


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``path`` so that a crash leaves its old content or the new, never a part."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def reported(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"store {path}: cannot be written ({error.strerror or error}); "
            "what was there is unharmed; free space or choose another --store"
        ) from error


def _seal(result: Mapping) -> str:
    text = json.dumps(result, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _finite(value: object) -> object:
    """JSON has no NaN: an empty group is stored as null and read back as NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpacked(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)
