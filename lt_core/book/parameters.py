"""What a notebook's parameters cell declares, and what may be put in its place.

Papermill only warns about a name that a notebook does not have, and passes
``"false"`` on as a string that is true. Here a value is converted to the
declared type or refused, before any kernel starts.

The declared type of ``name: annotation = default`` is the annotation, that of
``name = default`` the type of the default; ``None`` without an annotation
declares nothing and takes any literal.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lt_core import errors

SCALARS = {"bool": bool, "int": int, "float": float, "str": str, "None": type(None)}
CONTAINERS = {"list": list, "tuple": tuple, "dict": dict}


@dataclass(frozen=True)
class Kind:
    """One accepted type; ``items`` are the accepted types of a container's elements."""

    name: str
    items: tuple[Kind, ...] = ()

    def __str__(self) -> str:
        if not self.items or self.name == "dict":
            return self.name
        return f"{self.name} of {' or '.join(map(str, self.items))}"


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell. No ``kinds`` means any literal is accepted."""

    name: str
    default: object
    kinds: tuple[Kind, ...]


def read(source: str, where: str) -> dict[str, Parameter]:
    """Parameters declared by the source of a parameters cell, in order.

    ``where`` names the notebook in errors. Raises ConfigError for anything but
    assignments of literals: what is computed there would be stale, because
    injected values arrive in the cell after it.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise errors.ConfigError(f"{where}: the parameters cell is not Python: {error}") from error
    found = {}
    for line in statements:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                annotation = None
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                annotation = line.annotation
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case _:
                raise _not_literal(where, line)
        try:
            default = ast.literal_eval(value)
        except ValueError as error:
            raise _not_literal(where, line) from error
        kinds = _annotated(annotation, where, name) if annotation else _kinds_of(default)
        found[name] = Parameter(name, default, kinds)
    return found


def check(declared: Mapping[str, Parameter], given: Mapping[str, object], where: str) -> dict:
    """The given values, each converted to its declared type, in the given order.

    Raises ConfigError naming the notebook, the parameter, what was expected and
    what was given; an unknown name is answered with the nearest one.
    """
    for name in given:
        if name not in declared:
            raise errors.unknown(f"parameter of {where}", name, declared)
    values = {name: convert(declared[name], value, where) for name, value in given.items()}
    _check_meaning({name: p.default for name, p in declared.items()} | values, values, where)
    return values


def convert(parameter: Parameter, value: object, where: str) -> object:
    """``value`` as the parameter's declared type, or ConfigError."""
    if not parameter.kinds:
        return _literal(value) if isinstance(value, str) else value
    for kind in parameter.kinds:
        converted = _as_kind(value, kind)
        if converted is not _REFUSED:
            return converted
    expected = " or ".join(map(str, parameter.kinds))
    raise errors.ConfigError(
        f"{where}: parameter {parameter.name} must be {expected}, got {value!r}"
        f" (default {parameter.default!r})"
    )


_REFUSED = object()


def _as_kind(value: object, kind: Kind) -> object:
    """``value`` as ``kind`` or ``_REFUSED``. Text is read as a command line would give it."""
    if kind.name in CONTAINERS:
        return _as_container(value, kind)
    text = value.strip() if isinstance(value, str) else None
    match kind.name:
        case "str":
            return value if text is not None else _REFUSED
        case "None":
            return None if value is None or text in ("None", "null") else _REFUSED
        case "bool":
            if isinstance(value, bool):
                return value
            return {"true": True, "false": False}.get((text or "").lower(), _REFUSED)
    if text is not None:
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
            return _REFUSED
        value = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _REFUSED
    if kind.name == "int":
        return int(value) if value == int(value) else _REFUSED
    return float(value)


def _as_container(value: object, kind: Kind) -> object:
    if isinstance(value, str):
        value = _literal(value)
    if kind.name == "dict":
        return dict(value) if isinstance(value, Mapping) else _REFUSED
    if value is None or isinstance(value, Mapping):
        return _REFUSED
    if not isinstance(value, list | tuple):  # "softmax,icb": a list as a command line gives it
        value = _listed(value)
    if kind.items:
        value = [
            next((v for k in kind.items if (v := _as_kind(item, k)) is not _REFUSED), _REFUSED)
            for item in value
        ]
    if any(item is _REFUSED for item in value):
        return _REFUSED
    return CONTAINERS[kind.name](value)


def _listed(value: object) -> list:
    from lt_core.tables.plans import listed  # here, because it imports torch

    return listed(value)


def _literal(text: str) -> object:
    """Text as the Python literal it spells, else unchanged."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: "-----…1"
        return text


def _kinds_of(default: object) -> tuple[Kind, ...]:
    if default is None:
        return ()
    name = type(default).__name__
    if name in ("list", "tuple"):
        items = dict.fromkeys(kind for item in default for kind in _kinds_of(item))
        return (Kind(name, tuple(items)),)
    return (Kind(name),)


def _annotated(node: ast.expr, where: str, name: str) -> tuple[Kind, ...]:
    """Accepted kinds of an annotation such as ``int | None`` or ``list[float]``."""
    match node:
        case ast.Constant(value=None):
            return (Kind("None"),)
        case ast.Name(id=kind) if kind in SCALARS or kind in CONTAINERS:
            return (Kind(kind),)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            kinds = _annotated(left, where, name) + _annotated(right, where, name)
            # "None" must not be taken for text, nor "3" where a number is due
            return tuple(sorted(kinds, key=lambda kind: (kind.name == "str", kind.name != "None")))
        case ast.Subscript(value=ast.Name(id=("list" | "tuple" | "dict") as kind), slice=items):
            items = items.elts if isinstance(items, ast.Tuple) else [items]
            items = [item for item in items if not _is_ellipsis(item)]
            inner = tuple(k for item in items for k in _annotated(item, where, name))
            return (Kind(kind, inner),)
    raise errors.ConfigError(
        f"{where}: parameter {name} is annotated {ast.unparse(node)!r}; use bool, int, float,"
        " str, None, list, tuple or dict, joined by |"
    )


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _not_literal(where: str, line: ast.stmt) -> errors.ConfigError:
    return errors.ConfigError(
        f"{where}: the parameters cell may only assign literals, found {ast.unparse(line)!r};"
        " compute in a later cell"
    )


def _check_meaning(resolved: dict, given: dict, where: str) -> None:
    """Refuse values whose name says what they mean and which mean nothing.

    Names shared by all notebooks: dataset, method(s), imbalance_factor(s),
    seed(s), epochs, data_root.
    """

    def refuse(name: str, value: object, expected: str) -> errors.ConfigError:
        return errors.ConfigError(f"{where}: parameter {name} must be {expected}, got {value!r}")

    if "dataset" in given:
        from lt_core import data

        data.info(given["dataset"])  # refuses an unknown name
    for name in {"method", "methods"} & given.keys():
        from lt_core import tables

        for method in _listed(given[name]):
            # a loss, or a row of a table such as gala+rebalance or icb[inter]
            if str(method) not in tables.rows():
                raise errors.unknown("method", method, tables.rows())
    for name in {"imbalance_factor", "imbalance_factors"} & given.keys():
        for factor in _listed(given[name]):
            _check_factor(resolved.get("dataset"), factor)
    for epochs in _listed(given.get("epochs")):
        if not isinstance(epochs, int | float) or epochs < 1:
            raise refuse("epochs", epochs, ">= 1")
    for name in {"seed", "seeds"} & given.keys():
        for seed in _listed(given[name]):
            least = 1 if name == "seeds" and isinstance(given[name], int) else 0  # how many
            if not isinstance(seed, int) or seed < least:
                raise refuse(name, seed, f">= {least}")
    root = given.get("data_root")
    if root and not Path(root).expanduser().is_dir():
        raise errors.DataError(f"data root {root!r} is not a folder; give the one with cifar10/")


def _check_factor(dataset: object, factor: float) -> None:
    """Refuse a factor below 1, or one that leaves a class of the data set without an image."""
    from lt_core import data

    data.check_factor(factor)
    info = data.info(dataset) if isinstance(dataset, str) else None
    if info and info.head_count:
        data.class_counts(info.num_classes, info.head_count, factor)
