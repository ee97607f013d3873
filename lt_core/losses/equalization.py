"""Equalization loss: head samples stop pushing rare classes down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.draws import DrawingLoss, checked_draw
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range


@checked_and_reduced()
def equalization(
    logits: Tensor,
    target: Tensor,
    rare: PerClass,
    draw: Tensor | None = None,
    *,
    form: str = "softmax",
) -> tuple[Tensor, None]:
    r"""Softmax cross-entropy that leaves negatives of rare classes out at random.

    .. math:: \ell &= -\log \frac{e^{z_y}}{\sum_k h_k e^{z_k}} \\
              h_k &= 1 - \text{draw}_k\, \text{rare}_k\, [k \ne y]

    :math:`\text{rare}_k` is 1 for a rare class and 0 for others; :math:`\text{draw}_k` is 0 or 1,
    drawn for each sample and class. Gradient: :math:`\tilde p_j - [j = y]` with
    :math:`\tilde p_j \propto h_j e^{z_j}`: a negative that is left out gets none.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    rare : Tensor of bool, shape (C,)
        Which classes are rare.
    draw : Tensor, shape (N, C), optional
        Bool or 0/1; none leaves nothing out.
    form : {"softmax", "sigmoid"}
        As above, or one-vs-all, which draws nothing:
        :math:`\mathrm{BCE}(\mathrm{sigmoid}(z_j), [j = y])`, summed over the target and all
        classes that are not rare.
    """
    own = target.unsqueeze(1)
    if form == "sigmoid":
        one_hot = torch.zeros_like(logits, dtype=torch.bool).scatter(1, own, True)
        answered_right = F.logsigmoid(torch.where(one_hot, logits, -logits))
        return -torch.where(one_hot | ~rare, answered_right, 0).sum(dim=1), None
    if draw is not None:
        ignored = (rare & checked_draw(draw, logits).bool()).scatter(1, own, False)
        logits = logits.masked_fill(ignored, -torch.inf)
    return F.cross_entropy(logits, target, reduction="none"), None


class Equalization(DrawingLoss):
    r"""Equalization loss, which draws for itself what it leaves out.

    Formula and gradient: :func:`~lt_core.losses.functional.equalization`.

    ``forward(logits, target, draw=None)``: without ``draw`` the loss draws from its own
    ``generator``; outside training it draws nothing, and the softmax form is
    softmax cross-entropy.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`.
    threshold : float or None
        A class is rare whose share of the training images is below this; None for ``.5 / C``,
        half the share of a balanced class.
    ignore_probability : float
        Probability that a draw is 1.
    form : {"softmax", "sigmoid"}
        As in :func:`equalization`.

    Notes
    -----
    Defaults: ``ignore_probability`` .9 is that of BagofTricks-LT and lt-project, whose thresholds
    (.05 for CIFAR-10, .005 for CIFAR-100 at factor 100) are what None gives.

    Examples
    --------
    >>> Equalization([80, 15, 5]).rare.tolist()
    [False, True, True]

    Source
    ------
    Tan et al. 2020, arXiv:2003.05176; softmax form as in BagofTricks-LT and lt-project (GALA's
    code), sigmoid form as in the authors' detection code without its background.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        threshold: Annotated[float, Range(0, 1)] | None = None,
        ignore_probability: Annotated[float, Range(0, 1)] = 0.9,
        form: Literal["softmax", "sigmoid"] = "softmax",
    ):
        given = {"threshold": threshold, "ignore_probability": ignore_probability, "form": form}
        super().__init__(class_counts, reduction, **given)
        if self.threshold is None:
            self.threshold = 0.5 / self.num_classes
        prior = self.class_counts.double() / self.class_counts.sum()
        self.register_buffer("rare", prior < self.threshold, persistent=False)

    def per_sample(
        self, logits: Tensor, target: Tensor, draw: Tensor | None = None
    ) -> tuple[Tensor, None]:
        if draw is None and self.updates_state and self.form == "softmax":
            draw = torch.empty_like(logits, dtype=torch.bool).bernoulli_(
                self.ignore_probability, generator=self.generator_on(logits.device)
            )
        return equalization.per_sample(logits, target, self.rare, draw, form=self.form)
