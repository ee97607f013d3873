"""A run with every sample's gradient kept: what chapters on difficulty look at."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch

from lt_core.errors import ConfigError
from lt_core.training.config import RunConfig
from lt_core.training.engine import Engine
from lt_core.training.loop import Images, choose_device, settings
from lt_core.training.metrics import class_accuracy


@dataclass(frozen=True)
class SampleGradients:
    """Gradients at each sample's own logit, in the order in which training met them.

    ``target`` ``(epochs, N)``; ``gradient`` ``(epochs, N)``: g = 1 - p_y of the raw logits,
    in [0, 1]; ``applied`` ``(epochs, N)``: the size that the loss gave it,
    ``|dl / dz_y|``, equal to g for softmax and to W g for a weighted loss.
    ``class_accuracy`` ``(C,)``: fractions of the evaluated images after the last epoch.
    """

    target: np.ndarray
    gradient: np.ndarray
    applied: np.ndarray
    class_accuracy: np.ndarray

    def by_class(self, values: np.ndarray) -> np.ndarray:
        """Sums of ``values`` ``(epochs, N)`` over the samples of each class, ``(epochs, C)``."""
        classes = range(len(self.class_accuracy))
        return np.stack([np.where(self.target == c, values, 0).sum(axis=1) for c in classes], 1)


def record(
    config: RunConfig,
    data_root: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> SampleGradients:
    """Train like :func:`~lt_core.training.train`, keep the gradients and store no run.

    The steps are the engine's own, without CUDA graphs; hooks look on. Raises
    :class:`~lt_core.errors.ConfigError` for recipes with mixup, whose samples have two
    targets, and for reductions other than ``"mean"``.
    """
    if config.resolved_recipe().mixup_alpha:
        raise ConfigError("recipe: expected one without mixup, whose samples have two targets")
    if config.params["reduction"] != "mean":
        raise ConfigError(f"reduction: expected 'mean', got {config.params['reduction']!r}")
    images = Images(choose_device(device), data_root)
    train, evaluated = images.train(config), images.evaluated(config)
    engine = Engine(
        config, train, images.bank(config), images.test(config), images.device, graphs=False
    )
    steps = []

    def look(_, inputs, __):
        logits, target = inputs
        row = torch.arange(len(target), device=target.device)
        p_log = logits.detach().double().log_softmax(dim=1)[row, target]
        step = [target, -torch.expm1(p_log), None]
        steps.append(step)

        def keep(gradient):
            step[2] = gradient[row, target].abs().double() * len(target)

        logits.register_hook(keep)

    engine.loss.register_forward_hook(look)
    with settings(images.device, deterministic=False):
        for epoch in range(config.epochs):
            engine.begin_epoch(epoch)
            for _ in engine.steps():
                pass
        engine.end_epoch().read()
    kept = (
        torch.cat(part).view(config.epochs, -1).cpu().numpy() for part in zip(*steps, strict=True)
    )
    prediction = engine.logits.argmax(dim=1).cpu().numpy()
    accuracy = class_accuracy(prediction, evaluated.targets.numpy(), train.num_classes)
    return SampleGradients(*kept, accuracy)
