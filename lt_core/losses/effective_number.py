"""Re-weighting by the effective number of samples, in its published forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss
from lt_core.losses.class_balanced import class_balanced
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range


def effective_number_weights(class_counts: Tensor, beta: float) -> Tensor:
    r"""Class weights :math:`w_c \propto (1-\beta) / (1-\beta^{n_c})` that sum to ``C``.

    Shape ``(C,)``, float64. ``beta = 0`` gives 1 for every class; as ``beta`` nears 1 the
    weights near inverse frequency.
    """
    if beta == 0:
        return torch.ones_like(class_counts, dtype=torch.float64)
    weight = -1 / torch.expm1(class_counts.double() * math.log(beta))
    return weight * (weight.numel() / weight.sum())


@checked_and_reduced()
def effective_number(
    logits: Tensor,
    target: Tensor,
    class_weight: PerClass,
    *,
    form: str = "softmax",
    gamma: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""Cross-entropy weighted by the inverse effective number of samples.

    .. math:: \ell &= -w_y \log p_y \\
              w_c &\propto \frac{1-\beta}{1-\beta^{n_c}}, \quad \sum_c w_c = C

    Gradient: :math:`w_y (p_j - [j = y])`. With :math:`n \ll 1/(1-\beta)` the weight is inverse
    frequency; above that, more images of a class no longer count as more.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    class_weight : Tensor, shape (C,)
        :math:`w`, as :func:`effective_number_weights` makes it of class counts and ``beta``.
    form : {"softmax", "sigmoid", "focal", "port"}
        ``"softmax"``: the formula above. ``"sigmoid"``:
        :math:`w_y \sum_j \mathrm{BCE}(\mathrm{sigmoid}(z_j), [j=y])`, one-vs-all. ``"focal"``: as
        ``"sigmoid"``, each term times :math:`(1-p)^\gamma`, where :math:`p` is the probability
        of the right answer of that binary problem. ``"port"``: the "softmax" of a popular PyTorch
        port, a *binary* cross-entropy on softmax probabilities averaged over the classes. It is
        not the paper's loss and is here so that results obtained with it can be recognised.
    gamma : float
        Used by ``form="focal"`` only.
    """
    if form == "softmax":
        return class_balanced.per_sample(logits, target, class_weight)
    weight = torch.index_select(class_weight, 0, target).to(logits.dtype)
    if form == "port":
        return weight * port_binary_cross_entropy(logits, target), weight
    wrongness = one_vs_all(logits, target)
    terms = F.softplus(wrongness)
    if form == "focal":
        terms = terms * torch.exp(-gamma * F.softplus(-wrongness))
    return weight * terms.sum(dim=1), weight


class EffectiveNumber(LongTailLoss):
    """Cross-entropy weighted by the effective number of samples.

    Formula and gradient: :func:`~lt_core.losses.functional.effective_number`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. The authors divide by the batch size (``"mean"``), LDAM-DRW
        by the sum of the weights (``"weighted_mean"``).
    beta : float
        How late more images of a class stop counting; 0 weights all classes alike.
    form, gamma
        As in :func:`effective_number`.

    Notes
    -----
    Defaults: the authors' scripts have ``beta`` .9999 and ``gamma`` 1.

    Examples
    --------
    >>> loss = EffectiveNumber([10_000, 100], beta=0.999)
    >>> [round(weight, 3) for weight in loss.class_weight.tolist()]
    [0.174, 1.826]

    Source
    ------
    Cui et al. 2019, arXiv:1901.05555, whose title calls it "class-balanced loss".
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        beta: Annotated[float, Range(0, below=1)] = 0.9999,
        form: Literal["softmax", "sigmoid", "focal", "port"] = "softmax",
        gamma: Annotated[float, Range(0)] = 1.0,
    ):
        super().__init__(class_counts, reduction, beta=beta, form=form, gamma=gamma)
        weight = effective_number_weights(self.class_counts, self.beta)
        self.register_buffer("class_weight", weight, persistent=False)

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return effective_number.per_sample(
            logits, target, self.class_weight, form=self.form, gamma=self.gamma
        )


def one_vs_all(logits: Tensor, target: Tensor) -> Tensor:
    """Logits with the target's sign turned: ``sigmoid`` of it is ``|sigmoid(z) - onehot|``."""
    column = target[:, None]
    return logits.scatter_add(1, column, -2 * logits.gather(1, column))


def port_binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over classes of the binary cross-entropy on softmax probabilities, ``(N,)``."""
    onehot = torch.zeros_like(logits).scatter(1, target[:, None], 1.0)
    # A NaN probability would end the process on a GPU; let it show in the loss instead.
    probabilities = logits.softmax(dim=1).nan_to_num(0.5)
    damage = 0 * logits.detach().sum(dim=1)
    with torch.autocast(logits.device.type, enabled=False):  # autocast refuses this function
        terms = F.binary_cross_entropy(probabilities, onehot, reduction="none")
    return terms.mean(dim=1) + damage
