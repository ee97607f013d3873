"""The contract of every registered loss, and that it catches losses that break it.

A new loss is covered the day it is registered: the checks run over ``losses.names()``.
"""

from __future__ import annotations

import functools
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from contract import THIRTEEN, covered

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


class AddedDetached(losses.LongTailLoss):
    """The value of cross-entropy, and twice its gradient."""

    def per_sample(self, logits, target):
        lost = F.cross_entropy(logits, target, reduction="none")
        return 2 * lost - lost.detach(), None


class ForeignGradient(losses.LongTailLoss):
    """The value of cross-entropy, and the gradient of another loss."""

    def per_sample(self, logits, target):
        lost = F.cross_entropy(logits, target, reduction="none")
        other = F.softplus(-logits.gather(1, target[:, None])).squeeze(1)
        return lost.detach() + other - other.detach(), None


class Counting(losses.LongTailLoss):
    """Counts in a plain attribute, which no ``state_dict`` knows."""

    def __init__(self, class_counts, reduction="mean"):
        super().__init__(class_counts, reduction)
        self.calls = 0

    def per_sample(self, logits, target):
        self.calls += self.updates_state
        return F.cross_entropy(logits, target, reduction="none"), None


class Unweighted(losses.ClassBalanced):
    """Returns weights that its losses have not been multiplied by."""

    def per_sample(self, logits, target):
        return F.cross_entropy(logits, target, reduction="none"), self.class_weight[target]


class UnweightedByDifficulty(losses.GHM):
    """The same, with weights that come from what it has seen."""

    def per_sample(self, logits, target):
        weight = super().per_sample(logits, target)[1]
        return F.cross_entropy(logits, target, reduction="none"), weight


class Smoothed(losses.LongTailLoss):
    """Cross-entropy with label smoothing: no image, however sure, costs nothing."""

    def per_sample(self, logits, target):
        return F.cross_entropy(logits, target, reduction="none", label_smoothing=0.1), None


def test_a_loss_that_never_falls_to_zero_holds_every_promise_of_its_gradient():
    verdicts = promises.check(Smoothed)
    gradients = [verdict for text, verdict in verdicts.items() if "central differences" in text]
    assert gradients == ["holds"]


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        (Detached, "raises the logit"),
        (DetachedQuietly, "raises the logit"),
        (Blind, "raises the logit"),
        (Overwriting, "leave their input"),
        (Doubled, "central differences"),
        (AddedDetached, "central differences"),
        (ForeignGradient, "central differences"),
        (Counting, "What changes is saved"),
        (Unweighted, "multiplied by the weight"),
        (UnweightedByDifficulty, "multiplied by the weight"),
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


@pytest.mark.parametrize("name", losses.names())
def test_parameters_are_attributes(name):
    kept = {key: value for key, value in losses.defaults(name).items() if key != "density"}
    loss = losses.create(name, COUNTS)
    assert {
        key: getattr(loss, key) for key in kept if kept[key] is not None
    }.items() <= kept.items()


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

    def test_words_for_numbers_become_numbers(self, name):
        for parameter, default in losses.defaults(name).items():
            converted = losses.converted(name, {parameter: str(default)})[parameter]
            assert converted == default
            assert type(converted) is type(default)


#: For each parameter values that it must not take, beside what none may be: one of another type.
WRONG = {
    "effective_number": {"beta": [1, -0.1], "form": ["tanh"], "gamma": [-1]},
    "focal": {
        "gamma": [-1, math.inf],
        "beta": [1],
        "modulator": ["paper"],
        "detach_modulator": [1],
    },
    "ghm": {"bins": [0, 2.5, "ten"], "momentum": [1, -0.1], "form": ["softmx"]},
    "equalization": {"threshold": [1.5], "ignore_probability": [-0.1, 2], "form": ["softmx"]},
    "seesaw": {
        **{"p": [-0.1], "q": [math.inf, -1], "eps": [0, 2]},
        **{"initial_counts": [[1], [1, 2, -1, 4, 5, 6], [math.nan] * 6]},
    },
    "icb": {
        **{"gamma": [-0.1], "bins": [0, 2.5, 10**5], "memory": [0, 10**10]},
        **{"intra": ["yes"], "inter": [0], "density": ["uniforn"]},
        **{"normalize": ["all"], "gradient": ["both"]},
    },
    "gala": {
        **{"lambda1": [-1], "lambda2": [-1], "eps": [0]},
        **{"variant": ["papr"], "gradient_scale": ["average"]},
    },
    "ldam": {"max_margin": [-1], "scale": [0], "deferred_from": [1.1, -0.1], "beta": [1]},
    "logit_adjustment": {"tau": [math.inf, -math.inf], "variant": ["official"]},
    "gcl": {"scale": [-1], "noise": [-1], "margin": [-1, "wide"], "focal_gamma": [-1]},
}


@pytest.mark.parametrize("name", losses.names())
def test_what_a_parameter_cannot_be_is_refused_by_its_name(name):
    wrong = WRONG.get(name, {})
    for parameter, default in losses.defaults(name).items():
        values = ["banana", [1], {}, *wrong.get(parameter, [])]
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            values += [math.nan, True, "1e400"]
        for value in values:
            for make in (functools.partial(losses.create, name), losses.loss_class(name)):
                with pytest.raises(ConfigError, match=rf"{name}\.{parameter}"):
                    make(COUNTS, **{parameter: value})


def test_the_exact_density_keeps_every_sample_and_no_more_than_a_million():
    with pytest.raises(ConfigError, match=r"icb\.memory: expected 1 to 1000000, got 2000000"):
        losses.create("icb", COUNTS, density="exact", memory=2_000_000)


@pytest.mark.parametrize("name", THIRTEEN)
def test_every_parameter_has_values_that_are_refused(name):
    assert losses.defaults(name).keys() == WRONG.get(name, {}).keys()
