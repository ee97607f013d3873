"""LDAM: a margin that grows as a class gets rarer, with deferred re-weighting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.effective_number import effective_number_weights
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range


def ldam_margin(class_counts: Tensor, max_margin: float = 0.5) -> Tensor:
    r"""The margin :math:`m_c = m_{\max}\, n_c^{-1/4} / \max_k n_k^{-1/4}`, ``(C,)``, float64."""
    margin = class_counts.double() ** -0.25
    return margin * (max_margin / margin.max())


@checked_and_reduced(takes_cosines=True)
def ldam(
    logits: Tensor,
    target: Tensor,
    margin: PerClass,
    class_weight: PerClass | None = None,
    *,
    scale: float = 30.0,
) -> tuple[Tensor, Tensor | None]:
    r"""Label-distribution-aware margin on scaled cosines.

    .. math:: \ell &= -w_y \log \tilde p_y, \qquad
              \tilde p_j \propto e^{s (\cos_j - m_y [j = y])} \\
              m_c &= m_{\max} \frac{n_c^{-1/4}}{\max_k n_k^{-1/4}}

    Gradient with respect to the cosines: :math:`w_y\, s\, (\tilde p_j - [j = y])`, so a rare class
    is pulled until it wins by its larger margin.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`, the logits being **cosines** in [-1, 1].
    margin : Tensor, shape (C,)
        :math:`m`, in units of the cosine, as :func:`ldam_margin` makes it of the class counts.
    class_weight : Tensor, shape (C,), optional
        :math:`w`; none stands for 1.
    scale : float
        :math:`s`.
    """
    index = target.unsqueeze(1)
    lowered = -scale * margin.to(logits.dtype).take(index)
    adjusted = (scale * logits).scatter_add_(1, index, lowered)
    loss = F.cross_entropy(adjusted, target, reduction="none")
    if class_weight is None:
        return loss, None
    weight = class_weight.index_select(0, target).to(logits.dtype)
    return weight * loss, weight


class LDAM(LongTailLoss):
    """LDAM with deferred re-weighting (DRW): class weights late in training.

    Formula and gradient: :func:`~lt_core.losses.functional.ldam`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. The authors divide by the sum of the weights:
        ``reduction="weighted_mean"``.
    max_margin : float
        Margin of the rarest class, in units of the cosine.
    scale : float
        As in :func:`ldam`.
    deferred_from : float
        Fraction of training after which classes are weighted: .8 is epoch 160 of 200, 0 weights
        from the start, 1 is LDAM without DRW.
    beta : float
        Of the effective-number weights that are used then, scaled to sum C.

    Notes
    -----
    Takes **cosines** in [-1, 1], as ``lt_core.models.create(..., classifier="cosine")`` gives them.

    :meth:`set_epoch` changes the weights, the buffer ``class_weight``, in place. A loss that is
    never told an epoch stays unweighted, unless ``deferred_from`` is 0.

    Defaults: those of the authors' code; they use a ``max_margin`` of .3 for iNaturalist.

    Examples
    --------
    >>> loss = LDAM([10_000, 16])
    >>> [round(margin, 2) for margin in loss.margin.tolist()]
    [0.1, 0.5]
    >>> loss.set_epoch(160, 200)
    >>> [round(weight, 2) for weight in loss.class_weight.tolist()]
    [0.01, 1.99]

    Source
    ------
    Cao et al. 2019, arXiv:1906.07413; ``scale`` and ``beta`` are in the authors' code, not in the
    formula.
    """

    takes_cosines = True

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        max_margin: Annotated[float, Range(0)] = 0.5,
        scale: Annotated[float, Range(1e-6)] = 30.0,
        deferred_from: Annotated[float, Range(0, 1)] = 0.8,
        beta: Annotated[float, Range(0, below=1)] = 0.9999,
    ):
        given = {"max_margin": max_margin, "scale": scale, "deferred_from": deferred_from}
        super().__init__(class_counts, reduction, beta=beta, **given)
        margin = ldam_margin(self.class_counts, self.max_margin)
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
        return ldam.per_sample(logits, target, self.margin, self.class_weight, scale=self.scale)
