"""Versions, hardware and commit, which every record names; and the death of a parent process."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import lt_core

if TYPE_CHECKING:
    import torch


@functools.cache
def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def checkout(folder: Path | None = None) -> Path | None:
    """``folder`` if it is a checkout of this project, else None; by default the package's.

    An installed package may lie inside the repository of another project, with an environment
    in it: that is no checkout of this one.
    """
    folder = folder or Path(lt_core.__file__).resolve().parents[1]
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        return folder if project["name"].replace("-", "_") == "lt_core" else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@functools.cache
def commit() -> str:
    """The commit of the checkout, with ``+`` if files differ from it; "" outside a checkout."""
    if given := os.environ.get("LT_COMMIT"):  # for a copy of the sources without git
        return given
    folder = checkout()
    if folder is None or Path(_git(folder, "rev-parse", "--show-toplevel")) != folder:
        return ""
    return _git(folder, "describe", "--always", "--dirty=+", "--abbrev=12")


def _git(folder: Path, *arguments: str) -> str:
    """What git answers in ``folder``; "" where it cannot."""
    try:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def installed(package: str) -> str:
    """The installed version of ``package``; "" where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def versions() -> dict[str, str]:
    """The versions that a record carries."""
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lt_core": lt_core.__version__,
        "commit": commit(),
    }


def device_name(device: torch.device) -> str:
    """The device's name; for a CPU also the instructions that PyTorch uses of it.

    Both decide the order of sums, and processors of one name may differ in the second.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()} ({torch.backends.cpu.get_cpu_capability()})"


def hardware(device: torch.device) -> str:
    """The device's name; for a CPU also the number of threads, which changes sums."""
    import torch

    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return device_name(device) + threads


def when_gone(parent: int, act: Callable[[], None]) -> None:
    """Call ``act`` in a thread once the process ``parent``, which started this one, has ended.

    So a killed caller leaves no process behind that goes on training or executing.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        act()

    threading.Thread(target=watch, daemon=True).start()
