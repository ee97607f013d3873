"""Equalization loss: head samples stop pushing rare classes down."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.draws import DrawingLoss
from lt_core.parameters import choice, number


class Equalization(DrawingLoss):
    r"""Softmax cross-entropy that leaves negatives of rare classes out at random.

    .. math:: \ell = -\log \frac{e^{z_y}}{\sum_k w_k e^{z_k}}, \qquad
              w_k = 1 - \beta\, T(\pi_k)\, (1 - [k = y])

    :math:`T(\pi_k) = 1` where the class's share of the training images is below
    ``threshold``; :math:`\beta \sim \mathrm{Bernoulli}` (``ignore_probability``), drawn for
    each sample and class. Gradient: :math:`\tilde p_j - [j = y]` with
    :math:`\tilde p_j \propto w_j e^{z_j}`: a negative that is left out gets none.

    ``forward(logits, target, draw=None)``: ``draw`` ``(N, C)``, bool or 0/1, is
    :math:`\beta`. Without it the loss draws from its own ``generator``; outside training it
    draws nothing and is softmax cross-entropy.

    Parameters: ``threshold`` in ``[0, 1]``, a share of the images, or None for ``.5 / C``,
    half the share of a balanced class; ``ignore_probability`` in ``[0, 1]``; ``form``:
    ``"softmax"`` as above, or ``"sigmoid"``, the one-vs-all form,
    :math:`\sum_j (1 - T(\pi_j)(1 - [j=y]))\, \mathrm{BCE}(\sigma(z_j), [j = y])`, which
    draws nothing.

    Defaults: ``ignore_probability`` .9 as in both sources below; their ``threshold`` depends
    on the data (.05 for CIFAR-10, .005 for CIFAR-100 at factor 100), and ``.5 / C`` gives
    just these.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: Tan et al. 2020, arXiv:2003.05176; softmax form as in BagofTricks-LT
    and lt-project (GALA's code), sigmoid form as in the authors' detection code without its
    background.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        threshold: float | None = None,
        ignore_probability: float = 0.9,
        form: str = "softmax",
    ):
        super().__init__(class_counts, reduction)
        if threshold is None:
            threshold = 0.5 / self.num_classes
        self.threshold = number("equalization.threshold", threshold, minimum=0, maximum=1)
        self.ignore_probability = number(
            "equalization.ignore_probability", ignore_probability, minimum=0, maximum=1
        )
        self.form = choice("equalization.form", form, ("softmax", "sigmoid"))
        prior = self.class_counts.double() / self.class_counts.sum()
        self.register_buffer("rare", prior < self.threshold, persistent=False)

    def per_sample(
        self, logits: Tensor, target: Tensor, draw: Tensor | None = None
    ) -> tuple[Tensor, None]:
        if self.form == "sigmoid":
            return self._one_vs_all(logits, target), None
        if draw is None:
            if not self.updates_state:
                return F.cross_entropy(logits, target, reduction="none"), None
            draw = torch.empty_like(logits, dtype=torch.bool).bernoulli_(
                self.ignore_probability, generator=self.generator_on(logits.device)
            )
        ignored = self.rare & self.checked_draw(draw, logits).bool()
        ignored = ignored.scatter(1, target.unsqueeze(1), False)
        remaining = logits.masked_fill(ignored, -torch.inf)
        return F.cross_entropy(remaining, target, reduction="none"), None

    def _one_vs_all(self, logits: Tensor, target: Tensor) -> Tensor:
        one_hot = torch.zeros_like(logits, dtype=torch.bool).scatter(1, target.unsqueeze(1), True)
        answered_right = F.logsigmoid(torch.where(one_hot, logits, -logits))
        return -torch.where(one_hot | ~self.rare, answered_right, 0).sum(dim=1)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, threshold={self.threshold:g}, "
            f"ignore_probability={self.ignore_probability:g}, form={self.form!r}"
        )
