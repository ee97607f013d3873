"""What this machine has, and how fast it is: versions, hardware, and three rates.

The rates are those of matrix products, of copies in memory, and of the engine's training
steps. How far the engine is from the other two is worked out on the page *What it costs*;
whole comparisons are in ``benchmarks/``.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lt_core import data
from lt_core.runs import environment
from lt_core.training import RunConfig
from lt_core.training.augment import ImageBank
from lt_core.training.engine import Engine, TestImages
from lt_core.training.loop import choose_device, settings

PRECISIONS = ("float32", "bfloat16")
PACKAGES = ("torchvision", "numpy", "pandas", "pyarrow", "pillow", "papermill", "jupyter-book")


def report(device: str | torch.device | None = None) -> dict[str, object]:
    """Measure ``device`` (default: CUDA where there is any), in under ten seconds."""
    device = choose_device(device)
    found = environment.versions() | {
        name: environment.installed(name) or "not installed" for name in PACKAGES
    }
    found["cuda of torch"] = torch.version.cuda or "none"
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found["cudnn"] = str(torch.backends.cudnn.version())
        found["driver"] = _driver()
        found["memory"] = f"{about.total_memory / 2**30:.0f} GiB"
        found["multiprocessors"] = about.multi_processor_count
    found["device"] = environment.hardware(device)
    found["CPUs"] = os.cpu_count()
    found["copy, read + written"] = f"{copy_bandwidth(device) / 1e9:,.1f} GB/s"
    for precision in PRECISIONS:
        rate = matrix_flops(device, precision)
        found[f"matrix product, {precision}"] = f"{rate / 1e12:,.3f} TFLOP/s"
    for precision in PRECISIONS:
        found[f"ResNet-32, {precision}"] = f"{engine_rate(device, precision):,.0f} images/s"
    return found


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read plus written per second by a copy that is too large for any cache."""
    size = 2**30 if device.type == "cuda" else 2**27
    source = _noise(device, size // 4)
    target = torch.empty_like(source)
    return 2 * size / _shortest(lambda: target.copy_(source), device)


def matrix_flops(device: torch.device, precision: str) -> float:
    """Operations per second of a product of square matrices."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = _noise(device, 2, size, size).to(getattr(torch, precision))
    with settings(device, deterministic=False):
        return 2 * size**3 / _shortest(lambda: left @ right, device)


def engine_rate(device: torch.device, precision: str, seconds: float = 1.0) -> float:
    """Images per second of ResNet-32's training steps at batch 128, augmentation included.

    At least one step, and as many as begin within ``seconds``.
    """
    engine = _engine(device, precision)
    with settings(device, deterministic=False):
        engine.begin_epoch(0)
        steps = engine.steps()
        next(steps)  # the first step allocates
        _wait(device)
        start, done = time.perf_counter(), 0
        for _ in steps:
            done += 1
            if device.type == "cpu" and time.perf_counter() - start > seconds:
                break
        _wait(device)
        return done * engine.recipe.batch_size / (time.perf_counter() - start)


def _engine(device: torch.device, precision: str) -> Engine:
    """An engine on random images of the size of CIFAR-10's."""
    config = RunConfig("cifar10", "softmax", precision=precision)
    about = data.info("cifar10")
    names = tuple(str(number) for number in range(about.num_classes))
    # Enough steps for a stable rate on a GPU; a CPU stops long before the end.
    count = 128 * (101 if device.type == "cuda" else 21)

    def random_images(split: str, size: int) -> data.Dataset:
        images = torch.randint(0, 256, (size, *about.image_shape), dtype=torch.uint8)
        return data.Dataset(
            about.name, split, images, torch.arange(size) % len(names), names, np.arange(size)
        )

    with torch.random.fork_rng(devices=[]):
        train, test = random_images("train", count), random_images("test", 10)
    bank = ImageBank(train.images, config.resolved_recipe().augmentation(), device)
    return Engine(config, train, bank, TestImages(test, device), device)


def _noise(device: torch.device, *shape: int) -> Tensor:
    """Normal numbers: constant ones switch few transistors and let a GPU clock too high."""
    generator = torch.Generator(device).manual_seed(0)
    return torch.empty(shape, device=device).normal_(generator=generator)


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.split("\n", 1)[0].strip()


def _shortest(work: Callable[[], Tensor], device: torch.device, rounds: int = 5) -> float:
    work()
    times = []
    for _ in range(rounds):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
