"""Transfer learning with little data: a linear classifier on a trained network's features, or all trained further.

Source: ILSVRC winners, "Transfer learning": the last dense layer of a network trained on ImageNet is removed and the
    rest frozen, for little data; with more of it a new layer and the network are trained together.
Differs: the document names no data and no numbers. Rates, epochs and batches are ours, chosen before any run.
"""

import math

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.tricks import Cosine, LabelSmoothing, NoBiasDecay, Warmup, ZeroGamma

FAMILY = "little_data"
# Columns: where proxies train the network that their rows start from, and the rows. At the document's own scale it is
# GluonCV's file of a network that was trained on ImageNet.
OTHER, NEW = "other_classes", "new_classes"
BASE = f"transfer_learning/{OTHER}/base"

_OTHER = Recipe(
    name="other_classes",
    model="resnet50_v1b",
    data="records",
    min_area=0.35,
    epochs=10,
    batch_size=64,
    lr=0.1,
    dtype="float16",
    tricks=(Warmup(1), ZeroGamma(), NoBiasDecay(), Cosine(), LabelSmoothing()),
)
_NEW = _OTHER.set(name="new_classes", pretrained="true", new_head=True, tricks=(NoBiasDecay(), Cosine()))
_LENGTHS = {10: dict(epochs=30, batch_size=10), 50: dict(epochs=15, batch_size=25), 0: dict(epochs=6, batch_size=64)}


def _rows(count: int, before: str | None) -> tuple[Row, Row]:
    """The two rows of so many images of each class (0: all). Args: before: key of the frozen row of fewer images."""
    name, nothing = str(count or "all"), {NEW: (math.nan, math.nan)}
    frozen = dict(per_class=count, freeze=("features",), lr=0.01, **_LENGTHS[count])
    images = f"{count} images of each class" if count else "all images"
    return (
        Row(f"frozen_{name}", f"{images}, features frozen", set=frozen, base=before, paper=nothing),
        Row(
            f"tuned_{name}",
            f"{images}, all trained",
            set=dict(freeze=()),
            base=f"frozen_{name}",
            paper=nothing,
        ),
    )


TABLE = Table(
    "transfer_learning",
    "a linear classifier on frozen features against training all, from few images",
    {OTHER: _OTHER, NEW: _NEW},
    variants(
        Row("base", "the network itself", gain={OTHER: math.nan}),
        *_rows(10, None),
        *_rows(50, "frozen_10"),
        *_rows(0, "frozen_50"),
    ),
    photos="photos of your own classes (train/CLASS and val/CLASS, or packed records)",
    images=(10_000, 1_000),
    classes=None,
    family=FAMILY,
)
