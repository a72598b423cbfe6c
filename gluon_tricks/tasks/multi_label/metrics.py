"""How good tags are: the average precision of each class over images, and the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gluon_tricks.data.label_vectors import PRESENT
from gluon_tricks.tasks.average_precision import RIGHT, WRONG, Precisions, average_precisions
from gluon_tricks.tasks.multi_label.loss import mean_loss

OVER_CROPS = "mAP over the test crops"


@dataclasses.dataclass(frozen=True)
class MultiLabelScores(Precisions):
    """Mean average precisions of images over the classes that occur, as fractions, and the mean loss of an image."""

    columns: ClassVar[tuple[str, ...]] = ("val_loss", *Precisions.columns)
    at_end: ClassVar[dict[str, str]] = {
        "val_map07": f"{OVER_CROPS} (VOC07, 11 points)",
        "val_map": f"{OVER_CROPS} (area)",
    }
    labels: ClassVar[dict[str, str]] = {"val_loss": "loss", **Precisions.labels}

    loss: float = 0.0

    def row(self) -> dict[str, float]:
        """Its columns of metrics.csv."""
        return {"val_loss": self.loss, **super().row()}

    @classmethod
    def from_row(cls, row: dict[str, float], images: int) -> MultiLabelScores:
        """The scores of such a row, which does not have the classes."""
        return cls(row["val_map07"], row["val_map"], {}, {}, images, row["val_loss"])

    def __str__(self) -> str:
        return f"{super().__str__()}, val loss {self.loss:.3f}"


def score(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> MultiLabelScores:
    """The scores of images.

    Each class ranks the images by its logit, the highest first and of equal ones the earlier; images that it is not
    counted in are left out. A logit that is not a number comes first and is wrong.

    Args:
        logits: (n, K).
        labels: (n, K) of 1 (present), 0 and -1 (not counted).
        names: of the K classes.

    Source: the VOC2007 development kit, VOCevalcls.m.
    """
    aps, broken = [], np.isnan(logits)
    for k in range(len(names)):
        of_class = np.where(broken[:, k], np.inf, logits[:, k])
        outcomes = np.where(broken[:, k] & (labels[:, k] == RIGHT), WRONG, labels[:, k])
        aps.append(average_precisions(of_class, outcomes, int((labels[:, k] == PRESENT).sum())))
    by_rule = list(zip(*aps))
    means = [float(np.nanmean(values)) for values in by_rule]
    per_class = [dict(zip(names, values)) for values in by_rule]
    return MultiLabelScores(*means, *per_class, images=len(logits), loss=mean_loss(logits, labels))
