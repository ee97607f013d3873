"""Balanced Softmax: the softmax of a test set whose classes are balanced."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.functional import PerClass, checked_and_reduced


@checked_and_reduced()
def balanced_softmax(logits: Tensor, target: Tensor, log_counts: PerClass) -> tuple[Tensor, None]:
    r"""Softmax cross-entropy with each class's exponential multiplied by its count.

    .. math:: \ell = -\log \frac{n_y e^{z_y}}{\sum_j n_j e^{z_j}}

    If ``softmax(z)`` is the posterior under balanced classes, Bayes' rule makes this the posterior
    under the training set's. Gradient: :math:`\tilde p_j - [j = y]`,
    :math:`\tilde p_j \propto n_j e^{z_j}`. Predict with the plain ``z``. Logit adjustment with
    ``tau = 1`` is the same loss: their shifts differ by a constant.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    log_counts : Tensor, shape (C,)
        Logarithms of the class counts.
    """
    adjusted = logits + log_counts.to(logits.dtype)
    return F.cross_entropy(adjusted, target, reduction="none"), None


class BalancedSoftmax(LongTailLoss):
    """Balanced Softmax.

    Formula and gradient: :func:`~lt_core.losses.functional.balanced_softmax`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`.

    Examples
    --------
    >>> import torch
    >>> loss = BalancedSoftmax([98, 1, 1])
    >>> print(f"{loss(torch.zeros(1, 3), torch.tensor([2])):.4f}")  # log 100
    4.6052

    Source
    ------
    Ren et al. 2020, arXiv:2007.10740.
    """

    def __init__(self, class_counts: Sequence[int], reduction: str = "mean"):
        super().__init__(class_counts, reduction)
        self.register_buffer("log_counts", self.class_counts.double().log(), persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return balanced_softmax.per_sample(logits, target, self.log_counts)
