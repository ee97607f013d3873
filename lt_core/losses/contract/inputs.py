"""Finite numbers for finite input, or one line that says what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch

from lt_core.errors import ConfigError
from lt_core.losses import base
from lt_core.losses.contract.probes import (
    CLASSES,
    COUNTS,
    Make,
    assert_same_state,
    batches_for,
    draws,
    state_of,
    step,
    trained,
)

DAMAGES = (float("nan"), float("inf"), -float("inf"))


@contextlib.contextmanager
def refused(what: str) -> Iterator[None]:
    """The block must raise a ConfigError that says ``what``."""
    said = "none"
    try:
        yield
    except ConfigError as error:
        said = str(error)
    assert what in said, f"expected a ConfigError that says {what!r}, got: {said}"


def assert_finite(value: torch.Tensor, gradient: torch.Tensor) -> None:
    assert value.isfinite().all(), f"the loss is {value}"
    assert gradient.isfinite().all(), "the gradient is not finite"


def extreme_logits(make: Make) -> None:
    """L1 extreme logits: loss and gradient stay finite"""
    loss = make(COUNTS)
    target = torch.arange(CLASSES).repeat(2)
    right = torch.eye(CLASSES)[target]
    sign = torch.tensor([1.0, -1.0]).repeat_interleave(CLASSES)[:, None]
    for size in (1e4, 120.0, 0.0):
        for _ in range(2):
            assert_finite(*step(loss, size * sign * right, target, **draws(loss, right)))


def class_without_images(make: Make) -> None:
    """L2 a class without images is refused by its number"""
    with refused("class 2 has 0 images"):
        make([5, 3, 0, 1])


def unusual_class_counts(make: Make) -> None:
    """L3 equal counts, classes of one image, many classes; a single class is refused"""
    for class_counts in ([7] * 6, [1] * 4, [9, 1], list(range(10_000, 0, -1))):
        loss = make(class_counts)
        for logits, target in batches_for(loss, 2, samples=4, class_counts=class_counts):
            assert_finite(*step(loss, logits, target))
    with refused("at least 2 classes"):
        make([5])


def wrong_labels(make: Make) -> None:
    """L4 a label out of range is refused before the state moves"""
    loss = trained(make)
    before = state_of(loss)
    for label in (CLASSES, -1, 255):
        logits, target = batches_for(loss, 1)[0]
        target[3] = label
        with refused(f"got {label}"):
            loss(logits.requires_grad_(), target)
    assert_same_state(loss.state_dict(), before)


def wrong_shapes(make: Make) -> None:
    """L5 wrong shapes and types are refused before the state moves"""
    loss = trained(make)
    before = state_of(loss)
    logits, target = batches_for(loss, 1)[0]
    for width in (CLASSES - 1, CLASSES + 1):
        with refused(f"{CLASSES} class counts, got (4, {width})"):
            loss(torch.zeros(4, width), target[:4])
    with refused("(24,) to match the logits, got (23,)"):
        loss(logits, target[1:])
    with refused("int64"):
        loss(logits, target.int())
    with refused("floating point"):
        loss(logits.long(), target)
    assert_same_state(loss.state_dict(), before)


def small_batches(make: Make) -> None:
    """L6 an empty batch is 0 and changes nothing; a single sample works"""
    loss = trained(make)
    before = state_of(loss)
    value, gradient = step(loss, torch.zeros(0, CLASSES), torch.zeros(0, dtype=torch.int64))
    assert value == 0, f"an empty batch has the loss {value}"
    assert gradient.shape == (0, CLASSES)
    assert_same_state(loss.state_dict(), before)
    assert_finite(*step(loss, torch.zeros(1, CLASSES), torch.tensor([4])))


def half_precision(make: Make) -> None:
    """L7 half precision goes in, the loss itself computes in float32"""
    for dtype in (torch.float16, torch.bfloat16):
        loss = make(COUNTS)
        logits, target = batches_for(loss, 1)[0]
        rounded = logits.to(dtype)
        expected, _ = step(loss, rounded.float(), target, **draws(loss, logits))
        low = make(COUNTS).to(dtype)
        for key, buffer in low.named_buffers():
            assert buffer.dtype not in (torch.float16, torch.bfloat16), f"{key} lost precision"
        with torch.autocast("cpu", dtype=dtype):
            value, gradient = step(low, rounded, target, **draws(loss, logits))
        assert value.dtype == torch.float32, f"the loss is {value.dtype}"
        assert gradient.dtype == dtype, f"the gradient is {gradient.dtype}"
        assert_finite(value, gradient)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)


def damaged_batch(make: Make) -> None:
    """L8 a row that is not finite is refused before the state moves"""
    loss = trained(make)
    before = state_of(loss)
    for damage in DAMAGES:
        logits, target = batches_for(loss, 1)[0]
        logits[5, 2] = damage
        with refused("row 5 is not finite"):
            loss(logits.requires_grad_(), target)
    assert_same_state(loss.state_dict(), before)


def damaged_row_on_a_gpu(make: Make) -> None:
    """L8 on a GPU, which does not look at values, such a row stays out of the state"""
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
                assert not value.isnan().any(), f"{key} holds NaN"
                if not mean_of_batch:  # there the damaged row still counts in the batch's size
                    torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12)
