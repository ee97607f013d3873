"""Random numbers of a loss's own: independent of the global generators, and resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lt_core.errors import ConfigError
from lt_core.losses.base import LongTailLoss, distributed


class DrawingLoss(LongTailLoss):
    """A loss that draws random numbers when none are given.

    ``generator`` appears on the logits' device with the first draw, seeded from ``seed``
    (set it before that; ranks of ``torch.distributed`` add their number). Its state is
    part of ``state_dict``. On another kind of device a saved state has no meaning: there
    the draws go on from a seed derived from it, reproducibly, but not with the numbers that
    the first device would have drawn.

    Outside training (``eval()`` or ``no_grad()``) nothing is drawn, so that evaluation
    changes no state; a subclass says what the loss is then. A given ``draw`` is always used.
    """

    def __init__(self, class_counts: Sequence[int], reduction: str = "mean", **params: Any):
        super().__init__(class_counts, reduction, **params)
        self.seed = 0
        #: A generator's state that waits for the device to be known.
        self._saved_state: Tensor | None = None

    def generator_on(self, device: torch.device) -> torch.Generator:
        """The loss's generator, made on ``device`` when there is none there yet."""
        if self.generator is None or self.generator.device != device:
            if self.generator is not None:
                self._saved_state = self.generator.get_state()
            self.generator = torch.Generator(device)
            self._begin()
            if self._saved_state is not None:
                self._restore(self._saved_state)
                self._saved_state = None
        return self.generator

    def get_extra_state(self) -> Tensor:
        """The generator's state as bytes; empty before the first draw."""
        if self.generator is not None:
            return self.generator.get_state()
        if self._saved_state is not None:
            return self._saved_state.clone()
        return torch.empty(0, dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        state = state.cpu()
        if self.generator is not None:
            self._restore(state)
        else:
            self._saved_state = state.clone() if state.numel() else None

    def _begin(self) -> None:
        self.generator.manual_seed(self.seed + (dist.get_rank() if distributed() else 0))

    def _restore(self, state: Tensor) -> None:
        """Continue from ``state`` if this kind of device wrote it, else from its digest."""
        if not state.numel():  # saved before the first draw
            self._begin()
        elif state.numel() == self.generator.get_state().numel():
            self.generator.set_state(state)
        else:
            digest = hashlib.sha256(state.numpy().tobytes()).digest()
            self.generator.manual_seed(int.from_bytes(digest[:7], "big"))


def checked_draw(draw: Tensor, logits: Tensor) -> Tensor:
    """``draw`` if it holds a value for each logit."""
    if draw.shape != logits.shape:
        raise ConfigError(
            f"draw: expected shape {tuple(logits.shape)} as the logits have, "
            f"got {tuple(draw.shape)}"
        )
    return draw
