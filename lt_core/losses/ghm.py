"""Gradient harmonizing: weight by the inverse density of gradient norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, all_reduced, finite_rows
from lt_core.losses.effective_number import one_vs_all
from lt_core.losses.functional import checked_and_reduced
from lt_core.parameters import Range


@checked_and_reduced()
def ghm(
    logits: Tensor,
    target: Tensor,
    bin_mass: Tensor,
    *,
    momentum: float = 0.75,
    form: str = "softmax",
    training: bool = True,
) -> tuple[Tensor, Tensor]:
    r"""GHM-C: the more samples have a gradient like its own, the less a sample weighs.

    .. math:: \ell &= -W \log p_y \\
              W &= \frac{\sum_b R_b}{K\,R_{b(g)}}, \qquad g = 1 - p_y

    with :math:`b(g)` the bin of g among K equal bins over [0, 1], :math:`R_b` the samples in bin
    b as a moving average over batches that counts the batch before it is weighted. Gradient:
    :math:`W (p_j - [j = y])`; the weight carries none.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    bin_mass : Tensor of float64, shape (K,)
        :math:`R`, in samples; zeros to begin with.
    momentum : float
        The share of the old average that survives a batch.
    form : {"softmax", "sigmoid"}
        As above, or the released one-vs-all loss: a gradient
        :math:`|\mathrm{sigmoid}(z_j) - [j=y]|` for each of the B·C elements of a batch of B,
        :math:`W = B C / (R_b \cdot \text{bins})`, where bins that are empty in the batch are not
        counted, the average starting at 0 without correction (at momentum .75 the first weights
        are 4 times too large), bins absent from the batch not decaying, and the mean over C.
    training : bool
        Whether the batch is counted in ``bin_mass`` first, in place.
    """
    counted = finite_rows(logits)[:, None]
    if form == "sigmoid":
        wrongness = one_vs_all(logits, target)
        terms, gradient = F.softplus(wrongness), torch.sigmoid(wrongness.detach())
    else:
        terms = F.cross_entropy(logits, target, reduction="none")[:, None]
        gradient = -torch.expm1(-terms.detach())
    bin_index = equal_bins(torch.where(counted, gradient, 0.0), len(bin_mass))
    weight = harmonized(bin_mass, bin_index, counted, momentum, form, training).to(logits.dtype)
    return (weight * terms).mean(dim=1), weight.mean(dim=1)


def equal_bins(gradient: Tensor, bins: int) -> Tensor:
    """Index of the equal bin that holds each gradient in [0, 1]; 1 falls in the last."""
    return (gradient * bins).long().clamp_(0, bins - 1)


def harmonized(
    bin_mass: Tensor,
    bin_index: Tensor,
    counted: Tensor,
    momentum: float,
    form: str,
    training: bool,
) -> Tensor:
    """The weight of each element of ``bin_index`` ``(N, 1 or C)``, after counting it."""
    normaliser, total = len(bin_mass), None
    if training:
        # Rows first: the sums over the batch then meet no contention, and are exact.
        rows = torch.zeros(len(bin_index), len(bin_mass), device=bin_index.device)
        rows.scatter_add_(1, bin_index, counted.to(rows.dtype).expand(bin_index.shape))
        counts = all_reduced(rows.sum(dim=0, dtype=bin_mass.dtype))
        moved = torch.lerp(counts, bin_mass, momentum)
        if form == "sigmoid":
            moved = torch.where(counts > 0, moved, bin_mass)
            normaliser, total = (counts > 0).sum(), counts.sum()
        bin_mass.copy_(moved)
    elif form == "sigmoid":
        normaliser = (bin_mass > 0).sum()
    if total is None:
        total = bin_mass.sum()
    # One sample counted in training has at least this mass; it bounds evaluation.
    mass = bin_mass.clamp_min(1 - momentum)
    weight = torch.where(total > 0, total / (mass * normaliser), 1.0)
    return torch.index_select(weight, 0, bin_index.flatten()).view(bin_index.shape)


class GHM(LongTailLoss):
    """GHM-C, which keeps the histogram itself.

    Formula and gradient: :func:`~lt_core.losses.functional.ghm`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. The counts say only how many classes there are.
    bins : int
        The number K of equal bins.
    momentum, form
        As in :func:`ghm`.

    Notes
    -----
    State: ``bin_mass`` ``(bins,)``. Evaluation uses what training has seen and weighs 1 without it.

    Defaults: the pair is our choice. ``momentum`` is that of the authors' detectors, which have 30
    bins; 10 ``bins`` are the default of their code, there with momentum 0.

    Examples
    --------
    >>> import torch
    >>> loss = GHM([500, 50, 5], momentum=0)
    >>> _ = loss(torch.zeros(4, 3, requires_grad=True), torch.tensor([0, 0, 1, 2]))  # g = 2/3
    >>> loss.bin_mass.tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0]

    Source
    ------
    Li et al. 2019, arXiv:1811.05181. There is no official softmax form.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        bins: Annotated[int, Range(1, 10_000)] = 10,
        momentum: Annotated[float, Range(0, below=1)] = 0.75,
        form: Literal["softmax", "sigmoid"] = "softmax",
    ):
        super().__init__(class_counts, reduction, bins=bins, momentum=momentum, form=form)
        self.register_buffer("bin_mass", torch.zeros(self.bins, dtype=torch.float64))

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        given = {"momentum": self.momentum, "form": self.form, "training": self.updates_state}
        return ghm.per_sample(logits, target, self.bin_mass, **given)
