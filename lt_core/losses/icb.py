"""Intra- and inter-category balance, the method of the poster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, finite_rows
from lt_core.losses.density import DENSITIES, CategoryDensity
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range, in_range


@checked_and_reduced()
def icb(
    logits: Tensor,
    target: Tensor,
    scaled_log_counts: PerClass | None = None,
    density: CategoryDensity | None = None,
    *,
    gradient: str = "raw",
    training: bool = True,
) -> tuple[Tensor, Tensor | None]:
    r"""Intra-category weight and inter-category margin.

    .. math:: \ell &= -W \log \frac{e^{z_y}}{\sum_j e^{z_j + M[y, j]}} \\
              M[y, j] &= \gamma \log \min(1, n_j / n_y) \\
              W &\propto 1 / D_y(g)

    with :math:`n_j` the training images of class j and :math:`D_m(g)` the density of
    :math:`g = 1 - p_y` among the samples of category m (a category is a class). :math:`W` is
    scaled to the mean 1 within each category. Gradient: :math:`W (\tilde p_j - [j = y])`,
    :math:`\tilde p` the softmax with the margin; the weight carries none.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    scaled_log_counts : Tensor, shape (C,), optional
        :math:`\gamma \log n`; none leaves the margin out.
    density : CategoryDensity, optional
        What is remembered of each category's gradients, see :mod:`lt_core.losses.density`; it
        makes the weight. None leaves the weight out.
    gradient : {"raw", "adjusted"}
        Whether g comes from the logits as they are or from those with the margin.
    training : bool
        Whether the batch is counted in ``density`` first, in place.

    Examples
    --------
    >>> import torch
    >>> from lt_core.losses.density import AdaptiveDensity
    >>> counts, target = torch.tensor([100, 10]), torch.tensor([0, 1])
    >>> density = AdaptiveDensity(num_classes=2, bins=12, memory=1, normalize="category")
    >>> print(f"{icb(torch.zeros(2, 2), target, 0.8 * counts.log(), density):.4f}")
    0.4201
    """
    adjusted = logits
    if scaled_log_counts is not None:
        adjusted = with_margin(logits, target, scaled_log_counts.to(logits.dtype))
    loss = F.cross_entropy(adjusted, target, reduction="none")
    if density is None:
        return loss, None
    seen = loss.detach()
    if scaled_log_counts is not None and gradient == "raw":
        seen = F.cross_entropy(logits.detach(), target, reduction="none")
    g = -torch.expm1(-seen)
    weight = density(g, target, finite_rows(logits), training).to(logits.dtype)
    return weight * loss, weight


def with_margin(logits: Tensor, target: Tensor, scaled_log_counts: Tensor) -> Tensor:
    r"""Logits plus the margin, up to a constant per row that softmax ignores.

    :math:`M[y, j] = \min(a_j, a_y) - a_y` with :math:`a = \gamma \log n`, so one minimum per
    element suffices, and no C x C matrix exists.
    """
    margin = torch.minimum(scaled_log_counts, scaled_log_counts[target][:, None])
    return margin.add_(logits)


class ICB(LongTailLoss):
    r"""Intra- and inter-category balance, which keeps the densities itself.

    Formula and gradient: :func:`~lt_core.losses.functional.icb`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`.
    gamma : float
        Strength of the margin.
    bins : int
        The number of bins of each category.
    memory : int
        How long a category remembers, in samples of its own; at most 10^6 for the exact density,
        which stores each of them.
    intra, inter : bool
        Whether to use the weight, and the margin.
    density : {"adaptive", "uniform", "exact"}
        Bins whose edges move so that they hold equal mass, equal bins, or a window around g. The
        source says only that the precision of bins adapts; equal mass is our reading.
    normalize : {"category", "none"}
        Whether the mean weight of a category is 1, as above, or :math:`W = 1 / D_y(g)` stays as it
        is.
    gradient : {"raw", "adjusted"}
        As in :func:`icb`.

    Notes
    -----
    State, of each category and over all processes of a distributed training: how many samples are
    remembered, the sums of their weights before either step of the scaling
    (:class:`~lt_core.losses.density.CategoryDensity`), and its bins (``"adaptive"``: the cube roots
    of the ``bins + 1`` edges; ``"exact"``: the last ``memory`` gradients instead). The batch
    is counted before it is weighted. Evaluation uses what training has seen; without history the
    weight is 1.

    Defaults: ``gamma`` is Seesaw's ``p``: the margin is the logarithm of Seesaw's first factor. The
    poster gives no ``bins`` and no ``memory``: 12 is our choice, and 1 was chosen on held-out
    images (digits at factors 50 and 10, three seeds, among 1, 20, 200 and 2,000).

    On digits the network became much worse with a memory of 20 and more: the weight flattens the
    difficulty of a category, so that each part of the range of g keeps its share of the total
    weight, however many samples have been learned and left it. On CIFAR-10 a memory of 20 made
    hardly any difference; more was not tried there.

    How near the mean weight of a category comes to 1 was measured on stationary streams (all
    densities, memories from 1 to 2,000, from the first sample on, whether a batch holds 16 samples
    of the category or one batch in five holds one): .97 to 1.01 over 1,000 samples and .92 to 1.04
    over the first 200; .98 to 1.00 over 200 at the default density and memory. Where
    nearly every g is 0, and with a memory of 20 and more, adaptive bins fall to .8 and less (to .4
    over the first 200 where 99.5 % are), the other densities to .9. While g moves
    to 0 in the course of training, the weight follows with the memory.

    Examples
    --------
    >>> import torch
    >>> loss = ICB([100, 10], density="uniform", reduction="none")
    >>> logits = torch.tensor([[4.0, 0.0]] * 7 + [[0.0, 4.0]], requires_grad=True)  # one is wrong
    >>> _, weight = loss.per_sample(logits, torch.zeros(8, dtype=torch.int64))
    >>> [round(each, 2) for each in weight.tolist()]
    [0.57, 0.57, 0.57, 0.57, 0.57, 0.57, 0.57, 4.0]

    Source
    ------
    Zhang et al. 2022, arXiv:2204.09234, and its poster. There is no public code; this is our
    reading.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        gamma: Annotated[float, Range(0)] = 0.8,
        bins: Annotated[int, Range(1, 10_000)] = 12,
        memory: Annotated[int, Range(1, 10**9)] = 1,
        intra: bool = True,
        inter: bool = True,
        density: Literal["exact", "uniform", "adaptive"] = "adaptive",
        normalize: Literal["category", "none"] = "category",
        gradient: Literal["raw", "adjusted"] = "raw",
    ):
        given = {"gamma": gamma, "bins": bins, "memory": memory, "intra": intra, "inter": inter}
        given |= {"density": density, "normalize": normalize, "gradient": gradient}
        super().__init__(class_counts, reduction, **given)
        if self.density == "exact":
            in_range("icb.memory", self.memory, 1, 10**6)
        make, size = DENSITIES[self.density], (self.bins, self.memory, self.normalize)
        self.density = make(self.num_classes, *size) if self.intra else None
        scaled_log_counts = self.gamma * self.class_counts.double().log()
        self.register_buffer("scaled_log_counts", scaled_log_counts, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        margin = self.scaled_log_counts if self.inter else None
        given = {"gradient": self.gradient, "training": self.updates_state}
        return icb.per_sample(logits, target, margin, self.density, **given)
