"""What every loss shares: checks, reductions, state that several ranks agree on.

A loss implements :meth:`LongTailLoss.per_sample`; everything here is applied around it once,
so that a new loss holds only its own mathematics.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lt_core.errors import ConfigError
from lt_core.parameters import COUNT_LABELS, converted, declared, per_class

REDUCTIONS = ("mean", "weighted_mean", "sum", "none")
#: How far beyond 1 rounding takes a cosine: of two vectors normalised in bfloat16, 1 %.
COSINE_TOLERANCE = 0.02


class LongTailLoss(nn.Module, abc.ABC):
    r"""Base class of all losses.

    Parameters
    ----------
    class_counts : sequence, array or mapping of int, shape (C,)
        Training images per class, each at least 1, ``C >= 2``, in the order of the classes. A
        mapping or a pandas Series is read by its keys, which must be 0 to C - 1.
    reduction : {"mean", "weighted_mean", "sum", "none"}
        ``"mean"`` divides the sum of the losses by the batch size, ``"weighted_mean"`` by the
        sum of the samples' weights, ``"sum"`` by nothing; ``"none"`` keeps ``(N,)``.
    **params
        The parameters of a subclass as it declares them. They are converted to their types,
        checked against their ranges and kept as attributes.

    Raises
    ------
    ConfigError
        A ``ValueError`` that names the argument, what was expected and what was given: for
        parameters here, for wrong shapes and types of logits and target at every call, for
        labels out of range and logits that are not finite at every call on a CPU.

    Notes
    -----
    A call ``loss(logits, target)`` takes logits ``(N, C)`` in floating point and class indices
    ``(N,)`` in int64, and returns nats in float32 or float64.

    Subclasses implement ``per_sample(logits, target) -> (loss, weight)`` with float32 or float64
    logits; ``loss`` ``(N,)`` is already multiplied by its weight, and ``weight`` is ``(N,)`` or
    ``None`` (all ones).

    Counts and state are float64 or whole, so that they stay exact; ``half()`` leaves them
    alone. Apple's MPS has no float64: ``to("mps")`` makes them float32, in which a count of more
    than 2^24 samples no longer grows by one, and they stay float32 when moved back.
    """

    #: True when the loss expects cosines in [-1, 1], from ``classifier="cosine"``.
    takes_cosines = False
    #: A loss that draws random numbers owns a generator; the others have none.
    generator: torch.Generator | None = None

    def __init__(self, class_counts: Sequence[int], reduction: str = "mean", **params: Any):
        super().__init__()
        counts = per_class("class_counts", class_counts, minimum=1, images=True)
        if len(counts) < 2:
            raise ConfigError(
                "class_counts: expected one count for each of at least 2 classes, got "
                f"{len(counts)}; {COUNT_LABELS}"
            )
        self.num_classes = len(counts)
        self.reduction = checked_reduction(reduction)
        counts = torch.tensor(counts, dtype=torch.int64)
        self.register_buffer("class_counts", counts, persistent=False)
        self._given = tuple(params)
        for name, value in converted(_name_of(type(self)), _kinds(type(self)), params).items():
            setattr(self, name, value)

    def _apply(self, fn, recurse=True):
        """Move, but keep the precision of counts and state: ``half()`` is for networks.

        A device that has no float64 refuses it with a TypeError; there it becomes float32.
        """

        def moved(tensor: Tensor) -> Tensor:
            try:
                result = fn(tensor)
            except TypeError:
                if tensor.dtype != torch.float64:
                    raise
                return fn(tensor.float())
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        return super()._apply(moved, recurse)

    def set_epoch(self, epoch: float, epochs: int) -> None:
        """Tell the loss that epoch ``epoch`` (from 0) of ``epochs`` begins.

        Called once per epoch, outside any captured graph. State that follows the epoch must live
        in buffers that are changed in place. A run that is shorter than its recipe counts in the
        recipe's epochs, which then may be fractions.
        """

    @abc.abstractmethod
    def per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of each sample ``(N,)``, times its weight, and the weight ``(N,)`` or None."""

    def forward(self, logits: Tensor, target: Tensor, **draws: Tensor | None) -> Tensor:
        """The reduced loss, in nats; ``draw`` is for the losses that draw random numbers."""
        return reduce(*self._each(logits, target, **draws), self.reduction)

    def mixed(self, logits: Tensor, target: Tensor, other: Tensor, share: Tensor) -> Tensor:
        r"""Loss of images mixed by ``share`` ``(N,)``; ``other`` ``(N,)`` are the second labels.

        .. math:: &\text{share}_i\, \ell(z_i, y_i) \\
                  &+ (1 - \text{share}_i)\, \ell(z_i, \text{other}_i)

        The weights are mixed like the losses before the reduction. Statistics count every image
        twice, in full under either label, as in published loops, which call the loss twice; where
        the second labels are the first in another order, classes keep their frequencies.
        """
        loss, weight = self._each(logits, target)
        other_loss, other_weight = self._each(logits, other)
        loss = torch.lerp(other_loss, loss, share)
        if weight is not None:
            weight = torch.lerp(other_weight, weight, share)
        return reduce(loss, weight, self.reduction)

    def _each(self, logits: Tensor, target: Tensor, **draws) -> tuple[Tensor, Tensor | None]:
        logits = checked(logits, target, self.num_classes, self.takes_cosines)
        # An empty batch is 0 and leaves the state alone. On several ranks it may be one rank's
        # part: what the others reduce it has to reduce as well.
        if not len(target) and not distributed():
            return logits.sum(dim=1), None
        return self.per_sample(logits, target, **draws)

    @property
    def updates_state(self) -> bool:
        """State moves in training only: neither in ``eval()`` nor under ``no_grad()``."""
        return self.training and torch.is_grad_enabled()

    def extra_repr(self) -> str:
        names = ("num_classes", "reduction", *self._given)
        values = {name: vars(self)[name] for name in names if name in vars(self)}
        return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _name_of(loss_class: type) -> str:
    """What errors call a loss: its method in this package, or the name of its class."""
    package, _, method = loss_class.__module__.rpartition(".")
    return method if package == "lt_core.losses" else loss_class.__name__


def _kinds(loss_class: type) -> dict[str, Any]:
    """The declared types of a class's parameters and of those that it inherits."""
    kinds = {}
    for each in reversed(loss_class.__mro__):
        if issubclass(each, LongTailLoss) and "__init__" in vars(each):
            kinds |= {name: kind for name, (kind, _) in declared(each).items()}
    return kinds


def checked_reduction(reduction: str) -> str:
    if reduction not in REDUCTIONS:
        raise ConfigError(f"reduction: expected one of {REDUCTIONS}, got {reduction!r}")
    return reduction


def checked(
    logits: Tensor, target: Tensor, num_classes: int | None = None, takes_cosines: bool = False
) -> Tensor:
    """``logits`` in at least float32, after everything that can be checked cheaply.

    Shapes and types are checked always. Label range and finiteness need a look at the values: on
    a CPU that costs nothing, on a GPU it would stall the stream, so there the data loader and the
    training loop look instead.
    """
    for name, given in (("logits", logits), ("target", target)):
        if not isinstance(given, Tensor):
            raise ConfigError(f"{name}: expected a torch tensor, got a {type(given).__name__}")
    if logits.ndim != 2 or num_classes not in (None, logits.shape[1]):
        expected, hint = "(N, C)", ""
        if num_classes is not None:
            expected = f"(N, {num_classes}) for {num_classes} class counts"
            hint = "; class_counts holds one count per class: torch.bincount(targets, minlength=C)"
        raise ConfigError(f"logits: expected shape {expected}, got {tuple(logits.shape)}{hint}")
    if not logits.is_floating_point():
        raise ConfigError(f"logits: expected floating point, got {logits.dtype}")
    if target.ndim != 1 or target.shape[0] != logits.shape[0]:
        raise ConfigError(
            f"target: expected shape ({logits.shape[0]},) to match the logits, "
            f"got {tuple(target.shape)}"
        )
    if target.dtype != torch.int64:
        raise ConfigError(f"target: expected class indices as int64, got {target.dtype}")
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    if looks_at_values(logits) and target.numel():
        check_values(logits, target, takes_cosines)
    return logits


def looks_at_values(logits: Tensor) -> bool:
    """Whether labels and finiteness are checked in the loss: on a CPU, outside a compiler."""
    return logits.device.type == "cpu" and not torch.compiler.is_compiling()


def check_values(logits: Tensor, target: Tensor, cosines: bool) -> None:
    """Refuse labels out of range, non-finite logits and logits for cosines, on a CPU.

    ``torch._assert_async`` looks without a host read, so the hot path stays free
    of synchronising operations; the message is worked out only after a failure.
    """
    num_classes = logits.shape[1]
    in_range = ((target >= 0) & (target < num_classes)).all()
    # A finite sum has finite terms only; the reverse can fail by overflow, see below.
    right = logits.detach().sum().isfinite()
    if cosines:
        right = right & (logits.detach().abs().amax() <= 1 + COSINE_TOLERANCE)
    try:
        torch._assert_async(in_range & right)
    except RuntimeError:
        if not in_range:
            worst = target[(target < 0) | (target >= num_classes)][0].item()
            raise ConfigError(
                f"target: expected class indices from 0 to {num_classes - 1}, got {worst}"
            ) from None
        damaged = ~logits.isfinite().all(dim=1)
        if damaged.any():
            raise ConfigError(
                f"logits: row {damaged.nonzero()[0].item()} is not finite; training has "
                "diverged or the input is damaged"
            ) from None
        if cosines:
            raise ConfigError(
                f"logits: expected cosines in [-1, 1], got {logits.abs().max().item():.3g}; this "
                "loss needs the normalised last layer lt_core.models.CosineClassifier "
                "(classifier='cosine')"
            ) from None


def finite_rows(logits: Tensor) -> Tensor:
    """Rows ``(N,)`` without NaN or infinity: only these may enter a loss's state.

    On a GPU nothing raises, so damage is kept out by value, without a host read.
    A row whose sum overflows counts as damaged.
    """
    if looks_at_values(logits):  # what arrives here has been refused otherwise
        return torch.ones(len(logits), dtype=torch.bool)
    total = logits.detach().sum(dim=1)
    return total - total == 0  # NaN for NaN and for infinity


def reduce(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Reduce ``(N,)`` losses; an empty batch gives 0."""
    if reduction == "none":
        return loss
    if reduction == "weighted_mean" and weight is not None:
        total = weight.sum()
        if distributed() and torch.is_grad_enabled():
            # Ranks average their gradients: with the mean of their sums of weights below, the
            # average is that of the whole batch, whose ranks differ in what they hold.
            total = all_reduced(total) / dist.get_world_size()
        return loss.sum() / total.clamp_min(torch.finfo(loss.dtype).tiny)
    return loss.sum() if reduction == "sum" or not len(loss) else loss.mean()


def distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def whole_batch_size(target: Tensor) -> int | Tensor:
    """Samples in the batch over all ranks, at least 1; a tensor only where there are ranks."""
    if distributed():
        return all_reduced(torch.full((), len(target), device=target.device)).clamp_min(1)
    return max(len(target), 1)


def add_by_class(state: Tensor, target: Tensor, values: Tensor) -> None:
    """Add each sample's value to its class's entry of ``state`` ``(C,)``, over all ranks."""
    if distributed():
        batch = torch.zeros_like(state).index_add_(0, target, values)
        state.add_(all_reduced(batch))
    else:
        state.index_add_(0, target, values)


def all_reduced(tensor: Tensor) -> Tensor:
    """``tensor`` summed over the ranks of ``torch.distributed``, when there are any."""
    if distributed():
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor
