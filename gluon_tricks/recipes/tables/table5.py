"""Table 5: the tweaks of the ResNet, each trained with the efficient setting."""

from gluon_tricks.recipes.named.imagenet import EFFICIENT
from gluon_tricks.recipes.tables.rows import Row, Table, variants

TABLE = Table(
    "table5",
    "model tweaks",
    {"resnet50": EFFICIENT},
    variants(
        Row("v1", "ResNet-50", set=dict(model="resnet50_v1"), paper={"resnet50": (76.21, 92.97)}),
        Row("v1b", "ResNet-50-B", set=dict(model="resnet50_v1b"), paper={"resnet50": (76.66, 93.28)}),
        Row("v1c", "ResNet-50-C", set=dict(model="resnet50_v1c"), paper={"resnet50": (76.87, 93.48)}),
        Row("v1d", "ResNet-50-D", set=dict(model="resnet50_v1d"), paper={"resnet50": (77.16, 93.52)}),
    ),
    proxy=dict(batch_size=64),
)
