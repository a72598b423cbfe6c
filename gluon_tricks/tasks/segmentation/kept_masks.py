"""How well each image of an evaluation came out, and the masks that were found in the worst of them."""

from __future__ import annotations

import cv2
import numpy as np

from gluon_tricks.data.decoding import decode
from gluon_tricks.tasks.average_precision import gather
from gluon_tricks.tasks.findings import Arrays

WORST = 8  # images whose masks are kept
_LONGEST = 640  # px, of a mask that is kept


class KeptMasks:
    """Of each image its rightly classified and its counted pixels; of the WORST ones, by their share, the masks."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int]] = []
        self._masks: list[tuple[float, int, bytes]] = []

    def add(self, indices: np.ndarray, predicted: np.ndarray, masks: np.ndarray) -> None:
        """The images of a batch. Args: indices: (n,); predicted, masks: (n, H, W), -1: no class."""
        for index, found, mask in zip(indices.tolist(), predicted, masks):
            real = mask >= 0
            right, pixels = int((found == mask)[real].sum()), int(real.sum())
            self._rows.append((index, right, pixels))
            share = right / pixels if pixels else 1.0
            if len(self._masks) < WORST or (share, index) < self._masks[-1][:2]:
                self._masks = sorted([*self._masks, (share, index, encoded(found))])[:WORST]

    def of_all_ranks(self) -> Arrays:
        """The arrays of report.FIELDS but for the matrix; of several ranks those of all."""
        rows = gather(np.array(self._rows, np.float64).reshape(-1, 3))
        rows = rows[np.argsort(rows[:, 0], kind="stable")].astype(np.int64)
        lengths = gather(np.array([(s, i, len(data)) for s, i, data in self._masks], np.float64).reshape(-1, 3))
        data = gather(np.frombuffer(b"".join(data for *_, data in self._masks), np.uint8)[:, None].astype(np.float64))
        ends = np.cumsum(lengths[:, 2]).astype(int)
        parts = np.split(data[:, 0].astype(np.uint8), ends[:-1])
        chosen = np.lexsort((lengths[:, 1], lengths[:, 0]))[:WORST]
        return {
            "image": rows[:, 0].astype(np.int32),
            "right": rows[:, 1],
            "pixels": rows[:, 2],
            "mask_image": lengths[chosen, 1].astype(np.int32),
            "mask_bytes": lengths[chosen, 2].astype(np.int64),
            "mask_data": np.concatenate([parts[k] for k in chosen]) if len(chosen) else np.zeros(0, np.uint8),
        }


def encoded(mask: np.ndarray) -> bytes:
    """A mask (H, W) of classes, -1 for none, as a PNG of 16 bits whose pixels are class + 1; made smaller if large."""
    scale = min(_LONGEST / max(mask.shape), 1)
    sides = [max(round(side * scale), 1) for side in mask.shape[::-1]]
    small = cv2.resize(mask.astype(np.float32), sides, interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".png", (small + 1).astype(np.uint16))[1].tobytes()


def decoded(data: np.ndarray) -> np.ndarray | None:
    """The mask (H, W) int64 of its PNG (n,) uint8, -1 for no class; None: it is none."""
    image = decode(data.tobytes(), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 2 or max(image.shape) > _LONGEST:
        return None
    return image.astype(np.int64) - 1
