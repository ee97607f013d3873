"""Gradient harmonizing: weight by the inverse density of gradient norms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, all_reduced, finite_rows
from lt_core.losses.effective_number import one_vs_all
from lt_core.parameters import choice, number, whole


def equal_bins(gradient: Tensor, bins: int) -> Tensor:
    """Index of the equal bin that holds each gradient in [0, 1]; 1 falls in the last."""
    return (gradient * bins).long().clamp_(0, bins - 1)


class GHM(LongTailLoss):
    r"""GHM-C: a sample weighs the less, the more samples have a gradient like its own.

    .. math:: \ell = -W \log p_y, \qquad W = \frac{N}{K\,R_{b(g)}}, \qquad g = 1 - p_y

    with :math:`b(g)` the bin of g among K equal bins over [0, 1], :math:`R_b` the samples in
    bin b and :math:`N` those in all bins, both a moving average over batches that counts the
    batch before it is weighted.
    Gradient: :math:`W (p_j - [j = y])`; the weight carries none.

    Parameters: ``bins`` from 1 to 10,000; ``momentum`` in ``[0, 1)``, the share of the old
    average that survives a batch; ``form``: ``"softmax"`` as above, or ``"sigmoid"``,
    the released one-vs-all loss: a gradient :math:`|\sigma(z_j) - [j=y]|` for each of the
    B·C elements of a batch of B, :math:`W = B C / (R_b \cdot` non-empty bins of the batch), the
    average starting at 0 without correction (at momentum .75 the first weights are 4
    times too large), bins absent from the batch not decaying, and the mean over B·C.
    The released file for detectors divides by B·C + 1.2e-7; we do not.

    Defaults: ``momentum`` is that of the authors' detectors, which have 30 bins; 10 is the
    default of their code, there with momentum 0.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    State: ``bin_mass`` ``(bins,)``. Evaluation uses what training has seen and weighs 1
    without it.
    Source: Li et al. 2019, arXiv:1811.05181. There is no official softmax form.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        bins: int = 10,
        momentum: float = 0.75,
        form: str = "softmax",
    ):
        super().__init__(class_counts, reduction)
        self.bins = whole("ghm.bins", bins, minimum=1, maximum=10_000)
        self.momentum = number("ghm.momentum", momentum, minimum=0, below=1)
        self.form = choice("ghm.form", form, ("softmax", "sigmoid"))
        self.register_buffer("bin_mass", torch.zeros(self.bins, dtype=torch.float64))

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        counted = finite_rows(logits)[:, None]
        if self.form == "sigmoid":
            wrongness = one_vs_all(logits, target)
            terms, gradient = F.softplus(wrongness), torch.sigmoid(wrongness.detach())
        else:
            terms = F.cross_entropy(logits, target, reduction="none")[:, None]
            gradient = -torch.expm1(-terms.detach())
        gradient = torch.where(counted, gradient, 0.0)
        weight = self.weights(equal_bins(gradient, self.bins), counted).to(logits.dtype)
        return (weight * terms).mean(dim=1), weight.mean(dim=1)

    def weights(self, bin_index: Tensor, counted: Tensor) -> Tensor:
        """Weight of each element of ``bin_index`` (N, 1 or C), after counting it."""
        normaliser = self.bins
        total = None
        if self.updates_state:
            # Rows first: the sums over the batch then meet no contention, and are exact.
            rows = torch.zeros(len(bin_index), self.bins, device=bin_index.device)
            rows.scatter_add_(1, bin_index, counted.to(rows.dtype).expand(bin_index.shape))
            counts = all_reduced(rows.sum(dim=0, dtype=self.bin_mass.dtype))
            moved = torch.lerp(counts, self.bin_mass, self.momentum)
            if self.form == "sigmoid":
                moved = torch.where(counts > 0, moved, self.bin_mass)
                normaliser = (counts > 0).sum()
                total = counts.sum()
            self.bin_mass.copy_(moved)
        elif self.form == "sigmoid":
            normaliser = (self.bin_mass > 0).sum()
        if total is None:
            total = self.bin_mass.sum()
        # One sample counted in training has at least this mass; it bounds evaluation.
        mass = self.bin_mass.clamp_min(1 - self.momentum)
        weight = torch.where(total > 0, total / (mass * normaliser), 1.0)
        return torch.index_select(weight, 0, bin_index.flatten()).view(bin_index.shape)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, bins={self.bins}, momentum={self.momentum:g}, "
            f"form={self.form!r}"
        )
