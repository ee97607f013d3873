"""Logit adjustment: cross-entropy on logits shifted by the log prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range


def prior_shift(class_counts: Tensor, tau: float = 1.0, variant: str = "paper") -> Tensor:
    r"""The shift :math:`\tau \log \pi` of each logit, ``(C,)``, float64.

    ``variant="released"`` is the authors' :math:`\log(\pi^\tau + 10^{-12})`, which differs for
    rare classes at a large ``tau``.
    """
    prior = class_counts.double() / class_counts.sum()
    return (prior**tau + 1e-12).log() if variant == "released" else tau * prior.log()


@checked_and_reduced()
def logit_adjustment(logits: Tensor, target: Tensor, shift: PerClass) -> tuple[Tensor, None]:
    r"""Softmax cross-entropy with a margin between each pair of classes.

    .. math:: \ell &= -\log \mathrm{softmax}(z + \tau \log \pi)_y \\
              \pi_j &= n_j / \textstyle\sum_c n_c

    Gradient: :math:`\tilde p_j - [j = y]`, :math:`\tilde p = \mathrm{softmax}(z + \tau\log\pi)`: at
    equal logits a rare class is pushed down less as a negative and pulled up more as a target,
    until the network has taken up the shift. Predict with the plain ``z``. At ``tau = 1`` this is
    Balanced Softmax.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    shift : Tensor, shape (C,)
        :math:`\tau \log \pi`, as :func:`prior_shift` makes it of the class counts.
    """
    adjusted = logits + shift.to(logits.dtype)
    return F.cross_entropy(adjusted, target, reduction="none"), None


class LogitAdjustment(LongTailLoss):
    """Cross-entropy on logits shifted by the log prior.

    Formula and gradient: :func:`~lt_core.losses.functional.logit_adjustment`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`.
    tau : float
        Unitless; 0 is cross-entropy.
    variant : {"paper", "released"}
        As in :func:`prior_shift`.

    Notes
    -----
    Defaults: ``tau`` 1 as in the paper, where the loss is consistent for balanced accuracy. The
    post-hoc form is :func:`lt_core.rebalancing.adjust_logits`.

    Examples
    --------
    >>> loss = LogitAdjustment([90, 9, 1], tau=1)
    >>> [round(shift, 2) for shift in loss.shift.tolist()]
    [-0.11, -2.41, -4.61]

    Source
    ------
    Menon et al. 2021, arXiv:2007.07314.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        tau: Annotated[float, Range()] = 1.0,
        variant: Literal["paper", "released"] = "paper",
    ):
        super().__init__(class_counts, reduction, tau=tau, variant=variant)
        shift = prior_shift(self.class_counts, self.tau, self.variant)
        self.register_buffer("shift", shift, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return logit_adjustment.per_sample(logits, target, self.shift)
