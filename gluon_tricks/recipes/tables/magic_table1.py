"""Table 1 of data-dependent initialisation: how CaffeNet is scaled before VOC2007 classification, and what trains it.

Source: Krähenbühl et al., Data-dependent initializations of convolutional neural networks (ICLR 2016), section 4.1.
Differs: the document says "ADAM" and no more. Its rate here is 0.0001, a tenth of what Kingma and Ba recommend, tried
    out at the small scale on a seed that is not shown, and is halved as SGD's is.
    "BN" is batch normalisation between each convolution or hidden dense layer and its relu; of local response
    normalisation and dropout the document does not say that they are left out, and they stay.
"""

import math
from collections.abc import Mapping

from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.tricks import DataDependentInit

# Section 4.1: random Gaussian weights with standard deviation 0.01, which only figure 1's text says, and no biases.
VOC = MultiLabelRecipe(name="voc", init="plain", init_sd=0.01, classes=20)
PHOTOS = "Pascal VOC 2007 (a VOCdevkit with VOC2007)"
IMAGES = (5_011, 4_952)
FAMILY = "magic"
SCORES = ("mAP, 11 points", "mAP, area")

_BN = {"batch_norm": True}
_TRAINING = {
    "sgd": dict(),
    "sgd_bn": dict(net=_BN),
    "adam": dict(optimizer="adam", lr=1e-4),
    "adam_bn": dict(optimizer="adam", lr=1e-4, net=_BN),
}
FILTERS = ("gaussian", "kmeans")


def columns() -> Mapping[str, Settings]:
    return {f"{name}_{filters}": VOC.set(**changes) for name, changes in _TRAINING.items() for filters in FILTERS}


def _row(key: str, label: str, within: bool, between: bool, paper: Mapping[str, tuple[float, float]]) -> Row:
    """paper: training -> percent mAP with Gaussian and with k-means filters."""
    also, printed = {}, {}
    for column in columns():
        training, filters = column.rsplit("_", 1)
        if filters == "kmeans" or within or between:
            also[column] = (DataDependentInit(filters=filters, within=within, between=between),)
        if training in paper:
            printed[column] = (paper[training][FILTERS.index(filters)], math.nan)
    return Row(key, label, also=also, base="" if key == "none" else "none", paper=printed)


TABLE = Table(
    "magic_table1",
    "scaling of CaffeNet's initial weights, VOC2007 classification",
    columns(),
    variants(
        _row(
            *("none", "no scaling", False, False),
            {"sgd": (50.8, 41.2), "sgd_bn": (51.6, 49.4), "adam": (50.9, 52.0), "adam_bn": (55.7, 53.8)},
        ),
        _row("within", "Within-layer (Ours)", True, False, {"sgd": (47.6, 41.2), "adam": (53.2, 53.1)}),
        _row("between", "Between-layer (Ours)", False, True, {"sgd": (52.7, 55.7), "adam": (54.5, 57.2)}),
        _row(
            *("both", "Both (Ours)", True, True),
            {"sgd": (53.3, 56.6), "sgd_bn": (56.6, 60.0), "adam": (53.1, 56.9), "adam_bn": (56.9, 59.8)},
        ),
    ),
    photos=PHOTOS,
    images=IMAGES,
    classes=20,
    scores=SCORES,
    family=FAMILY,
)
