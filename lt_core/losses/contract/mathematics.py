"""Symmetry, gradient, reductions, and what a step costs."""

from __future__ import annotations

import torch

from lt_core.losses import base
from lt_core.losses.contract.probes import (
    CLASSES,
    COUNTS,
    Make,
    Recorder,
    batch,
    batches_for,
    draws,
    frozen_detached,
    step,
    trained,
)

#: More operations than this take longer to launch than a small step takes to compute.
MOST_OPERATIONS = 95


def renamed_classes(make: Make) -> None:
    """L11 renaming the classes changes nothing"""
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
    """L12 the gradient is that of the loss, by central differences in float64"""
    loss = trained(make).eval()
    logits, target = batch(11, samples=4, takes_cosines=loss.takes_cosines)
    draw = draws(loss, logits)
    numerical = torch.empty_like(logits)
    nudge = 1e-6
    with frozen_detached() as rewind:
        _, analytical = step(loss, logits, target, **draw)
        for index in range(logits.numel()):
            ends = []
            for sign in (1, -1):
                moved = logits.clone()
                moved.view(-1)[index] += sign * nudge
                rewind()
                ends.append(loss(moved, target, **draw).item())
            numerical.view(-1)[index] = (ends[0] - ends[1]) / (2 * nudge)
    apart = (analytical - numerical).abs().max()
    assert torch.allclose(analytical, numerical, rtol=1e-6, atol=1e-7), f"off by up to {apart:.1g}"


def reductions(make: Make) -> None:
    """The four reductions agree"""
    values = {}
    for reduction in base.REDUCTIONS:
        loss = make(COUNTS, reduction=reduction)
        logits, target = batches_for(loss, 1)[0]
        values[reduction], _ = step(loss, logits, target)
    each = values["none"]
    assert each.shape == target.shape, f"reduction none gives the shape {tuple(each.shape)}"
    torch.testing.assert_close(values["sum"], each.sum())
    torch.testing.assert_close(values["mean"], each.mean())
    assert values["weighted_mean"].isfinite()


def no_host_read(make: Make) -> None:
    """Few operations, no value read back, no class-by-class tensor

    Counted, not timed. What a CUDA graph needs besides, such as no tensor made from host
    values in the step, only a GPU shows: ``tests/losses/test_captured.py``.
    """
    class_counts = list(range(500, 0, -1))
    loss = make(class_counts)
    for logits, target in batches_for(loss, 2, samples=8, class_counts=class_counts):
        with Recorder() as recorder:
            step(loss, logits.float(), target)
    waits = ", ".join(sorted(set(recorder.forbidden)))
    assert not waits, f"a GPU would have to wait for {waits}"
    assert recorder.largest < len(class_counts) ** 2, "a tensor grows with the classes squared"
    assert recorder.operations <= MOST_OPERATIONS, f"{recorder.operations} operations"
