"""The degradation problem: plain networks of 20 and 56 layers on CIFAR-10, and their residual twins."""

import math

from gluon_tricks.recipes.named.cifar import CIFAR10_2015
from gluon_tricks.recipes.tables.rows import Row, Table, variants

COLUMN = "cifar10"


def _row(key: str, label: str, model: str, base: str | None = None, error: float = math.nan) -> Row:
    """Args: base: the row that it is compared with; error: of the test images, percent, by table 6 of He et al."""
    return Row(key, label, set=dict(model=model), base=base, paper={COLUMN: (100 - error, math.nan)})


# The documents give no numbers of the plain nets: only their curves (He et al., figures 1 and 6; ILSVRC winners,
# "Degradation problem").
TABLE = Table(
    "degradation",
    "plain and residual networks of 20 and 56 layers on CIFAR-10",
    {COLUMN: CIFAR10_2015},
    variants(
        _row("plain20", "plain-20", "cifar_plain20"),
        _row("plain56", "plain-56", "cifar_plain56", base="plain20"),
        _row("resnet20", "ResNet-20", "cifar_resnet20_v1", base="plain20", error=8.75),
        _row("resnet56", "ResNet-56", "cifar_resnet56_v1", base="resnet20", error=6.97),
    ),
    photos="CIFAR-10 (the folder cifar-10-batches-bin, class folders train/CLASS and val/CLASS, or packed records)",
    images=(50_000, 10_000),
    classes=10,
    family="cifar",
)
