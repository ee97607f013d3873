"""Focal loss on softmax probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.effective_number import effective_number_weights
from lt_core.parameters import choice, number


def focal_modulator(cross_entropy: Tensor, gamma: float) -> Tensor:
    r"""The factor :math:`(1-p)^\gamma` from :math:`-\log p`, precise as p nears 1.

    The clamp keeps the derivative of a fractional power finite at p = 1.
    """
    difficulty = -torch.expm1(-cross_entropy)
    return difficulty.clamp_min(torch.finfo(difficulty.dtype).tiny) ** gamma


class Focal(LongTailLoss):
    r"""Focal loss: the harder the sample, the more it counts.

    .. math:: \ell = -w_y (1 - p_y)^\gamma \log p_y

    Gradient: cross-entropy's :math:`p_j - [j = y]` times
    :math:`w_y (1-p_y)^\gamma \left(1 - \gamma \frac{p_y \log p_y}{1-p_y}\right)`; the
    bracket is missing with ``detach_modulator``. ``gamma = 0`` is cross-entropy.

    Parameters: ``gamma >= 0``; ``beta`` in ``[0, 1)``: effective-number class weights
    :math:`w`, 0 for none; ``modulator``: ``"probability"`` as above, or ``"released"``,
    LDAM-DRW's :math:`(1-e^{-w\ell})^\gamma` that takes the *weighted* loss for a log
    probability (equal when unweighted); ``detach_modulator``: GCL's form, in which the
    factor carries no gradient.

    Defaults: ``gamma`` 1 is LDAM-DRW's; the original, for detectors, recommends 2.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: Lin et al. 2017, arXiv:1708.02002, in softmax form as in LDAM-DRW; the
    original is one-vs-all (``effective_number`` with ``form="focal"``).
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        gamma: float = 1.0,
        beta: float = 0.0,
        modulator: str = "probability",
        detach_modulator: bool = False,
    ):
        super().__init__(class_counts, reduction)
        self.gamma = number("focal.gamma", gamma, minimum=0)
        self.beta = number("focal.beta", beta, minimum=0, below=1)
        self.modulator = choice("focal.modulator", modulator, ("probability", "released"))
        self.detach_modulator = detach_modulator
        weight = effective_number_weights(self.class_counts, self.beta)
        self.register_buffer("class_weight", weight, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        cross_entropy = F.cross_entropy(logits, target, reduction="none")
        weight = None
        weighted = cross_entropy
        if self.beta:
            weight = torch.index_select(self.class_weight, 0, target).to(logits.dtype)
            weighted = weight * cross_entropy
        seen = weighted if self.modulator == "released" else cross_entropy
        factor = focal_modulator(seen.detach() if self.detach_modulator else seen, self.gamma)
        return factor * weighted, weight

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gamma={self.gamma:g}, beta={self.beta:g}"
