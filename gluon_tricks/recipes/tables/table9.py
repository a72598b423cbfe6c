"""Table 9: FCN on ADE20K, whose base networks differ in nothing but their training."""

from gluon_tricks.recipes.tables.base_networks import rows
from gluon_tricks.recipes.tables.rows import Table
from gluon_tricks.recipes.transfer import SegmentationRecipe

_PAPER = {
    "standard": (78.08, 37.05),
    "efficient": (78.88, 38.88),
    "cosine": (79.25, 39.33),
    "smooth": (78.64, 38.75),
    "distill": (78.97, 38.90),
    "mixup": (78.47, 37.99),
    "distill_mixup": (78.72, 38.40),
}

TABLE = Table(
    "table9",
    "FCN on ADE20K",
    {"ade20k": SegmentationRecipe(final_scales="several")},
    rows("ade20k", _PAPER),
    photos="ADE20K (the folder ADEChallengeData2016)",
    images=(20_210, 2_000),
    scores=("pixAcc", "mIoU"),
)
