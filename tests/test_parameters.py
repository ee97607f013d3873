"""One way to declare, convert, refuse and describe a parameter."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import pytest

from lt_core.errors import ConfigError
from lt_core.parameters import Range, convert, described

Share = Annotated[float, Range(0, below=1)]
Count = Annotated[int, Range(1, 9)]
Form = Literal["softmax", "sigmoid"]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("1", float, 1.0),
        (" 1e0 ", int, 1),
        (np.float32(0.5), Share, 0.5),
        ("True", bool, True),
        ("None", Count | None, None),
        ("3.0", Count | None, 3),
        ("sigmoid", Form, "sigmoid"),
        ("[8, 9]", tuple[Count, ...] | None, (8, 9)),
        ("1,2", tuple[Count, ...], (1, 2)),
        (3, tuple[Count, ...], (3,)),
        ([], tuple[Count, ...], ()),
        ({1: "5", 0: 4}, Sequence[int], [4, 5]),
        ({"a": 1}, Mapping, {"a": 1}),
        (math.inf, Annotated[float, Range(0, math.inf)], math.inf),
    ],
)
def test_a_value_becomes_its_declared_type(value, kind, expected):
    result = convert("p", value, kind)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (1, Share, "p: expected 0 or more and less than 1, got 1"),
        (-0.5, Share, "p: expected 0 or more and less than 1, got -0.5"),
        (math.nan, Share, "got nan"),
        (math.inf, Annotated[float, Range(0)], "p: expected 0 or more, got inf"),
        (0, Annotated[float, Range(above=0, high=2)], "expected more than 0 and at most 2, got 0"),
        ("10", Count, "p: expected 1 to 9, got 10"),
        ("1.5", Count, "p: expected a whole number, got '1.5'"),
        (True, Count, "p: expected a whole number, got True"),
        ("1", bool, "p: expected true or false, got '1'"),
        ("sigmoids", Form, "unknown p 'sigmoids'; did you mean 'sigmoid'"),
        ("[160, 180]", tuple[Count, ...], "p: expected 1 to 9, got 160"),
        ("1;2", tuple[Count, ...], "p: expected whole numbers separated by commas"),
        ({0: 4, 2: 5}, Sequence[int], "p: expected an entry for each class"),
        ("a=1", Mapping, "p: expected names with values, got 'a=1'"),
    ],
)
def test_what_it_cannot_be_is_refused_with_name_expected_and_given(value, kind, message):
    with pytest.raises(ConfigError, match=message):
        convert("p", value, kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Share, "0 or more and less than 1"),
        (Count | None, "whole, 1 to 9, or none"),
        (Form, "softmax or sigmoid"),
        (bool, "true or false"),
        (tuple[Count, ...], "a list of values, each whole, 1 to 9"),
    ],
)
def test_what_is_accepted_is_said_in_words(kind, words):
    assert described(kind) == words
