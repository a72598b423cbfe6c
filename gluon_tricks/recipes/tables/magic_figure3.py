"""Figure 3 of Krähenbühl et al.: CaffeNet's training on ImageNet from several initialisations. It is drawn, and a table
of where the runs end."""

import math

from gluon_tricks.recipes.named.caffe import CAFFENET
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.tricks import DataDependentInit, StepDecay

_DRAWN = {"caffenet": (math.nan, math.nan)}  # curves, and no numbers
KMEANS = DataDependentInit(filters="kmeans", last_zero=True)

TABLE = Table(
    "magic_figure3",
    "CaffeNet's training from several initialisations (Krähenbühl et al.)",
    {"caffenet": CAFFENET.set(epochs=64).add(StepDecay((20, 40, 60)))},  # 320,000 iterations
    variants(
        Row("reference", "reference", paper=_DRAWN),
        Row("msra", "MSRA", set=dict(init="kaiming_conv"), paper=_DRAWN),
        Row("random", "random (ours)", add=(DataDependentInit(last_zero=True),), paper=_DRAWN),
        Row("kmeans", "k-means (ours)", add=(KMEANS,), paper=_DRAWN),
        Row("kmeans_no_lrn", "k-means, no LRN (ours)", set=dict(model="caffenet_no_lrn"), base="kmeans", paper=_DRAWN),
    ),
    family="caffe",
)
