"""pixAcc and mIoU from a confusion matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gluon_tricks.core.wording import columns, padded


@dataclasses.dataclass(frozen=True)
class SegmentationScores:
    """How well pixels that are not void are classified, over all images together.

    Args:
        pix_acc: the fraction of them whose class is right.
        miou: the mean of per_class_iou over the classes that occur.
        per_class_iou: (K,) float64: pixels rightly of the class / pixels of the class in mask or prediction; NaN for a
            class that occurs in neither.
        images: how many they are over.
    """

    columns: ClassVar[tuple[str, ...]] = ("val_pix_acc", "val_miou")
    in_tables: ClassVar[tuple[str, str]] = columns
    compared: ClassVar[str] = "val_miou"
    at_end: ClassVar[dict[str, str]] = {}
    labels: ClassVar[dict[str, str]] = {"val_pix_acc": "pixAcc", "val_miou": "mIoU"}

    pix_acc: float
    miou: float
    per_class_iou: np.ndarray
    images: int

    @classmethod
    def of(cls, matrix: np.ndarray, images: int) -> SegmentationScores:
        """The scores of a confusion matrix, see confusion_matrix.

        Source: the ADE20K development kit (CSAILVision/sceneparsing), demoEvaluation.m: what is predicted on void
            pixels counts nowhere; intersections and unions are summed over images before they are divided.
        Differs: the kit's mean (and GluonCV's) takes a class that occurs nowhere as 0, with which a small set of
            images could not reach 1. Where every class occurs the two are the same.
        """
        right = np.diagonal(matrix).astype(np.float64)
        pixels = matrix.sum()
        union = matrix.sum(axis=1) + matrix[:, : len(matrix)].sum(axis=0) - right
        iou = np.where(union > 0, right / np.maximum(union, 1), np.nan)
        if pixels == 0:
            return cls(float("nan"), float("nan"), iou, images)
        return cls(float(right.sum() / pixels), float(np.nanmean(iou)), iou, images)

    @property
    def best(self) -> float:
        """What the best epoch is chosen by: mIoU, because pixAcc is mostly about the few classes that fill images."""
        return self.miou

    def row(self) -> dict[str, float]:
        """What a table of epochs shows."""
        return {"val_pix_acc": self.pix_acc, "val_miou": self.miou}

    def per_class(self) -> dict[str, list[float | None]]:
        """Intersections over unions in the order of the classes; None: the class does not occur."""
        return {"per_class_iou": [None if np.isnan(iou) else float(iou) for iou in self.per_class_iou]}

    def per_class_table(self, names: Sequence[str]) -> str:
        """A line of text for each class, and one for their mean; - for a class that does not occur."""
        rows = [*zip(names, self.per_class_iou), ("mean", self.miou)]
        width = max(columns(name) for name, _ in rows)
        shown = ["-" if np.isnan(iou) else f"{100 * iou:.1f}" for _, iou in rows]
        return "\n".join(
            [f"{'':{width}}  IoU %", *(f"{padded(name, width)}  {iou:>5}" for (name, _), iou in zip(rows, shown))]
        )

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> SegmentationScores:
        """The scores of such a row, which does not have the classes."""
        return cls(row["val_pix_acc"], row["val_miou"], np.zeros(0), images)

    def __str__(self) -> str:
        return f"pixAcc {self.pix_acc:.1%}, mIoU {self.miou:.1%}"


def confusion_matrix(predictions: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """Counts pixels by their class and the class that was predicted.

    Args:
        predictions: class indices; anything outside 0..K-1: nothing was predicted.
        masks: class indices of the same shape; below 0: void, which counts nowhere.
        classes: K.

    Returns: (K, K + 1) int64: row: class in the mask; column: class predicted, the last one: nothing was.
    """
    real = masks >= 0
    label, predicted = masks[real].astype(np.int64), predictions[real].astype(np.int64)
    predicted = np.where((predicted < 0) | (predicted >= classes), classes, predicted)
    counts = np.bincount(label * (classes + 1) + predicted, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1)
