"""Plain softmax cross-entropy, the baseline of every table."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.functional import checked_and_reduced


@checked_and_reduced()
def softmax(logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
    r"""Softmax cross-entropy.

    .. math:: \ell = -\log p_y, \qquad p = \mathrm{softmax}(z)

    Gradient: :math:`\partial\ell/\partial z_j = p_j - [j = y]`. Neither the formula nor the
    gradient knows the class counts; a head class dominates only because its samples come more
    often.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    """
    return F.cross_entropy(logits, target, reduction="none"), None


class Softmax(LongTailLoss):
    """Softmax cross-entropy.

    Formula and gradient: :func:`~lt_core.losses.functional.softmax`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. The counts say only how many classes there are.

    Examples
    --------
    >>> import torch
    >>> loss = Softmax([500, 50, 5])
    >>> print(f"{loss(torch.zeros(2, 3), torch.tensor([0, 2])):.4f}")  # log 3
    1.0986

    Source
    ------
    The baseline "Softmax" in Table 1 of the poster of arXiv:2204.09234.
    """

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return softmax.per_sample(logits, target)
