"""Parameters of a loss: read from its signature, converted, kept in range.

A loss declares its parameters once, as keyword-only arguments with a type and a
default. What the command line, a notebook or a stored run passes is converted to
the declared type here, so that ``1``, ``1.0`` and ``"1"`` mean the same loss.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from lt_core.errors import ConfigError, unknown

_WORDS = {"true": True, "false": False}


def declared(loss_class: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Parameter name -> (declared type, default) of a loss class."""
    signature = inspect.signature(loss_class)
    hints = get_type_hints(loss_class.__init__)
    return {
        name: (hints[name], parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def converted(
    method: str, loss_class: Callable[..., Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    """``params`` in the declared types; unknown names and wrong types are refused."""
    known = declared(loss_class)
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
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ConfigError(f"{name}: expected a list of numbers, got {value!r}")
        return [convert(name, _scalar(entry), get_args(declared_type)[0]) for entry in value]
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
    """``value`` if it is a number in ``[minimum, maximum]`` and less than ``below``."""
    value = convert(name, value, float)
    if not (minimum <= value <= maximum and value < below):
        upper = f"{below:g})" if below <= maximum else f"{maximum:g}]"
        raise ConfigError(f"{name}: expected a number in [{minimum:g}, {upper}, got {value:g}")
    return value


def whole(name: str, value: int, minimum: int) -> int:
    """``value`` if it is a whole number of at least ``minimum``."""
    value = convert(name, value, int)
    if value < minimum:
        raise ConfigError(f"{name}: expected a whole number of at least {minimum}, got {value}")
    return value


def choice(name: str, value: str, options: Collection[str]) -> str:
    """``value`` if it is one of ``options``."""
    if value not in options:
        raise unknown(name, value, options)
    return value
