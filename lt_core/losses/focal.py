"""Focal loss on softmax probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.effective_number import effective_number_weights
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range


def focal_modulator(cross_entropy: Tensor, gamma: float) -> Tensor:
    r"""The factor :math:`(1-p)^\gamma` from :math:`-\log p`, precise as p nears 1.

    The clamp keeps the derivative of a fractional power finite at p = 1.
    """
    difficulty = -torch.expm1(-cross_entropy)
    return difficulty.clamp_min(torch.finfo(difficulty.dtype).tiny) ** gamma


@checked_and_reduced()
def focal(
    logits: Tensor,
    target: Tensor,
    class_weight: PerClass | None = None,
    *,
    gamma: float = 1.0,
    modulator: str = "probability",
    detach_modulator: bool = False,
) -> tuple[Tensor, Tensor | None]:
    r"""Focal loss: the harder the sample, the more it counts.

    .. math:: \ell = -w_y (1 - p_y)^\gamma \log p_y

    Gradient: cross-entropy's :math:`p_j - [j = y]` times
    :math:`w_y (1-p_y)^\gamma \left(1 - \gamma \frac{p_y \log p_y}{1-p_y}\right)`; the bracket is
    missing with ``detach_modulator``. ``gamma = 0`` is cross-entropy.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    class_weight : Tensor, shape (C,), optional
        :math:`w`; none stands for 1.
    gamma : float
        The exponent.
    modulator : {"probability", "released"}
        As above, or LDAM-DRW's :math:`(1 - p_y^{w_y})^\gamma`, which takes the *weighted*
        cross-entropy for minus a log probability (equal without weights).
    detach_modulator : bool
        Whether the factor carries no gradient, as in GCL.
    """
    cross_entropy = F.cross_entropy(logits, target, reduction="none")
    weight = None
    weighted = cross_entropy
    if class_weight is not None:
        weight = torch.index_select(class_weight, 0, target).to(logits.dtype)
        weighted = weight * cross_entropy
    seen = weighted if modulator == "released" else cross_entropy
    factor = focal_modulator(seen.detach() if detach_modulator else seen, gamma)
    return factor * weighted, weight


class Focal(LongTailLoss):
    """Focal loss, in softmax form.

    Formula and gradient: :func:`~lt_core.losses.functional.focal`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`.
    gamma, modulator, detach_modulator
        As in :func:`focal`.
    beta : float
        Effective-number class weights :math:`w` with this ``beta``; 0 for none.

    Notes
    -----
    Defaults: ``gamma`` 1 is LDAM-DRW's; the original, for detectors, recommends 2. The original
    is one-vs-all, which is ``effective_number`` with ``form="focal"`` and ``beta=0``, but for its
    weight on objects against background.

    Examples
    --------
    >>> import torch
    >>> loss = Focal([500, 50, 5], gamma=2)
    >>> print(f"{loss(torch.zeros(1, 3), torch.tensor([2])):.4f}")  # (2/3)^2 log 3
    0.4883

    Source
    ------
    Lin et al. 2017, arXiv:1708.02002, in softmax form as in LDAM-DRW.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        gamma: Annotated[float, Range(0)] = 1.0,
        beta: Annotated[float, Range(0, below=1)] = 0.0,
        modulator: Literal["probability", "released"] = "probability",
        detach_modulator: bool = False,
    ):
        given = {"gamma": gamma, "modulator": modulator, "detach_modulator": detach_modulator}
        super().__init__(class_counts, reduction, beta=beta, **given)
        weight = effective_number_weights(self.class_counts, self.beta)
        self.register_buffer("class_weight", weight, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        return focal.per_sample(
            logits,
            target,
            self.class_weight if self.beta else None,
            gamma=self.gamma,
            modulator=self.modulator,
            detach_modulator=self.detach_modulator,
        )
