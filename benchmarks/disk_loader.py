"""How busy images from disk keep the network: the rate with them over that with made-up input.

    python -m benchmarks.disk_loader                     # ResNet-50, 224 pixels, on a CPU
    python -m benchmarks.disk_loader --device cuda --batch-size 128 --images 4096

Both sides take the same training steps of one engine in turn: once with batches that are
decoded from JPEG files of 500 x 375 pixels, cropped, mirrored and coloured, once with one batch
that lies ready. The quickest epoch of each side counts, which other work on the machine disturbed
least. A last row gives the loader's rate by itself.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.common import Report, arguments, run_epoch
from lt_core.training import RunConfig
from lt_core.training.disk import DiskEngine
from lt_core.training.loop import Images

#: A photograph's width and height, as most of ImageNet's.
SIDES = (500, 375)
CLASSES = 4


def write_photographs(folder: Path, images: int) -> None:
    """Smooth random pictures, whose files are of the size of photographs (about 60 kB)."""
    generator = np.random.default_rng(0)
    for number in range(images + CLASSES):
        split = "train" if number < images else "test"
        place = folder / split / f"class {number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize(SIDES, Image.Resampling.BICUBIC), dtype=np.int16)
        noise = generator.integers(-12, 13, pixels.shape, dtype=np.int16)
        picture = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
        picture.save(place / f"{number}.jpg", quality=90)


def lying_ready(engine: DiskEngine):
    """The feed's ``batches`` with one batch of random pixels, which is never made again."""
    size = engine.feed.width
    pixels = torch.randint(0, 256, (engine.recipe.batch_size, size, size, 3), dtype=torch.uint8)
    if engine.device.type == "cuda":
        pixels = pixels.pin_memory()

    def batches(epoch, rows):
        for batch in rows:
            yield pixels[: len(batch)], torch.ones(len(batch), dtype=torch.bool), []

    return batches


def epoch_seconds(engine: DiskEngine, epoch: int) -> float:
    start = time.perf_counter()
    run_epoch(engine, epoch=epoch)
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    return time.perf_counter() - start


def measure(report: Report, options, folder: Path) -> None:
    config = RunConfig(
        dataset=f"folder:{folder}",
        method="softmax",
        model=options.model,
        recipe="decoupling",
        overrides={"batch_size": options.batch_size, "image_size": options.size},
        precision=options.precision,
    )
    engine = Images(report.device, workers=options.workers).engine(config)
    from_disk, ready = engine.feed.batches, lying_ready(engine)
    rounds = []
    for epoch in range(options.rounds + 1):
        seconds = []
        for batches in (from_disk, ready):
            engine.feed.batches = batches
            seconds.append(epoch_seconds(engine, epoch))
        rounds.append(seconds)
    rounds = rounds[1:]  # the first starts processes and chooses algorithms
    slow, fast = zip(*rounds, strict=True)
    images = engine.images_per_epoch
    what = f"{options.model}, {options.size} pixels, {options.precision}"
    report.add(f"{what}: from disk, {engine.workers} workers", images / min(slow), "images/s")
    report.add(f"{what}: lying ready", images / min(fast), "images/s")
    ratio = min(fast) / min(slow)
    report.add("from disk / lying ready", ratio, "x", ">= 0.9", ratio >= 0.9)
    engine.begin_epoch(0)
    start = time.perf_counter()
    order = torch.arange(images).split(options.batch_size)
    for _ in from_disk(0, order):
        pass
    report.add("the loader alone", images / (time.perf_counter() - start), "images/s")


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--workers", type=int, help="default: by the device's cores")
    options = parser.parse_args()
    report = Report("disk_loader", torch.device(options.device))
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), options.images)
        with report.kept(options.out, "disk_loader"):
            measure(report, options, Path(folder))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
