"""Parameters of a loss: read from its signature, converted, kept in range.

A loss declares its parameters once, as keyword-only arguments with a type and a
default. What the command line, a notebook or a stored run passes is converted to
the declared type here, so that ``1``, ``1.0`` and ``"1"`` mean the same loss.
"""

from __future__ import annotations

import ast
import inspect
import math
import numbers
import re
import sys
import types
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
    Set,
    ValuesView,
)
from typing import Any, Union, get_args, get_origin, get_type_hints

from lt_core.errors import ConfigError, unknown

_WORDS = {"true": True, "false": False}
#: No class has a million million images: a larger number is a mistake.
MOST_IMAGES = 10**12
COUNT_LABELS = "to count labels: torch.bincount(targets, minlength=C)"


def declared(loss_class: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Parameter name -> (declared type, default) of a loss class."""
    signature = inspect.signature(loss_class)
    hints = get_type_hints(loss_class.__init__)
    return {
        name: (hints[name], parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def written(source: str, class_name: str) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """What :func:`declared` finds, and ``takes_cosines``, in the source of a class.

    Reading the source instead of importing the class leaves torch out, so that a run's
    configuration is checked, or refused, at once.
    """
    body = next(
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    found, takes_cosines = {}, False
    for node in body:
        match node:
            case ast.FunctionDef(name="__init__", args=arguments):
                for argument, default in zip(
                    arguments.kwonlyargs, arguments.kw_defaults, strict=True
                ):
                    hint = ast.unparse(argument.annotation)
                    hint = eval(hint, {"Sequence": Sequence})  # safe: the package's own source
                    found[argument.arg] = hint, ast.literal_eval(default)
            case ast.Assign(targets=[ast.Name(id="takes_cosines")], value=ast.Constant(value)):
                takes_cosines = value
    return found, takes_cosines


def converted(
    method: str, known: Mapping[str, tuple[Any, Any]], params: Mapping[str, Any]
) -> dict[str, Any]:
    """``params`` in their declared types; unknown names and wrong types are refused."""
    result = {}
    for name, value in params.items():
        if name not in known:
            raise unknown(f"parameter of {method}", name, known or ["none"])
        result[name] = convert(f"{method}.{name}", value, known[name][0])
    return result


def convert(name: str, value: Any, declared_type: Any) -> Any:
    """``value`` as ``declared_type``, one of bool, int, float, str, a sequence or None."""
    if get_origin(declared_type) in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        declared_type = next(t for t in get_args(declared_type) if t is not type(None))
    if get_origin(declared_type) is Sequence:
        return _converted_list(name, value, get_args(declared_type)[0])
    value = _scalar(value)
    if declared_type is bool:
        word = _WORDS.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(word, bool):
            raise ConfigError(f"{name}: expected true or false, got {value!r}")
        return word
    if declared_type is str:
        if not isinstance(value, str):
            raise ConfigError(f"{name}: expected a word, got {value!r}")
        return value
    return _converted_number(name, value, declared_type)


def _converted_list(name: str, value: Any, declared_type: type) -> list:
    if not isinstance(value, str):
        entries = _by_class(name, value)
        return [convert(name, _scalar(entry), declared_type) for entry in entries]
    entries = listed(value)  # "160,180" or "[160, 180]", as a command line gives it
    try:
        if not entries and value.strip() not in ("[]", "()"):
            raise ConfigError
        return [convert(name, entry, declared_type) for entry in entries]
    except ConfigError:
        kind = "whole numbers" if declared_type is int else "numbers"
        raise ConfigError(
            f"{name}: expected {kind} separated by commas, such as 160,180, got {value!r}"
        ) from None


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


def number(
    name: str,
    value: float,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    below: float = math.inf,
) -> float:
    """``value`` if it is finite, in ``[minimum, maximum]`` and less than ``below``."""
    value = convert(name, value, float)
    if not (math.isfinite(value) and minimum <= value <= maximum and value < below):
        upper = f"{below:g})" if below <= maximum else f"{maximum:g}]"
        raise ConfigError(f"{name}: expected a number in [{minimum:g}, {upper}, got {value:g}")
    return value


def whole(name: str, value: int, minimum: int, maximum: int) -> int:
    """``value`` if it is a whole number in ``[minimum, maximum]``."""
    value = convert(name, value, int)
    if not minimum <= value <= maximum:
        raise ConfigError(
            f"{name}: expected a whole number from {minimum} to {maximum}, got {value}"
        )
    return value


def choice(name: str, value: str, options: Collection[str]) -> str:
    """``value`` if it is one of ``options``."""
    if value not in tuple(options):  # a dictionary could not look up a list
        raise unknown(name, value, options)
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
        entries = values.tolist() if hasattr(values, "tolist") else list(values)
        if isinstance(entries, list):  # what has no dimension is a number
            return entries
    raise ConfigError(
        f"{name}: expected a list of numbers, one per class, or a mapping by class, got "
        f"{_shown(values)}{hint}"
    )


def _shown(value: Any) -> str:
    """A word or number as it is written, of anything else its type: always short, one line."""
    if isinstance(value, (str, bytes, numbers.Number)):
        text = repr(value)
        return text if len(text) <= 30 else f"{text[:27]}..."
    return f"a {type(value).__name__}"
