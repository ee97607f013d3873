"""What is known about each data set before a file of it is opened: ``catalog.toml``, read."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from importlib import resources

from lt_core import errors


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set."""

    name: str
    title: str
    num_classes: int
    #: The files to put into the data set's folder.
    how_to_get: str
    #: What a run takes if not told.
    model: str = "resnet32"
    recipe: str = "ldam_drw"
    #: Training images of class 0 in every cut of the exponential profile, and test images of
    #: every class; None where the data are long-tailed by nature and taken as listed.
    head_count: int | None = None
    test_count: int | None = None
    #: Images per class that ``split="val"`` sets aside if not told.
    holdout: int = 0
    image_shape: tuple[int, int, int] = (3, 224, 224)
    #: Per channel, as fractions of 1; of ImageNet, as torchvision's models are trained with.
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    #: Whether a mirrored image keeps its label.
    flip: bool = True
    #: The standard order, where it is known.
    class_names: tuple[str, ...] | None = None
    #: Published folders, each with its archive; the first archive can be downloaded.
    releases: tuple[tuple[str, str], ...] = ()
    #: Of a set that comes as lists: their files, how many images the published ones hold, and
    #: the imbalance factor as the papers give it.
    lists: dict[str, list[str]] = field(default_factory=dict, hash=False)
    train_count: int | None = None
    evaluated_count: int | None = None
    natural_factor: int | None = None

    def check_cut(self, imbalance_factor: float) -> None:
        """Refuse a factor that a set taken as it is cannot be cut to."""
        if not (imbalance_factor == 1 or imbalance_factor < (self.natural_factor or 1)):
            below = f" or below its own {self.natural_factor}" if self.natural_factor else ""
            raise errors.ConfigError(
                f"imbalance_factor: {self.name} is long-tailed by nature, expected 1 "
                f"(taken as it is){below}, got {imbalance_factor:g}"
            )


def _read() -> dict[str, DatasetInfo]:
    file = resources.files("lt_core.data").joinpath("catalog.toml")
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    for entry in entries.values():
        if "class_names" in entry:
            entry["class_names"] = entry["class_names"].split()
        for key in entry.keys() & {"class_names", "image_shape", "mean", "std"}:
            entry[key] = tuple(entry[key])
        entry["releases"] = tuple(map(tuple, entry.get("releases", ())))
    return {name: DatasetInfo(name=name, **entry) for name, entry in entries.items()}


_CATALOG = _read()


def names() -> tuple[str, ...]:
    """The data sets that :func:`lt_core.data.load` knows by name; others are ``folder:DIR``."""
    return tuple(_CATALOG)


def at(name: str, imbalance_factor: float) -> str:
    """On what an accuracy was reached, in words: ``at factor 100``, or on images as they are."""
    if imbalance_factor == 1 and name.startswith("folder:"):
        return "on these images"
    if imbalance_factor == 1 and name in _CATALOG and _CATALOG[name].head_count is None:
        return "on the whole list"
    return f"at factor {imbalance_factor:g}"


def info(name: str) -> DatasetInfo:
    """The facts about the data set ``name``; an unknown name raises ConfigError.

    ``folder:DIR`` is a folder of images of one's own: see :mod:`lt_core.data.own`.
    """
    if isinstance(name, str) and name.startswith("folder:"):
        from lt_core.data import own

        return own.info(name)
    if name not in _CATALOG:
        if isinstance(name, str) and os.path.isdir(name):
            raise errors.ConfigError(f"unknown data set {name!r}; did you mean 'folder:{name}'?")
        raise errors.unknown("data set", name, [*_CATALOG, "folder:DIR"])
    return _CATALOG[name]
