"""Parameters: what a value may be is declared once, where it is taken, and checked here.

A loss, a recipe and a run's configuration declare type and range as annotations::

    gamma: Annotated[float, Range(0)] = 0.8
    bins: Annotated[int, Range(1, 10_000)] = 12
    form: Literal["softmax", "sigmoid"] = "softmax"

:func:`convert` makes a value of that type from what a command line, a notebook or a stored
run gives, so that ``"1"``, ``1`` and ``1.0`` mean the same, or refuses it in one line that
names the parameter, what was expected and what was given. :func:`described` says in words
what is accepted. Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import numbers
import re
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lt_core.errors import ConfigError, unknown

_LARGEST = sys.float_info.max
#: No class has a million million images: a larger number is a mistake.
MOST_IMAGES = 10**12
COUNT_LABELS = "to count labels: torch.bincount(targets, minlength=C)"


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``low`` to ``high``; ``above`` and ``below`` leave the bound itself out.

    >>> Range(0, below=1)
    0 or more and less than 1
    >>> 0.5 in Range(0, below=1), 1 in Range(0, below=1)
    (True, False)
    """

    low: float = -_LARGEST
    high: float = _LARGEST
    above: float | None = None
    below: float | None = None

    def __contains__(self, number: float) -> bool:
        inside = self.low <= number <= self.high  # False for nan
        inside = inside and (self.above is None or number > self.above)
        return inside and (self.below is None or number < self.below)

    def __repr__(self) -> str:
        if self.low > -_LARGEST and self.high < _LARGEST:
            return f"{text_of(self.low)} to {text_of(self.high)}"
        bounds = [
            f"{text_of(self.low)} or more" if self.low > -_LARGEST else "",
            f"more than {text_of(self.above)}" if self.above is not None else "",
            f"at most {text_of(self.high)}" if self.high < _LARGEST else "",
            f"less than {text_of(self.below)}" if self.below is not None else "",
        ]
        return " and ".join(filter(None, bounds)) or "a finite number"


def declared(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Keyword-only parameters of a function or class: name -> (declared type, default)."""
    hints = kinds_of(function.__init__ if isinstance(function, type) else function)
    return {
        name: (hints.get(name, type(parameter.default)), parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


@functools.cache
def kinds_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The declared type of each field of a dataclass, or argument of a function."""
    return get_type_hints(function, include_extras=True)


def converted(owner: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` in their ``known`` types; an unknown name is refused with the nearest one."""
    result = {}
    for name, value in given.items():
        if name not in known:
            raise unknown(f"parameter of {owner}", name, known or ["none"])
        result[name] = convert(f"{owner}.{name}", value, known[name])
    return result


def convert_fields(instance: Any) -> None:
    """Convert every field of a dataclass to its declared type; for ``__post_init__``."""
    for name, kind in kinds_of(type(instance)).items():
        object.__setattr__(instance, name, convert(name, getattr(instance, name), kind))


def convert(name: str, value: Any, kind: Any) -> Any:
    """``value`` as ``kind``, or a :class:`~lt_core.errors.ConfigError` that says what is wrong.

    ``kind`` is bool, int, float, str, a mapping, ``tuple[..., ...]``, ``Sequence[...]`` (a list,
    one entry per class), ``Literal[...]``, ``Annotated`` with a :class:`Range`, or one of these
    ``| None``. Text is read as a command line gives it.

    >>> convert("bins", "12", Annotated[int, Range(1, 100)])
    12
    >>> convert("factors", "0.1, 0.01", tuple[float, ...])
    (0.1, 0.01)
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        inner = next(each for each in get_args(kind) if each is not type(None))
        return convert(name, value, inner)
    if origin is Annotated:
        inner, accepted = get_args(kind)
        value = convert(name, value, inner)
        if value not in accepted:
            raise ConfigError(f"{name}: expected {accepted}, got {text_of(value)}")
        return value
    if origin is Literal:
        return choice(name, value, get_args(kind))
    if origin is Sequence and not isinstance(value, str):
        return [convert(name, entry, get_args(kind)[0]) for entry in _by_class(name, value)]
    if origin in (Sequence, tuple):
        entries = _converted_list(name, value, get_args(kind)[0])
        return tuple(entries) if origin is tuple else entries
    if kind is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name}: expected names with values, got {value!r}")
        return value
    value = _scalar(value)
    if kind is bool:
        words = {"true": True, "false": False}
        word = words.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(word, bool):
            raise ConfigError(f"{name}: expected true or false, got {value!r}")
        return word
    if kind is str:
        if not isinstance(value, str):
            raise ConfigError(f"{name}: expected a word, got {value!r}")
        return value
    return _converted_number(name, value, kind)


def in_range(name: str, value: Any, low: float, high: float) -> float:
    """``value`` as the type of ``low``, refused outside ``[low, high]``."""
    return convert(name, value, Annotated[type(low), Range(low, high)])


def choice(name: str, value: Any, options: Collection[str]) -> Any:
    """``value`` if it is one of ``options``."""
    if value not in tuple(options):  # a dictionary could not look up a list
        raise unknown(name, value, options)
    return value


def described(kind: Any) -> str:
    """In words what :func:`convert` accepts.

    >>> described(Annotated[float, Range(0)] | None), described(Literal["mean", "sum"])
    ('0 or more, or none', 'mean or sum')
    """
    words = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a word"}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return f"{described(inner[0])}, or none"
    if origin is Annotated:
        return f"{'whole, ' * (inner[0] is int)}{inner[1]}"
    if origin is Literal:
        return " or ".join(map(str, inner))
    return words.get(kind) or f"a list of values, each {described(inner[0])}"


def _converted_list(name: str, value: Any, kind: Any) -> list:
    entries = listed(value)  # "160,180" or "[160, 180]", as a command line gives it
    if not isinstance(value, str):
        return [convert(name, entry, kind) for entry in entries]
    number = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    words = "whole numbers" if number is int else "numbers"
    try:
        if not entries and value.strip() not in ("[]", "()"):
            raise ConfigError
        entries = [convert(name, entry, number) for entry in entries]
    except ConfigError:
        raise ConfigError(
            f"{name}: expected {words} separated by commas, such as 160,180, got {value!r}"
        ) from None
    return [convert(name, entry, kind) for entry in entries]


def listed(values: object) -> list:
    """A list, whether one value, several, or text with commas was given.

    A comma in brackets separates nothing: ``icb[intra,ura]`` is one row of a table. Text
    may look like a Python list: ``"[100, 10]"``, ``"['softmax', 'icb']"``.
    """
    if values is None:
        return []
    if isinstance(values, str):
        text = values.strip()
        text = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text
        parts = [part.strip(" '\"") for part in re.split(r",(?![^\[]*\])", text)]
        return [part for part in parts if part]
    return list(values) if isinstance(values, Iterable) else [values]


def _converted_number(name: str, value: Any, declared_type: type) -> int | float:
    expected = "a whole number" if declared_type is int else "a number"
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if declared_type is int:
            if not number.is_integer():
                raise ValueError
            return int(number)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name}: expected {expected}, got {value!r}") from None
    return number


def _scalar(value: Any) -> Any:
    """A NumPy or torch number as a Python number."""
    if not isinstance(value, str) and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    return value


def per_class(
    name: str,
    values: Any,
    num_classes: int | None = None,
    *,
    minimum: float = -math.inf,
    images: bool = False,
) -> list[Any]:
    """One number per class, in the order of the classes, from whatever holds them.

    A sequence or an array is read in its order. What has keys (a dict, a ``Counter``, a pandas
    Series, whose ``value_counts`` puts the largest class first) is read by its keys, which
    must be the classes 0 to C - 1, in any order. With ``images`` the numbers must be whole.

    Raises :class:`~lt_core.errors.ConfigError`, one line that names the class at fault.
    """
    hint = f"; {COUNT_LABELS}" if images else ""

    def refusal(problem: str) -> ConfigError:
        return ConfigError(f"{name}: {problem}{hint}")

    values = _by_class(name, values, hint)
    if num_classes is not None and len(values) != num_classes:
        first = ", ".join(_shown(value) for value in values[:6]) + ", …" * (len(values) > 6)
        expected = f"expected shape ({num_classes},), one number per class"
        raise refusal(f"{expected}, got {len(values)}: [{first}]")
    result = []
    for label, value in enumerate(map(_scalar, values)):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise refusal(
                f"expected one number per class, shape (C,), got {_shown(value)} for class {label}"
            )
        if images and value < minimum:
            raise refusal(
                f"class {label} has {_shown(value)} images, expected at least {minimum}; leave "
                "the class out or lower the imbalance factor"
            )
        if images and not (value <= MOST_IMAGES and value == int(value)):
            raise refusal(
                f"expected whole numbers of images, at most {MOST_IMAGES:.0e}, got "
                f"{_shown(value)} for class {label}"
            )
        if not minimum <= value <= sys.float_info.max:
            raise refusal(
                f"expected finite numbers of at least {minimum:g}, got {_shown(value)} for "
                f"class {label}"
            )
        result.append(int(value) if images else float(value))
    return result


def _by_class(name: str, values: Any, hint: str = "") -> list[Any]:
    """The entries of a sequence, or those of a mapping in the order of its keys 0 to C - 1."""
    if callable(getattr(values, "keys", None)):
        entries = list(values.items())
        by_class = dict(entries)
        absent = [label for label in range(len(entries)) if label not in by_class]
        if absent:
            raise ConfigError(
                f"{name}: expected an entry for each class 0 to C - 1, got {len(entries)} entries "
                f"and none for class {absent[0]}{hint}"
            )
        return [by_class[label] for label in range(len(entries))]
    if hasattr(values, "__iter__") and not isinstance(values, (str, bytes, Set, ValuesView)):
        with contextlib.suppress(RuntimeError):  # a tensor that is sparse, or has no values
            entries = values.tolist() if hasattr(values, "tolist") else list(values)
            if isinstance(entries, list):  # what has no dimension is a number
                return entries
    raise ConfigError(
        f"{name}: expected a list of numbers, one per class, or a mapping by class, got "
        f"{_shown(values)}{hint}"
    )


def text_of(value: Any) -> str:
    """A value as messages and variants show it: ``0.5``, ``1``, ``mean``."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    """A word or number as it is written, of anything else its type: always short, one line."""
    if isinstance(value, (str, bytes, numbers.Number)):
        text = repr(value)
        return text if len(text) <= 30 else f"{text[:27]}..."
    return f"a {type(value).__name__}"
