"""Versions, hardware and commit: what every record carries."""

from __future__ import annotations

import functools
import platform

import torch

import lt_core
from lt_core import machine


@functools.cache
def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lt_core": lt_core.__version__,
        "commit": machine.commit(),
    }


def hardware(device: torch.device) -> str:
    """The device's name; for a CPU also the number of threads, which changes sums."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{machine.processor()}, {torch.get_num_threads()} threads"
