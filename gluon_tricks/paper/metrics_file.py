"""The metrics of a run, read back: a row of numbers for each epoch."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import TOLD_BYTES, read_text


def read_metrics(run: pathlib.Path) -> list[dict[str, float]]:
    """A row per finished epoch; none before it has begun. Raises Refused for a damaged file."""
    path = run / "metrics.csv"
    if not os.path.lexists(path):
        return []
    try:
        rows = csv.DictReader(io.StringIO(read_text(path, TOLD_BYTES), newline=""))
        return [{name: _number(value) for name, value in row.items()} for row in rows]
    except (ValueError, TypeError) as error:
        raise Refused(f"{path} is damaged ({error}): move {run} away, and it is run again") from None


def _number(text: str) -> float:
    """Of a field of metrics.csv; empty: the version that trained that epoch did not count it."""
    return math.nan if text == "" else float(text)
