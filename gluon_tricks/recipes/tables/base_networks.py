"""The base networks of section 6: seven trainings of a ResNet-50, and the rows of tables 8 and 9 that they give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from gluon_tricks.recipes.named.imagenet import BASELINE
from gluon_tricks.recipes.tables.rows import Row, Table, variants


class Base(NamedTuple):
    """One of them.

    Args:
        key, label: of its row.
        model: the network.
        cell: that trains it.
        top1: in the paper, percent.
        base: key of the row that its row is compared with; None: the row above.
    """

    key: str
    label: str
    model: str
    cell: str
    top1: float
    base: str | None = None


BASES = (
    Base("standard", "B-standard", "resnet50_v1b", "base/resnet50_v1b/standard", 76.14),
    Base("efficient", "D-efficient", "resnet50_v1d", "table6/resnet50_v1d/efficient", 77.16),
    Base("cosine", "+ cosine", "resnet50_v1d", "table6/resnet50_v1d/cosine", 77.91),
    Base("smooth", "+ smooth", "resnet50_v1d", "table6/resnet50_v1d/smooth", 78.34),
    Base("distill", "+ distill w/o mixup", "resnet50_v1d", "table6/resnet50_v1d/distill", 78.67),
    Base("mixup", "+ mixup w/o distill", "resnet50_v1d", "table6/resnet50_v1d/mixup", 79.16, "smooth"),
    Base("distill_mixup", "+ distill w/ mixup", "resnet50_v1d", "table6/resnet50_v1d/distill_mixup", 79.29),
)
TOP1 = {base.key: base.top1 for base in BASES}

# The only one that no other table trains: ResNet-50-B with the standard setting of section 2.
TABLE = Table(
    "base",
    "the base network of tables 8 and 9 that no other table has",
    {"resnet50_v1b": BASELINE.set(model="resnet50_v1b")},
    variants(Row("standard", "B-standard", paper={"resnet50_v1b": (76.14, math.nan)})),
    proxy=dict(batch_size=64),
)


def rows(column: str, paper: Mapping[str, tuple[float, float]]) -> tuple[Row, ...]:
    """A row for each base network; paper: key -> the paper's scores in percent."""
    sets = {b.key: dict(model=b.model, base_params=b.cell) for b in BASES}
    return variants(*(Row(b.key, b.label, sets[b.key], base=b.base, paper={column: paper[b.key]}) for b in BASES))
