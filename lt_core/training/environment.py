"""Versions, hardware and commit: what every record carries."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path

import torch

import lt_core


@functools.cache
def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lt_core": lt_core.__version__,
        "commit": _commit(),
    }


def hardware(device: torch.device) -> str:
    """The device's name; for a CPU also the number of threads, which changes sums."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


@functools.cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit the package runs from, ``+`` where files differ; "" outside a checkout."""
    if commit := os.environ.get("LT_COMMIT"):
        return commit
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=Path(lt_core.__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
