"""GALA: margins from accumulated gradients instead of class counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, add_by_class, finite_rows, whole_batch_size
from lt_core.parameters import choice, number


class GALA(LongTailLoss):
    r"""Softmax cross-entropy with margins measured by accumulated gradients.

    .. math:: F_j = z_j + \lambda_1 \log(\theta_j + \varepsilon)
                        - \lambda_2 \log(\phi_y + \varepsilon) \;\; (j \ne y), \qquad F_y = z_y,
              \qquad \ell = -\log \mathrm{softmax}(F)_y

    :math:`\theta_j`: accumulated :math:`|\partial\ell/\partial F_j|` from the samples of
    class j; :math:`\phi_k`: accumulated gradient that the samples of class k put on all
    other logits. For softmax the two are one number, :math:`\sum_{i: y_i = k} (1 - p_{y_i})`,
    so one vector is kept, and at equal lambdas the loss is logit adjustment with
    :math:`\theta` for a prior. Gradient: :math:`\tilde p_j - [j = y]`,
    :math:`\tilde p = \mathrm{softmax}(F)`.

    The state, ``theta`` ``(C,)`` in float64 (``phi`` is the same tensor), starts at 0, is
    used before the batch and updated after it.

    Parameters: ``lambda1 >= 0``, ``lambda2 >= 0``; ``eps > 0``, in units of the gradient;
    ``gradient_scale``: accumulate the gradients of the per-sample losses (``"sum"``) or
    those of the batch mean (``"mean"``); ``variant``: ``"paper"`` as above, or
    ``"released"``, the authors' code: both terms on *every* logit, so that ``lambda2``
    cancels in the softmax; gradients of the mean, whatever ``gradient_scale`` says; and
    each step adds the running total again, so that early gradients dominate.

    Defaults: those of the authors' code; it sets ``lambda1`` 1.2 and ``lambda2`` .9 where
    predictions are re-balanced after training.

    logits ``(N, C)`` unnormalised; target ``(N,)`` int64 in ``[0, C)``. Returns nats.
    Source: formula and code of the authors' repository, lt-project (GALA).
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        eps: float = 1e-3,
        variant: str = "paper",
        gradient_scale: str = "sum",
    ):
        super().__init__(class_counts, reduction)
        self.lambda1 = number("gala.lambda1", lambda1, minimum=0)
        self.lambda2 = number("gala.lambda2", lambda2, minimum=0)
        self.eps = number("gala.eps", eps, minimum=1e-30)
        self.variant = choice("gala.variant", variant, ("paper", "released"))
        self.gradient_scale = choice("gala.gradient_scale", gradient_scale, ("sum", "mean"))
        zeros = torch.zeros(self.num_classes, dtype=torch.float64)
        self.register_buffer("theta", zeros)
        if self.variant == "released":
            self.gradient_scale = "mean"
            #: The total of the batches' gradients, which ``theta`` then totals once more.
            self.register_buffer("running_total", zeros.clone())

    @property
    def phi(self) -> Tensor:
        """Accumulated gradient that each class's samples put on all other logits, ``(C,)``."""
        return self.theta

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        log_theta = (self.theta + self.eps).log()
        adjusted = torch.add(logits, log_theta.to(logits.dtype), alpha=self.lambda1)
        if self.variant == "paper" and self.lambda1 != self.lambda2:
            # Adding lambda2 log(phi_y + eps) to a whole row changes nothing; it leaves the
            # target with that term in place of its own lambda1 log(theta_y + eps).
            shift = ((self.lambda2 - self.lambda1) * log_theta).to(logits.dtype)
            adjusted = adjusted.scatter_add(1, target.unsqueeze(1), shift.take(target.unsqueeze(1)))
        loss = F.cross_entropy(adjusted, target, reduction="none")
        if self.updates_state:
            self.accumulate(loss.detach(), target, finite_rows(logits))
        return loss, None

    def accumulate(self, loss: Tensor, target: Tensor, finite: Tensor) -> None:
        """Add each sample's ``1 - p_y = 1 - exp(-loss)`` to its class."""
        gradient = torch.expm1(-loss).neg_().masked_fill_(~finite, 0).to(self.theta.dtype)
        if self.gradient_scale == "mean":
            gradient /= whole_batch_size(target)
        if self.variant == "released":
            add_by_class(self.running_total, target, gradient)
            self.theta.add_(self.running_total)
        else:
            add_by_class(self.theta, target, gradient)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, lambda1={self.lambda1:g}, lambda2={self.lambda2:g}, "
            f"eps={self.eps:g}, variant={self.variant!r}, gradient_scale={self.gradient_scale!r}"
        )
