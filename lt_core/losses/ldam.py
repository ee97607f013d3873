"""LDAM: a margin that grows as a class gets rarer, with deferred re-weighting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.effective_number import effective_number_weights
from lt_core.parameters import number


class LDAM(LongTailLoss):
    r"""Label-distribution-aware margin on scaled cosines.

    .. math:: \ell = -w_y \log \mathrm{softmax}\big(s\,(\cos_j - m_y [j = y])\big)_y, \qquad
              m_c = m_{\max} \frac{n_c^{-1/4}}{\max_k n_k^{-1/4}}

    Gradient with respect to the cosines: :math:`w_y\, s\, (\tilde p_j - [j = y])`, so a rare
    class is pulled until it wins by its larger margin.

    Deferred re-weighting (DRW): :math:`w = 1` at first; from the epoch at which
    :meth:`set_epoch` is told ``epoch / epochs >= deferred_from``, :math:`w` are the
    effective-number weights of ``beta``, scaled to sum C. They live in the buffer
    ``class_weight`` and change in place. A loss that is never told an epoch stays unweighted.
    The authors divide by the sum of the weights: ``reduction="weighted_mean"``.

    Parameters: ``max_margin >= 0``, in units of the cosine; ``scale > 0``; ``deferred_from``
    in ``[0, 1]``, a fraction of training: .8 is epoch 160 of 200, 0 weights from the start,
    1 is LDAM without DRW; ``beta`` in ``[0, 1)``.
    Defaults: those of the authors' code; they use a ``max_margin`` of .3 for iNaturalist.

    logits ``(N, C)`` **cosines** in [-1, 1], from ``classifier="cosine"``; target ``(N,)``
    int64 in ``[0, C)``. Returns nats.
    Source: Cao et al. 2019, arXiv:1906.07413; ``scale`` and ``beta`` are in the authors'
    code, not in the formula.
    """

    takes_cosines = True

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        deferred_from: float = 0.8,
        beta: float = 0.9999,
    ):
        super().__init__(class_counts, reduction)
        self.max_margin = number("ldam.max_margin", max_margin, minimum=0)
        self.scale = number("ldam.scale", scale, minimum=1e-6)
        self.deferred_from = number("ldam.deferred_from", deferred_from, minimum=0, maximum=1)
        self.beta = number("ldam.beta", beta, minimum=0, below=1)
        margin = self.class_counts.double() ** -0.25
        margin = margin * (self.max_margin / margin.max())
        self.register_buffer("margin", margin, persistent=False)
        weight = effective_number_weights(self.class_counts, self.beta)
        self.register_buffer("deferred_weight", weight, persistent=False)
        self.register_buffer("class_weight", torch.ones_like(weight))
        self.set_epoch(0, 1)

    @torch.no_grad()
    def set_epoch(self, epoch: float, epochs: int) -> None:
        if epoch / epochs >= self.deferred_from:
            self.class_weight.copy_(self.deferred_weight)
        else:
            self.class_weight.fill_(1)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        index = target.unsqueeze(1)
        margin = self.margin.to(logits.dtype).take(index)
        adjusted = (self.scale * logits).scatter_add_(1, index, -self.scale * margin)
        weight = self.class_weight.index_select(0, target).to(logits.dtype)
        return weight * F.cross_entropy(adjusted, target, reduction="none"), weight

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, max_margin={self.max_margin:g}, scale={self.scale:g}, "
            f"deferred_from={self.deferred_from:g}, beta={self.beta:g}"
        )
