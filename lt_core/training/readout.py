"""An epoch's numbers, read without making the host wait."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lt_core.errors import TrainingError


class Readout:
    """An epoch's numbers on their way from the device; ``known`` are others, known already."""

    def __init__(
        self,
        values: tuple[Tensor, ...],
        train_images: int,
        test_images: int,
        batch: int,
        known: Mapping[str, float] | None = None,
    ):
        self.train_images, self.test_images, self.batch = train_images, test_images, batch
        self.known = known or {}
        packed = torch.stack([value.double() for value in values])
        self._done = None
        if packed.device.type == "cuda":
            self._values = torch.empty(len(values), dtype=torch.float64, pin_memory=True)
            self._values.copy_(packed, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record()
        else:
            self._values = packed

    def ready(self) -> bool:
        """Whether reading would not make the host wait."""
        return self._done is None or self._done.query()

    def read(self) -> dict[str, float]:
        """Mean training loss and test accuracy in percent; waits for the device."""
        if self._done is not None:
            self._done.synchronize()
        loss_sum, correct, diverged_at, usable = self._values.tolist()
        if diverged_at >= 0:
            raise TrainingError(
                f"the loss is not finite at step {int(diverged_at) // self.batch + 1}; "
                "the weights before it are kept; lower the learning rate or check the data"
            )
        if not usable:
            raise TrainingError(
                "the network's outputs on the test images are not finite after the epoch; "
                "lower the learning rate"
            )
        return {
            "train_loss": loss_sum / self.train_images,
            "top1": 100 * correct / self.test_images,
            **self.known,
        }
