"""Intra- and inter-category balance, the method of the poster."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, finite_rows
from lt_core.losses.density import DENSITIES
from lt_core.parameters import choice, number, whole


def with_margin(logits: Tensor, target: Tensor, scaled_log_counts: Tensor) -> Tensor:
    r"""Logits plus the margin, up to a constant per row that softmax ignores.

    :math:`M[y, n] = \min(a_n, a_y) - a_y` with :math:`a = \gamma \log S`, so one minimum per
    element suffices, and no C x C matrix exists.
    """
    margin = torch.minimum(scaled_log_counts, scaled_log_counts[target][:, None])
    return margin.add_(logits)


class ICB(LongTailLoss):
    r"""Intra-category weight and inter-category margin.

    .. math:: \ell = -W \log \frac{e^{z_y}}{\sum_n e^{z_n + M[y, n]}}, \qquad
              M[y, n] = \gamma \log \min(1, S_n / S_y), \qquad W \propto 1 / D_y(g)

    with :math:`S` the class counts and :math:`D_m(g)` the density of :math:`g = 1 - p_y`
    among the samples of category m (a category is a class). :math:`W` is scaled to the mean
    1 within each category. Gradient:
    :math:`W (\tilde p_j - [j = y])`, :math:`\tilde p` the softmax with the margin; the
    weight carries none.

    Parameters: ``gamma >= 0``; ``bins`` from 1 to 10,000; ``memory`` from 1 to 10^9, in
    samples of the category; ``intra``, ``inter``: use the weight, the margin; ``density``:
    ``"exact"`` (a window around g; ``memory`` to 10^6), ``"uniform"`` (equal bins) or
    ``"adaptive"`` (edges move so that bins hold equal mass: the source says only that the
    precision of bins adapts, equal mass is our reading); ``normalize``: ``"category"``
    (mean weight 1, as above) or ``"none"`` (:math:`W = 1 / D_y(g)` as it is); ``gradient``:
    g from the ``"raw"`` logits or from those ``"adjusted"`` by the margin.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Defaults: ``gamma`` is Seesaw's ``p``, whose first factor the margin is. The papers give no
    memory. Its default was chosen on validation images (digits at
    factors 50 and 10, three seeds, among 1, 20, 200 and 2,000): the longer the memory, the
    worse the network, because with a flat difficulty a category keeps the middle of the
    range of g that it occupies, times its samples, however many of them are learned.
    State: of each category the samples remembered, the sums of their weights before either
    step of the scaling (:class:`~lt_core.losses.density.CategoryDensity`), and its bins
    (``"adaptive"``: the cube roots of their bins + 1 edges), over all processes of a
    distributed training. The batch is counted before it is weighted. Evaluation uses what
    training has seen; without history the weight is 1.

    How near the mean weight of a category comes to 1 (measured on stationary streams, all
    densities, memories from 1 to 2,000, from the first sample on, whether a batch holds 16
    samples of the category or one in five batches does): .97 to 1.01 over 1,000 samples, .93
    to 1.01 over the first 200; at the default density and memory .98 to 1.00 over 200. It
    falls to .8 at a memory of 20 and more where nearly every g is 0. While g moves to 0 in
    the course of training, the weight follows with the memory.
    Source: Zhang et al. 2022, arXiv:2204.09234, and its poster. There is no public code;
    this is our reading.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        gamma: float = 0.8,
        bins: int = 12,
        memory: int = 1,
        intra: bool = True,
        inter: bool = True,
        density: str = "adaptive",
        normalize: str = "category",
        gradient: str = "raw",
    ):
        super().__init__(class_counts, reduction)
        self.gamma = number("icb.gamma", gamma, minimum=0)
        self.intra, self.inter = intra, inter
        self.gradient = choice("icb.gradient", gradient, ("raw", "adjusted"))
        choice("icb.density", density, DENSITIES)
        bins = whole("icb.bins", bins, minimum=1, maximum=10_000)
        longest = 10**6 if density == "exact" else 10**9  # the exact density keeps every sample
        memory = whole("icb.memory", memory, minimum=1, maximum=longest)
        choice("icb.normalize", normalize, ("category", "none"))
        self.density = None
        if intra:
            self.density = DENSITIES[density](self.num_classes, bins, memory, normalize)
        scaled_log_counts = self.gamma * self.class_counts.double().log()
        self.register_buffer("scaled_log_counts", scaled_log_counts, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        adjusted = logits
        if self.inter:
            adjusted = with_margin(logits, target, self.scaled_log_counts.to(logits.dtype))
        loss = F.cross_entropy(adjusted, target, reduction="none")
        if not self.intra:
            return loss, None
        seen = loss.detach()
        if self.inter and self.gradient == "raw":
            seen = F.cross_entropy(logits.detach(), target, reduction="none")
        gradient = -torch.expm1(-seen)
        weight = self.density(gradient, target, finite_rows(logits), self.updates_state)
        weight = weight.to(logits.dtype)
        return weight * loss, weight

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gamma={self.gamma:g}, gradient={self.gradient!r}"
