"""Re-weighting by inverse class frequency."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.functional import PerClass, checked_and_reduced


def inverse_frequency_weights(class_counts: Tensor) -> Tensor:
    r"""Class weights :math:`w_c = C\,n_c^{-1} / \sum_k n_k^{-1}`, shape ``(C,)``, float64.

    They sum to ``C``: on balanced data every weight is 1.
    """
    inverse = class_counts.double().reciprocal()
    return inverse * (inverse.numel() / inverse.sum())


@checked_and_reduced()
def class_balanced(logits: Tensor, target: Tensor, class_weight: PerClass) -> tuple[Tensor, Tensor]:
    r"""Softmax cross-entropy weighted per class.

    .. math:: \ell &= -w_y \log p_y \\
              w_c &= \frac{C / n_c}{\sum_k 1 / n_k}

    Gradient: :math:`w_y (p_j - [j = y])`. The weight scales a sample's whole pull and all its
    pushes alike; it cannot change who pushes whom.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    class_weight : Tensor, shape (C,)
        :math:`w`, as :func:`inverse_frequency_weights` makes it of the class counts.
    """
    weight = torch.index_select(class_weight, 0, target).to(logits.dtype)
    return weight * F.cross_entropy(logits, target, reduction="none"), weight


class ClassBalanced(LongTailLoss):
    """Softmax cross-entropy weighted by inverse frequency.

    Formula and gradient: :func:`~lt_core.losses.functional.class_balanced`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. Some published baselines, LDAM-DRW's for one, use
        PyTorch's weighted mean, ``reduction="weighted_mean"``, in which the weights' scale cancels.

    Notes
    -----
    This is not the "class-balanced loss" of Cui et al. 2019, which weights by the effective
    number of samples and is ``effective_number`` here.

    Examples
    --------
    >>> loss = ClassBalanced([100, 10, 10])
    >>> [round(weight, 3) for weight in loss.class_weight.tolist()]
    [0.143, 1.429, 1.429]

    Source
    ------
    "Class Balanced" in Table 1 of the poster of arXiv:2204.09234.
    """

    def __init__(self, class_counts: Sequence[int], reduction: str = "mean"):
        super().__init__(class_counts, reduction)
        weight = inverse_frequency_weights(self.class_counts)
        self.register_buffer("class_weight", weight, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return class_balanced.per_sample(logits, target, self.class_weight)
