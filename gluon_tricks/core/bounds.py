"""Between which numbers a field lies, declared at the field: a file may ask for more than any machine holds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted, shortened

LONGEST_TEXT = 4096  # letters of one value: as long as a path may be
_DEEPEST = 4  # lists and objects within each other
_MOST_VALUES = 10_000  # in one list or object; the largest data sets have about as many classes
_SMALLEST = 1e-30  # but for 0: MXNet's operators take no number beneath those of float32, even divided by the classes
LARGEST_INPUT = 4096  # px of a side of the input; the largest that is published has 1280
LARGEST = 1 << 53  # of a number without bounds of its own: what a float holds exactly


def within(least: float, most: float, *, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field whose number, or each number of whose tuple, lies in [least, most]; require_bounds looks."""
    return dataclasses.field(default=default, metadata={"within": (least, most)})


def require_bounds(name: str, value: Any, bounds: tuple[float, float] | None = None, where: str = "") -> None:
    """Refuses numbers beyond their bounds or not finite, and texts, lists and objects that are longer than any in use.

    Args:
        name, where: of the field, for the message.
        bounds: least and most; None: none but those of any number.

    Raises:
        Refused
    """
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        _require_number(name, value, bounds, where)
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise Refused(f"{where}{name} has {len(value)} letters: it takes at most {LONGEST_TEXT}")
    elif isinstance(value, (list, tuple)):
        for element in _few(name, value, where):
            require_bounds(name, element, bounds, where)
    elif isinstance(value, dict):
        for key, inner in _few(name, value, where).items():
            require_bounds(f"{name}.{shortened(str(key), 80)}", inner, bounds, where)


def _require_number(name: str, value: float, bounds: tuple[float, float] | None, where: str) -> None:
    least, most = bounds or (-LARGEST, LARGEST)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{where}{name} must be finite, but got {value}")
    if 0 < abs(value) < _SMALLEST:
        raise Refused(f"{where}{name} is {quoted(value)}: it takes 0, or {_SMALLEST:g} or more")
    if value < least:
        raise Refused(f"{where}{name} is {quoted(value)}: it takes {least:.7g} or more")
    if value > most:
        raise Refused(f"{where}{name} is {quoted(value)}: it takes {most:.7g} or less")


def _few(name: str, values: Any, where: str) -> Any:
    if len(values) > _MOST_VALUES:
        raise Refused(f"{where}{name} has {len(values)} values: it takes at most {_MOST_VALUES}")
    if name.count(".") >= _DEEPEST or any(isinstance(value, (list, tuple)) and _is_deep(value) for value in values):
        raise Refused(
            f"{where}{shortened(name, 80)} has lists or objects within each other: it takes {_DEEPEST} at most"
        )
    return values


def _is_deep(values: Any, depth: int = 1) -> bool:
    return depth > _DEEPEST or any(isinstance(value, (list, tuple)) and _is_deep(value, depth + 1) for value in values)
