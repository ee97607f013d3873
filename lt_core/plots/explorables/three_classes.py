"""The third explorable: what a margin does to a boundary, in a problem small enough to see."""

from __future__ import annotations

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lt_core.data import class_counts
from lt_core.plots.explorables.figure import Explorable, colors, rounded
from lt_core.plots.styling import rank_colors

CENTERS = np.array([[-0.9, -0.6], [1.0, -0.7], [0.1, 1.0]])  # of head, middle and tail
SPREAD = 0.62  # standard deviation of each class, in both directions
HEAD = 50  # training points of the head; of every class at factor 1
HELD_OUT = 200  # points per class, which accuracy is measured on
LIMIT = 2.8  # the square shown
FACTORS, START = (1, 2, 5, 10, 25, 50), 10  # START: shown first
NAMES = ("head", "middle", "tail")
#: Gradient descent: full batch, from zero; decay leaves the biases alone.
STEPS, RATE, DECAY = 400, 0.6, 1e-3
GALA_EPS = 1e-3  # the default of lt_core's loss


@cache
def points() -> tuple[np.ndarray, np.ndarray]:
    """The fixed problem: training points ``(3, 50, 2)`` and held-out points ``(3, 200, 2)``."""
    random = np.random.default_rng(4)
    drawn = random.normal(CENTERS[:, None], SPREAD, (3, HEAD + HELD_OUT, 2))
    drawn = drawn.clip(-0.96 * LIMIT, 0.96 * LIMIT).round(2)
    return drawn[:, :HEAD], drawn[:, HEAD:]


def margins(
    counts: np.ndarray, theta: np.ndarray, gamma: float, lambda_: float, tau: float
) -> np.ndarray:
    r"""What is added to logit n of a sample of class y, ``(3, 3)``.

    .. math:: M[y, n] = \gamma \log \min(1, S_n / S_y)
              + \lambda \log \frac{\theta_n + \varepsilon}{\theta_y + \varepsilon}
              + \tau \log \frac{S_n}{S_y}

    The inter-category margin of ICB, GALA at equal lambdas, and logit adjustment.
    """
    log_ratio = np.log(counts[None, :] / counts[:, None])
    log_theta = np.log(theta + GALA_EPS)
    return (
        gamma * np.minimum(log_ratio, 0)
        + lambda_ * (log_theta[None, :] - log_theta[:, None])
        + tau * log_ratio
    )


def train(
    imbalance_factor: float = 10, gamma: float = 0.0, lambda_: float = 0.0, tau: float = 0.0
) -> dict[str, np.ndarray]:
    """Train as the page does, in float64.

    Returns ``weights`` ``(3, 3)``, one row ``[w0, w1, bias]`` per class; ``theta`` ``(3,)``, GALA's
    accumulated gradients; ``margin`` ``(3, 3)`` after the last step; ``recall`` ``(3,)``, the
    share of each class's held-out points recognised; and ``counts`` ``(3,)``.
    """
    training, held_out = points()
    counts = np.array(class_counts(len(NAMES), HEAD, imbalance_factor))
    target = np.repeat(np.arange(3), counts)
    inputs = np.concatenate([own[:count] for own, count in zip(training, counts, strict=True)])
    inputs = np.c_[inputs, np.ones(len(inputs))]
    weights, theta = np.zeros((3, 3)), np.zeros(3)
    decay = np.array([DECAY, DECAY, 0])
    for _ in range(STEPS):
        margin = margins(counts, theta, gamma, lambda_, tau)
        gradient = logit_gradient(weights, inputs, target, margin)
        weights = weights - RATE * (gradient.T @ inputs / len(inputs) + decay * weights)
        pull = -gradient[np.arange(len(target)), target]
        theta = theta + np.bincount(target, pull, minlength=3)
    logits = held_out @ weights[:, :2].T + weights[:, 2]
    return {
        "weights": weights,
        "theta": theta,
        "margin": margins(counts, theta, gamma, lambda_, tau),
        "recall": (logits.argmax(axis=2) == np.arange(3)[:, None]).mean(axis=1),
        "counts": counts,
    }


def logit_gradient(
    weights: np.ndarray, inputs: np.ndarray, target: np.ndarray, margin: np.ndarray
) -> np.ndarray:
    r"""Gradient :math:`\tilde p_j - [j = y]` of each sample's loss, ``(N, 3)``.

    inputs ``(N, 3)``, the last column 1; target ``(N,)``; :math:`\tilde p` is the softmax of
    logits plus margin.
    """
    logits = inputs @ weights.T + margin[target]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = powers / powers.sum(axis=1, keepdims=True)
    return p - np.eye(3)[target]


def decision_boundaries() -> Explorable:
    """Three classes in the plane, trained in the page whenever a slider moves.

    Sliders: the imbalance factor (50 points in the head), gamma (the inter-category margin
    of ICB), lambda (GALA with both lambdas equal) and tau (logit adjustment), all of which
    add up; and the sample whose gradient is shown, which a click chooses too. Shown are the
    decision regions, plain softmax's boundaries as lines, recall of each class on 200
    held-out points, and what the chosen sample does to each logit, with the margin and
    without. :func:`train` computes the same numbers in Python.
    """
    training, held_out = points()
    trained = {"softmax": train(START), "τ = 1": train(START, tau=1)}
    # The head's point that pushes the tail most: where a margin matters, to start from.
    own = np.c_[training[0], np.ones(HEAD)]
    weights = trained["softmax"]["weights"]
    push = logit_gradient(weights, own, np.zeros(HEAD, dtype=int), np.zeros((3, 3)))
    data = {
        "label": "Decision regions of three classes, and the gradient of a chosen sample",
        "colors": colors(3),
        "names": NAMES,
        "factors": FACTORS,
        "start": FACTORS.index(START),
        "sample": int(push[:, 2].argmax()),
        "counts": [class_counts(3, HEAD, factor) for factor in FACTORS],
        "training": rounded(training),
        "heldOut": rounded(held_out),
        "limit": LIMIT,
        "descent": {"steps": STEPS, "rate": RATE, "decay": DECAY},
    }
    tail = [100 * found["recall"][2] for found in trained.values()]
    alt = (
        f"Decision regions of three classes at imbalance factor {START}: plain softmax "
        f"leaves the tail a small region and finds {tail[0]:.1f} % of it; logit adjustment moves "
        f"the boundaries towards the head and finds {tail[1]:.1f} %."
    )
    title = "A margin moves the boundary away from the rare classes"
    scripts = ("boundaries_model.js", "boundaries.js")
    return Explorable("boundaries", title, data, _picture(trained), alt, scripts)


def _picture(trained: dict[str, dict]) -> Figure:
    """The regions of each training in ``trained``, side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), sharey=True, layout="constrained")
    grid = np.linspace(-LIMIT, LIMIT, 241)
    plane = np.stack([*np.meshgrid(grid, grid), np.ones((241, 241))], axis=-1)
    for ax, (name, found) in zip(axes, trained.items(), strict=True):
        region = rank_colors(3)[(plane @ found["weights"].T).argmax(axis=2)]
        ax.imshow(region, extent=[-LIMIT, LIMIT] * 2, origin="lower", alpha=0.25)
        for k, (own, count) in enumerate(zip(points()[0], found["counts"], strict=True)):
            ax.scatter(*own[:count].T, 12, [rank_colors(3)[k]], marker="os^"[k])
        recall = zip(NAMES, 100 * found["recall"], strict=True)
        told = ", ".join(f"{each} {share:.1f} %" for each, share in recall)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{name}: {told}", fontsize=8)
    return figure
