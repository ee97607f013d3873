"""The contract of every registered loss, and that it catches losses that break it.

A new loss is covered the day it is registered: the checks run over ``losses.names()``.
"""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from contract import covered

from lt_core import losses
from lt_core.errors import ConfigError
from lt_core.losses import contract as promises
from lt_core.losses.contract.probes import COUNTS


@pytest.mark.parametrize("promise", promises.CHECKS, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(("name", "params"), covered())
def test_it_keeps_the_promise(name, params, promise):
    promise(functools.partial(losses.create, name, **params))


class Broken(losses.LongTailLoss):
    """Reads a value back, saves nothing, rebinds, moves in evaluation, in float32."""

    def __init__(self, class_counts, reduction="mean"):
        super().__init__(class_counts, reduction)
        self.register_buffer("seen", torch.zeros(self.num_classes), persistent=False)

    def per_sample(self, logits, target):
        self.seen = self.seen + F.one_hot(target, self.num_classes).sum(dim=0)
        weight = 1 / (1 + self.seen.max().item())
        return weight * F.cross_entropy(logits, target, reduction="none"), None


def test_a_broken_loss_is_told_what_it_breaks():
    verdicts = promises.check(Broken)
    broken = {text for text, verdict in verdicts.items() if verdict != "holds"}
    words = ("resumed", "in place", "evaluation", "no value read back")
    assert all(any(word in text for text in broken) for word in words)
    assert verdicts["L1 extreme logits: loss and gradient stay finite"] == "holds"
    assert len(verdicts) == len(promises.CHECKS)


def test_a_loss_without_mathematics_breaks_with_a_reason():
    verdicts = promises.check(losses.LongTailLoss)
    assert "abstract method" in verdicts["The four reductions agree"]
    assert "per_sample" in verdicts["The four reductions agree"]


def test_parameters_reach_the_loss():
    wrong = promises.check(losses.loss_class("focal"), gamma=-1)
    assert all("focal.gamma" in text for text in list(wrong.values())[4:])


@pytest.mark.parametrize("name", losses.names())
class TestParameters:
    def test_defaults_are_what_create_uses(self, name):
        defaults = losses.defaults(name)
        assert losses.converted(name, defaults) == defaults
        losses.create(name, COUNTS, **defaults)

    def test_an_unknown_parameter_is_refused(self, name):
        with pytest.raises(ConfigError, match="unknown parameter"):
            losses.create(name, COUNTS, no_such_parameter=1)

    def test_wrong_types_and_numbers_out_of_range_are_refused(self, name):
        for parameter, default in losses.defaults(name).items():
            wrong = ["banana", [1], {}]
            if isinstance(default, (int, float)) and not isinstance(default, bool):
                wrong += [float("nan"), True, "1e400"]
            for value in wrong:
                with pytest.raises(ConfigError, match=rf"{parameter}|known"):
                    losses.create(name, COUNTS, **{parameter: value})

    def test_words_for_numbers_become_numbers(self, name):
        for parameter, default in losses.defaults(name).items():
            converted = losses.converted(name, {parameter: str(default)})[parameter]
            assert converted == default
            assert type(converted) is type(default)
