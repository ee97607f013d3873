"""State is saved, precise, moves in training only, and belongs to one loss."""

from __future__ import annotations

import torch

from lt_core.losses.contract.probes import (
    COUNTS,
    Make,
    assert_same_state,
    batches_for,
    state_of,
    step,
    trained,
)


def resumed(make: Make) -> None:
    """L9 resumed from its state_dict at any step, it goes on bit for bit"""
    loss, copy = make(COUNTS), make(COUNTS)
    for logits, target in batches_for(loss, 4):
        fresh = make(COUNTS)
        fresh.load_state_dict(state_of(copy))
        copy = fresh
        one, other = step(loss, logits, target), step(copy, logits, target)
        assert torch.equal(one[0], other[0]), "after loading, the loss is another"
        assert torch.equal(one[1], other[1]), "after loading, the gradient is another"
        assert_same_state(copy.state_dict(), loss.state_dict())


def changes_in_place(make: Make) -> None:
    """L9 what changes is saved, and changes in place"""
    loss = trained(make)
    buffers = dict(loss.named_buffers())
    before = {key: buffer.clone() for key, buffer in buffers.items()}
    addresses = {key: buffer.data_ptr() for key, buffer in buffers.items()}
    for logits, target in batches_for(loss, 2):
        step(loss, logits, target)
    for key, buffer in loss.named_buffers():
        assert buffer.data_ptr() == addresses[key], f"{key} was rebound"
        if not torch.equal(buffer, before[key]):
            assert key in loss.state_dict(), f"{key} changed and is not saved"


def evaluation(make: Make) -> None:
    """L10 evaluation changes nothing, with or without gradients"""
    loss = trained(make)
    before = state_of(loss)
    logits, target = batches_for(loss, 1)[0]
    with torch.no_grad():
        quiet = loss(logits, target)
    value, _ = step(loss.eval(), logits, target)
    assert torch.equal(value, quiet), "evaluation and no_grad give two values"
    assert_same_state(loss.state_dict(), before)


def precise_counters(make: Make) -> None:
    """L14 state is float64 or whole: float32 loses single increments above 2^24"""
    for key, buffer in make(COUNTS).state_dict().items():
        assert buffer.dtype in (torch.float64, torch.int64, torch.uint8), f"{key}: {buffer.dtype}"


def nothing_shared(make: Make) -> None:
    """L15 losses share nothing, and leave the global random generator alone"""
    loss, other = make(COUNTS), make(COUNTS)
    before, generator = state_of(other), torch.get_rng_state()
    for logits, target in batches_for(loss, 2):
        step(loss, logits, target)
    assert_same_state(other.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), generator), "the global generator moved"
