"""What a notebook's parameters cell declares, and whether given values fit it.

Papermill only warns about a name that the notebook does not have, and passes ``"false"`` on
as text, which counts as true. Here every value is converted to its declared type or refused
before a kernel starts, by the rules of :mod:`lt_core.parameters`.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from lt_core import data, errors
from lt_core.parameters import Range, convert, listed

#: What a parameter of this name has to lie in, in every notebook.
RANGES = {"epochs": Range(1), "seeds": Range(1), "seed": Range(0)}
FACTORS = {"imbalance_factor", "imbalance_factors"}


class Parameter(NamedTuple):
    """One line of the parameters cell: its default and its type, as annotations write one."""

    default: Any
    kind: Any


def read(source: str, where: str) -> dict[str, Parameter]:
    """The parameters that ``source`` declares, in order; ``where`` names the notebook in errors.

    The type of ``name: annotation = default`` is the annotation, that of ``name = default``
    the type of the default. Raises ConfigError for anything but assignments of literals:
    values are put in below this cell, so what it computed would be stale.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise errors.ConfigError(f"{where}: the parameters cell is not Python: {error}") from error
    found = {}
    for line in statements:
        annotation = None
        try:
            match line:
                case ast.Assign(targets=[ast.Name(id=name)]):
                    pass
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    pass
                case _:
                    raise ValueError
            default = ast.literal_eval(line.value)
        except ValueError as error:
            raise errors.ConfigError(
                f"{where}: the parameters cell may only assign literals, found "
                f"{ast.unparse(line)!r}; compute in a later cell"
            ) from error
        annotation = annotation or ast.parse(_type_of(default), mode="eval").body
        kind = _kind(annotation, name)
        if kind is None:
            raise errors.ConfigError(
                f"{where}: parameter {name} has the type {ast.unparse(annotation)!r}; expected "
                "bool, int, float, str, dict, list or list[TYPE], annotated with | None where "
                "None is a value"
            )
        found[name] = Parameter(default, kind)
    return found


def _type_of(default: object) -> str:
    """The annotation that a default stands for."""
    if isinstance(default, list) and default:
        first = type(default[0])
        if first in (int, float, str) and all(type(item) is first for item in default):
            return f"list[{first.__name__}]"
    return type(default).__name__


def _kind(annotation: ast.expr, name: str) -> Any:
    """The type that an annotation names; None for one that is not understood."""
    match annotation:
        case ast.Name(id="int" | "float" as number):
            return Annotated[{"int": int, "float": float}[number], RANGES.get(name, Range())]
        case ast.Name(id="bool" | "str" | "list" | "dict" as word):
            return {"bool": bool, "str": str, "list": list, "dict": Mapping}[word]
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            kind = _kind(item, name)
            return kind and Sequence[kind]
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            kind = _kind(left, name)
            return kind and kind | None
    return None


def check(declared: Mapping[str, Parameter], given: Mapping[str, object], where: str) -> dict:
    """The ``given`` values, each converted to its declared type.

    Raises ConfigError naming the notebook, the parameter, what was expected and what was
    given; an unknown name is answered with the nearest one.
    """
    values = {}
    for name, value in given.items():
        if name not in declared:
            raise errors.unknown(f"parameter of {where}", name, declared)
        told = f"{where}: parameter {name}"
        for factor in listed(value) if name in FACTORS else ():  # .01, whatever the type
            data.check_factor(convert(told, factor, float))
        values[name] = _converted(told, value, declared[name].kind)
    _check_names({name: p.default for name, p in declared.items()} | values, values)
    return values


def _converted(name: str, value: object, kind: Any) -> object:
    if kind is list:
        if not isinstance(value, list | tuple):
            raise errors.ConfigError(f"{name}: expected a list, got {value!r}")
        return list(value)
    several = any(get_origin(part) is Sequence for part in (kind, *get_args(kind)))
    return convert(name, [value] if several and isinstance(value, int | float) else value, kind)


def _check_names(resolved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse data sets, methods, factors and folders that do not exist."""
    if "dataset" in given and given["dataset"] is not None:
        data.info(given["dataset"])
    for name in {"method", "methods"} & given.keys():
        from lt_core import tables

        for method in listed(given[name]):  # a loss, or a row of a table such as icb[inter]
            if method not in tables.rows():
                raise errors.unknown("method", method, tables.rows())
    for name in FACTORS & given.keys():
        for factor in listed(given[name]):
            info = data.info(resolved["dataset"]) if resolved.get("dataset") else None
            if info and info.head_count:  # refuses a class without an image
                data.class_counts(info.num_classes, info.head_count, factor)
    root = given.get("data_root")
    if root and not os.path.isdir(os.path.expanduser(root)):
        raise errors.DataError(f"data root {root!r} is not a folder; give the one with cifar10/")
