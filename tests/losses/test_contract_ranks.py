"""Every registered loss on two ranks, and traced into one graph."""

from __future__ import annotations

import functools

import pytest
import torch
from contract import covered
from ranks import run_two, train

from lt_core import losses
from lt_core.losses.draws import DrawingLoss
from lt_core.testing import COUNTS, batches_for, draws, step


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Every loss trained by two gloo ranks and by one process, in one start of both."""
    jobs = {}
    for parameter in covered():
        name, params = parameter.values
        create = functools.partial(losses.create, name, COUNTS, **params)
        prototype = create()
        made = batches_for(prototype, 3)
        if params.get("density") != "exact":  # whose ranks need equal parts
            made += batches_for(prototype, 1, samples=1)  # the second rank has none of it
        batches = [
            (logits, target, draws(prototype, logits, seed))
            for seed, (logits, target) in enumerate(made)
        ]
        jobs[parameter.id] = (create, batches)
    ranks = run_two(tmp_path_factory.mktemp("ranks"), jobs)
    return {key: (ranks[0][key], ranks[1][key], train(*job)) for key, job in jobs.items()}


@pytest.mark.parametrize("key", [parameter.id for parameter in covered()])
def test_two_ranks_equal_one_process(two_ranks, key):
    first, second, whole = two_ranks[key]
    for step_index, expected in enumerate(whole["values"]):
        # Ranks average their losses and gradients; a rank's mean counts by its part of the batch.
        share = 1 if len(whole["gradients"][step_index]) == 1 else 1 / 2
        value = (first["values"][step_index] + second["values"][step_index]) * share
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-8)
        gradient = torch.empty_like(whole["gradients"][step_index])
        gradient[0::2] = first["gradients"][step_index] * share
        gradient[1::2] = second["gradients"][step_index] * share
        torch.testing.assert_close(gradient, whole["gradients"][step_index], rtol=1e-5, atol=1e-8)
    for name, buffer in whole["state"].items():
        if name == "density.ring":  # the ranks' samples arrive in another order
            buffer = buffer.sort(dim=1).values
            for rank in (first, second):
                rank["state"][name] = rank["state"][name].sort(dim=1).values
        torch.testing.assert_close(first["state"][name], buffer, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(second["state"][name], buffer, rtol=1e-5, atol=1e-8)


def deterministic_names() -> list[str]:
    return [name for name in losses.names() if not issubclass(losses.loss_class(name), DrawingLoss)]


@pytest.mark.parametrize("name", deterministic_names())
def test_it_compiles_into_one_graph(name):
    eager, traced = losses.create(name, COUNTS), losses.create(name, COUNTS)
    compiled = torch.compile(traced, fullgraph=True, backend="aot_eager")
    for logits, target in batches_for(eager, 2):
        expected, gradient = step(eager, logits, target)
        value, other = step(compiled, logits, target)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(other, gradient, rtol=1e-10, atol=1e-12)
    torch._dynamo.reset()
    for (key, one), (_, other) in zip(eager.named_buffers(), traced.named_buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, msg=key)
