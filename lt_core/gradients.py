r"""Who pulls and who pushes: the gradient of softmax cross-entropy, class by class.

For logits :math:`z`, probabilities :math:`p = \mathrm{softmax}(z)` and a sample of
class :math:`y`,

.. math:: \frac{\partial \ell}{\partial z_j} = p_j - [j = y] .

The sample pulls its own logit up by :math:`1 - p_y` and pushes every other logit
down by :math:`p_j`. What it pulls is what it pushes:
:math:`1 - p_y = \sum_{j \ne y} p_j`.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lt_core.errors import ConfigError
from lt_core.losses.base import LongTailLoss, checked
from lt_core.parameters import Range, convert


def measured(loss: LongTailLoss, logits: Tensor, target: Tensor, **draws: Tensor) -> Tensor:
    r"""The gradient of each sample's loss with respect to its logits, ``(N, C)``.

    logits ``(N, C)``, times the loss's scale where it takes cosines, so that losses can be
    compared at the same scores; target ``(N,)``; ``draws``: what ``forward`` takes. The state
    is used as in evaluation, and left alone.
    """
    logits, was_training = logits.detach().requires_grad_(), loss.training
    loss.eval()
    value, _ = loss.per_sample(logits / getattr(loss, "scale", 1.0), target, **draws)
    loss.train(was_training)
    return torch.autograd.grad(value.sum(), logits)[0]


class GradientTracker:
    r"""Accumulates the magnitude of softmax's gradient by class of sample and by logit.

    Every quantity is a sum over the samples seen since the last :meth:`reset`, in
    float64: the gradient of the *summed* loss, without the ``1 / N`` of a mean. It
    is computed from the logits alone, so that tracking changes no training and the
    same tracker serves runs of every loss.

    Parameters
    ----------
    num_classes : int
        ``C``, at least 2.
    device : str or torch.device
        Where the sums live; ``negative`` takes ``8 C**2`` bytes there.

    Attributes
    ----------
    positive : Tensor, shape ``(C,)``
        :math:`\sum_{i: y_i = k} (1 - p_{i k})`: the pull of class ``k``'s samples on
        their own logit.
    negative : Tensor, shape ``(C, C)``
        :math:`\sum_{i: y_i = k} p_{i j}` in row ``k`` and column ``j``: the push of
        class ``k``'s samples on logit ``j``; the diagonal is 0. Row sums equal
        ``positive``.
    samples : Tensor, shape ``(C,)``, int64
        Samples seen of each class.

    Source of the view: Tan et al. 2020, arXiv:2003.05176, and Wang et al. 2021,
    arXiv:2008.10032.
    """

    def __init__(self, num_classes: int, device: str | torch.device = "cpu"):
        num_classes = convert("num_classes", num_classes, Annotated[int, Range(2)])
        self.num_classes = num_classes
        self.positive = torch.zeros(num_classes, dtype=torch.float64, device=device)
        self.negative = torch.zeros(num_classes, num_classes, dtype=torch.float64, device=device)
        self.samples = torch.zeros(num_classes, dtype=torch.int64, device=device)

    @torch.no_grad()
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch: logits ``(N, C)``, target ``(N,)`` int64.

        Raises :class:`~lt_core.errors.ConfigError` for shapes, types, labels or
        values that cannot be used, before anything is added.
        """
        checked(_on_cpu(logits), _on_cpu(target))  # where values are looked at as well
        if logits.shape[1] != self.num_classes:
            raise ConfigError(
                f"logits: expected shape (N, {self.num_classes}), got {tuple(logits.shape)}"
            )
        target = target.to(self.positive.device)
        log_p = logits.to(self.positive.device, torch.float64).log_softmax(dim=1)
        own = target[:, None]
        # -expm1(log p) is 1 - p without cancellation where p is close to 1.
        pull = -torch.expm1(log_p.gather(1, own)).squeeze(1)
        push = log_p.exp().scatter(1, own, 0.0)
        self.positive.index_add_(0, target, pull)
        self.negative.index_add_(0, target, push)
        self.samples.index_add_(0, target, torch.ones_like(target))

    @property
    def received(self) -> Tensor:
        """``(C,)``: the push that logit ``j`` received from all other classes' samples."""
        return self.negative.sum(dim=0)

    @property
    def ratio(self) -> Tensor:
        """``(C,)``: ``positive / received``; above 1 the logit was pulled up on balance.

        NaN where nothing was seen yet.
        """
        return self.positive / self.received

    def merge(self, other: GradientTracker) -> None:
        """Add what another tracker saw: another epoch, or another process's share."""
        if other.num_classes != self.num_classes:
            raise ConfigError(
                f"other: expected a tracker of {self.num_classes} classes, got one of "
                f"{other.num_classes}"
            )
        self.positive += other.positive.to(self.positive.device)
        self.negative += other.negative.to(self.negative.device)
        self.samples += other.samples.to(self.samples.device)

    def reset(self) -> None:
        """Start again from zero."""
        self.positive.zero_()
        self.negative.zero_()
        self.samples.zero_()

    def __repr__(self) -> str:
        return f"GradientTracker(classes={self.num_classes}, samples={int(self.samples.sum())})"


def _on_cpu(given: Tensor) -> Tensor:
    return given.cpu() if isinstance(given, Tensor) else given
