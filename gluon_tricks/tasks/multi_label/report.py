"""What the page of a tagger's run shows: the average precision and the curve of each class, its surest mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gluon_tricks.page.bars import class_bars
from gluon_tricks.page.images import Picture, gallery
from gluon_tricks.page.skeleton import Section, table, text
from gluon_tricks.tasks.classification.report import read_image
from gluon_tricks.tasks.curves_report import curves_section
from gluon_tricks.tasks.findings import RECALLS, Field, Found


class TaggerReport:
    """See findings.TaskReport."""

    fields: ClassVar[dict[str, Field]] = {
        "average_precision": Field("float32", ("K",), 0, 1, nan=True),
        "curves": Field("float32", ("K", RECALLS), 0, 1, nan=True),
        "objects": Field("int32", ("K",), 0),
        "mistake_image": Field("int32", ("m",), 0),
        "mistake_class": Field("int32", ("m",), 0, "K"),
        "mistake_probability": Field("float32", ("m",), 0, 1),
        "mistake_present": Field("int32", ("m",), 0, 1),
    }

    def __init__(self, found: Found, images: Any | None):
        self.names, self.images, self.found = found.names, images, found.arrays

    def sections(self) -> list[Section]:
        words = "<p>The area under each class's curve: how well its images come before the others.</p>"
        bars = class_bars(self.names, "images", self.found["objects"], dict([self.per_class()]))
        return [
            Section("classes", "Each class", words + bars),
            curves_section(self.names, self.found["curves"], self.per_class()[1]),
            self._mistakes(),
        ]

    def per_class(self) -> tuple[str, np.ndarray]:
        return "average precision", self.found["average_precision"]

    def intervals(self, final: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        return {}

    def gains(self, other: TaggerReport) -> dict[str, tuple[float, float, float]]:
        return {}

    def _mistakes(self) -> Section:
        names = ("mistake_image", "mistake_class", "mistake_probability", "mistake_present")
        mistakes = [*zip(*(self.found[name].tolist() for name in names))]
        if not mistakes:
            body = "<p>No tag is wrong by more than half.</p>"
        elif self.images is None:
            rows = [
                [f"image {i}", text(self.names[k]), "missing" if there else "wrong", f"{p:.1%}"]
                for i, k, p, there in mistakes
            ]
            body = table(["image", "tag", "it is", "probability"], rows, numbers=(3,))
        else:
            body = gallery([one for row in mistakes if (one := self._picture(*row))])
        return Section(
            "mistakes", "The surest mistakes", "<p>Tags that are wrong, then tags that are missing.</p>" + body
        )

    def _picture(self, i: int, k: int, probability: float, there: int) -> Picture | None:
        found = read_image(self.images, i)
        if found is None:
            return None
        said = "has it" if there else "does not have it"
        caption = (
            f'<div class="wrong">{text(self.names[k])} <b>{probability:.1%}</b></div>'
            f'<div class="right">{said}</div><div class="soft">{text(found[1])}</div>'
        )
        return Picture(found[0], found[1], caption)
