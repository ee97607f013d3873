"""Seesaw loss: mitigate by counted frequency, compensate where a class is confused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, add_by_class, finite_rows
from lt_core.parameters import number, per_class


class Seesaw(LongTailLoss):
    r"""Softmax cross-entropy whose negatives are scaled pair by pair.

    .. math:: \ell = -\log \frac{e^{z_y}}{\sum_j S_{yj} e^{z_j}}, \qquad
              S_{yj} = \min\!\left(1, \frac{N_j}{N_y}\right)^{p}
                       \max\!\left(1, \frac{s_j}{\max(s_y, \varepsilon)}\right)^{q}

    with :math:`s = \mathrm{softmax}(z)`. The first factor (mitigation) spares a class
    rarer than the target; the second (compensation) restores its push where the class is
    mistaken for the target. Gradient: both factors are constants to it, so it is that of
    softmax at the scaled logits, :math:`\tilde p_j - [j = y]`,
    :math:`\tilde p_j \propto S_{yj} e^{z_j}`.

    As :math:`\log s_j - \log s_i = z_j - z_i`, everything stays in log space.

    :math:`N` counts the samples seen, this batch included, each class at least 1. Its state
    is ``seen``, ``(C,)`` float64, exact to 2^53.

    Parameters: ``p >= 0`` and ``q >= 0``, exponents; ``eps`` in ``(0, 1]``, a probability;
    ``initial_counts``: counts to start from, ``(C,)``, each >= 0, or None for zeros.

    Defaults: those of the paper.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: Wang et al. 2021, arXiv:2008.10032. As in MMDetection 3.3.0, a batch is counted
    before it is weighted, and counts and probabilities have lower bounds; it does not add
    up the counts of several processes, we do.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 0.01,
        initial_counts: Sequence[int] | None = None,
    ):
        super().__init__(class_counts, reduction)
        self.p = number("seesaw.p", p, minimum=0)
        self.q = number("seesaw.q", q, minimum=0)
        self.eps = number("seesaw.eps", eps, minimum=1e-30, maximum=1)
        self.register_buffer("seen", torch.zeros(self.num_classes, dtype=torch.float64))
        if initial_counts is not None:
            counts = per_class("seesaw.initial_counts", initial_counts, self.num_classes, minimum=0)
            self.seen.copy_(torch.tensor(counts, dtype=torch.float64))

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        if self.updates_state:
            add_by_class(self.seen, target, finite_rows(logits).to(self.seen.dtype))
        adjusted = self._log_factors(logits.detach(), target).add_(logits)
        return F.cross_entropy(adjusted, target, reduction="none"), None

    def _log_factors(self, logits: Tensor, target: Tensor) -> Tensor:
        """``log S[y, j]`` up to a constant per row, which softmax ignores, ``(N, C)``.

        So ``log min(1, N_j / N_y)`` is written as ``min(log N_j, log N_y)``, and the second
        factor likewise, and both work in place: memory traffic is what this loss costs.
        """
        index = target.unsqueeze(1)
        log_counts = torch.xlogy(self.p, self.seen.clamp_min(1)).to(logits.dtype)  # p log N
        factors = log_counts.clamp_max(log_counts.take(index))
        if self.q:
            log_scores = logits.log_softmax(dim=1)
            confidence = log_scores.gather(1, index).clamp_min_(math.log(self.eps))
            factors.add_(log_scores.clamp_min_(confidence), alpha=self.q)
        return factors

    def log_factors(self, logits: Tensor, target: Tensor) -> Tensor:
        """``log S[y, j]`` for each sample, ``(N, C)``, with the counts as they are; 0 at j = y."""
        factors = self._log_factors(logits.detach(), target)
        return factors - factors.gather(1, target.unsqueeze(1))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p:g}, q={self.q:g}, eps={self.eps:g}"
