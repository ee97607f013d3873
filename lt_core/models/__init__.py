"""Networks by name."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from lt_core.errors import ConfigError, unknown
from lt_core.models.classifiers import CosineClassifier
from lt_core.models.resnet_cifar import SmallResNet


def resnet32(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> nn.Module:
    """ResNet-32 for 32-pixel images; 464,154 parameters for 10 classes."""
    return SmallResNet(
        num_classes,
        blocks=5,
        widths=(16, 32, 64),
        in_channels=in_channels,
        classifier=classifier,
    )


def resnet_rehearsal(
    num_classes: int, in_channels: int = 3, classifier: str = "linear"
) -> nn.Module:
    """ResNet-8 on half the resolution, about 1/20 of ResNet-32's cost: rehearsals on a CPU.

    One block a stage instead of five, and a first convolution of stride 2; ours.
    """
    return SmallResNet(
        num_classes,
        blocks=1,
        widths=(16, 32, 64),
        in_channels=in_channels,
        classifier=classifier,
        stem_stride=2,
    )


def resnet_digits(num_classes: int, in_channels: int = 1, classifier: str = "linear") -> nn.Module:
    """A two-stage network for the 8-pixel digits: seconds on a CPU."""
    return SmallResNet(
        num_classes, blocks=1, widths=(16, 32), in_channels=in_channels, classifier=classifier
    )


_MODELS = {
    "resnet32": resnet32,
    "resnet_rehearsal": resnet_rehearsal,
    "resnet_digits": resnet_digits,
}


def names() -> tuple[str, ...]:
    return tuple(_MODELS)


def create(name: str, num_classes: int, seed: int | None = None, **params) -> nn.Module:
    """Create a network, its weights drawn from ``seed`` without touching the global state.

    With ``seed=None`` the weights come from torch's global generator, as in any
    plain PyTorch code.
    """
    if name not in _MODELS:
        raise unknown("model", name, _MODELS)
    known = [key for key in inspect.signature(_MODELS[name]).parameters if key != "num_classes"]
    for key in params:
        if key not in known:
            raise unknown(f"parameter of model {name}:", key, known)
    if num_classes < 2:
        raise ConfigError(f"num_classes: expected at least 2, got {num_classes}")
    if seed is None:
        return _MODELS[name](num_classes, **params)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also reseeds the GPUs
        return _MODELS[name](num_classes, **params)


__all__ = ["CosineClassifier", "SmallResNet", "create", "names"]
