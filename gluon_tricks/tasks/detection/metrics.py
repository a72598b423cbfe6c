"""Which detections are right, as the Pascal VOC devkit defines it."""

from __future__ import annotations

import dataclasses

import numpy as np

from gluon_tricks.tasks.average_precision import IGNORED, RIGHT, WRONG, Precisions

_LEAST_OVERLAP = 0.5


@dataclasses.dataclass(frozen=True)
class DetectionScores(Precisions):
    """Mean average precisions of boxes over the classes that occur, as fractions."""


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
