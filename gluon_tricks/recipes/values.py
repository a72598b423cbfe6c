"""Values that a file or a person gives for the fields of recipes and tricks: of the right type, and within bounds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gluon_tricks import tricks
from gluon_tricks.core.bounds import require_bounds
from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.wording import quoted
from gluon_tricks.tricks import Trick


def trick_named(label: str) -> type[Trick]:
    """The trick of a label."""
    by_label = {trick.label(): trick for trick in tricks.TRICKS}
    return by_label[require_known(label, list(by_label), "trick")]


def trick_from_json(values: dict[str, Any]) -> Trick:
    trick = trick_named(str(values.get("trick")))
    numbers = {name: value for name, value in values.items() if name != "trick"}
    fields = {field.name: field for field in dataclasses.fields(trick)}
    for name, value in numbers.items():
        require_known(name, list(fields), "number", f"the trick {trick.label()}")
        numbers[name] = value = tuple(value) if isinstance(value, list) else value
        check_value(fields[name], value, None, f"{trick.label()}: ")  # its bounds a recipe looks at
    return trick(**numbers)


_KINDS = {
    "bool": (bool,),
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "dict[str, Any]": (dict,),
}


def as_python(of: object, name: str) -> Any:
    """The value of a field; a number of numpy's becomes one of Python's there, as a recipe's JSON has it."""
    value = getattr(of, name)
    if isinstance(value, np.generic):
        value = value.item()
        object.__setattr__(of, name, value)
    return value


def check_value(field: dataclasses.Field, value: Any, bounds: tuple[float, float] | None, where: str = "") -> None:
    """Refuses a value of another type than the field's annotation names (tuples by elements), or out of bounds."""
    kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)  # a user's own trick may have types
    if kind.startswith("tuple[") and not (value is None and kind.endswith("| None")):
        element = kind[len("tuple[") :].split(",")[0]
        fine = isinstance(value, tuple) and all(isinstance(v, _KINDS.get(element, (Trick,))) for v in value)
    else:
        fine = isinstance(value, _KINDS.get(kind, (type(None),)))
    if not fine or (isinstance(value, bool) and kind != "bool"):  # a bool is an int, to Python
        raise Refused(f"{where}{field.name} must be {kind}, but got {quoted(value)}")
    require_bounds(field.name, value, bounds, where)
