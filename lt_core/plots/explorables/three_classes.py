"""The picture that runs through the chapters: three classes that a reader drags about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from lt_core import losses
from lt_core.data import class_counts
from lt_core.errors import ConfigError
from lt_core.plots.explorables.figure import Explorable, colors, rounded
from lt_core.plots.styling import METHOD_COLOR, rank_colors

NAMES = ("head", "middle", "tail")
CENTERS = ((-0.9, -0.6), (1.0, -0.7), (0.1, 1.0))
SPREAD = 0.62  # standard deviation of each class, in both directions
HEAD = 50  # training points of the head; of every class at factor 1
HELD_OUT = 200  # points per class, which accuracy is measured on
LIMIT, CLIP = 2.8, 2.7  # the square shown, and where points stop
FACTORS, FACTOR = (1, 2, 5, 10, 25, 50), 10
STEPS, STEP = (1, 3, 10, 30, 100, 400), 400
#: Full-batch gradient descent. It starts beside zero, where no two points are equally hard:
#: ICB counts difficulties in bins, and a tie at an edge would be decided by rounding.
FIRST = ((-0.1, -0.1, 0.0), (0.1, -0.1, 0.0), (0.0, 0.1, 0.0))
RATE, DECAY = 0.6, 1e-3  # the decay leaves the biases alone


class Remedy(NamedTuple):
    """A loss of the picture: its words, its slider, and what it is in :mod:`lt_core.losses`."""

    words: str
    values: tuple[float, ...]
    preset: float
    loss: Callable[[float], tuple[str, dict]]


_TENTHS = tuple(tenth / 10 for tenth in range(21))
#: In the order of the chapters; ``{strength}`` is the slider in the sentence.
REMEDIES = {
    "softmax": Remedy("softmax as it is.", (0,), 0, lambda _: ("softmax", {})),
    "weight": Remedy(
        "class weights (1 − β) / (1 − βⁿ) for n points, β = {strength}.",
        (0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999),
        0.9999,
        lambda beta: ("effective_number", {"beta": beta}),
    ),
    "prior": Remedy(
        "τ = {strength} times the log of a class's share added to its logit.",
        _TENTHS,
        1,
        lambda tau: ("logit_adjustment", {"tau": tau}),
    ),
    "margin": Remedy(
        "γ = {strength} times the log of how much rarer a class is, taken off its logit for "
        "the points of more frequent classes.",
        _TENTHS,
        0.8,
        lambda gamma: ("icb", {"gamma": gamma, "intra": False}),
    ),
    "focal": Remedy(
        "focal loss, γ = {strength}: a point counts the more, the less probable its class.",
        (0, 0.5, 1, 1.5, 2, 3, 4, 5),
        2,
        lambda gamma: ("focal", {"gamma": gamma}),
    ),
    "ICB": Remedy(
        "the margin at γ = {strength}, and each point weighted by how rare its difficulty is "
        "within its class.",
        _TENTHS,
        0.8,
        lambda gamma: ("icb", {"gamma": gamma}),
    ),
    "GALA": Remedy(
        "λ = {strength} times the log of the gradient that a class has gathered, added to its "
        "logit.",
        _TENTHS,
        1,
        lambda lambda_: ("gala", {"lambda1": lambda_, "lambda2": lambda_}),
    ),
}


@cache
def offsets() -> np.ndarray:
    """How far each point lies from the centre of its class, ``(3, 250, 2)``: fixed."""
    random = np.random.default_rng(4)
    return random.normal(0, SPREAD, (3, HEAD + HELD_OUT, 2)).round(2)


def points(centers: Sequence = CENTERS) -> tuple[np.ndarray, np.ndarray]:
    """Training points ``(3, 50, 2)`` and held-out points ``(3, 200, 2)``."""
    drawn = (np.array(centers)[:, None] + offsets()).clip(-CLIP, CLIP)
    return drawn[:, :HEAD], drawn[:, HEAD:]


def train(
    remedy: str = "softmax",
    strength: float | None = None,
    factor: float = FACTOR,
    steps: int = STEP,
    centers: Sequence = CENTERS,
) -> dict[str, np.ndarray]:
    """Train as the page does, in float64, with the loss of :mod:`lt_core.losses` itself.

    Returns ``weights`` ``(3, 3)``, one row ``[w0, w1, bias]`` per class; ``recall`` ``(3,)``,
    the share of each class's held-out points found; and ``pull`` and ``push`` ``(3,)``, the
    gradient that each logit received in the last step from its own points and from all others;
    under GALA also ``theta`` ``(3,)``, the gradient gathered by each class.
    """
    chosen = REMEDIES[remedy]
    training, held_out = points(centers)
    counts = class_counts(3, HEAD, factor)
    method, params = chosen.loss(chosen.preset if strength is None else strength)
    loss = losses.create(method, counts, "none", **params)
    target = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    inputs = np.concatenate([own[:count] for own, count in zip(training, counts, strict=True)])
    inputs = torch.tensor(np.c_[inputs, np.ones(len(inputs))])
    weights = torch.tensor(FIRST, dtype=torch.float64)
    decay = weights.new_tensor([DECAY, DECAY, 0])
    for _ in range(steps):
        logits = (inputs @ weights.T).requires_grad_()
        value, weight = loss.per_sample(logits, target)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        if remedy == "weight":  # divided by the sum of the class weights, as re-weighting is
            gradient *= len(target) / weight.sum()
        weights = weights - RATE * (gradient.T @ inputs / len(inputs) + decay * weights)
    weights, gradient = weights.numpy(), gradient.numpy()
    own = target.numpy()[:, None] == np.arange(3)
    logits = held_out @ weights[:, :2].T + weights[:, 2]
    return {
        "weights": weights,
        "recall": (logits.argmax(axis=2) == np.arange(3)[:, None]).mean(axis=1),
        "pull": -(gradient * own).sum(axis=0),
        "push": (gradient * ~own).sum(axis=0),
    } | ({"theta": loss.theta.numpy()} if hasattr(loss, "theta") else {})


def decision_boundaries(
    remedy: str = "softmax", steps: int = STEP, question: str = ""
) -> Explorable:
    """Three classes in the plane, trained in the page whenever something is moved.

    The reader answers ``question``, or without one guesses how much of the tail ``remedy``
    finds, and then sees its regions, the boundaries without it, the share found of each class,
    and pull over push on each logit. The classes can be dragged; buttons choose among
    :data:`REMEDIES`; the numbers in the sentence are sliders, and the state stands in the
    address. What ``remedy`` is compared with is softmax, and for softmax itself the classes at
    equal counts. :func:`train` computes the same numbers in Python.

    Raises :class:`~lt_core.errors.ConfigError` for a remedy or a number of steps that the
    figure does not have.
    """
    for name, given, known in (("remedy", remedy, tuple(REMEDIES)), ("steps", steps, STEPS)):
        if given not in known:
            raise ConfigError(
                f"{name}: expected one of {', '.join(map(str, known))}, got {given!r}"
            )
    other = {"factor": 1} if remedy == "softmax" else {}
    shown = {
        "equal counts" if other else "softmax": train(steps=steps, **other),
        remedy: train(remedy, steps=steps),
    }
    data = {
        "label": "Decision regions of three classes, and the share found of each",
        "colors": colors(3),
        "names": NAMES,
        "remedies": {name: each._asdict() | {"loss": None} for name, each in REMEDIES.items()},
        "factors": FACTORS,
        "steps": STEPS,
        "start": {"remedy": remedy, "factor": FACTOR, "steps": steps, "centers": CENTERS},
        "counts": [class_counts(3, HEAD, factor) for factor in FACTORS],
        "offsets": rounded(offsets()),
        "training": HEAD,
        "limit": LIMIT,
        "clip": CLIP,
        "descent": {"first": FIRST, "rate": RATE, "decay": DECAY},
    }
    found = [f"with {name} {100 * each['recall'][2]:.1f} %" for name, each in shown.items()]
    alt = (
        f"Decision regions of three classes at imbalance factor {FACTOR} after {steps} steps. "
        f"Share of the tail that is found: {' and '.join(found)}."
    )
    title = "Three classes: drag them, and change the loss"
    scripts = ("three_classes_model.js", "three_classes.js")
    return Explorable("three-classes", title, data, _picture(shown), alt, scripts, question)


def _picture(trained: dict[str, dict]) -> Figure:
    """The regions of each training in ``trained``, side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), sharey=True, layout="constrained")
    grid = np.linspace(-LIMIT, LIMIT, 241)
    plane = np.stack([*np.meshgrid(grid, grid), np.ones((241, 241))], axis=-1)
    for ax, (name, found) in zip(axes, trained.items(), strict=True):
        region = rank_colors(3)[(plane @ found["weights"].T).argmax(axis=2)]
        ax.imshow(region, extent=[-LIMIT, LIMIT] * 2, origin="lower", alpha=0.25)
        counts = class_counts(3, HEAD, 1 if name == "equal counts" else FACTOR)
        for k, (own, count) in enumerate(zip(points()[0], counts, strict=True)):
            edge = {"edgecolor": METHOD_COLOR, "linewidth": 0.5}
            ax.scatter(*own[:count].T, 12, [rank_colors(3)[k]], marker="os^"[k], **edge)
        recall = zip(NAMES, 100 * found["recall"], strict=True)
        told = ", ".join(f"{each} {share:.1f} %" for each, share in recall)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{name}: {told}", fontsize=8)
    return figure
