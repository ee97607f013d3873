"""The object that every data set is loaded into."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lt_core.errors import DataError


@dataclass(eq=False)
class Dataset:
    """Images and labels of one split.

    ``images`` uint8 ``(N, C, H, W)``, or a lazy source of the same shape that
    decodes on indexing; ``targets`` int64 ``(N,)`` in ``[0, num_classes)``;
    ``class_counts`` images per class, by class; ``indices`` the rows chosen in
    the source, whose files are ``files``; ``label_map`` the class that each
    label of the source became, or None where they agree; ``overlap`` the
    number of test images that are also training images, or None where the
    two were not compared (:func:`lt_core.data.load_train_test` does).
    """

    name: str
    split: str
    images: torch.Tensor = field(repr=False)
    targets: torch.Tensor = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    indices: np.ndarray = field(repr=False)
    imbalance_factor: float = 1
    subset_seed: int = 0
    holdout: int = 0
    files: tuple[Path, ...] = ()
    label_map: tuple[int, ...] | None = None
    overlap: int | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def class_counts(self) -> list[int]:
        return torch.bincount(self.targets, minlength=self.num_classes).tolist()

    @property
    def is_lazy(self) -> bool:
        """Whether images are decoded on indexing instead of held in memory."""
        return not isinstance(self.images, torch.Tensor)

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def image_digests(self) -> list[bytes]:
        """SHA-256 of each image's pixels in (C, H, W) order; of its path for a lazy source."""
        if self.is_lazy:
            contents = (path.encode() for path in self.images.paths)
        else:
            contents = (memoryview(image) for image in self.images.contiguous().numpy())
        return [hashlib.sha256(content).digest() for content in contents]

    @cached_property
    def sha256(self) -> str:
        """Hash of the set of (label, image) pairs: the order of the rows does not matter."""
        return hashlib.sha256(b"".join(sorted(self._rows()))).hexdigest()

    @cached_property
    def rows_sha256(self) -> str:
        """Hash of the (label, image) pairs in their order, on which a training depends."""
        return hashlib.sha256(b"".join(self._rows())).hexdigest()

    def _rows(self) -> list[bytes]:
        pairs = zip(self.targets.tolist(), self.image_digests, strict=True)
        return [label.to_bytes(8, "little") + digest for label, digest in pairs]

    def take(self, rows: Sequence[int], **changes: object) -> Dataset:
        """The images of these rows, with other values in the fields that ``changes`` names."""
        images = self.images.select(rows) if self.is_lazy else self.images[rows]
        chosen = {"images": images, "targets": self.targets[rows], "indices": self.indices[rows]}
        return replace(self, **chosen, **changes)

    def validate(self) -> Dataset:
        """Check shapes, types and the range of labels; raise DataError or return self.

        Losses on a GPU do not look at labels, so this is where they are
        checked: every data set passes here once.
        """
        targets, images = self.targets, self.images
        if targets.dtype != torch.int64 or targets.dim() != 1:
            problem = f"targets must be int64 (N,), got {targets.dtype} {tuple(targets.shape)}"
        elif len(images) != len(targets):
            problem = f"{len(images)} images but {len(targets)} labels"
        elif not self.is_lazy and (images.dtype != torch.uint8 or images.dim() != 4):
            problem = f"images must be uint8 (N, C, H, W), got {images.dtype} {tuple(images.shape)}"
        elif len(wrong := torch.nonzero((targets < 0) | (targets >= self.num_classes))):
            problem = (
                f"{len(wrong)} labels outside [0, {self.num_classes}), "
                f"first {int(targets[wrong[0]])} in row {int(wrong[0])}"
            )
        elif 0 in self.class_counts:
            missing = [self.class_names[c] for c, n in enumerate(self.class_counts) if n == 0]
            problem = (
                f"{len(missing)} of {self.num_classes} classes have no image, first {missing[0]!r}"
            )
        else:
            return self
        raise DataError(f"{self.name} {self.split}: {problem}")
