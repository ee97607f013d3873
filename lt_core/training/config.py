"""What a run is: its configuration, and the key made from it.

The key is a hash of everything that changes the numbers, and of nothing else, so
that the same experiment has the same key on every machine and in every version.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from lt_core import data, losses, models
from lt_core.data import long_tail, own
from lt_core.errors import ConfigError, unknown
from lt_core.models import CLASSIFIERS
from lt_core.parameters import Range, choice, convert, convert_fields, in_range, text_of
from lt_core.training import recipes

Seed = Annotated[int, Range(0, 2**31 - 1)]
#: A step needs one number, and the mean training loss a mean.
TRAINING_REDUCTIONS = ("mean", "weighted_mean")
#: What may be done about a training image on disk that cannot be read.
DAMAGED = ("stop", "skip")

#: A field that has this value trains as if the field did not exist, and stays out
#: of the key. A field added later names its neutral value here, so that runs made
#: before it was added keep their keys. Changing a default never changes old keys,
#: because a run stores and hashes the values themselves.
NEUTRAL = {
    "holdout": 0,
    "classifier": "linear",
    "recipe.nesterov": False,
    "recipe.drop_last": False,
    "recipe.weights": None,
    "recipe.frozen": False,
    "recipe.image_size": 0,
    "recipe.smallest_crop": 0.0,
    "recipe.colour_jitter": 0.0,
    "recipe.crop_padding": 0,
    "recipe.flip": False,
    "recipe.autoaugment": None,
    "recipe.cutout": 0,
    "recipe.mixup_alpha": 0.0,
    "params.reduction": "mean",
}


@dataclass(frozen=True)
class RunConfig:
    """One training run. Strings are converted, so that ``1``, ``1.0`` and ``"1"`` have one key.

    Parameters
    ----------
    dataset, method : str
        One of :func:`lt_core.data.names` or a folder, and one of :func:`lt_core.losses.names`.
    imbalance_factor : float
        Training images of the largest class over those of the smallest.
    params : mapping
        Parameters of the loss, and its ``reduction``.
    model, classifier, recipe : str or None
        Names; None for the data set's default, and for the classifier that the method needs.
    overrides : mapping
        Fields of the recipe that are replaced.
    epochs : int or None
        None for the recipe's.
    precision : {"float32", "bfloat16"}
        That of the convolutions.
    seed, subset_seed : int
        Of the training, and of the choice of the images that a long tail keeps.
    holdout : int
        Images per class that are kept from training and evaluated instead of the test set: such a
        run serves a choice and stands beside no published number. Of data that are taken as they
        are it is at most half of a class, drawn by ``subset_seed``.

    Raises
    ------
    ConfigError
        For an unknown name, with the nearest one; for a value out of range; for fewer epochs than
        the schedule of the recipe has stages.
    """

    dataset: str
    method: str
    imbalance_factor: float = 1.0
    params: Mapping = field(default_factory=dict)
    model: str | None = None
    classifier: str | None = None
    recipe: str | None = None
    overrides: Mapping = field(default_factory=dict)
    epochs: Annotated[int, Range(1, 100_000)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: Seed = 0
    subset_seed: Seed = 0
    holdout: Annotated[int, Range(0, 10**6)] = 0

    def __post_init__(self) -> None:
        choice("method", self.method, losses.names())
        convert_fields(self)
        for name, value in self._resolved().items():
            object.__setattr__(self, name, value)

    def _resolved(self) -> dict:
        info = data.info(self.dataset)  # refuses an unknown name
        model = info.model if self.model is None else self.model
        choice("model", model, models.names())
        takes_cosines = losses.takes_cosines(self.method)
        classifier = self.classifier
        if classifier is None:
            classifier = "cosine" if takes_cosines else "linear"
        choice("classifier", classifier, CLASSIFIERS)
        if takes_cosines and classifier != "cosine":
            raise ConfigError(f"classifier: {self.method} takes cosines, expected 'cosine'")
        name = info.recipe if self.recipe is None else self.recipe
        recipe = recipes.get(name, self.overrides)
        data.check_factor(self.imbalance_factor)
        if info.head_count is not None:  # listed sets have more images than any batch
            in_range("holdout", self.holdout, 0, info.head_count - 1)
            # Refuses a factor that leaves a class empty.
            head_count = info.head_count - self.holdout
            counts = data.class_counts(info.num_classes, head_count, self.imbalance_factor)
            in_range("batch_size", recipe.batch_size, 1, sum(counts))
        else:
            info.check_cut(self.imbalance_factor)
            if self.holdout and info.name.startswith(own.PREFIX):
                long_tail.held_out(own.usable(info.name).counts("train"), self.holdout)
        epochs = recipe.epochs if self.epochs is None else self.epochs
        recipe.scaled_milestones(epochs)  # refuses a length that cannot hold every stage
        return {
            "dataset": info.name,
            "params": self._params(info.num_classes),
            "model": model,
            "classifier": classifier,
            "recipe": name,
            "overrides": recipe.changed(),
            "epochs": epochs,
        }

    def _params(self, num_classes: int) -> dict:
        defaults = losses.defaults(self.method)
        params = {"reduction": "mean", **defaults, **self.params}
        reduction = params.pop("reduction")
        choice("reduction for training", reduction, TRAINING_REDUCTIONS)
        params = losses.converted(self.method, params)
        if params != defaults:  # the loss knows its ranges: let it refuse before data is read
            losses.create(self.method, [1] * num_classes, **params)
        return {"reduction": reduction, **params}

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name the run."""
        return key_of(self.to_dict())

    @property
    def variant(self) -> str:
        """The parameters that differ from the method's defaults, ``"a=1,b=2"``."""
        return variant_of(self.method, self.params)

    @property
    def overrides_text(self) -> str:
        """The recipe's fields that were replaced, ``"a=1,b=2"``."""
        return overrides_text(self.overrides)

    def resolved_recipe(self) -> recipes.Recipe:
        return recipes.get(self.recipe, self.overrides)

    def to_dict(self) -> dict:
        """Plain values, complete: what is stored beside a run's results."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del values["overrides"]
        values["params"] = dict(self.params)
        values["recipe"] = {"name": self.recipe, **self.resolved_recipe().numbers()}
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls, values: Mapping) -> RunConfig:
        """Inverse of :meth:`to_dict`; also takes the arguments of the constructor."""
        values = dict(values)
        known = {entry.name for entry in fields(cls)}
        for name in values:
            if name not in known:
                raise unknown("configuration field", name, known)
        for name in ("dataset", "method"):
            if name not in values:
                raise ConfigError(f"{name}: missing, a configuration names its {name}")
        if isinstance(values.get("recipe"), Mapping):
            recipe = dict(values["recipe"])
            values["recipe"] = recipe.pop("name", None)
            values["overrides"] = recipe
        return cls(**values)


def variant_of(method: str, params: Mapping) -> str:
    """The ``params``, in their declared types, that differ from the method's defaults of today."""
    defaults = {"reduction": "mean", **losses.defaults(method)}
    return ",".join(
        f"{name}={text_of(value)}"
        for name, value in sorted(params.items())
        if value != defaults[name]
    )


def overrides_text(overrides: Mapping) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(overrides.items()))


def key_of(config: Mapping) -> str:
    """The key of a configuration given as :meth:`RunConfig.to_dict` gives it."""
    material = {}
    for name, value in config.items():
        nested = value if isinstance(value, Mapping) else {None: value}
        for inner, entry in nested.items():
            path = name if inner is None else f"{name}.{inner}"
            if path != "recipe.name" and not (path in NEUTRAL and entry == NEUTRAL[path]):
                material[path] = entry
    text = json.dumps(material, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seconds(name: str, value: object) -> float | None:
    """A time in seconds; None, and infinity, mean that there is no limit."""
    if value is None:
        return None
    limit = Annotated[float, Range(above=0, high=math.inf)]
    value = convert(f"{name} (seconds)", value, limit)
    return None if value == math.inf else value


def pack_of(value: object) -> int | None:
    """How many runs share a GPU; None for ``"auto"``."""
    if value == "auto":
        return None
    try:
        return in_range("pack", value, 1, 1024)
    except ConfigError:
        expected = "a number of runs from 1, or 'auto'"
        raise ConfigError(f"pack: expected {expected}, got {value!r}") from None


def shares(engine: object, gpus_per_run: object) -> float | None:
    """The part of a GPU that a run on a cluster takes; None when it is left to us."""
    choice("engine", engine, ("local", "ray"))
    if gpus_per_run is None:
        return None
    share = convert("gpus_per_run", gpus_per_run, Annotated[float, Range(0, 1)])
    if engine == "local":
        raise ConfigError(f"gpus_per_run: only with engine 'ray', got {share:g}; see pack")
    return share


def loading(workers: object, damaged: object) -> dict:
    """How images on disk are read: by how many processes, and what a damaged one does."""
    choice("damaged", damaged, DAMAGED)
    return {
        "workers": None if workers is None else in_range("workers", workers, 0, 1024),
        "damaged": damaged,
    }


def check_device(device: object) -> None:
    """Refuse what names no device, before torch is asked which devices there are."""
    if device is not None and not re.fullmatch(r"(cpu|cuda)(:\d{1,3})?", str(device)):
        raise ConfigError(
            f"device: expected cpu, or cuda where there is any, got {str(device)!r}; "
            "a GPU is called cuda, the second one cuda:1"
        )
