"""The numbers of a Faster-RCNN that are not its base network's."""

from __future__ import annotations

import dataclasses

from gluon_tricks.core.errors import Refused

STRIDE = 16  # of the feature map that anchors and regions are on
ASPECTS = (0.5, 1, 2)  # of anchors, height to width
ANCHOR_GRID = 128  # places of anchors along a side: of images up to 2048 px
MOST_OBJECTS = 100  # of an image in training


@dataclasses.dataclass(frozen=True)
class RoISettings:
    """Sizes and counts of images, anchors, proposals and regions of interest (RoI).

    Args:
        short, longest: px; images are resized to this shorter side unless the longer would exceed `longest`.
        anchor_scales: sides of the square anchors / 16 px; every one comes in the aspect ratios 1:2, 1:1 and 2:1.
        anchor_samples: anchors of an image that the proposals' losses are over, at most half of them positive.
        smallest_proposal: px; proposals with a shorter side are dropped.
        candidates, candidates_in_prediction: best anchors of an image that enter the proposals' suppression (NMS).
        proposals, proposals_in_prediction: how many leave it.
        roi_size: side of the grid that a region is pooled to. Networks with hidden dense layers have their own.
        roi_samples: regions of an image that the second losses are over, at most a quarter of them positive.
        channels: of the 3x3 convolution over the feature map, before the proposals.

    Raises:
        Refused: a number out of its range.

    Source: Ren et al., Faster R-CNN (NIPS 2015). The defaults are those of GluonCV's faster_rcnn_resnet50_v1b_voc and,
        for anchor_samples, of its training transform.
    """

    short: int = 600
    longest: int = 1000
    anchor_scales: tuple[float, ...] = (2, 4, 8, 16, 32)
    anchor_samples: int = 256
    smallest_proposal: int = 16
    candidates: int = 12000
    candidates_in_prediction: int = 6000
    proposals: int = 2000
    proposals_in_prediction: int = 300
    roi_size: int = 14
    roi_samples: int = 128
    channels: int = 1024

    def __post_init__(self):
        numbers = {**dataclasses.asdict(self), "anchor_scales": min(self.anchor_scales, default=0)}
        for name, value in numbers.items():
            if value <= 0:
                raise Refused(f"RoI setting {name} is {getattr(self, name)}: it must be above 0")
        if not self.short <= self.longest <= STRIDE * ANCHOR_GRID:
            raise Refused(
                f"RoI settings have short {self.short} and longest {self.longest}: "
                f"let short <= longest <= {STRIDE * ANCHOR_GRID} px"
            )


# "small" is the paper's at half the size: every length in px is halved, the counts are what a CPU can do.
ROI_SETTINGS = {
    "paper": RoISettings(),
    "small": RoISettings(
        **dict(short=300, longest=500, anchor_scales=(1, 2, 4, 8, 16), smallest_proposal=8),
        **dict(candidates=2000, candidates_in_prediction=1000, proposals=200, proposals_in_prediction=200),
        **dict(roi_size=7, roi_samples=32),
    ),
}
