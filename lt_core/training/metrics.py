"""Accuracy: overall, per class, per group of classes."""

from __future__ import annotations

import numpy as np

from lt_core.data.long_tail import FEW_BELOW, MANY_ABOVE
from lt_core.parameters import per_class
from lt_core.rebalancing import rebalance


def class_accuracy(prediction: np.ndarray, target: np.ndarray, num_classes: int) -> np.ndarray:
    """Fraction of each class's images that are predicted right, ``(C,)``; NaN without images."""
    images = np.bincount(target, minlength=num_classes)
    right = np.bincount(target[prediction == target], minlength=num_classes)
    return np.divide(right, images, out=np.full(num_classes, np.nan), where=images > 0)


def groups(class_counts: np.ndarray) -> dict[str, np.ndarray]:
    """Which classes are many, medium and few, by training images, as boolean ``(C,)``."""
    counts = np.array(per_class("class_counts", class_counts, minimum=0))
    many, few = counts > MANY_ABOVE, counts < FEW_BELOW
    return {"many": many, "medium": ~many & ~few, "few": few}


def group_accuracy(accuracy: np.ndarray, class_counts: np.ndarray) -> dict[str, float]:
    """Mean class accuracy of each group in percent; an empty group is NaN, not 0."""
    return {
        name: 100 * float(np.mean(accuracy[members])) if members.any() else float("nan")
        for name, members in groups(class_counts).items()
    }


def evaluation(logits: np.ndarray, target: np.ndarray, class_counts: np.ndarray) -> dict:
    """The numbers of a finished run from its test logits ``(N, C)``.

    ``top1`` and the groups in percent, ``class_accuracy`` as fractions, each also
    after transductive prediction re-balancing with tau = 1.
    """
    num_classes = len(class_counts)
    logits = logits.astype(np.float64)
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponential / exponential.sum(axis=1, keepdims=True)
    balanced = np.asarray(rebalance(probabilities, tau=1.0))
    numbers = {}
    for suffix, scores in (("", logits), ("_rebalanced", balanced)):
        prediction = scores.argmax(axis=1)
        accuracy = class_accuracy(prediction, target, num_classes)
        numbers[f"class_accuracy{suffix}"] = accuracy
        numbers[f"top1{suffix}"] = 100 * float(np.mean(prediction == target))
        for group, value in group_accuracy(accuracy, class_counts).items():
            numbers[f"top1_{group}{suffix}"] = value
    return numbers
