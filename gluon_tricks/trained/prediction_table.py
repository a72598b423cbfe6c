"""predictions.csv: what a network says of photos as a table, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from gluon_tricks.core.files import opened_anew, writing
from gluon_tricks.core.wording import as_utf8

TABLE = "predictions.csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # with which a spreadsheet's formula begins


class PredictionTable:
    """A CSV file in UTF-8 that is written row by row: what ends a program leaves the rows that are there.

    Texts that a spreadsheet would take for a formula get an apostrophe in front, as spreadsheets mark text.

    Args:
        path: replaced when the first row comes.
    """

    def __init__(self, path: pathlib.Path):
        self._path, self._file = path, None

    def __enter__(self) -> PredictionTable:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._file:
            with writing(self._path):
                self._file.close()

    def add(self, rows: Iterable[Sequence[tuple[str, Any]]]) -> None:
        """Writes (column, value) of rows that all have the columns of the first.

        Raises:
            CannotWrite: the disk is full.
        """
        with writing(self._path):
            for row in rows:
                if self._file is None:
                    self._file = io.TextIOWrapper(opened_anew(self._path), "utf-8", newline="")
                    self._write(column for column, _ in row)
                self._write(value for _, value in row)
            if self._file:
                self._file.flush()

    def _write(self, cells: Iterable[Any]) -> None:
        csv.writer(self._file, lineterminator="\n").writerow([*map(_cell, cells)])


def _cell(value: Any) -> str:
    """A value as text: probabilities with six places, yes and no, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    text = as_utf8(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
