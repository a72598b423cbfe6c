"""Table 8: Faster-RCNN on Pascal VOC, whose base networks differ in nothing but their training."""

import math

from gluon_tricks.recipes.tables.base_networks import rows
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.recipes.transfer import DetectionRecipe

_MAP = {
    "standard": 77.54,
    "efficient": 78.30,
    "cosine": 79.23,
    "smooth": 80.71,
    "distill": 80.96,
    "mixup": 81.10,
    "distill_mixup": 81.33,
}

TABLE = Table(
    "table8",
    "Faster-RCNN on Pascal VOC",
    {"voc": DetectionRecipe()},
    rows("voc", {key: (value, math.nan) for key, value in _MAP.items()}),
    photos="Pascal VOC (a VOCdevkit with VOC2007 and VOC2012)",
    images=(16_551, 4_952),
    scores=("mAP, 11 points", "mAP, area"),
)
