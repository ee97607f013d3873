"""Balanced Softmax: the softmax of a test set whose classes are balanced."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss


class BalancedSoftmax(LongTailLoss):
    r"""Softmax cross-entropy with each class's exponential multiplied by its count.

    .. math:: \ell = -\log \frac{n_y e^{z_y}}{\sum_j n_j e^{z_j}}

    If ``softmax(z)`` is the posterior under balanced classes, Bayes' rule makes this the
    posterior under the training set's. Gradient: :math:`\tilde p_j - [j = y]`,
    :math:`\tilde p_j \propto n_j e^{z_j}`. Predict with the plain ``z``. Logit adjustment
    with ``tau = 1`` is the same loss: their shifts differ by a constant.

    Parameters: none.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: Ren et al. 2020, arXiv:2007.10740.
    """

    def __init__(self, class_counts: Sequence[int], reduction: str = "mean"):
        super().__init__(class_counts, reduction)
        self.register_buffer("shift", self.class_counts.double().log(), persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        adjusted = logits + self.shift.to(logits.dtype)
        return F.cross_entropy(adjusted, target, reduction="none"), None
