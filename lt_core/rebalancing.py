"""Re-balancing predictions after training, from saved logits or probabilities.

Every function here but :func:`column_sums`, which sums probabilities per class, takes ``(N, C)``
outputs of a trained model, as a torch tensor or a NumPy array, and returns ``(N, C)`` scores in
float64, as the same kind of array, for their argmax: they are not probabilities any more. None of
them learns from test labels, but each assumes something about the test set, which its docstring
says first. Numbers per class come in the order of the classes, or by class (a dict or a pandas
Series, keys 0 to C - 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

import numpy as np
import torch
from torch import Tensor

from lt_core.errors import ConfigError, DataError
from lt_core.parameters import Range, convert, per_class

Finite, NotNegative = Annotated[float, Range()], Annotated[float, Range(0)]
SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
Scores = TypeVar("Scores", Tensor, np.ndarray)
#: One number per class, in their order, or by class: a dict or pandas Series with keys 0 to C - 1.
PerClass = Tensor | np.ndarray | Sequence[float] | Mapping[int, float]


def rebalance(probabilities: Scores, tau: float = 1.0) -> Scores:
    r"""Prediction re-balancing over the whole test set (transductive).

    **Assumes** that the whole test set is there at once, large enough to estimate C column
    sums, and that its classes are balanced: every class should win the same probability
    mass. On a long-tailed or reversed test set that is wrong, and a prediction depends on
    which other images are scored with it.

    .. math:: \text{score}_{ij} = p_{ij} \Big/ \Big(\sum_i p_{ij}\Big)^{\tau}

    ``probabilities`` ``(N, C)``, softmax outputs >= 0; ``tau >= 0``, 0 changes nothing.
    Raises :class:`~lt_core.errors.ConfigError` for a wrong shape or tau,
    :class:`~lt_core.errors.DataError` for negative or non-finite probabilities.
    Source: the authors' repository of GALA, lt-project (tau: 1 on CIFAR, chosen per data
    set from 1.4 to 1.7 on the large ones).
    """
    sums = column_sums(probabilities)
    # A class that no image gives any probability scores 0 whatever it is divided by.
    return rebalance_by(probabilities, sums.masked_fill(sums == 0, 1), tau)


def column_sums(probabilities: Tensor | np.ndarray) -> Tensor:
    """Probability that each class wins over all rows, ``(C,)`` float64: ``sum_i p_ij``."""
    return _probabilities(probabilities).sum(dim=0)


def rebalance_by(probabilities: Scores, reference_sums: PerClass, tau: float = 1.0) -> Scores:
    r"""Prediction re-balancing with column sums from elsewhere (inductive).

    **Assumes** a balanced test set, but never looks at it: a prediction depends on its own
    image only. What it assumes of the reference (a held-out or training set, see
    :func:`column_sums`) is that the model errs there as it does on the test set. After
    plain cross-entropy the sums over the training set approach the class counts, and this is
    post-hoc logit adjustment (:func:`adjust_logits`); after another loss they may lie elsewhere.

    .. math:: \text{score}_{ij} = p_{ij} / S_j^{\tau}, \qquad S_j = \sum_{i'} p_{i'j}

    ``probabilities`` ``(N, C)``; ``reference_sums`` ``(C,)``, > 0, in any common unit:
    a factor shared by all classes changes no argmax.
    """
    values = _probabilities(probabilities)
    sums = _vector("reference_sums", reference_sums, values, SMALLEST)
    # In logs: the power of a small sum leaves the range of numbers before the score does.
    scores = (values.log() - convert("tau", tau, NotNegative) * sums.log()).exp()
    return _like(scores, probabilities)


def adjust_logits(logits: Scores, class_counts: PerClass, tau: float = 1.0) -> Scores:
    r"""Post-hoc logit adjustment: subtract the log prior of the training set.

    **Assumes** a balanced test set, training images that came with the frequencies
    ``class_counts``, and logits that fit them (a model trained by plain cross-entropy: after
    a loss that already adjusts for the prior, this corrects a second time). It looks at one
    test image at a time. For another known test prior, multiply the scores' softmax by it.

    .. math:: \text{score}_j = z_j - \tau \log \pi_j, \qquad \pi_j = n_j / \textstyle\sum_c n_c

    ``logits`` ``(N, C)``; ``class_counts`` ``(C,)``, each at least 1; ``tau`` unitless, 0
    changes nothing, 1 is Bayes' rule. Source: Menon et al. 2021, arXiv:2007.07314, whose
    released code adds 1e-12 to :math:`\pi^\tau`.
    """
    values = _matrix("logits", logits)
    counts = _vector("class_counts", class_counts, values, 1, images=True)
    log_prior = (counts / counts.sum()).log()
    return _like(values - convert("tau", tau, Finite) * log_prior, logits)


def tau_normalise(
    logits: Scores,
    weight_norms: PerClass,
    tau: float = 1.0,
    bias: PerClass | None = None,
) -> Scores:
    r"""Scale each class's classifier vector by the power ``-tau`` of its length.

    **Assumes** a balanced test set and a *linear* classifier whose vectors grew longer for
    frequent classes; after a cosine classifier all lengths are 1 and nothing changes. It
    looks at one test image at a time; ``tau`` is chosen on held-out data.

    .. math:: \text{score}_j = (z_j - b_j) / \lVert v_j \rVert^{\tau}
                  = h^\top v_j / \lVert v_j \rVert^{\tau}

    ``logits`` ``(N, C)``, with ``bias`` ``(C,)`` in them (None: the classifier has none; the
    source drops it); ``weight_norms`` ``(C,)`` > 0; ``tau`` in [0, 1] interpolates from the
    classifier as it is to one of unit vectors. So saved logits are enough, no weights.
    Source: Kang et al. 2020, arXiv:1910.09217.
    """
    values = _matrix("logits", logits)
    norms = _vector("weight_norms", weight_norms, values, SMALLEST)
    if bias is not None:
        values = values - _vector("bias", bias, values, -math.inf)
    return _like(values / norms ** convert("tau", tau, Finite), logits)


def _probabilities(probabilities: Tensor | np.ndarray) -> Tensor:
    values = _matrix("probabilities", probabilities)
    if not bool((values >= 0).all()):
        raise DataError("probabilities: expected values of at least 0; apply softmax first")
    return values


def _matrix(name: str, values: Tensor | np.ndarray) -> Tensor:
    if not isinstance(values, (Tensor, np.ndarray)):
        raise ConfigError(
            f"{name}: expected a torch tensor or a NumPy array, got a {type(values).__name__}"
        )
    if isinstance(values, np.ndarray):
        dense, floating = True, values.dtype.kind == "f"
    else:
        dense, floating = values.layout == torch.strided, values.is_floating_point()
    if values.ndim != 2 or not (dense and floating):
        raise ConfigError(
            f"{name}: expected dense floating point of shape (N, C), got {values.dtype} of shape "
            f"{tuple(values.shape)}{'' if dense else f' in layout {values.layout}'}"
        )
    if isinstance(values, np.ndarray):  # of any byte order and strides; what is masked is missing
        values = np.array(np.ma.filled(values, np.nan), np.float64, order="C")
    tensor = torch.as_tensor(values)
    damaged = (~tensor.isfinite().all(dim=1)).nonzero()
    if len(damaged):
        raise DataError(f"{name}: row {int(damaged[0])} is not finite; the run is damaged")
    return tensor.detach().double()


def _vector(name: str, values: PerClass, like: Tensor, minimum: float, **kind: bool) -> Tensor:
    """A number for each column of ``like``, float64, on its device."""
    numbers = per_class(name, values, like.shape[1], minimum=minimum, **kind)
    return torch.tensor(numbers, dtype=torch.float64, device=like.device)


def _like(scores: Tensor, given: Scores) -> Scores:
    """``scores`` as the kind of array that was given."""
    return scores.numpy() if isinstance(given, np.ndarray) else scores
