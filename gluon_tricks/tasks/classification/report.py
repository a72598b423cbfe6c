"""What the page of a classifier's run shows: its classes one by one, what it confuses, its surest mistakes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np

from gluon_tricks.data.class_names import in_words
from gluon_tricks.data.records import BadRecord, decode_image
from gluon_tricks.page.bars import class_bars
from gluon_tricks.page.images import Picture, gallery
from gluon_tricks.page.matrix import confusion
from gluon_tricks.page.skeleton import Section, table, text
from gluon_tricks.tasks.classification.class_scores import ClassScores, confusion_matrix
from gluon_tricks.tasks.classification.evaluation import wilson
from gluon_tricks.tasks.classification.paired import gain
from gluon_tricks.tasks.findings import Field, Found

_SHOWN = 20  # mistakes
_MOST_CLASSES = 2000  # of a matrix


class ClassifierReport:
    """See findings.TaskReport."""

    fields: ClassVar[dict[str, Field]] = {
        "image": Field("int32", ("n",), 0),
        "truth": Field("int32", ("n",), 0, "K"),
        "guess": Field("int32", ("n",), -1, "K"),
        "confidence": Field("float32", ("n",), 0, 1),
        "of_truth": Field("float32", ("n",), 0, 1),
    }

    def __init__(self, found: Found, images: Any | None):
        self.names, self.images = in_words(found.names), images
        self.image, self.truth, self.guess, self.confidence, self.of_truth = (
            found.arrays[name] for name in self.fields
        )

    @functools.cached_property
    def _scores(self) -> ClassScores:
        named = self.guess >= 0
        matrix = confusion_matrix(self.truth[named], self.guess[named], len(self.names))
        return ClassScores(matrix)

    @functools.cached_property
    def _count(self) -> np.ndarray:
        """Images of each class (K,), with those that were taken for nothing."""
        return np.bincount(self.truth, minlength=len(self.names))

    def sections(self) -> list[Section]:
        if len(self.names) > _MOST_CLASSES:
            said = f"<p>Not for {len(self.names):,} classes: up to {_MOST_CLASSES:,} are shown one by one.</p>"
            return [Section("classes", "Each class", said), self._mistakes()]
        scores, macro = self._scores, self._scores.macro()
        columns = {"precision": scores.precision, "recall": scores.recall, "F1": scores.f1}
        columns = {name: np.where(self._count > 0, values, np.nan) for name, values in columns.items()}
        words = (
            f"<p>Precision: of the images named so, the share that is. Recall: of the images that are, the share named "
            f"so. F1: their harmonic mean. Means over the classes: {macro['precision']:.1%}, {macro['recall']:.1%} and "
            f"{macro['f1']:.1%}.</p>"
        )
        bars = class_bars(self.names, "images", self._count, columns)
        return [
            Section("classes", "Each class", words + bars),
            Section("confusions", "The most frequent confusions", self._confusions()),
            Section("matrix", "What is taken for what", confusion(self.names, scores.matrix, "images")),
            self._mistakes(),
        ]

    def per_class(self) -> tuple[str, np.ndarray]:
        return "F1", np.where(self._count > 0, self._scores.f1, np.nan)

    def intervals(self, final: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        shares = [column for column in ("val_top1", "val_top5") if 0 <= final[column] <= 1]
        return {column: wilson(final[column], len(self.truth)) for column in shares} if len(self.truth) else {}

    def gains(self, other: ClassifierReport) -> dict[str, tuple[float, float, float]]:
        if not np.array_equal(self.image, other.image) or not len(self.image):
            return {}
        found = gain(other.guess == other.truth, self.guess == self.truth)
        return {"val_top1": (found.difference, found.low, found.high)}

    def _confusions(self) -> str:
        largest = self._scores.largest_confusions()
        if not largest:
            return "<p>There is none.</p>"
        rows = [
            [text(self.names[t]), text(self.names[p]), f"{count:,}", f"{count / self._count[t]:.1%}"]
            for t, p, count in largest
        ]
        return table(["what it is", "taken for", "images", "of the class"], rows, numbers=(2, 3))

    def _mistakes(self) -> Section:
        """The wrong images that the network is surest of, as pictures."""
        wrong = np.flatnonzero(self.guess != self.truth)
        order = wrong[np.argsort(-self.confidence[wrong], kind="stable")][:_SHOWN]
        words = f"{len(wrong):,} of {len(self.truth):,} images named wrongly; those that it was surest of."
        if self.images is None and len(wrong):
            rows = [[f"image {self.image[i]}", *self._words(i)] for i in order]
            heads = ["image", "what it is", "named", "surely", "probability of the truth"]
            return Section("mistakes", "The surest mistakes", f"<p>{words}</p>{table(heads, rows, (3, 4))}")
        pictures = [self._picture(i, *found) for i in order if (found := read_image(self.images, int(self.image[i])))]
        return Section("mistakes", "The surest mistakes", f"<p>{words}</p>{gallery(pictures) if len(wrong) else ''}")

    def _words(self, i: int) -> Sequence[str]:
        guess = self.names[self.guess[i]] if self.guess[i] >= 0 else "nothing: its numbers are broken"
        shares = f"{self.confidence[i]:.1%}", f"{self.of_truth[i]:.1%}"
        return text(self.names[self.truth[i]]), text(guess), *shares

    def _picture(self, i: int, pixels: np.ndarray, name: str) -> Picture:
        truth, guess, sure, own = self._words(i)
        caption = (
            f'<div class="wrong">{guess} <b>{sure}</b></div><div class="right">is {truth} <b>{own}</b></div>'
            f'<div class="soft">{text(name)}</div>'
        )
        return Picture(pixels, name, caption)


def read_image(records: Any, i: int) -> tuple[np.ndarray, str] | None:
    """The pixels of an image, (H, W, 3) uint8 RGB turned as its EXIF says, and its name; None: it cannot be read.

    Args:
        records: Records or LabelledFolder.
    """
    try:
        pixels = decode_image(records.read(i)[2])
    except (BadRecord, IndexError):
        return None
    if pixels is None:
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), records.name(i) or f"image {i}"
