"""The contract of every registered loss, and that it catches losses that break it.

A new loss is covered the day it is registered: the checks run over ``losses.names()``.
"""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from contract import covered

from lt_core import losses
from lt_core import testing as promises
from lt_core.errors import ConfigError
from lt_core.testing import COUNTS


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
    assert all(any(word in text.lower() for text in broken) for word in words)
    assert verdicts["Loss and gradient stay finite for extreme logits"] == "holds"
    assert len(verdicts) == len(promises.CHECKS)


class Detached(losses.LongTailLoss):
    """Has no gradient, or one that is zero: to autograd the whole loss is a constant."""

    def per_sample(self, logits, target):
        return F.cross_entropy(logits.detach(), target, reduction="none"), None


class DetachedQuietly(Detached):
    def per_sample(self, logits, target):
        return super().per_sample(logits, target)[0] + 0 * logits.sum(dim=1), None


class Blind(losses.LongTailLoss):
    """Does not look at the target."""

    def per_sample(self, logits, target):
        return logits.square().sum(dim=1), None


class Overwriting(losses.LongTailLoss):
    """Changes what it is given."""

    def per_sample(self, logits, target):
        with torch.no_grad():
            target.clamp_(max=2)
        return F.cross_entropy(logits, target, reduction="none"), None


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        return value.clone()

    @staticmethod
    def backward(context, gradient):
        return 2 * gradient


class Doubled(losses.LongTailLoss):
    """A gradient that is not that of the loss."""

    def per_sample(self, logits, target):
        return Twice.apply(F.cross_entropy(logits, target, reduction="none")), None


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        (Detached, "raises the logit"),
        (DetachedQuietly, "raises the logit"),
        (Blind, "raises the logit"),
        (Overwriting, "leave their input"),
        (Doubled, "central differences"),
    ],
)
def test_a_loss_that_learns_nothing_or_something_else_is_found(loss, word):
    broken = [text for text, verdict in promises.check(loss).items() if verdict != "holds"]
    assert any(word in text for text in broken)


def test_the_contract_also_holds_without_assert_statements(tmp_path):
    """Under ``python -O`` an assert statement checks nothing."""
    (tmp_path / "quiet.py").write_text(
        "import torch.nn.functional as F\n"
        "from lt_core import losses, testing\n"
        "class Quiet(losses.LongTailLoss):\n"
        "    def per_sample(self, logits, target):\n"
        "        lost = F.cross_entropy(logits.detach(), target, reduction='none')\n"
        "        return lost + 0 * logits.sum(dim=1), None\n"
        "broken = [v for v in testing.check(Quiet).values() if v != 'holds']\n"
        "whole = [v for v in testing.check(losses.Softmax).values() if v != 'holds']\n"
        "print(len(broken) > 0, len(whole), __debug__)\n"
    )
    command = [sys.executable, "-O", "-W", "ignore", str(tmp_path / "quiet.py")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert answer.stdout.split() == ["True", "0", "False"]


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
