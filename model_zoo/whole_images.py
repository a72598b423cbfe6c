"""What is done to a photo before a network sees all of it, nothing being cut off: a detector's or segmenter's way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

PLACE = 16  # px of a side


@dataclasses.dataclass(frozen=True)
class WholeImages:
    """What turns a photo into the input of a network that takes images of any size.

    Args:
        task: what the network is for, such as "detection".
        mean, std: of R, G and B on the 0..255 scale: input = (pixel - mean) / std.
        classes: names in the order of the network's numbers for them.
        outputs: of the network -> what each is, in words.
        longer_edge: px at most; larger photos are resized to it.
        shorter_edge: px to which the photo is resized unless the longer edge would exceed `longer_edge`; None: photos
            that are small enough stay as they are.
        smallest_side: px that the network takes at least; a smaller photo is enlarged, a detector's gets zeros.
        places: how many places of 16 px the network's last map has at least; zeros are added to a smaller input.
        added: px; a side of n px has (n + added) // 16 places: 15 where begun ones count.
        interpolation: of the resize, in words that begin with cv2's.
        one_by_one: whether the network takes one image at a time.
    """

    task: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    outputs: Mapping[str, str]
    longer_edge: int
    shorter_edge: int | None = None
    smallest_side: int = 1
    places: int = 1
    added: int = PLACE - 1
    interpolation: str = "cv2.INTER_LINEAR"
    one_by_one: bool = False

    in_words, outputs_called = "images of any size", "outputs"

    @property
    def draws(self) -> int:
        """Of how many random images one must give the same outputs: of boxes that nearly tie, rounding keeps others."""
        return 3 if self.one_by_one else 1

    def input_shape(self, batch_size: int | None) -> tuple[int | None, int, int | None, int | None]:
        """(N, 3, H, W) as a file says it; None: any."""
        return 1 if self.one_by_one else batch_size, 3, None, None

    def examples(self, batch_size: int | None) -> list[tuple[int, int, int, int]]:
        """Shapes of images that a written network is compared on: an upright and a wide one."""
        count = 1 if self.one_by_one else batch_size or 2
        short = max(min(self.shorter_edge or 64, 320), self.smallest_side)
        long = max(min(math.ceil(short * 1.3), self.longer_edge), self.smallest_side)
        while (short + self.added) // PLACE * ((long + self.added) // PLACE) < self.places:  # as users add zeros
            short, long = short + PLACE, long + PLACE
        return [(count, 3, long, short), (count, 3, short, long)]

    def doubt(self, outputs: Sequence) -> str:
        """Why these cannot be the network's outputs; "": they can."""
        return ""  # the names are those that the network was trained with

    def to_json(self) -> dict:
        """A JSON object that says every step in order; docs/export.md says what its words mean."""
        return {
            "task": self.task,
            "orientation": "as EXIF says",
            "colours": "RGB",
            "pixels": [0, 255],
            "resize": {
                "shorter_edge": self.shorter_edge,
                "longer_edge_at_most": self.longer_edge,
                "rounding": "to the nearest px",
                "arithmetic": f"cv2.resize of uint8 with {self.interpolation.removeprefix('cv2.')}",
            },
            "crop": None,
            "smallest_side": self.smallest_side,
            "least_places": {"side": PLACE, "added": self.added, "count": self.places},
            "mean": list(self.mean),
            "std": list(self.std),
            "layout": "NCHW",
            "dtype": "float32",
            "classes": list(self.classes),
            "meaning": dict(self.outputs),
        }
