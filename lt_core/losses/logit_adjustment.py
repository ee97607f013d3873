"""Logit adjustment: cross-entropy on logits shifted by the log prior."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.parameters import choice, number


class LogitAdjustment(LongTailLoss):
    r"""Softmax cross-entropy with a margin between each pair of classes.

    .. math:: \ell = -\log \mathrm{softmax}(z + \tau \log \pi)_y, \qquad
              \pi = n / \textstyle\sum_c n_c

    Gradient: :math:`\tilde p_j - [j = y]`, :math:`\tilde p = \mathrm{softmax}(z + \tau\log\pi)`:
    at equal logits a rare class is pushed down less as a negative and pulled up more as a
    target, until the network has taken up the shift. Predict with the plain ``z``. At
    ``tau = 1`` this is Balanced Softmax.

    Parameters: ``tau``, unitless, finite, 0 for cross-entropy; ``variant``: ``"paper"`` as
    above, or ``"released"``, the authors' :math:`z + \log(\pi^\tau + 10^{-12})`, which
    differs for rare classes at a large ``tau``.

    Defaults: ``tau`` 1 as in the paper, where the loss is consistent for balanced accuracy.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: Menon et al. 2021, arXiv:2007.07314. The post-hoc form is
    :func:`lt_core.rebalancing.adjust_logits`.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        tau: float = 1.0,
        variant: str = "paper",
    ):
        super().__init__(class_counts, reduction)
        self.tau = number("logit_adjustment.tau", tau)
        self.variant = choice("logit_adjustment.variant", variant, ("paper", "released"))
        prior = self.class_counts.double() / self.class_counts.sum()
        shift = self.tau * prior.log()
        if self.variant == "released":
            shift = (prior**self.tau + 1e-12).log()
        self.register_buffer("shift", shift, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        adjusted = logits + self.shift.to(logits.dtype)
        return F.cross_entropy(adjusted, target, reduction="none"), None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, tau={self.tau:g}, variant={self.variant!r}"
