"""GCL: Gaussian clouds around the logits, wider for rarer classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.draws import DrawingLoss, checked_draw
from lt_core.losses.focal import focal_modulator
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range

#: Standard deviation of the draws: all but 0.3 % of them lie within [-1, 1].
DEVIATION = 1 / 3


def cloud_widths(class_counts: Tensor) -> Tensor:
    """Width of the cloud of each class as a part of the widest, ``(C,)`` in [0, 1]."""
    log_counts = class_counts.double().log()
    cloud = log_counts.max() - log_counts
    return cloud / cloud.max() if cloud.max() > 0 else cloud


def drawn_distances(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r""":math:`|\mathrm{clip}(\varepsilon, -1, 1)|` for each logit, ``(N, C)``, drawn anew."""
    draw = torch.empty_like(logits, requires_grad=False)
    return draw.normal_(0, DEVIATION, generator=generator).abs_().clamp_max_(1)


@checked_and_reduced(takes_cosines=True)
def gcl(
    logits: Tensor,
    target: Tensor,
    cloud: PerClass,
    distance: Tensor | None = None,
    *,
    scale: float = 30.0,
    margin: float = 0.0,
    noise: float = 0.5,
    focal_gamma: float = 0.0,
) -> tuple[Tensor, None]:
    r"""Gaussian-clouded logits: cosines are lowered at random, those of rarer classes by more.

    .. math:: \ell &= -(1 - \tilde p_y)^{\gamma} \log \tilde p_y \\
              \log \tilde p_j &= s\,\bigl(z_j - |\mathrm{clip}(\varepsilon_j, -1, 1)|\, \delta_j \\
              &\qquad - m\,[j = y]\bigr) + \text{const} \\
              \delta_j &= \text{noise}\, \frac{\log (n_{\max} / n_j)}{\log (n_{\max} / n_{\min})}

    with the cosines :math:`z` and :math:`\varepsilon_j \sim \mathcal N(0, 1/3)` (standard
    deviation) for each sample and class; :math:`s`, :math:`m` and :math:`\gamma` are ``scale``,
    ``margin`` and ``focal_gamma``. The rarer a class, the wider its cloud; the largest class has
    none, and with equal counts no class has one. Gradient with respect to the cosines:
    :math:`(1 - \tilde p_y)^\gamma s\,(\tilde p_j - [j = y])`; the factor in front carries none.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`, the logits being **cosines** in [-1, 1].
    cloud : Tensor, shape (C,)
        The quotient in :math:`\delta`, as :func:`cloud_widths` makes it of the class counts.
    distance : Tensor, shape (N, C), optional
        :math:`|\mathrm{clip}(\varepsilon, -1, 1)|`, as :func:`drawn_distances` draws it; none is 0.
    scale : float
        :math:`s`.
    margin, noise : float
        The :math:`m` and the noise of the formula, in units of the cosine.
    focal_gamma : float
        :math:`\gamma`.
    """
    adjusted = scale * logits
    if distance is not None:
        distance = checked_draw(distance, logits).to(logits.dtype)
        adjusted.addcmul_(distance, cloud.to(logits.dtype), value=-scale * noise)
    if margin:
        index = target.unsqueeze(1)
        adjusted.scatter_add_(1, index, adjusted.new_full(index.shape, -scale * margin))
    loss = F.cross_entropy(adjusted, target, reduction="none")
    if focal_gamma:
        loss = focal_modulator(loss.detach(), focal_gamma) * loss
    return loss, None


class GCL(DrawingLoss):
    r"""Gaussian-clouded logits, drawn by the loss itself.

    Formula and gradient: :func:`~lt_core.losses.functional.gcl`.

    ``forward(logits, target, draw=None)``: ``draw`` ``(N, C)`` are the :math:`\varepsilon`, before
    clipping. Without it the loss draws from its own ``generator``; outside training it draws
    nothing, and :math:`\varepsilon = 0`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`.
    scale, margin, noise, focal_gamma
        As in :func:`gcl`.

    Notes
    -----
    Takes **cosines** in [-1, 1], as ``lt_core.models.create(..., classifier="cosine")`` gives them.

    Defaults: the authors' first stage; their second, on a frozen backbone with re-sampled data, is
    ``scale=20, margin=.1, focal_gamma=1``.

    Examples
    --------
    >>> loss = GCL([100, 10, 1])
    >>> loss.cloud.tolist()
    [0.0, 0.5, 1.0]

    Source
    ------
    Li et al. 2022, arXiv:2305.11733; formula as in the authors' code.
    """

    takes_cosines = True

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        scale: Annotated[float, Range(1e-6)] = 30.0,
        margin: Annotated[float, Range(0)] = 0.0,
        noise: Annotated[float, Range(0)] = 0.5,
        focal_gamma: Annotated[float, Range(0)] = 0.0,
    ):
        given = {"scale": scale, "margin": margin, "noise": noise, "focal_gamma": focal_gamma}
        super().__init__(class_counts, reduction, **given)
        self.register_buffer("cloud", cloud_widths(self.class_counts), persistent=False)

    def per_sample(
        self, logits: Tensor, target: Tensor, draw: Tensor | None = None
    ) -> tuple[Tensor, None]:
        distance = None
        if draw is not None:
            distance = draw.to(logits.dtype).abs().clamp_max_(1)
        elif self.updates_state:
            distance = drawn_distances(logits, self.generator_on(logits.device))
        return gcl.per_sample(
            logits,
            target,
            self.cloud,
            distance,
            scale=self.scale,
            margin=self.margin,
            noise=self.noise,
            focal_gamma=self.focal_gamma,
        )
