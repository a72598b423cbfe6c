"""What the page of a detector's run shows: average precisions, curves, and boxes that are there and that were found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np

from gluon_tricks.core.wording import plural
from gluon_tricks.data.annotations.annotated import read_stored
from gluon_tricks.data.records import BadRecord
from gluon_tricks.page.bars import class_bars
from gluon_tricks.page.images import Picture, gallery
from gluon_tricks.page.skeleton import Section, text
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.average_precision import RIGHT, WRONG
from gluon_tricks.tasks.curves_report import curves_section
from gluon_tricks.tasks.findings import RECALLS, Field, Found

_SHOWN = 8  # images
_SURE = 0.5  # score of a box that is drawn
_IN_PLACE = 2  # boxes of an image that are drawn where none is so sure
_LARGEST = 1e7  # px


def _surest(rows: np.ndarray) -> np.ndarray:
    """Of the rows of each image the _IN_PLACE with the highest scores, also where many have one score."""
    rows = rows[np.lexsort((-rows[:, 2], rows[:, 0]))]
    return rows[np.arange(len(rows)) - np.searchsorted(rows[:, 0], rows[:, 0]) < _IN_PLACE]


class DetectorReport:
    """See findings.TaskReport."""

    fields: ClassVar[dict[str, Field]] = {
        "average_precision": Field("float32", ("K",), 0, 1, nan=True),
        "curves": Field("float32", ("K", RECALLS), 0, 1, nan=True),
        "objects": Field("int32", ("K",), 0),
        # image, class, score, outcome (of average_precision), xmin, ymin, xmax, ymax in px of the file
        "boxes": Field("float32", ("m", 8), -_LARGEST, _LARGEST),
    }

    def __init__(self, found: Found, images: Any | None):
        self.names, self.images, self.found = found.names, images, found.arrays

    def sections(self) -> list[Section]:
        words = "<p>The area under each class's curve; a box is right that overlaps an object by half or more.</p>"
        bars = class_bars(self.names, "objects", self.found["objects"], dict([self.per_class()]))
        found = [
            Section("classes", "Each class", words + bars),
            curves_section(self.names, self.found["curves"], self.per_class()[1]),
        ]
        return [*found, self._boxes()] if self.images is not None else found

    def per_class(self) -> tuple[str, np.ndarray]:
        return "average precision", self.found["average_precision"]

    def intervals(self, final: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        return {}

    def gains(self, other: DetectorReport) -> dict[str, tuple[float, float, float]]:
        return {}

    def _boxes(self) -> Section:
        """The images with most mistakes, the annotated boxes beside those that were found."""
        rows = self.found["boxes"]
        rows = rows[(rows[:, 1] >= 0) & (rows[:, 1] < len(self.names))]
        sure = rows[rows[:, 2] >= _SURE]
        rows = sure if len(sure) else _surest(rows)
        wrong, missed = self._mistakes(rows)
        order = np.argsort(-(wrong + missed), kind="stable")[:_SHOWN]
        drawn = [picture for i in order.tolist() for picture in self._pair(i, rows, wrong[i], missed[i])]
        least = "" if len(sure) else f"; as there is none, the {_IN_PLACE} surest of each image"
        words = (
            "<p>The images with most mistakes: left as annotated, right the boxes found with a score of "
            f"{_SURE:.2f} or more{least}.</p>"
        )
        return Section("boxes", "Boxes", words + gallery(drawn, longest=620, large=True))

    def _mistakes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each image, how many of the boxes are wrong, and how many objects that are not difficult none of them."""
        count = len(self.images)
        own = rows[(rows[:, 0] >= 0) & (rows[:, 0] < count)]
        images = own[:, 0].astype(int)
        right, wrong = (np.bincount(images[own[:, 3] == kind], minlength=count) for kind in (RIGHT, WRONG))
        there = np.array([int((boxes[:, 5] == 0).sum()) for boxes in self.images.boxes])
        return wrong, np.maximum(there - right, 0)

    def _pair(self, i: int, rows: np.ndarray, wrong: int, missed: int) -> list[Picture]:
        try:
            stored = read_stored(self.images.paths[i])
        except BadRecord:
            stored = None
        if stored is None:
            return []
        pixels, own, name = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), rows[rows[:, 0] == i], self.images.paths[i].name
        truth = pictures.boxes(pixels, self.images.boxes[i][:, :5], self.names)
        found = pictures.boxes(pixels, np.column_stack([own[:, 4:], own[:, 1]]), self.names, own[:, 2], 0.0)
        there = plural(len(self.images.boxes[i]), "object")
        said = f"{plural(len(own), 'box')} found: {wrong} wrong, {plural(int(missed), 'object')} missed"
        return [
            Picture(truth, f"{name}, annotated", f'{text(name)} <span class="soft">annotated: {there}</span>'),
            Picture(found, f"{name}, found", f'<span class="soft">{said}</span>'),
        ]
