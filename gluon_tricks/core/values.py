"""Values of a frozen record's fields, which a file or a program gives: of the type that is declared, within bounds."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from gluon_tricks.core.bounds import require_bounds
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import described

_NONE = type(None)
_KINDS = {
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, _NONE),
    "int": (int,),
    "int | None": (int, _NONE),
    "float": (int, float),
    "float | None": (int, float, _NONE),
    "dict[str, Any]": (dict,),
}


def as_python(of: object, field: dataclasses.Field) -> Any:
    """The value of a field, in the form that a recipe's JSON has: numpy's numbers as Python's, paths as their text.

    A list or array becomes a tuple where the field is one; a path stays where the field may be one.
    """
    if "Path" in _type(field):
        return getattr(of, field.name)
    value = getattr(of, field.name)
    several = isinstance(value, list) or isinstance(value, np.ndarray) and value.ndim > 0
    plain = _plain(tuple(value) if several and _type(field).startswith("tuple[") else value)
    if plain is not value:
        object.__setattr__(of, field.name, plain)
    return plain


def _type(field: dataclasses.Field) -> str:
    return field.type.__name__ if isinstance(field.type, type) else str(field.type)  # a user's own trick may have types


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value) is tuple:
        return tuple(map(_plain, value))
    return {key: _plain(inner) for key, inner in value.items()} if type(value) is dict else value


def check_value(
    field: dataclasses.Field,
    value: Any,
    bounds: tuple[float, float] | None,
    where: str = "",
    others: type | None = None,
) -> None:
    """Refuses a value of another type than the field's annotation names (tuples by elements), or out of bounds.

    Args:
        where: what the message begins with.
        others: of which type the values and elements of all other annotations are; None: of any.
    """
    kind = _type(field)
    if kind.startswith("tuple[") and not (value is None and kind.endswith("| None")):
        allowed = _KINDS.get(kind[len("tuple[") :].split(",")[0], others and (others,))
        fine = isinstance(value, tuple) and (allowed is None or all(isinstance(v, allowed) for v in value))
    else:
        allowed = _KINDS.get(kind, others and (_NONE,))
        fine = allowed is None or isinstance(value, allowed)
    if not fine or (isinstance(value, bool) and kind in _KINDS and kind != "bool"):  # a bool is an int, to Python
        raise Refused(f"{where}{field.name} must be {kind}, but got {described(value)}")
    require_bounds(field.name, value, bounds, where)


def check_fields(record: Any, where: str = "") -> None:
    """Refuses fields of another type, or out of the bounds that they have (see core.bounds.within)."""
    for field in dataclasses.fields(record):
        check_value(field, as_python(record, field), field.metadata.get("within"), where)
