"""What every loss promises, as checks that any loss can be put to.

>>> from lt_core import testing
>>> from lt_core.losses import Softmax
>>> set(testing.check(Softmax).values())
{'holds'}

The tests run the same checks on every registered loss. A check is a function of ``make``,
which makes a fresh loss from class counts; it raises :class:`BrokenPromise`, or whatever the
loss raises, where the promise is broken. Nothing here is an ``assert`` statement, so that the
checks also work under ``python -O``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lt_core.errors import ConfigError
from lt_core.losses import base
from lt_core.losses.base import LongTailLoss
from lt_core.losses.draws import DrawingLoss

#: Makes a fresh loss from class counts, with whatever parameters are under test.
Make = Callable[..., LongTailLoss]

COUNTS = [400, 90, 25, 6, 1, 1]
CLASSES = len(COUNTS)
DAMAGES = (float("nan"), float("inf"), -float("inf"))
#: More operations than this take longer to launch than a small step takes to compute.
MOST_OPERATIONS = 95
#: Operations that read a value on the host or whose output shape depends on values.
FORBIDDEN = {
    *("_local_scalar_dense", "_unique2", "bincount", "equal", "is_nonzero", "item"),
    *("masked_select", "nonzero", "unique_consecutive", "unique_dim"),
}
#: Operations that only describe memory anew and launch nothing.
VIEWS = {
    *("alias", "detach", "expand", "select", "slice", "squeeze", "t", "unbind", "unsqueeze"),
    "view",
}


class BrokenPromise(AssertionError):
    """A loss does not do what every loss promises."""


def check(loss_class: type[LongTailLoss], **params) -> dict[str, str]:
    """Every promise in a sentence -> ``"holds"``, or in what way the loss breaks it.

    The loss need not be registered. ``params`` are its parameters.
    """
    make = functools.partial(loss_class, **params)
    verdicts = {}
    for promise in CHECKS:
        try:
            promise(make)
            verdict = "holds"
        except Exception as error:  # a loss under test may raise anything
            reason = str(error).strip().partition("\n")[0] or "no reason given"
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            verdict = f"broken: {kind}{reason}"
        verdicts[promise.__doc__.splitlines()[0]] = verdict
    return verdicts


# --- finite numbers for finite input, or one line that says what is wrong


def extreme_logits(make: Make) -> None:
    """Loss and gradient stay finite for extreme logits"""
    loss = make(COUNTS)
    target = torch.arange(CLASSES).repeat(2)
    right = torch.eye(CLASSES)[target]
    sign = torch.tensor([1.0, -1.0]).repeat_interleave(CLASSES)[:, None]
    sizes = (1e4, 120.0, 0.0)
    if loss.takes_cosines:
        sizes = (1.0, 0.0)
        with _refused("expected cosines in [-1, 1], got 20"):
            loss(20 * right, target, **draws(loss, right))
    for size in sizes:
        for _ in range(2):
            _finite(*step(loss, size * sign * right, target, **draws(loss, right)))


def class_without_images(make: Make) -> None:
    """A class without images is refused by its number"""
    with _refused("class 2 has 0 images"):
        make([5, 3, 0, 1])


def unusual_class_counts(make: Make) -> None:
    """Equal counts, classes of one image and many classes work; a single class is refused"""
    for class_counts in ([7] * 6, [1] * 4, [9, 1], list(range(10_000, 0, -1))):
        loss = make(class_counts)
        for logits, target in batches_for(loss, 2, samples=4, class_counts=class_counts):
            _finite(*step(loss, logits, target))
    with _refused("at least 2 classes"):
        make([5])


def wrong_labels(make: Make) -> None:
    """A label out of range is refused before the state moves"""
    loss = trained(make)
    before = state_of(loss)
    for label in (CLASSES, -1, 255):
        logits, target = batches_for(loss, 1)[0]
        target[3] = label
        with _refused(f"got {label}"):
            loss(logits.requires_grad_(), target)
    _same_state(loss.state_dict(), before)


def wrong_shapes(make: Make) -> None:
    """Wrong shapes and types are refused before the state moves"""
    loss = trained(make)
    before = state_of(loss)
    logits, target = batches_for(loss, 1)[0]
    for width in (CLASSES - 1, CLASSES + 1):
        with _refused(f"{CLASSES} class counts, got (4, {width})"):
            loss(torch.zeros(4, width), target[:4])
    with _refused("(24,) to match the logits, got (23,)"):
        loss(logits, target[1:])
    with _refused("int64"):
        loss(logits, target.int())
    with _refused("floating point"):
        loss(logits.long(), target)
    _same_state(loss.state_dict(), before)


def small_batches(make: Make) -> None:
    """An empty batch is 0 and changes nothing; a single sample works"""
    loss = trained(make)
    before = state_of(loss)
    value, gradient = step(loss, torch.zeros(0, CLASSES), torch.zeros(0, dtype=torch.int64))
    _require(value == 0, f"an empty batch has the loss {value}")
    _require(gradient.shape == (0, CLASSES), f"its gradient has shape {tuple(gradient.shape)}")
    _same_state(loss.state_dict(), before)
    _finite(*step(loss, torch.zeros(1, CLASSES), torch.tensor([4])))


def half_precision(make: Make) -> None:
    """Half precision goes in, and the loss itself computes in float32"""
    for dtype in (torch.float16, torch.bfloat16):
        loss = make(COUNTS)
        logits, target = batches_for(loss, 1)[0]
        rounded = logits.to(dtype)
        expected, _ = step(loss, rounded.float(), target, **draws(loss, logits))
        low = make(COUNTS).to(dtype)
        for key, buffer in low.named_buffers():
            lost = buffer.dtype in (torch.float16, torch.bfloat16)
            _require(not lost, f"{key} lost precision")
        with torch.autocast("cpu", dtype=dtype):
            value, gradient = step(low, rounded, target, **draws(loss, logits))
        _require(value.dtype == torch.float32, f"the loss is {value.dtype}")
        _require(gradient.dtype == dtype, f"the gradient is {gradient.dtype}")
        _finite(value, gradient)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)


def damaged_batch(make: Make) -> None:
    """A row that is not finite is refused before the state moves"""
    loss = trained(make)
    before = state_of(loss)
    for damage in DAMAGES:
        logits, target = batches_for(loss, 1)[0]
        logits[5, 2] = damage
        with _refused("row 5 is not finite"):
            loss(logits.requires_grad_(), target)
    _same_state(loss.state_dict(), before)


def damaged_row_on_a_gpu(make: Make) -> None:
    """On a GPU, which does not look at values, a row that is not finite stays out of the state"""
    with mock.patch.object(base, "looks_at_values", return_value=False):
        loss = trained(make)
        whole = state_of(loss)
        for damage in DAMAGES:
            loss.load_state_dict(whole)
            logits, target = batches_for(loss, 4)[3]
            kept = torch.arange(len(target)) != 5
            step(loss, logits[kept], target[kept], **draws(loss, logits[kept]))
            expected = state_of(loss)
            loss.load_state_dict(whole)
            logits[5, 2] = damage
            step(loss, logits, target, **draws(loss, logits))
            mean_of_batch = getattr(loss, "gradient_scale", None) == "mean"
            for key, value in loss.state_dict().items():
                _require(not value.isnan().any(), f"{key} holds NaN")
                if not mean_of_batch:  # there the damaged row still counts in the batch's size
                    torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12)


# --- state is saved, precise, moves in training only, and belongs to one loss


def resumed(make: Make) -> None:
    """Resumed from its state_dict at any step, the loss goes on bit for bit"""
    loss, copy = make(COUNTS), make(COUNTS)
    for logits, target in batches_for(loss, 4):
        fresh = make(COUNTS)
        fresh.load_state_dict(state_of(copy))
        copy = fresh
        one, other = step(loss, logits, target), step(copy, logits, target)
        _require(torch.equal(one[0], other[0]), "after loading, the loss is another")
        _require(torch.equal(one[1], other[1]), "after loading, the gradient is another")
        _same_state(copy.state_dict(), loss.state_dict())


def changes_in_place(make: Make) -> None:
    """What changes is saved, and changes in place"""
    loss = trained(make)
    buffers = dict(loss.named_buffers())
    before = {key: buffer.clone() for key, buffer in buffers.items()}
    addresses = {key: buffer.data_ptr() for key, buffer in buffers.items()}
    unsaved = _plain_attributes(loss)
    for logits, target in batches_for(loss, 2):
        step(loss, logits, target)
    for key, buffer in loss.named_buffers():
        _require(buffer.data_ptr() == addresses.get(key), f"{key} was rebound")
        if not torch.equal(buffer, before[key]):
            _require(key in loss.state_dict(), f"{key} changed and is not saved")
    for key, value in _plain_attributes(loss).items():
        kept = torch.equal(value, unsaved.get(key, value))
        _require(kept, f"{key}, a plain attribute, changed and is not saved")


def evaluation(make: Make) -> None:
    """Evaluation changes nothing, with or without gradients"""
    loss = trained(make)
    before = state_of(loss)
    logits, target = batches_for(loss, 1)[0]
    with torch.no_grad():
        quiet = loss(logits, target)
    value, _ = step(loss.eval(), logits, target)
    _require(torch.equal(value, quiet), "evaluation and no_grad give two values")
    _same_state(loss.state_dict(), before)


def precise_counters(make: Make) -> None:
    """State is float64 or whole: float32 loses single increments above 2^24"""
    for key, buffer in make(COUNTS).state_dict().items():
        precise = buffer.dtype in (torch.float64, torch.int64, torch.uint8)
        _require(precise, f"{key}: {buffer.dtype}")


def nothing_shared(make: Make) -> None:
    """Losses share nothing, and leave their input and the global random generator alone"""
    loss, other = make(COUNTS), make(COUNTS)
    before, generator = state_of(other), torch.get_rng_state()
    for logits, target in batches_for(loss, 2):
        given = logits.clone(), target.clone()
        step(loss, logits, target)
        untouched = torch.equal(logits, given[0]) and torch.equal(target, given[1])
        _require(untouched, "the loss changed its input")
    _same_state(other.state_dict(), before)
    _require(torch.equal(torch.get_rng_state(), generator), "the global generator moved")


# --- symmetry, gradient, reductions, and what a step costs


def renamed_classes(make: Make) -> None:
    """Renaming the classes changes nothing"""
    order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(3))
    loss, renamed = make(COUNTS), make([COUNTS[c] for c in order])
    for seed, (logits, target) in enumerate(batches_for(loss, 3)):
        draw = draws(loss, logits, seed)
        expected, gradient = step(loss, logits, target, **draw)
        draw = {key: value[:, order] for key, value in draw.items()}
        value, other = step(renamed, logits[:, order], order.argsort()[target], **draw)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other, gradient[:, order], rtol=1e-10, atol=1e-12)


def true_gradient(make: Make) -> None:
    """The gradient is that of the loss, by central differences in float64

    What the loss detaches is held at its value meanwhile. That would hide a detached part that
    is added instead of multiplied, such as ``2 * l - l.detach()``, whose value is that of
    ``l`` and whose gradient is twice as large. So, with the same held, images that are
    classified beyond doubt must cost what the loss itself says that they cost.
    """
    loss = trained(make).eval()
    logits, target = batch(11, samples=4, takes_cosines=loss.takes_cosines)
    draw = draws(loss, logits)
    held = functools.partial(_holding_detached(loss), target=target, **draw)
    value = held(logits).item()
    right = 2 * torch.nn.functional.one_hot(target, CLASSES).to(logits.dtype) - 1
    beyond_doubt = right if loss.takes_cosines else 50 * right
    cost, own = held(beyond_doubt).item(), loss(beyond_doubt, target, **draw).item()
    tolerance = {"eps": 1e-6, "atol": 1e-7, "rtol": 1e-6, "check_undefined_grad": False}
    true = torch.autograd.gradcheck(
        held, logits.clone().requires_grad_(), raise_exception=False, **tolerance
    )
    _require(true, "the gradient is another than that of the value")
    told = f"a part that is detached is added: images beyond doubt cost {cost:.1g}, not {own:.1g}"
    _require(abs(cost - own) < 1e-3 * value, told)


def learns(make: Make) -> None:
    """A small step against the gradient raises the logit of an image's class and lowers the loss

    What a loss detaches counts as a constant above; a loss that detaches everything, or
    does not look at the target, has no gradient to learn by and is found here.
    """
    loss = trained(make).eval()
    for seed in (11, 12):
        logits, target = batch(seed, samples=8, scale=1.0, takes_cosines=loss.takes_cosines)
        draw = draws(loss, logits)
        value, gradient = step(loss, logits, target, **draw)
        own = gradient.gather(1, target[:, None])
        _require((own < 0).all(), "a step against the gradient does not raise an image's own logit")
        moved = logits - 1e-3 / gradient.abs().max() * gradient
        if loss.takes_cosines:
            moved = moved.clamp(-1, 1)
        lower = loss(moved, target, **draw).sum()
        _require(lower < value.sum(), "a small step against the gradient does not lower the loss")


def reductions(make: Make) -> None:
    """The four reductions agree"""
    values = {}
    for reduction in base.REDUCTIONS:
        loss = make(COUNTS, reduction=reduction)
        logits, target = batches_for(loss, 1)[0]
        values[reduction], _ = step(loss, logits, target)
    each = values["none"]
    _require(each.shape == target.shape, f"reduction none gives the shape {tuple(each.shape)}")
    torch.testing.assert_close(values["sum"], each.sum())
    torch.testing.assert_close(values["mean"], each.mean())
    _require(values["weighted_mean"].isfinite(), "weighted_mean is not finite")


def multiplied(make: Make) -> None:
    """The loss of a sample has been multiplied by the weight that is returned with it

    Whatever buffer the weights come from: where other values in it change the weights, they
    change the losses. A weight that comes from the logits alone is not found.
    """
    loss = trained(make).eval()
    logits, target = batches_for(loss, 1)[0]
    with torch.no_grad():
        value, weight = loss.per_sample(logits, target)
        for key, buffer in loss.named_buffers() if weight is not None else ():
            if buffer.dtype == torch.bool:
                continue
            kept = buffer.clone()
            buffer.mul_(torch.arange(2, 2 + buffer.numel()).view_as(buffer))
            other_value, other_weight = loss.per_sample(logits, target)
            buffer.copy_(kept)
            same = torch.equal(other_weight, weight) or not torch.equal(other_value, value)
            _require(same, f"{key} changes the weights, and not the losses")


def no_host_read(make: Make) -> None:
    """Few operations, no value read back, no tensor of classes by classes

    Counted, not timed, and without the look at values that only a CPU takes. What a CUDA
    graph needs besides, such as no tensor made from host values in the step, only a GPU
    shows: ``tests/losses/test_captured.py``.
    """
    class_counts = list(range(500, 0, -1))
    loss = make(class_counts)
    for logits, target in batches_for(loss, 2, samples=8, class_counts=class_counts):
        with mock.patch.object(base, "looks_at_values", return_value=False), Recorder() as recorder:
            step(loss, logits.float(), target)
    waits = ", ".join(sorted(set(recorder.forbidden)))
    _require(not waits, f"a GPU would have to wait for {waits}")
    _require(recorder.largest < len(class_counts) ** 2, "a tensor grows with the classes squared")
    _require(recorder.operations <= MOST_OPERATIONS, f"{recorder.operations} operations")


CHECKS: tuple[Callable[[Make], None], ...] = (
    extreme_logits,
    class_without_images,
    unusual_class_counts,
    wrong_labels,
    wrong_shapes,
    small_batches,
    half_precision,
    damaged_batch,
    damaged_row_on_a_gpu,
    resumed,
    changes_in_place,
    evaluation,
    renamed_classes,
    true_gradient,
    learns,
    precise_counters,
    nothing_shared,
    reductions,
    multiplied,
    no_host_read,
)


# --- what a loss is fed, and how what it does is looked at


def batch(
    seed: int,
    samples: int = 24,
    class_counts: Sequence[int] = COUNTS,
    scale: float = 2.0,
    takes_cosines: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits in float64 (cosines where the loss takes them) and a long-tailed target."""
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, len(class_counts))
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    share = torch.tensor(class_counts, dtype=torch.float64).sqrt()
    target = torch.multinomial(share, samples, replacement=True, generator=generator)
    return (logits.tanh() if takes_cosines else logits), target


def batches_for(loss: LongTailLoss, steps: int, **kwargs) -> list[tuple[Tensor, Tensor]]:
    """As many batches as ``steps``, of cosines where the loss takes them."""
    return [batch(seed, takes_cosines=loss.takes_cosines, **kwargs) for seed in range(steps)]


def draws(loss: LongTailLoss, logits: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """The random numbers to pass, for a loss that would draw its own."""
    if not isinstance(loss, DrawingLoss):
        return {}
    generator = torch.Generator().manual_seed(seed)
    return {"draw": (torch.rand(logits.shape, generator=generator) < 0.5).to(logits.dtype)}


def step(loss: LongTailLoss, logits: Tensor, target: Tensor, **kwargs) -> tuple[Tensor, Tensor]:
    """One call: the loss and its gradient with respect to the logits."""
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target, **kwargs)
    value.sum().backward()
    return value.detach(), leaf.grad


def trained(make: Make) -> LongTailLoss:
    """A loss that has seen three batches."""
    loss = make(COUNTS)
    for logits, target in batches_for(loss, 3):
        step(loss, logits, target)
    return loss


def state_of(loss: LongTailLoss) -> dict[str, Tensor]:
    """A copy of everything that ``state_dict`` saves."""
    return {key: value.clone() for key, value in loss.state_dict().items()}


def _plain_attributes(loss: LongTailLoss) -> dict[str, Tensor]:
    """A copy of the tensors and numbers of a loss that ``state_dict`` does not see."""
    return {
        f"{name}.{key}".lstrip("."): torch.as_tensor(value).clone()
        for name, module in loss.named_modules()
        if type(module).get_extra_state is nn.Module.get_extra_state
        for key, value in vars(module).items()
        if isinstance(value, (Tensor, int, float))
    }


class Recorder(TorchDispatchMode):
    """Counts operations that launch work; notes the forbidden ones and the largest tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.forbidden: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        self.operations += name not in VIEWS
        masks = name.startswith("index") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool
            for indices in args
            if isinstance(indices, (list, tuple))
            for index in indices
        )
        if name in FORBIDDEN or masks:
            self.forbidden.append(name)
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


def _holding_detached(loss: LongTailLoss) -> Callable[..., Tensor]:
    """``loss``, in which whatever it detaches keeps the values of the first call.

    A weight without gradient is a constant to autograd; numerical differentiation must
    see it as one too.
    """
    recorded: list[Tensor] = []
    original = Tensor.detach

    def held(*arguments: Tensor, **named: Tensor) -> Tensor:
        numbers = itertools.count()

        def detach(tensor: Tensor) -> Tensor:
            if (number := next(numbers)) == len(recorded):
                recorded.append(original(tensor).clone())
            return recorded[number].clone()

        with mock.patch.object(Tensor, "detach", detach):
            return loss(*arguments, **named)

    return held


@contextlib.contextmanager
def _refused(what: str) -> Iterator[None]:
    """The block must raise a ConfigError that says ``what``."""
    said = "none"
    try:
        yield
    except ConfigError as error:
        said = str(error)
    _require(what in said, f"expected a ConfigError that says {what!r}, got: {said}")


def _require(kept: object, otherwise: str) -> None:
    if not kept:
        raise BrokenPromise(otherwise)


def _finite(value: Tensor, gradient: Tensor) -> None:
    _require(value.isfinite().all(), f"the loss is {value}")
    _require(gradient.isfinite().all(), "the gradient is not finite")


def _same_state(actual: dict, expected: dict) -> None:
    _require(actual.keys() == expected.keys(), "state_dict: other entries than before")
    for key, value in expected.items():
        _require(torch.equal(actual[key], value), f"{key} changed")
