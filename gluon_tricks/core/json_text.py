"""JSON that others wrote: read so that whatever is wrong with it is one error with one reason. And how ours looks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from gluon_tricks.core.wording import quoted

_DEEPEST = 64  # lists and objects within each other; ours have 4
# A text of JSON, or what begins as one and does not end: it fits wherever there is a quotation mark, so it takes a time
# that grows with the text alone.
_TEXT = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; bytes are UTF-8, with a byte order mark or without.

    Raises:
        ValueError: it is no JSON; an object has a key twice, of which Python's reader would take the last; a number is
            NaN, infinite or too long to read; or lists and objects lie within each other deeper than 64.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        _require_shallow(text)
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    except ValueError as error:  # of int, which reads no more than some 4300 digits
        raise ValueError(str(error).partition(";")[0]) from None


def to_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON that every reader takes, which has no word for nan and infinity: such a number is null."""
    return json.dumps(_finite_or_null(value), indent=indent, allow_nan=False)


def _finite_or_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite_or_null(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [*map(_finite_or_null, value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_lines(value: Any) -> str:
    """A value as JSON that a person can read: indented, but a list of numbers, such as a row of a matrix, on a line."""
    text = to_json(value, indent=2)
    # No text in JSON holds the end of a line, so that what begins with one is no part of a text.
    return re.sub(r"\[\n[-+.\deE,\s]*\]", lambda numbers: f"[{' '.join(numbers[0][1:-1].split())}]", text) + "\n"


def json_or_text(text: str) -> Any:
    """What a person wrote behind an equals sign: the value of a JSON text, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _require_shallow(text: str) -> None:
    """Counts brackets, but for those in texts, before Python's reader: it recurses, how deep depends on its version."""
    depth = 0
    for bracket in re.finditer(r"[][{}]", _TEXT.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > _DEEPEST:
            raise ValueError(f"its lists and objects lie within each other deeper than {_DEEPEST}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"an object has the key {quoted(twice)} twice")
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {quoted(text, 40)} is too large")
    return value
