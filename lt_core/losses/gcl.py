"""GCL: Gaussian clouds around the logits, wider for rarer classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.draws import DrawingLoss
from lt_core.losses.focal import focal_modulator
from lt_core.parameters import number

#: Standard deviation of the draws: all but 0.3 % of them lie within [-1, 1].
DEVIATION = 1 / 3


class GCL(DrawingLoss):
    r"""Gaussian-clouded logits: every cosine is lowered by a random amount.

    .. math:: \ell = -(1 - \tilde p_y)^{\gamma} \log \tilde p_y, \qquad
              \tilde p = \mathrm{softmax}\Big(s\,\big(\cos_j
              - a\, |\mathrm{clip}(\varepsilon_j, -1, 1)|\, \tfrac{\delta_j}{\max_k \delta_k}
              - m\,[j = y]\big)\Big), \qquad
              \delta_j = \log n_{\max} - \log n_j

    with :math:`\varepsilon_j \sim \mathcal N(0, 1/3)` (standard deviation) for each sample and
    class: the rarer a class, the wider its cloud; the largest class has none, and with equal
    counts none has. Gradient with respect to the cosines:
    :math:`(1 - \tilde p_y)^\gamma s\,(\tilde p_j - [j = y])`; the factor in front carries none.

    ``forward(logits, target, draw=None)``: ``draw`` ``(N, C)`` are the :math:`\varepsilon`,
    before clipping. Without it the loss draws from its own ``generator``; outside training
    it draws nothing, and :math:`\varepsilon = 0`.

    Parameters: ``scale > 0`` (:math:`s`); ``margin >= 0`` (:math:`m`) and ``noise >= 0``
    (:math:`a`), both in units of the cosine; ``focal_gamma >= 0``.
    Defaults: the authors' first stage; their second, on a frozen backbone with re-sampled
    data, is ``scale=20, margin=.1, focal_gamma=1``.

    logits ``(N, C)`` **cosines** in [-1, 1], from ``classifier="cosine"``; target ``(N,)``
    int64 in ``[0, C)``. Returns nats.
    Source: Li et al. 2022, arXiv:2305.11733; formula as in the authors' code.
    """

    takes_cosines = True

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        scale: float = 30.0,
        margin: float = 0.0,
        noise: float = 0.5,
        focal_gamma: float = 0.0,
    ):
        super().__init__(class_counts, reduction)
        self.scale = number("gcl.scale", scale, minimum=1e-6)
        self.margin = number("gcl.margin", margin, minimum=0)
        self.noise = number("gcl.noise", noise, minimum=0)
        self.focal_gamma = number("gcl.focal_gamma", focal_gamma, minimum=0)
        log_counts = self.class_counts.double().log()
        cloud = log_counts.max() - log_counts
        if cloud.max() > 0:
            cloud = cloud / cloud.max()
        #: Width of each class's cloud relative to the rarest class's, ``(C,)`` in [0, 1].
        self.register_buffer("cloud", cloud, persistent=False)

    def per_sample(
        self, logits: Tensor, target: Tensor, draw: Tensor | None = None
    ) -> tuple[Tensor, None]:
        adjusted = self.scale * logits
        if draw is not None:
            draw = self.checked_draw(draw, logits).to(logits.dtype).clamp(-1, 1)
        elif self.updates_state:
            generator = self.generator_on(logits.device)
            draw = torch.empty_like(logits, requires_grad=False)
            draw = draw.normal_(0, DEVIATION, generator=generator).clamp_(-1, 1)
        if draw is not None:
            cloud = self.cloud.to(logits.dtype)
            adjusted.addcmul_(draw.abs_(), cloud, value=-self.scale * self.noise)
        if self.margin:
            index = target.unsqueeze(1)
            lowered = adjusted.new_full(index.shape, -self.scale * self.margin)
            adjusted.scatter_add_(1, index, lowered)
        cross_entropy = F.cross_entropy(adjusted, target, reduction="none")
        if self.focal_gamma:
            cross_entropy = (
                focal_modulator(cross_entropy.detach(), self.focal_gamma) * cross_entropy
            )
        return cross_entropy, None

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, scale={self.scale:g}, margin={self.margin:g}, "
            f"noise={self.noise:g}, focal_gamma={self.focal_gamma:g}"
        )
