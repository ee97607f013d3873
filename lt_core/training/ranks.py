"""One run on several processes, which torchrun starts: ``torchrun … -m lt_core run …``.

Every process (*rank*) trains the same network on its part of each batch; the losses' state and
the gradients are those of the whole batch, so that the ranks stay equal. Rank 0 alone reads and
writes the store and tells the others what it found there. When a rank ends with an error,
torchrun ends the rest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.distributed as dist

from lt_core.errors import ConfigError
from lt_core.runs import Run, Store


def started() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def count() -> int:
    """How many ranks train this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mine() -> int:
    """The number of this rank, from 0."""
    return dist.get_rank() if count() > 1 else 0


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Meet the other ranks; gives the device of this one. Alone, it changes nothing."""
    if not started() or count() > 1:
        yield device
        return
    if device.type == "cuda":
        local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= there:
            raise ConfigError(
                f"nproc-per-node: expected at most {there}, the GPUs of this machine, got "
                f"{os.environ.get('LOCAL_WORLD_SIZE', local + 1)}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


class SharedStore(Store):
    """A store that rank 0 alone reads and writes; the others hear from it what is there."""

    def is_finished(self, key: str) -> bool:
        return self._heard(lambda: super(SharedStore, self).is_finished(key))

    def lock(self, key: str) -> contextlib.AbstractContextManager[None]:
        return super().lock(key) if mine() == 0 else contextlib.nullcontext()

    def checkpoints(self, key: str) -> Iterator[bytes]:
        yield from self._heard(lambda: list(super(SharedStore, self).checkpoints(key)))

    def write_checkpoint(self, key: str, content: bytes) -> None:
        if mine() == 0:
            super().write_checkpoint(key, content)

    def finish(self, key: str, config: Mapping, *content: object) -> Run | None:
        return super().finish(key, config, *content) if mine() == 0 else None

    @staticmethod
    def _heard(look: Callable[[], object]):
        """What rank 0 finds by ``look``."""
        found = [look() if mine() == 0 else None]
        dist.broadcast_object_list(found)
        return found[0]
