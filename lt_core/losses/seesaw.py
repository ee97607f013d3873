"""Seesaw loss: mitigate by counted frequency, compensate where a class is confused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, add_by_class, finite_rows
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range, per_class


@checked_and_reduced()
def seesaw(
    logits: Tensor,
    target: Tensor,
    seen: PerClass,
    *,
    p: float = 0.8,
    q: float = 2.0,
    eps: float = 0.01,
    training: bool = True,
) -> tuple[Tensor, None]:
    r"""Softmax cross-entropy whose negatives are scaled pair by pair.

    .. math:: \ell &= -\log \frac{e^{z_y}}{\sum_j h_{yj} e^{z_j}} \\
              h_{yj} &= \min\!\left(1, \frac{R_j}{R_y}\right)^{p} \\
              &\quad \cdot \max\!\left(1, \frac{\hat p_j}{\max(\hat p_y, \varepsilon)}\right)^{q}

    with :math:`\hat p = \mathrm{softmax}(z)`. The first factor (mitigation) spares a class rarer
    than the target; the second (compensation) restores the push on a class that the image is
    mistaken for. :math:`R_j` are the samples seen of class j, :math:`\varepsilon` is ``eps``.
    Gradient: both factors are constants to it, so it is that of softmax at the changed logits,
    :math:`\tilde p_j - [j = y]`, :math:`\tilde p_j \propto h_{yj} e^{z_j}`.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    seen : Tensor of float64, shape (C,)
        :math:`R`, the samples seen of each class; less than 1 counts as 1.
    p, q : float
        The exponents.
    eps : float
        :math:`\varepsilon`, a probability.
    training : bool
        Whether the batch is added to ``seen`` first, in place.
    """
    if training:
        add_by_class(seen, target, finite_rows(logits).to(seen.dtype))
    adjusted = log_factors(logits.detach(), target, seen, p=p, q=q, eps=eps).add_(logits)
    return F.cross_entropy(adjusted, target, reduction="none"), None


def log_factors(
    logits: Tensor, target: Tensor, seen: Tensor, *, p: float, q: float, eps: float
) -> Tensor:
    r"""``log h[y, j]`` up to a constant per row, which softmax ignores, ``(N, C)``.

    As :math:`\log \hat p_j - \log \hat p_y = z_j - z_y`, everything stays in log space:
    :math:`\log \min(1, R_j / R_y)` is written as :math:`\min(\log R_j, \log R_y)`, and the second
    factor likewise. Both work in place: memory traffic is what this loss costs.
    """
    index = target.unsqueeze(1)
    log_counts = torch.xlogy(p, seen.clamp_min(1)).to(logits.dtype)  # p log R
    factors = log_counts.clamp_max(log_counts.take(index))
    if q:
        log_scores = logits.log_softmax(dim=1)
        confidence = log_scores.gather(1, index).clamp_min_(math.log(eps))
        factors.add_(log_scores.clamp_min_(confidence), alpha=q)
    return factors


class Seesaw(LongTailLoss):
    r"""Seesaw loss, which counts the classes itself.

    Formula and gradient: :func:`~lt_core.losses.functional.seesaw`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. The counts say only how many classes there are.
    p, q, eps
        As in :func:`seesaw`.
    initial_counts : sequence of int, shape (C,), or None
        Counts to start from, each at least 0; None for zeros.

    Notes
    -----
    State: ``seen`` ``(C,)``, float64, exact to 2^53.

    Defaults: ``p`` and ``q`` those of the paper, ``eps`` that of MMDetection.

    As in MMDetection 3.3.0, a batch is counted before it is weighted, and counts and probabilities
    have lower bounds. That code does not add up the counts of several processes; this loss does.

    Examples
    --------
    >>> import torch
    >>> loss = Seesaw([500, 50, 5])
    >>> _ = loss(torch.zeros(4, 3, requires_grad=True), torch.tensor([0, 0, 0, 2]))
    >>> loss.seen.tolist()
    [3.0, 0.0, 1.0]

    Source
    ------
    Wang et al. 2021, arXiv:2008.10032.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        p: Annotated[float, Range(0)] = 0.8,
        q: Annotated[float, Range(0)] = 2.0,
        eps: Annotated[float, Range(1e-30, 1)] = 0.01,
        initial_counts: Sequence[int] | None = None,
    ):
        given = {"p": p, "q": q, "eps": eps, "initial_counts": initial_counts}
        super().__init__(class_counts, reduction, **given)
        self.register_buffer("seen", torch.zeros(self.num_classes, dtype=torch.float64))
        if self.initial_counts is not None:
            counts = per_class(
                "seesaw.initial_counts", self.initial_counts, self.num_classes, minimum=0
            )
            self.seen.copy_(torch.tensor(counts, dtype=torch.float64))

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        exponents = {"p": self.p, "q": self.q, "eps": self.eps}
        return seesaw.per_sample(
            logits, target, self.seen, training=self.updates_state, **exponents
        )
