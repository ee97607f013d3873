"""What is known about each data set before a file of it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from lt_core import errors

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set.

    ``head_count`` is the number of training images of class 0 in every cut of
    the exponential profile, or None where the data are long-tailed by nature
    and taken as listed; ``test_count`` that of test images of every class.
    ``mean`` and ``std`` are per channel, as fractions of 1. ``flip`` says
    whether a mirrored image keeps its label. ``holdout`` is the number of
    images per class that ``split="val"`` sets aside if not told. ``model`` and
    ``recipe`` are the defaults of a run. ``how_to_get`` are the files to put into
    the data set's folder. ``releases`` are the published folders, each with its
    archive; the first can be downloaded. ``class_names`` is the standard order
    where it is known. Of a set that comes as a list, ``train_count`` and
    ``evaluated_count`` are the numbers of images in the published lists, and
    ``natural_factor`` its imbalance factor as the papers give it.
    """

    name: str
    title: str
    num_classes: int
    how_to_get: str
    model: str
    recipe: str
    head_count: int | None = None
    test_count: int | None = None
    image_shape: tuple[int, int, int] = (3, 224, 224)
    # Of ImageNet; the values that torchvision's models are trained with.
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    flip: bool = True
    holdout: int = 0
    releases: tuple[tuple[str, str], ...] = ()
    class_names: tuple[str, ...] | None = None
    train_count: int | None = None
    evaluated_count: int | None = None
    natural_factor: int | None = None

    def check_cut(self, imbalance_factor: float, holdout: int) -> None:
        """Refuse a factor and a holdout that a set taken as it is cannot be cut to."""
        if holdout or not (imbalance_factor == 1 or imbalance_factor < (self.natural_factor or 1)):
            below = f" or below its own {self.natural_factor}" if self.natural_factor else ""
            raise errors.ConfigError(
                f"imbalance_factor and holdout: {self.name} is long-tailed by nature, expected 1 "
                f"(taken as it is){below}, and 0; got {imbalance_factor:g} and {holdout}"
            )


_CIFAR = {
    "image_shape": (3, 32, 32),
    # Of the balanced CIFAR-10 training set; LDAM-DRW, GCL and GALA use them for CIFAR-100 too.
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2023, 0.1994, 0.2010),
}
_SMALL = {"model": "resnet32", "recipe": "ldam_drw"}

_ALL = (
    DatasetInfo(
        name="digits",
        title="handwritten digits (scikit-learn)",
        num_classes=10,
        how_to_get="nothing: it comes with scikit-learn",
        model="resnet_digits",
        recipe="digits",
        head_count=124,
        test_count=50,
        image_shape=(1, 8, 8),
        # Of the 124 images per class that the balanced training set holds.
        mean=(0.3056,),
        std=(0.3758,),
        flip=False,  # a mirrored 2 is no digit
        holdout=24,
        class_names=tuple("0123456789"),
    ),
    DatasetInfo(
        name="cifar10",
        title="CIFAR-10",
        num_classes=10,
        how_to_get="cifar-10-batches-py (or its archive), Hugging Face's parquet shards or "
        "train/CLASS/*.png and test/CLASS/*.png",
        head_count=5000,
        test_count=1000,
        holdout=50,
        releases=(
            ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
            ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
        ),
        class_names=tuple(_CIFAR10.split()),
        **_CIFAR,
        **_SMALL,
    ),
    DatasetInfo(
        name="cifar100",
        title="CIFAR-100",
        num_classes=100,
        how_to_get="cifar-100-python (or its archive), Hugging Face's parquet shards or "
        "train/CLASS/*.png and test/CLASS/*.png",
        head_count=500,
        test_count=100,
        holdout=20,
        releases=(
            ("cifar-100-python", "cifar-100-python.tar.gz"),
            ("cifar-100-binary", "cifar-100-binary.tar.gz"),
        ),
        class_names=tuple(_CIFAR100.split()),
        **_CIFAR,
        **_SMALL,
    ),
    DatasetInfo(
        name="tinyimagenet",
        title="TinyImageNet, 64 pixels",
        num_classes=200,
        how_to_get="Stanford's tiny-imagenet-200 (or its archive), Hugging Face's parquet shards "
        "or train/CLASS/*.JPEG and val/CLASS/*.JPEG",
        head_count=500,
        test_count=50,
        image_shape=(3, 64, 64),
        holdout=20,
        releases=(("tiny-imagenet-200", "tiny-imagenet-200.zip"),),
        **_SMALL,
    ),
    DatasetInfo(
        name="tinyimagenet32",
        title="TinyImageNet shrunk to 32 pixels (other data than the papers')",
        num_classes=200,
        how_to_get="train and valid parquet shards of 32-pixel images",
        head_count=450,
        test_count=50,
        image_shape=(3, 32, 32),
        holdout=20,
        **_SMALL,
    ),
    DatasetInfo(
        name="imagenet_lt",
        title="ImageNet-LT",
        num_classes=1000,
        how_to_get="ImageNet_LT_{train,val,test}.txt and ImageNet's train/ and val/",
        model="resnet50",
        recipe="decoupling",
        train_count=115_846,
        evaluated_count=50_000,
        natural_factor=256,
    ),
    DatasetInfo(
        name="places_lt",
        title="Places-LT",
        num_classes=365,
        how_to_get="Places_LT_{train,val,test}.txt and the folders they name",
        model="resnet152",
        recipe="decoupling_places",
        train_count=62_500,
        evaluated_count=36_500,
        natural_factor=996,
    ),
    DatasetInfo(
        name="inaturalist2017",
        title="iNaturalist 2017",
        num_classes=5089,
        how_to_get="train2017.json, val2017.json and train_val_images/",
        model="resnet50",
        recipe="decoupling_inaturalist",
        train_count=579_184,
        evaluated_count=95_986,
        natural_factor=435,
    ),
    DatasetInfo(
        name="inaturalist2018",
        title="iNaturalist 2018",
        num_classes=8142,
        how_to_get="iNaturalist18_{train,val}.txt or {train,val}2018.json and train_val2018/",
        model="resnet50",
        recipe="decoupling_inaturalist",
        train_count=437_513,
        evaluated_count=24_426,
        natural_factor=500,
    ),
)
_CATALOG = {entry.name: entry for entry in _ALL}


def names() -> tuple[str, ...]:
    """The data sets that :func:`lt_core.data.load` knows by name; others are ``folder:DIR``."""
    return tuple(_CATALOG)


def info(name: str) -> DatasetInfo:
    """The facts about the data set ``name``; an unknown name raises ConfigError.

    ``folder:DIR`` is a folder of images of one's own: see :mod:`lt_core.data.own`.
    """
    if isinstance(name, str) and name.startswith("folder:"):
        from lt_core.data import own

        return own.info(name)
    if name not in _CATALOG:
        raise errors.unknown("data set", name, [*_CATALOG, "folder:DIR"])
    return _CATALOG[name]
