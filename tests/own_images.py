"""A user's own images, as files: a folder for tests of reading, training and commands."""

import numpy as np
from PIL import Image


def write_jpeg(path, height=32, width=40, seed=0):
    """A picture of twelve coloured squares, in folders that are made for it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).save(path, "JPEG")


def write_own_images(root, train=(12, 5, 3), test=2, names=("ant", "bee", "cat")):
    """train/CLASS/N.jpg and test/CLASS/N.jpg, of several sizes."""
    sides = np.random.default_rng(0).integers(24, 48, (1000, 2))
    seed = 0
    for split, counts in (("train", train), ("test", [test] * len(train))):
        for name, count in zip(names, counts, strict=True):
            for n in range(count):
                write_jpeg(root / split / name / f"{n}.jpg", *map(int, sides[seed]), seed)
                seed += 1
    return root
