"""Networks by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

from lt_core import lazily
from lt_core.errors import unknown
from lt_core.parameters import Range, convert

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CLASSIFIERS", "CosineClassifier", "SmallResNet", "create", "names"]

#: The module of this package that holds the function of each network's name.
_MODELS = {
    "resnet32": "resnet_cifar",
    "resnet_rehearsal": "resnet_cifar",
    "resnet_digits": "resnet_cifar",
    "resnet10": "resnet_imagenet",
    "resnet18": "resnet_imagenet",
    "resnet50": "resnet_imagenet",
    "resnet152": "resnet_imagenet",
    "resnext50": "resnet_imagenet",
}
CLASSIFIERS = ("linear", "cosine")

__getattr__ = lazily(
    __name__, {"CosineClassifier": "classifiers", "SmallResNet": "resnet_cifar", **_MODELS}
)


def names() -> tuple[str, ...]:
    return tuple(_MODELS)


def create(name: str, num_classes: int, seed: int | None = None, **params) -> nn.Module:
    """Create a network, its weights drawn from ``seed`` without touching the global state.

    With ``seed=None`` the weights come from torch's global generator, as in any
    plain PyTorch code.
    """
    if name not in names():
        raise unknown("model", name, _MODELS)
    build = __getattr__(name)
    known = [key for key in inspect.signature(build).parameters if key != "num_classes"]
    for key in params:
        if key not in known:
            raise unknown(f"parameter of model {name}:", key, known)
    num_classes = convert("num_classes", num_classes, Annotated[int, Range(2)])
    if "in_channels" in params:
        params["in_channels"] = convert(
            "in_channels", params["in_channels"], Annotated[int, Range(1)]
        )
    if (seed := convert("seed", seed, int | None)) is None:
        return build(num_classes, **params)

    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also reseeds the GPUs
        return build(num_classes, **params)
