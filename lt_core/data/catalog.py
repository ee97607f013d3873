"""What is known about each data set before a file of it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from lt_core import errors

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set.

    ``head_count`` is the number of training images of class 0 in every cut of
    the exponential profile, or None where the data are long-tailed by nature
    and taken as listed; ``test_count`` that of test images of every class.
    ``mean`` and ``std`` are per channel, as fractions of 1. ``flip`` says
    whether a mirrored image keeps its label. ``holdout`` is the number of
    images a class that ``split="val"`` sets aside if not told. ``model`` and
    ``recipe`` are the defaults of a run; None means that a run has to name
    them. ``class_names`` is the standard order where it is not the sorted one.
    """

    name: str
    title: str
    num_classes: int
    head_count: int | None
    test_count: int | None
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    holdout: int
    model: str | None
    recipe: str | None
    how_to_get: str
    class_names: tuple[str, ...] | None = None


# Of the balanced CIFAR-10 training set; LDAM-DRW, GCL and GALA use them for CIFAR-100 too.
_CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010), "flip": True}
# Of ImageNet, the parent of these sets; the values that torchvision's models are trained with.
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "flip": True}
_LDAM_DRW = {"model": "resnet32", "recipe": "ldam_drw"}
_LISTED = {
    "head_count": None,
    "test_count": None,
    "image_shape": (3, 224, 224),
    "holdout": 0,
    **_IMAGENET,
}
_NO_DEFAULTS = {"model": None, "recipe": None}

_ALL = (
    DatasetInfo(
        name="digits",
        title="handwritten digits (scikit-learn)",
        num_classes=10,
        head_count=124,
        test_count=50,
        image_shape=(1, 8, 8),
        # Of the 124 images a class that the balanced training set holds.
        mean=(0.3056,),
        std=(0.3758,),
        flip=False,  # a mirrored 2 is no digit
        holdout=24,
        model="resnet_digits",
        recipe="digits",
        how_to_get="comes with scikit-learn",
        class_names=tuple("0123456789"),
    ),
    DatasetInfo(
        name="cifar10",
        title="CIFAR-10",
        num_classes=10,
        head_count=5000,
        test_count=1000,
        image_shape=(3, 32, 32),
        holdout=50,
        how_to_get="call with download=True (lt-core: --download), or put torchvision's "
        "cifar-10-batches-py, Hugging Face's parquet shards or train/CLASS/*.png there",
        class_names=CIFAR10_CLASSES,
        **_CIFAR,
        **_LDAM_DRW,
    ),
    DatasetInfo(
        name="cifar100",
        title="CIFAR-100",
        num_classes=100,
        head_count=500,
        test_count=100,
        image_shape=(3, 32, 32),
        holdout=20,
        how_to_get="call with download=True (lt-core: --download), or put torchvision's "
        "cifar-100-python, Hugging Face's parquet shards or train/CLASS/*.png there",
        **_CIFAR,
        **_LDAM_DRW,
    ),
    DatasetInfo(
        name="tinyimagenet",
        title="TinyImageNet, 64 pixels",
        num_classes=200,
        head_count=500,
        test_count=50,
        image_shape=(3, 64, 64),
        holdout=20,
        how_to_get="call with download=True (lt-core: --download), or put Stanford's "
        "tiny-imagenet-200 or Hugging Face's parquet shards there",
        **_IMAGENET,
        **_LDAM_DRW,
    ),
    DatasetInfo(
        name="tinyimagenet32",
        title="TinyImageNet shrunk to 32 pixels (other data than the papers')",
        num_classes=200,
        head_count=450,
        test_count=50,
        image_shape=(3, 32, 32),
        holdout=20,
        how_to_get="put train and valid parquet shards of 32-pixel images there",
        **_IMAGENET,
        **_LDAM_DRW,
    ),
    DatasetInfo(
        name="imagenet_lt",
        title="ImageNet-LT",
        num_classes=1000,
        how_to_get="put ImageNet_LT_{train,val,test}.txt and ImageNet's train/ and val/ there",
        **_LISTED,
        **_NO_DEFAULTS,
    ),
    DatasetInfo(
        name="places_lt",
        title="Places-LT",
        num_classes=365,
        how_to_get="put Places_LT_{train,val,test}.txt and the folders they name there",
        **_LISTED,
        **_NO_DEFAULTS,
    ),
    DatasetInfo(
        name="inaturalist2017",
        title="iNaturalist 2017",
        num_classes=5089,
        how_to_get="put train2017.json, val2017.json and train_val_images/ there",
        **_LISTED,
        **_NO_DEFAULTS,
    ),
    DatasetInfo(
        name="inaturalist2018",
        title="iNaturalist 2018",
        num_classes=8142,
        how_to_get="put iNaturalist18_{train,val}.txt or {train,val}2018.json "
        "and train_val2018/ there",
        **_LISTED,
        **_NO_DEFAULTS,
    ),
)
_CATALOG = {entry.name: entry for entry in _ALL}


def names() -> tuple[str, ...]:
    """The data sets that :func:`lt_core.data.load` knows."""
    return tuple(_CATALOG)


def info(name: str) -> DatasetInfo:
    """The facts about the data set ``name``; an unknown name raises ConfigError."""
    if name not in _CATALOG:
        raise errors.unknown("data set", name, _CATALOG)
    return _CATALOG[name]
