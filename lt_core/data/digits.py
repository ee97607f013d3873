"""The embedded data set: real handwritten digits that come with scikit-learn.

1,797 images of 8 x 8 pixels (E. Alpaydin and C. Kaynak, 1998, UCI Optical
Recognition of Handwritten Digits, its test set). The rarest class has 174.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.data.long_tail import shuffled_rows
from lt_core.data.source import Source
from lt_core.errors import DataError

SPLIT_SEED = 0  # the same test images for every subset seed


def open_source(info: DatasetInfo, split: str) -> Source:
    """The training pool or the test images, chosen once and for all."""
    table = _bundled()
    targets = table[:, 64]
    shuffled = [shuffled_rows(targets, c, SPLIT_SEED) for c in range(info.num_classes)]
    test = np.sort(np.concatenate([rows[: info.test_count] for rows in shuffled]))
    pool = test if split == "test" else np.setdiff1d(np.arange(len(targets)), test)
    # 0..16 -> 0..255, rounded to nearest in integers: the same on every machine.
    images = table[pool, :64].reshape(-1, 1, 8, 8)
    pixels = ((images * 255 + 8) // 16).astype(np.uint8)
    return Source(targets[pool], info.class_names, lambda rows: torch.from_numpy(pixels[rows]))


def _bundled() -> np.ndarray:
    """``load_digits()`` as a row per image: 64 pixels from 0 to 16, and the digit.

    Read from scikit-learn's file, because importing scikit-learn takes seconds.
    """
    package = importlib.util.find_spec("sklearn")
    file = Path(package.origin if package else "").parent / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():
        raise DataError(f"digits: no {file}; install scikit-learn, which comes with the images")
    return np.loadtxt(file, delimiter=",", dtype=np.int64)
