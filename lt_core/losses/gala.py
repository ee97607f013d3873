"""GALA: margins from accumulated gradients instead of class counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_core.losses.base import LongTailLoss, add_by_class, finite_rows, whole_batch_size
from lt_core.losses.functional import PerClass, checked_and_reduced
from lt_core.parameters import Range


@checked_and_reduced()
def gala(
    logits: Tensor,
    target: Tensor,
    theta: PerClass,
    running_total: PerClass | None = None,
    *,
    lambda1: float = 1.0,
    lambda2: float = 1.0,
    eps: float = 1e-3,
    gradient_scale: str = "sum",
    training: bool = True,
) -> tuple[Tensor, None]:
    r"""Softmax cross-entropy with margins measured by accumulated gradients.

    .. math:: F_j &= z_j + \lambda_1 \log(\theta_j + \varepsilon) \\
                  &\quad - \lambda_2 \log(\phi_y + \varepsilon), \qquad j \ne y \\
              F_y &= z_y, \qquad \ell = -\log \mathrm{softmax}(F)_y

    :math:`\theta_j`: accumulated :math:`|\partial\ell/\partial F_j|` from the samples of class j;
    :math:`\phi_k`: accumulated gradient that the samples of class k put on all other logits. For
    softmax the two are one number, :math:`\sum_{i: y_i = k} (1 - \tilde p_{ik})`, so one vector is
    kept, and at equal lambdas the loss is logit adjustment with :math:`\theta` for a prior.
    Gradient: :math:`\tilde p_j - [j = y]`, :math:`\tilde p = \mathrm{softmax}(F)`.

    Parameters
    ----------
    logits, target, reduction
        As in :mod:`lt_core.losses.functional`.
    theta : Tensor of float64, shape (C,)
        :math:`\theta`, zeros to begin with, used before the batch is added.
    running_total : Tensor of float64, shape (C,), optional
        Zeros to begin with, for the authors' released code: both terms stand on *every* logit, so
        that ``lambda2`` cancels in the softmax; gradients are those of the batch mean, whatever
        ``gradient_scale`` says; and each step adds the running total to ``theta`` again, so that
        early gradients dominate. None for the paper's formula above.
    lambda1, lambda2 : float
        As above.
    eps : float
        :math:`\varepsilon`, in units of the gradient.
    gradient_scale : {"sum", "mean"}
        Whether the gradients of the samples' losses are accumulated, or those of the batch mean.
    training : bool
        Whether the batch is added to ``theta`` afterwards, in place.
    """
    log_theta = (theta + eps).log()
    adjusted = torch.add(logits, log_theta.to(logits.dtype), alpha=lambda1)
    if lambda1 != lambda2 and running_total is None:
        # Adding lambda2 log(phi_y + eps) to a whole row changes nothing; it leaves the target
        # with that term in place of its own lambda1 log(theta_y + eps).
        index = target.unsqueeze(1)
        shift = ((lambda2 - lambda1) * log_theta).to(logits.dtype)
        adjusted = adjusted.scatter_add(1, index, shift.take(index))
    loss = F.cross_entropy(adjusted, target, reduction="none")
    if training:
        accumulate(loss.detach(), target, finite_rows(logits), theta, running_total, gradient_scale)
    return loss, None


def accumulate(
    loss: Tensor,
    target: Tensor,
    finite: Tensor,
    theta: Tensor,
    running_total: Tensor | None = None,
    gradient_scale: str = "sum",
) -> None:
    """Add each sample's ``1 - exp(-loss)`` to its class in ``theta``."""
    gradient = torch.expm1(-loss).neg_().masked_fill_(~finite, 0).to(theta.dtype)
    if running_total is not None or gradient_scale == "mean":
        gradient /= whole_batch_size(target)
    add_by_class(theta if running_total is None else running_total, target, gradient)
    if running_total is not None:
        theta.add_(running_total)


class GALA(LongTailLoss):
    """GALA, which accumulates the gradients itself.

    Formula and gradient: :func:`~lt_core.losses.functional.gala`.

    Parameters
    ----------
    class_counts, reduction
        As in :class:`LongTailLoss`. The counts say only how many classes there are.
    lambda1, lambda2, eps, gradient_scale
        As in :func:`gala`.
    variant : {"paper", "released"}
        The formula, or the authors' code, see ``running_total`` of :func:`gala`.

    Notes
    -----
    State: ``theta`` ``(C,)`` in float64 (``phi`` is the same tensor), and ``running_total`` for
    ``variant="released"``.

    Defaults: the lambdas and ``eps`` are those of the authors' code; it sets ``lambda1`` 1.2 and
    ``lambda2`` .9 where predictions are re-balanced after training.

    Examples
    --------
    >>> import torch
    >>> loss = GALA([500, 50])
    >>> _ = loss(torch.zeros(4, 2, requires_grad=True), torch.tensor([0, 0, 0, 1]))
    >>> [round(gradient, 3) for gradient in loss.theta.tolist()]
    [1.5, 0.5]

    Source
    ------
    Zhang et al. 2024, arXiv:2403.09036, and the code of the authors' repository, lt-project.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        reduction: str = "mean",
        *,
        lambda1: Annotated[float, Range(0)] = 1.0,
        lambda2: Annotated[float, Range(0)] = 1.0,
        eps: Annotated[float, Range(1e-30)] = 1e-3,
        variant: Literal["paper", "released"] = "paper",
        gradient_scale: Literal["sum", "mean"] = "sum",
    ):
        given = {"lambda1": lambda1, "lambda2": lambda2, "eps": eps, "variant": variant}
        super().__init__(class_counts, reduction, gradient_scale=gradient_scale, **given)
        zeros = torch.zeros(self.num_classes, dtype=torch.float64)
        self.register_buffer("theta", zeros)
        released = self.variant == "released"
        #: The total of the batches' gradients, which ``theta`` then totals once more.
        self.register_buffer("running_total", zeros.clone() if released else None)
        if released:
            self.gradient_scale = "mean"

    @property
    def phi(self) -> Tensor:
        """Accumulated gradient that each class's samples put on all other logits, ``(C,)``."""
        return self.theta

    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return gala.per_sample(
            logits,
            target,
            self.theta,
            self.running_total,
            lambda1=self.lambda1,
            lambda2=self.lambda2,
            eps=self.eps,
            gradient_scale=self.gradient_scale,
            training=self.updates_state,
        )
