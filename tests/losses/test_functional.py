"""Every loss as a function: the numbers of its class, the defaults of its class, its examples."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
from pathlib import Path

import pytest
import torch
from contract import THIRTEEN, covered

from lt_core import losses, parameters
from lt_core.errors import ConfigError
from lt_core.losses import base, functional
from lt_core.losses.density import DENSITIES
from lt_core.testing import COUNTS, batches_for, draws, step

N = torch.tensor(COUNTS)
zeros = torch.zeros(len(COUNTS), dtype=torch.float64)


def arguments(name, params):
    """What the function needs beside logits, target and ``params``, made from the counts alone."""
    match name:
        case "class_balanced":
            return [functional.inverse_frequency_weights(N)]
        case "effective_number":
            return [functional.effective_number_weights(N, 0.9999)]
        case "focal":
            beta = params.pop("beta", 0)
            return [functional.effective_number_weights(N, beta)] if beta else []
        case "ghm":
            return [torch.zeros(10, dtype=torch.float64)]
        case "equalization":
            return [N / N.sum() < 0.5 / len(N)]
        case "seesaw":
            return [zeros.clone()]
        case "icb":
            margin = 0.8 * N.double().log() if params.pop("inter", True) else None
            size = params.pop("memory", 1), params.pop("normalize", "category")
            density = DENSITIES[params.pop("density", "adaptive")](len(N), 12, *size)
            return [margin, density if params.pop("intra", True) else None]
        case "gala":
            released = params.pop("variant", "paper") == "released"
            return [zeros.clone(), *([zeros.clone()] if released else [])]
        case "ldam":
            return [functional.ldam_margin(N)]
        case "balanced_softmax":
            return [N.double().log()]
        case "logit_adjustment":
            return [functional.prior_shift(N)]
        case "gcl":
            return [functional.cloud_widths(N)]
    return []


@pytest.mark.parametrize("reduction", base.REDUCTIONS)
@pytest.mark.parametrize(("name", "params"), covered(THIRTEEN))
def test_the_function_is_the_class_bit_for_bit(name, params, reduction):
    loss = losses.create(name, COUNTS, reduction, **params)
    function, params = getattr(functional, name), {**params, "reduction": reduction}
    needed = arguments(name, params)
    for logits, target in batches_for(loss, 4):
        draw = draws(loss, logits)  # zeros and ones: for gcl distances as well
        expected, gradient = step(loss, logits, target, **draw)
        given = [*needed, *draw.values()]
        value, other = step(lambda z, y: function(z, y, *given, **params), logits, target)  # noqa: B023
        assert torch.equal(value, expected)
        assert torch.equal(other, gradient)
    without = {"training": False} if "training" in inspect.signature(function).parameters else {}
    value = function(logits, target, *given, **params, **without)
    assert torch.equal(value, loss.eval()(logits, target, **draw))


@pytest.mark.parametrize("name", losses.names())
def test_function_and_class_have_the_same_defaults(name):
    own = {key: value for key, (_, value) in parameters.declared(getattr(functional, name)).items()}
    assert own.pop("reduction") == "mean"
    own.pop("training", None)
    assert own.items() <= losses.defaults(name).items()


@pytest.mark.parametrize("name", THIRTEEN)
def test_the_function_checks_what_it_is_given(name):
    needed, function = arguments(name, {}), getattr(functional, name)
    logits, target = torch.zeros(4, len(COUNTS)), torch.arange(4)
    for wrong, message in [
        ((logits[0], target), r"logits: expected shape \(N, C\)"),
        ((logits, target[1:]), "target: expected shape"),
        ((logits, target + len(COUNTS)), "target: expected class indices from 0 to 5"),
    ]:
        with pytest.raises(ConfigError, match=message):
            function(*wrong, *needed)
    with pytest.raises(ConfigError, match="reduction"):
        function(logits, target, *needed, reduction="average")
    assert function(logits[:0], target[:0], *needed) == 0
    if needed and name != "ghm":
        first = list(inspect.signature(function).parameters)[2]
        for wrong in (COUNTS, N[:-1]):
            with pytest.raises(ConfigError, match=rf"{first}: expected a tensor of shape \(6,\)"):
                function(logits, target, wrong, *needed[1:])


def test_a_function_of_ones_own_is_checked_wherever_the_annotation_comes_from():
    @functional.checked_and_reduced()
    def scaled(logits, target, weight: functional.PerClass):
        return weight.take(target), None

    with pytest.raises(ConfigError, match=r"weight: expected a tensor of shape \(6,\)"):
        scaled(torch.zeros(4, len(COUNTS)), torch.arange(4), N[:-1])


MODULES = ["lt_core.parameters", "lt_core.losses", "lt_core.losses.functional"]
MODULES += [f"lt_core.losses.{name}" for name in losses.names()]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_run(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.failed == 0
    assert found.attempted


@pytest.mark.parametrize("name", losses.names())
def test_the_docstring_names_every_parameter_and_the_source(name):
    text = inspect.getdoc(losses.loss_class(name))
    section = text.partition("Parameters\n---")[2].partition("\n\n")[0]
    named = {
        each.strip()
        for line in section.splitlines()
        if not line.startswith(" ")
        for each in line.partition(" :")[0].split(",")
    }
    assert {"class_counts", "reduction", *losses.defaults(name)} <= named
    assert "Source\n---" in text
    assert ".. math::" in inspect.getdoc(getattr(functional, name))


@pytest.mark.parametrize("name", losses.names())
def test_the_book_shows_formula_function_and_class(name):
    root = Path(__file__).parents[2]
    page = json.loads((root / "notebooks" / "methods_at_a_glance.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in page["cells"]]
    assert cells[cells.index(f"### {name}") + 1] == f'shown("{name}")'
    full = (root / "book" / "losses_in_full.md").read_text()
    assert f".. autofunction:: lt_core.losses.functional.{name}\n" in full
    assert f".. autoclass:: lt_core.losses.{losses.loss_class(name).__name__}\n" in full
