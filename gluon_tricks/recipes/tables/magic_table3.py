"""Table 3 of data-dependent initialisation: our k-means beside networks that were trained before, on VOC2007.

Source: Krähenbühl et al., Data-dependent initializations of convolutional neural networks (ICLR 2016), section 4.3.
Differs: as tables 1 and 2 do. The networks that others have trained do not come with this project: a row is run where
    its CaffeNet is given as a parameter file. That of Doersch et al. has no groups, which is another network. The
    numbers of Wang and Gupta are of their network of grey images (a footnote).
"""

import math
from typing import NamedTuple

from gluon_tricks.recipes.tables import magic_table1, magic_table2
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.tricks import DataDependentInit

_KMEANS = (DataDependentInit(filters="kmeans"),)
_BETWEEN = (DataDependentInit(within=False),)  # what the network computes stays; its layers learn at one rate


class Pretraining(NamedTuple):
    """What the document says of a row beside its scores."""

    supervision: str
    time: str


PRETRAINING = {
    "agrawal": Pretraining("egomotion", "10 hours"),
    "wang": Pretraining("motion", "1 week"),
    "doersch": Pretraining("unsupervised", "4 weeks"),
    "krizhevsky": Pretraining("1000 class labels", "3 days"),
    "kmeans": Pretraining("initialization", "54 seconds"),
}
PRETRAINING |= {f"ours_{key}": PRETRAINING[key] for key in ("agrawal", "wang", "doersch")}


def _row(
    key: str, label: str, paper: tuple[float, float], weights: str, add: tuple = (), base: str | None = None
) -> Row:
    """paper: percent mAP of classification and of detection."""
    printed = {name: (value, math.nan) for name, value in zip(magic_table2.COLUMNS, paper)}
    return Row(key, label, add=add, base=base, paper=printed, weights=weights)


TABLE = Table(
    "magic_table3",
    "k-means beside networks trained before, VOC2007",
    magic_table2.COLUMNS,
    variants(
        _row("agrawal", "Agrawal et al. (2015)", (52.9, 41.8), "agrawal"),
        _row("wang", "Wang & Gupta (2015)", (62.8, 47.4), "wang"),
        _row("doersch", "Doersch et al. (2015)", (55.3, 46.6), "doersch"),
        _row("krizhevsky", "Krizhevsky et al. (2012)", (78.2, 56.8), "krizhevsky"),
        _row("kmeans", "Ours (k-means)", (56.6, 45.6), "", _KMEANS),
        _row("ours_agrawal", "Ours + Agrawal et al. (2015)", (54.2, 43.9), "agrawal", _BETWEEN, "agrawal"),
        _row("ours_wang", "Ours + Wang & Gupta (2015)", (63.1, 47.2), "wang", _BETWEEN, "wang"),
        _row("ours_doersch", "Ours + Doersch et al. (2015)", (65.3, 51.1), "doersch", _BETWEEN, "doersch"),
    ),
    photos=magic_table1.PHOTOS,
    images=magic_table1.IMAGES,
    classes=20,
    scores=magic_table1.SCORES,
    family=magic_table1.FAMILY,
)
