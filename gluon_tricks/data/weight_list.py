"""A weight for each class, as a person writes them down: lines of a table, or JSON."""

from __future__ import annotations

import contextlib
import csv
import math
import os
from collections.abc import Iterator

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.wording import quoted
from gluon_tricks.data.lists import read_lines

_FORM = "each line is a class, a tab or a comma, and its weight"


def read_weights(path: str | os.PathLike, least: float, most: float) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The classes that a file names, and the weight of each.

    Args:
        path: of a UTF-8 text. A line is NAME<tab>WEIGHT or NAME,WEIGHT; the last tab, or where there is none the last
            comma counts, and a name may stand in quotes as spreadsheets write them. Or it is one JSON object,
            {name: weight}.
        least, most: that a weight may be.

    Raises:
        Refused: it cannot be read, a line or a value is something else, a class comes twice.
    """
    lines = read_lines(path)
    is_json = bool(lines) and lines[0][1].lstrip().startswith("{") and lines[-1][1].endswith("}")
    weights: dict[str, float] = {}
    for where, name, weight in _of_json(path, lines) if is_json else _of_lines(path, lines):
        if name in weights:
            raise Refused(f"{path} names the class {quoted(name)} twice ({where} is the second): give it one weight")
        if not least <= weight <= most:  # NaN is not
            raise Refused(f"{path}: {where} gives {quoted(name)} the weight {weight:g}: it takes {least:g} to {most:g}")
        weights[name] = weight
    if not weights:
        raise Refused(f"{path} has no weights: {_FORM}")
    return tuple(weights), tuple(weights.values())


def _of_lines(path, lines: list[tuple[int, str]]) -> Iterator[tuple[str, str, float]]:
    for number, line in lines:
        name, tab, weight = line.rpartition("\t")
        if not tab:
            with contextlib.suppress(csv.Error):  # a carriage return in the line, or it is too long
                *parts, weight = next(csv.reader([line]))
                name = ",".join(parts)
        try:
            value = float(weight)
        except ValueError:
            value = None
        if not name or value is None:
            raise Refused(f"{path}: line {number} is {quoted(line)}: {_FORM}, such as cat,2.5")
        yield f"line {number}", name, value


def _of_json(path, lines: list[tuple[int, str]]) -> Iterator[tuple[str, str, float]]:
    try:
        values = parse_json("\n".join(line for _, line in lines))
    except ValueError as error:
        raise Refused(f"{path}: {error}") from None
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(f"{path}: the weight of {quoted(name)} is {quoted(value)}: give each class a number")
        yield "it", name, float(value) if abs(value) < 1e300 else math.inf
