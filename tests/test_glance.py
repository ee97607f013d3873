"""The cards of the losses: complete, and Markdown that a page can show."""

import json
import re

import ci_book
import pytest

from lt_core import glance, losses

each = pytest.mark.parametrize("name", losses.names())


@each
def test_every_docstring_has_every_part(name):
    found = glance.parts(losses.loss_class(name))
    optional = {"state"} if losses.defaults(name) else {"state", "defaults"}
    missing = [part for part in glance.PARTS if part not in optional and not found.get(part)]
    assert missing == []


@each
def test_the_docstring_explains_every_parameter(name):
    explained = glance.parts(losses.loss_class(name))["parameters"]
    assert [key for key in losses.defaults(name) if f"`{key}" not in explained] == []


@each
def test_a_card_is_markdown_without_marks_of_docstrings(name):
    card = glance.card(name)
    prose = re.sub(r"```.*?```|\$\$.*?\$\$", "", card, flags=re.DOTALL)
    assert "``" not in prose
    assert not re.search(r":\w+:`|\.\. \w+::", card)
    assert prose.count("$") % 2 == 0
    assert card.count("$$") == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("softmax", "nothing"),
        ("seesaw", "`seen` (C)"),
        ("gcl", "the generator of its random numbers"),
    ],
)
def test_state_is_what_the_loss_saves(name, expected):
    assert glance.state(name) == expected


def test_cost_is_recorded_for_every_method_and_read_from_the_benchmark():
    table = glance.cost()
    assert set(losses.names()) <= set(table["method"])
    assert "inter=False" in set(table.query("method == 'icb'")["variant"])
    assert glance.overview().notna().all(axis=None)


@each
def test_the_call_on_a_card_works(name):
    call = re.search(r"```python\n(.*?)```", glance.card(name), re.DOTALL)[1]
    made = eval(call, {"losses": losses, "class_counts": [9, 3, 1]})
    assert isinstance(made, losses.loss_class(name))


def test_a_loss_of_ones_own_without_a_docstring_is_found_incomplete():
    class Bare(losses.LongTailLoss):
        __doc__ = "A sentence."

    assert glance.parts(Bare) == {"summary": "A sentence.", "notes": ""}


def test_the_page_shows_every_method():
    notebook = json.loads((ci_book.ROOT / "notebooks/methods_at_a_glance.ipynb").read_text())
    shown = "".join("".join(cell["source"]) for cell in notebook["cells"])
    assert re.findall(r'card\("(\w+)"\)', shown) == list(losses.names())
