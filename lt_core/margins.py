r"""Margins: what a loss adds to logit j of a sample of class y, and what that does.

Many losses for long tails are softmax cross-entropy with a table :math:`M[y, j]`,

.. math:: \ell = -\log \frac{e^{s z_y}}{\sum_j e^{s z_j + M[y, j]}}, \qquad M[y, y] = 0,

with a scale :math:`s`, 1 unless the loss takes cosines. Such a margin can be read from
the gradient of any code, and it says where a boundary between two classes lies.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import expit

from lt_core.errors import ConfigError
from lt_core.losses.base import LongTailLoss
from lt_core.parameters import per_class


def measured(loss: LongTailLoss, **draws: torch.Tensor) -> np.ndarray:
    r"""The margin of a loss from its gradient where all logits are equal, ``(C, C)`` in nats.

    At equal logits the gradient of a sample of class y is :math:`s(\tilde p_j - [j = y])`
    with :math:`\tilde p_j \propto e^{M[y, j]}`, so that
    :math:`\log \tilde p_j - \log \tilde p_y` is the margin. The
    state is left alone. ``draws``: what ``forward`` takes for an image of each class.

    A loss that scales the gradient of a sample as well, by a weight, is refused with
    :class:`~lt_core.errors.ConfigError`: its row holds more than a margin.
    """
    size, was_training = loss.num_classes, loss.training
    logits = torch.zeros(size, size, dtype=torch.float64, requires_grad=True)
    loss.eval()
    value, _ = loss.per_sample(logits, torch.arange(size), **draws)
    loss.train(was_training)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    p = gradient / getattr(loss, "scale", 1.0) + torch.eye(size)
    if not torch.allclose(p.diagonal(), value.detach().neg().exp(), atol=1e-9):
        raise ConfigError(
            f"loss: the gradient of {type(loss).__name__} is not that of a margin alone; expected "
            "a softmax form whose samples are not weighted"
        )
    log_p = p.log()
    return (log_p - log_p.diagonal()[:, None]).numpy()


def boundaries(margin: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    r"""Where a margin puts the boundary between each pair of classes, ``(C, C)``.

    Entry (j, k) is the logarithm of the odds of k to j in the training mixture at which
    the two logits are equal, for a network that can represent anything and two classes
    alone:

    .. math:: \log \frac{w_j\, \mathrm{sigmoid}(M[j, k])}{w_k\, \mathrm{sigmoid}(M[k, j])} .

    It is 0 for softmax; a balanced test set wants :math:`\log (\pi_k / \pi_j)`.

    ``margin`` ``(C, C)``, or ``(draws, C, C)`` for a loss that draws, whose
    sigmoid is averaged; ``weight`` ``(C,)``, a factor on the loss of each class,
    1 by default.
    """
    force = expit(np.asarray(margin, dtype=float))
    force = force.reshape(-1, *force.shape[-2:]).mean(axis=0)
    if weight is not None:
        weight = per_class("weight", weight, len(force), minimum=0)
        force = force * np.array(weight)[:, None]
    log_force = np.log(force)
    return log_force - log_force.T
