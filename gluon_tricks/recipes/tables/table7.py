"""Table 7: the refinements on another data set, MIT Places365 (365 scene classes; validation set)."""

from gluon_tricks.recipes.named.imagenet import EFFICIENT
from gluon_tricks.recipes.tables.rows import Row, Table, ladder
from gluon_tricks.tricks import Cosine, LabelSmoothing, Mixup

TABLE = Table(
    "table7",
    "Places365",
    {"resnet50_v1d": EFFICIENT.set(model="resnet50_v1d", data="records", classes=365)},
    ladder(
        Row("efficient", "ResNet-50-D Efficient", paper={"resnet50_v1d": (56.34, 86.87)}),
        Row(
            "best",
            "ResNet-50-D Best",
            set=dict(epochs=200),
            add=(Cosine(), LabelSmoothing(), Mixup()),
            paper={"resnet50_v1d": (56.70, 87.33)},
        ),
    ),
    proxy=dict(batch_size=64),
    photos="Places365-Standard, packed from its lists with gluon-tricks pack --places365",
    images=(1_803_460, 36_500),
    classes=365,
)

# Top-1 and top-5 that the test server gave the paper's networks.
PAPER_TEST = {"efficient": (57.18, 87.28), "best": (57.63, 87.82)}
