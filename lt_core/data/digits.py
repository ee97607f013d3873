"""The embedded data set: real handwritten digits that come with scikit-learn.

1,797 images of 8 x 8 pixels (E. Alpaydin and C. Kaynak, 1998, UCI Optical
Recognition of Handwritten Digits, its test half). The rarest class has 174.
"""

from __future__ import annotations

import numpy as np
import torch

from lt_core.data.catalog import DatasetInfo
from lt_core.data.long_tail import shuffled_rows
from lt_core.data.source import Source

TEST_IMAGES = 50  # a class
SPLIT_SEED = 0  # the same test images for every subset seed


def open_source(info: DatasetInfo, split: str) -> Source:
    """The training pool or the test images, chosen once and for all."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    targets = bunch.target.astype(np.int64)
    test = np.sort(
        np.concatenate(
            [shuffled_rows(targets, c, SPLIT_SEED)[:TEST_IMAGES] for c in range(info.num_classes)]
        )
    )
    pool = test if split == "test" else np.setdiff1d(np.arange(len(targets)), test)
    # 0..16 -> 0..255, rounded to nearest in integers: the same on every machine.
    pixels = ((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)[pool, None]
    return Source(targets[pool], info.class_names, lambda rows: torch.from_numpy(pixels[rows]))
