"""Plain softmax cross-entropy, the baseline of every table."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss


class Softmax(LongTailLoss):
    r"""Softmax cross-entropy.

    .. math:: \ell = -\log p_y, \qquad p = \mathrm{softmax}(z)

    Gradient: :math:`\partial\ell/\partial z_j = p_j - [j = y]`. Neither the formula
    nor the gradient knows the class counts; a head class dominates only because its
    samples come more often.

    Parameters: none.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: the baseline ("Softmax") in Table 1 of the poster of arXiv:2204.09234.
    """

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return F.cross_entropy(logits, target, reduction="none"), None
