"""Figure 4 of Krähenbühl et al.: GoogLeNet's training on ImageNet, with and without auxiliary classifiers. It is drawn,
and a table of where the runs end."""

import math

from gluon_tricks.recipes.named.caffe import GOOGLENET
from gluon_tricks.recipes.tables.magic_figure3 import KMEANS
from gluon_tricks.recipes.tables.rows import Row, Table, variants


def _top5(error: float) -> dict[str, tuple[float, float]]:
    """Of the figure's caption, which gives errors."""
    return {"googlenet": (math.nan, 100 - error)}


TABLE = Table(
    "magic_figure4",
    "GoogLeNet's training with and without auxiliary classifiers (Krähenbühl et al.)",
    {"googlenet": GOOGLENET},
    variants(
        Row("reference", "reference", paper=_top5(11.57)),
        Row("kmeans", "k-means (ours)", add=(KMEANS,), paper=_top5(10.69)),
        Row(
            "kmeans_single",
            "k-means, single loss (ours)",
            set=dict(model="googlenet_2014"),
            base="kmeans",
            paper=_top5(10.85),
        ),  # fmt: skip
    ),
    family="caffe",
)
