"""What a run has recorded of its epochs, read back; and the mean over runs."""

from __future__ import annotations

import csv
import io
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import TOLD_BYTES, read_text


def read_metrics(folder: pathlib.Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, one for each finished epoch; of what its version did not count yet, nan.

    Raises:
        Refused: the file is damaged.
    """
    path = folder / "metrics.csv"
    if not os.path.lexists(path):
        return []
    try:
        rows = csv.DictReader(io.StringIO(read_text(path, TOLD_BYTES), newline=""))
        return [{name: _number(value) for name, value in row.items()} for row in rows]
    except (ValueError, TypeError) as error:
        raise Refused(f"{path} is damaged ({error}): move {folder} away, and it is run again") from None


def _number(text: str) -> float:
    return math.nan if text == "" else float(text)


def mean_history(histories: Sequence[Sequence[float]]) -> np.ndarray:
    """The mean over runs of each epoch; one that ended earlier keeps what it had, as its network does."""
    longest = max(map(len, histories))
    return np.mean([[*history, *history[-1:] * (longest - len(history))] for history in histories], axis=0)
