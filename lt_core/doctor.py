"""What this machine has, how fast it is, and how much of that the engine uses.

The engine's rate is set against two limits found by counting: the arithmetic of the
convolutions at the measured rate of matrix products, and the smallest traffic of their
outputs at the measured copy bandwidth. A fraction says how far there is to go and which
limit is nearer. (On a CPU one library multiplies matrices and another convolves, so the
first fraction may pass 1.)
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lt_core import data, models
from lt_core.runs import environment
from lt_core.training import RunConfig
from lt_core.training.augment import ImageBank
from lt_core.training.engine import Engine, TestImages
from lt_core.training.loop import choose_device, settings

PRECISIONS = ("float32", "bfloat16")
PACKAGES = ("torchvision", "numpy", "pandas", "pyarrow", "pillow", "papermill", "jupyter-book")


@dataclass(frozen=True)
class Work:
    """What one training image costs, forward and backward, counted on the network.

    flop : floating-point operations of convolutions and linear layers, a multiply and
        an add as two
    outputs : elements of the convolutions' outputs
    """

    flop: int
    outputs: int

    def traffic(self, precision: str) -> int:
        """Bytes at least: outputs and their gradients, each written once and read once."""
        return 4 * self.outputs * getattr(torch, precision).itemsize


@functools.cache
def counted_work(model: str = "resnet32", dataset: str = "cifar10") -> Work:
    """Count one image of ``dataset`` through ``model``."""
    about = data.info(dataset)
    channels = about.image_shape[0]
    network = models.create(model, about.num_classes, seed=0, in_channels=channels).eval()
    sizes = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, output: sizes.append(output.numel()))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *about.image_shape)).sum().backward()
    return Work(counter.get_total_flops(), sum(sizes))


def engine_fraction(
    images_per_second: float,
    matrix_flops: float,
    copy_bandwidth: float,
    precision: str = "float32",
    work: Work | None = None,
) -> dict[str, float]:
    """A rate of training as fractions of what was counted and measured.

    ``matrix_flops`` operations a second; ``copy_bandwidth`` bytes read plus written a
    second. Returns both limits in images a second and the fraction of each.
    """
    work = work or counted_work()
    arithmetic = matrix_flops / work.flop
    memory = copy_bandwidth / work.traffic(precision)
    return {
        "arithmetic_limit": arithmetic,
        "memory_limit": memory,
        "of_arithmetic": images_per_second / arithmetic,
        "of_memory": images_per_second / memory,
    }


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read plus written per second by a copy that no cache holds."""
    size = 2**30 if device.type == "cuda" else 2**27
    source = _noise(device, size // 4)
    target = torch.empty_like(source)
    return 2 * size / _shortest(lambda: target.copy_(source), device)


def matrix_flops(device: torch.device, precision: str) -> float:
    """Operations per second of a square matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = _noise(device, 2, size, size).to(getattr(torch, precision))
    with settings(device, deterministic=False):
        return 2 * size**3 / _shortest(lambda: left @ right, device)


def _noise(device: torch.device, *shape: int) -> Tensor:
    """Normal numbers: constant ones switch few transistors and let a GPU clock too high."""
    generator = torch.Generator(device).manual_seed(0)
    return torch.empty(shape, device=device).normal_(generator=generator)


def engine_rate(device: torch.device, precision: str, seconds: float = 1.0) -> float:
    """Images a second of ResNet-32's training steps at batch 128, augmentation included.

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


def report(device: str | torch.device | None = None) -> dict:
    """Measure ``device`` (default: CUDA where there is any), in under ten seconds."""
    device = choose_device(device)
    rates = {precision: matrix_flops(device, precision) for precision in PRECISIONS}
    bandwidth = copy_bandwidth(device)
    engine = {}
    for precision in PRECISIONS:
        rate = engine_rate(device, precision)
        fractions = engine_fraction(rate, rates[precision], bandwidth, precision)
        engine[precision] = {"images_per_second": rate, **fractions}
    return {
        "versions": _versions(device),
        "device": _hardware(device),
        "copy_bandwidth": bandwidth,
        "matrix_flops": rates,
        "engine": engine,
    }


def text(found: dict) -> str:
    """The report for a reader, a line a fact."""
    lines = [f"{name:<28} {value}" for name, value in found["versions"].items()]
    lines += [f"{name:<28} {value}" for name, value in found["device"].items()]
    lines.append(f"{'copy, read + written':<28} {found['copy_bandwidth'] / 1e9:,.1f} GB/s")
    for precision, rate in found["matrix_flops"].items():
        lines.append(f"{'matrix product, ' + precision:<28} {rate / 1e12:,.3f} TFLOP/s")
    for precision, engine in found["engine"].items():
        lines.append(
            f"{'ResNet-32, ' + precision:<28} {engine['images_per_second']:,.0f} images/s: "
            f"{engine['of_arithmetic']:.1%} of the arithmetic limit "
            f"({engine['arithmetic_limit']:,.0f}), {engine['of_memory']:.1%} of the memory "
            f"limit ({engine['memory_limit']:,.0f})"
        )
    return "\n".join(lines)


def _engine(device: torch.device, precision: str) -> Engine:
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


def _versions(device: torch.device) -> dict[str, str]:
    found = dict(environment.versions())
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["cuda of torch"] = torch.version.cuda or "none"
    if device.type == "cuda":
        found["cudnn"] = str(torch.backends.cudnn.version())
        found["driver"] = _driver()
    return found


def _hardware(device: torch.device) -> dict[str, str]:
    found = {
        "device": environment.hardware(device),
        "CPUs": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found["memory"] = f"{about.total_memory / 2**30:.0f} GiB"
        found["multiprocessors"] = str(about.multi_processor_count)
    return found


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
