"""What the page of a segmenter's run shows: the IoU of each class, which pixels it confuses, its worst images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np

from gluon_tricks.core.wording import plural
from gluon_tricks.data.annotations.annotated import Problem, read_stored
from gluon_tricks.data.records import BadRecord
from gluon_tricks.page.bars import class_bars
from gluon_tricks.page.images import Picture, gallery
from gluon_tricks.page.matrix import confusion
from gluon_tricks.page.skeleton import Section, text
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.evaluation import Z
from gluon_tricks.tasks.findings import Field, Found
from gluon_tricks.tasks.segmentation.kept_masks import decoded
from gluon_tricks.tasks.segmentation.metrics import SegmentationScores


def spread(parts: np.ndarray, wholes: np.ndarray) -> tuple[float, float, float] | None:
    """The share of sums over images, and its 95 % interval by how far the images differ; None: of fewer than two.

    Args:
        parts, wholes: of each image (n,), pixels.

    Source: the ratio estimator of Cochran, Sampling techniques (3rd edition, 1977), equation 2.46; pixels of one image
        are no independent trials.
    """
    n, total = len(wholes), wholes.sum()
    if n < 2 or total == 0:
        return None
    share = float(parts.sum() / total)
    half = Z * np.sqrt(n / (n - 1) * ((parts - share * wholes) ** 2).sum()) / total
    return share, share - half, share + half


class SegmenterReport:
    """See findings.TaskReport."""

    fields: ClassVar[dict[str, Field]] = {
        "matrix": Field("int64", ("K", "K+1"), 0, 2**53),
        "image": Field("int32", ("n",), 0),
        "right": Field("int64", ("n",), 0),
        "pixels": Field("int64", ("n",), 0),
        "mask_image": Field("int32", ("m",), 0),
        "mask_bytes": Field("int64", ("m",), 0, 2**31),
        "mask_data": Field("uint8", ("b",)),
    }

    def __init__(self, found: Found, images: Any | None):
        self.names, self.images, self.found = found.names, images, found.arrays
        self.matrix = found.arrays["matrix"][:, : len(found.names)]

    def sections(self) -> list[Section]:
        iou = self.per_class()[1]
        accuracy = np.where(
            self._pixels > 0, self.matrix.diagonal()[: len(self.names)] / np.maximum(self._pixels, 1), np.nan
        )
        words = (
            "<p>IoU: pixels rightly of the class over those of the class in mask or prediction. Recall: over those in "
            "the mask.</p>"
        )
        bars = class_bars(self.names, "pixels", self._pixels, {"recall": accuracy, "IoU": iou})
        found = [
            Section("classes", "Each class", words + bars),
            Section("matrix", "Which pixels are taken for what", confusion(self.names, self.matrix, "pixels", True)),
        ]
        return [*found, self._overlays()] if self.images is not None else found

    @property
    def _pixels(self) -> np.ndarray:
        return self.found["matrix"].sum(axis=1)

    def per_class(self) -> tuple[str, np.ndarray]:
        return "IoU", SegmentationScores.of(self.found["matrix"], 0).per_class_iou

    def intervals(self, final: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        found = spread(self.found["right"], self.found["pixels"])
        return {"val_pix_acc": (max(found[1], 0.0), min(found[2], 1.0))} if found else {}

    def gains(self, other: SegmenterReport) -> dict[str, tuple[float, float, float]]:
        if not np.array_equal(self.found["image"], other.found["image"]):
            return {}
        found = spread(self.found["right"] - other.found["right"], self.found["pixels"])
        return {"val_pix_acc": found} if found else {}

    def _overlays(self) -> Section:
        """The worst images: as they are, under their mask and under the one that was found."""
        parts = np.split(self.found["mask_data"], np.cumsum(self.found["mask_bytes"]))
        shares = dict(zip(self.found["image"].tolist(), self.found["right"] / np.maximum(self.found["pixels"], 1)))
        drawn = []
        for i, data in zip(self.found["mask_image"].tolist(), parts):
            drawn += self._pair(i, decoded(data), shares.get(i, np.nan))
        plain = [self.names[k] for k in pictures.backgrounds(self.names)]
        keeps = f" Pixels of {text(plain[0])} keep their colour." if plain else ""
        words = (
            f"<p>The {plural(len(drawn) // 2, 'image')} with the smallest share of right pixels: left as annotated, "
            f"right as found.{keeps} Void pixels of the annotation keep theirs too.</p>"
        )
        return Section("masks", "The worst images", words + gallery(drawn, longest=560, large=True))

    def _pair(self, i: int, found: np.ndarray | None, share: float) -> list[Picture]:
        try:
            stored, truth = read_stored(self.images.paths[i]), self.images.read_mask(i)
        except (BadRecord, Problem, OSError, IndexError):
            return []
        if stored is None or found is None:
            return []
        sides, name = found.shape[::-1], self.images.paths[i].name
        pixels = cv2.resize(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), sides, interpolation=cv2.INTER_AREA)
        truth = cv2.resize(truth.astype(np.float32), sides, interpolation=cv2.INTER_NEAREST).astype(np.int64)
        return [
            Picture(pictures.overlay(pixels, truth, self.names), f"{name}, annotated", f"{text(name)}"),
            Picture(
                pictures.overlay(pixels, found, self.names), f"{name}, found",
                f'<span class="soft">{share:.1%} of its pixels are right</span>',
            ),
        ]  # fmt: skip
