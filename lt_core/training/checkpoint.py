"""Saving and resuming a run, refusing what would change a number."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import torch

import lt_core
from lt_core.errors import CheckpointError
from lt_core.runs import Store, environment
from lt_core.training.config import RunConfig
from lt_core.training.engine import Engine

FORMAT = 2


class Checkpoint:
    """The checkpoints of one run.

    A checkpoint of another ``identity`` is refused: resuming it would mix two experiments.
    With other ``surroundings`` resuming works, and a warning says that the numbers may differ
    from those of an uninterrupted run.
    """

    def __init__(self, config: RunConfig, store: Store, data_sha256: str, device: torch.device):
        self.key, self.store, self.device = config.key, store, device
        self.identity = {
            "format": FORMAT,
            "lt_core": lt_core.__version__,
            "config": config.to_dict(),
            "data_sha256": data_sha256,
        }
        self.surroundings = {
            "torch": str(torch.__version__),  # a class of its own, which weights_only refuses
            "device": device.type,
            "processor": environment.device_name(device),
            "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        }

    def save(self, engine: Engine, history: list[dict], seconds: float) -> None:
        buffer = io.BytesIO()
        content = {
            "identity": self.identity,
            "surroundings": self.surroundings,
            "state": engine.state_dict(),
            "history": history,
            "seconds": seconds,
        }
        torch.save(content, buffer)
        self.store.write_checkpoint(self.key, buffer.getvalue())

    def resume(self, engine: Engine) -> tuple[list[dict], float]:
        """Restore the newest usable checkpoint; the epochs so far and the seconds spent.

        The engine is then where the checkpoint was taken, inside the next epoch; without a
        checkpoint, at the beginning of the first. Raises CheckpointError for a checkpoint
        that is undamaged but belongs to another run.
        """
        for content in self.store.checkpoints(self.key):
            try:
                saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                identity, surroundings = dict(saved["identity"]), dict(saved["surroundings"])
                state, history, seconds = saved["state"], list(saved["history"]), saved["seconds"]
            except Exception as error:  # a file that is not ours can raise anything here
                raise self._refused(f"no checkpoint of lt-core ({type(error).__name__})") from error
            self._compare(identity, surroundings)
            engine.begin_epoch(len(history))
            try:
                engine.load_state_dict(state)
            except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise self._refused(f"its state does not fit the run ({reason})") from error
            return history, seconds
        engine.begin_epoch(0)
        return [], 0.0

    def _compare(self, identity: Mapping, surroundings: Mapping) -> None:
        for name, expected in self.identity.items():
            if identity.get(name) != expected:
                raise self._refused(_difference(name, identity.get(name), expected))
        for name, expected in self.surroundings.items():
            if surroundings.get(name, expected) != expected:  # older ones name no processor
                warnings.warn(
                    f"run {self.key}: resumed with {name} {expected}, was "
                    f"{surroundings.get(name)}; equality with an uninterrupted run is not promised",
                    stacklevel=2,
                )

    def _refused(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"checkpoint in {self.store.directory(self.key)}: {reason}; "
            "delete its checkpoint files to start the run afresh"
        )


def _difference(name: str, found: object, expected: object) -> str:
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in sorted({*found, *expected}):
            if found.get(key) != expected.get(key):
                return _difference(key, found.get(key), expected.get(key))
    return f"{name} is {found!r}, expected {expected!r}"
