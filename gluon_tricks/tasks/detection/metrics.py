"""The average precision of detections, as the Pascal VOC devkit defines it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from gluon_tricks.core.wording import columns, padded

RIGHT, WRONG, IGNORED = 1, 0, -1  # what a detection may be
_LEAST_OVERLAP = 0.5


@dataclasses.dataclass(frozen=True)
class DetectionScores:
    """Mean average precisions over the classes that occur, as fractions.

    Attributes:
        map07: by VOC2007's rule, the mean of 11 precisions.
        map_area: by VOC2010's, the area under the curve.
        per_class_07, per_class_area: class name -> average precision; nan: the class does not occur.
        images: how many were looked at.
    """

    columns: ClassVar[tuple[str, ...]] = ("val_map07", "val_map")
    in_tables: ClassVar[tuple[str, str]] = columns
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

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> DetectionScores:
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


def overlaps(boxes: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Intersection over union (P, M) of boxes (P, 4) and (M, 4) whose corners are pixels that belong to them."""
    low = np.maximum(boxes[:, None, :2], truths[:, :2])
    high = np.minimum(boxes[:, None, 2:], truths[:, 2:])
    common = np.maximum(high - low + 1, 0).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2] + 1).prod(axis=1) for b in (boxes, truths)]
    return common / (areas[0][:, None] + areas[1] - common)


def judge(boxes: np.ndarray, scores: np.ndarray, truths: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """What each detection of one class in one image is, by the devkit's rule.

    From the highest score down (of equal ones the earlier first) each looks at the object that it overlaps most: by
    less than 0.5 it is wrong; a difficult object has it ignored; otherwise it is right if it is the first there.

    Args:
        boxes: (P, 4) xmin, ymin, xmax, ymax in 0-based px. One that is not a number is wrong.
        scores: (P,).
        truths: (M, 4), likewise.
        difficult: (M,) bool.

    Returns: (P,) of RIGHT, WRONG and IGNORED.
    """
    outcomes = np.full(len(boxes), WRONG)
    if len(truths) == 0:
        return outcomes
    overlap = overlaps(boxes.astype(np.float64), truths.astype(np.float64))
    taken = np.zeros(len(truths), bool)
    for k in np.argsort(-scores, kind="stable"):
        truth = overlap[k].argmax()
        if not overlap[k, truth] >= _LEAST_OVERLAP:
            continue
        if difficult[truth]:
            outcomes[k] = IGNORED
        elif not taken[truth]:
            outcomes[k], taken[truth] = RIGHT, True
    return outcomes


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
