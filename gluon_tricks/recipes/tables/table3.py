"""Table 3: the baseline against efficient training, for three networks."""

from gluon_tricks.recipes.named.imagenet import BASELINE, INCEPTION
from gluon_tricks.recipes.tables.rows import Row, Table, ladder
from gluon_tricks.tricks import NoBiasDecay, Warmup, ZeroGamma

_OTHERS = ("inceptionv3", "mobilenet1.0")  # which have no residual blocks

TABLE = Table(
    "table3",
    "efficient training against the baseline",
    {
        "resnet50_v1": BASELINE,
        "inceptionv3": BASELINE.set(**INCEPTION),
        "mobilenet1.0": BASELINE.set(model="mobilenet1.0"),
    },
    ladder(
        Row(
            "baseline",
            "Baseline, batch 256, FP32",
            paper={"resnet50_v1": (75.87, 92.70), "inceptionv3": (77.32, 93.43), "mobilenet1.0": (69.03, 88.71)},
        ),
        Row(
            "efficient",
            "Efficient, batch 1024, FP16",
            set=dict(batch_size=1024, dtype="float16"),
            add=(Warmup(5),),
            also={"resnet50_v1": (ZeroGamma(), NoBiasDecay()), **dict.fromkeys(_OTHERS, (NoBiasDecay(),))},
            paper={"resnet50_v1": (76.21, 92.97), "inceptionv3": (77.50, 93.60), "mobilenet1.0": (71.90, 90.47)},
        ),
    ),
)

# Minutes an epoch on eight V100s, by row.
PAPER_MINUTES = {
    "baseline": {"resnet50_v1": 13.3, "inceptionv3": 19.8, "mobilenet1.0": 6.2},
    "efficient": {"resnet50_v1": 4.4, "inceptionv3": 8.0, "mobilenet1.0": 3.7},
}
