"""The average precision of each class, as the Pascal VOC devkit defines it: of detections, and of images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from gluon_tricks.core.wording import columns, padded
from gluon_tricks.ranks import distributed

RIGHT, WRONG, IGNORED = 1, 0, -1  # what a detection, or an image in the order of a class, may be


@dataclasses.dataclass(frozen=True)
class Precisions:
    """Mean average precisions over the classes that occur, as fractions.

    Attributes:
        map07: by VOC2007's rule, the mean of 11 precisions.
        map_area: by VOC2010's, the area under the curve.
        per_class_07, per_class_area: class name -> average precision; nan: the class does not occur.
        images: how many were looked at.
    """

    columns: ClassVar[tuple[str, ...]] = ("val_map07", "val_map")
    in_tables: ClassVar[tuple[str, str]] = columns
    compared: ClassVar[str] = "val_map07"
    at_end: ClassVar[dict[str, str]] = {}
    labels: ClassVar[dict[str, str]] = {"val_map07": "mAP (VOC07, 11 points)", "val_map": "mAP (area)"}

    map07: float
    map_area: float
    per_class_07: Mapping[str, float]
    per_class_area: Mapping[str, float]
    images: int

    @property
    def best(self) -> float:
        """What the best checkpoint is chosen by."""
        return self.map07

    def row(self) -> dict[str, float]:
        """The numbers of an epoch's row."""
        return {"val_map07": self.map07, "val_map": self.map_area}

    def per_class(self) -> dict[str, list[float | None]]:
        """Average precisions in the order of the classes; None: the class does not occur."""
        both = {"per_class_07": self.per_class_07, "per_class_area": self.per_class_area}
        return {name: [None if math.isnan(ap) else ap for ap in aps.values()] for name, aps in both.items()}

    def areas(self) -> np.ndarray:
        """per_class_area as an array, (K,) float32."""
        return np.array([*self.per_class_area.values()], np.float32)

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> Precisions:
        """The scores of such a row, which does not have the classes."""
        return cls(row["val_map07"], row["val_map"], {}, {}, images)

    def __str__(self) -> str:
        return f"mAP {self.map_area:.1%} (VOC07 11-point {self.map07:.1%})"

    def per_class_table(self, names: Sequence[str] = ()) -> str:
        """A line of text for each class, and one for their mean; - for one that does not occur. Its names it knows."""
        rows = [(name, ap, self.per_class_07[name]) for name, ap in self.per_class_area.items()]
        rows.append(("mean", self.map_area, self.map07))
        width = max(columns(name) for name, _, _ in rows)
        lines = [f"{'':{width}}    AP %  11-point %"]
        for name, *values in rows:
            shown = ["-" if math.isnan(value) else f"{100 * value:.1f}" for value in values]
            lines.append(f"{padded(name, width)}  {shown[0]:>6}  {shown[1]:>10}")
        return "\n".join(lines)


def average_precisions(scores: np.ndarray, outcomes: np.ndarray, objects: int) -> tuple[float, float]:
    """The average precision of one class: by 11 points, and by the area under the curve; nan without objects.

    Precision and recall are taken after every detection, from the highest score down (of equal ones the earlier
    first). Both rules first make the precision at each recall the highest at that recall or more.

    Args:
        scores, outcomes: (P,), of all images.
        objects: how many there are to find, without the difficult ones.

    Source: Everingham et al., The Pascal visual object classes challenge (IJCV 2010), section 4.2; VOCap.m of the
        devkits of 2007 and 2012.
    Differs: GluonCV's metric orders equal scores last to first, so that of two equal detections of an object the wrong
        one counts first; takes a box that is not a number for right; and compares recalls with 0.1 k as floats, where
        a recall of just 3/10, 6/10 or 7/10 falls short (3/10 in the devkit too). Recalls are compared exactly here.
    """
    if objects == 0:
        return math.nan, math.nan
    outcomes = outcomes[np.argsort(-scores, kind="stable")]
    right = np.cumsum(outcomes == RIGHT)
    precision = right / np.maximum(right + np.cumsum(outcomes == WRONG), 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    eleven = [precision[10 * right >= k * objects].max(initial=0) for k in range(11)]
    return float(np.mean(eleven)), float((np.diff(right, prepend=0) / objects * precision).sum())


def gather(rows: np.ndarray) -> np.ndarray:
    """The (k, m) float64 rows of all ranks, one rank after the other; every rank gets them all."""
    if distributed.ranks() == 1:
        return rows
    counts = np.zeros(distributed.ranks())
    counts[distributed.rank()] = len(rows)
    counts = distributed.total(counts).astype(int)
    if counts.sum() == 0:
        return rows
    everyone, first = np.zeros((counts.sum(), rows.shape[1])), counts[: distributed.rank()].sum()
    everyone[first : first + len(rows)] = rows
    return distributed.total(everyone)
