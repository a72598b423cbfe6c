"""Table 4: the heuristics of section 3 stacked, at the baseline's batch and at four times it."""

from gluon_tricks.recipes.named.imagenet import BASELINE
from gluon_tricks.recipes.tables.rows import Row, Table, ladder
from gluon_tricks.tricks import NoBiasDecay, Warmup, ZeroGamma

TABLE = Table(
    "table4",
    "heuristics for large batches, stacked",
    {"256": BASELINE, "1024": BASELINE.set(batch_size=1024)},
    ladder(
        Row("linear_scaling", "Linear scaling", paper={"256": (75.87, 92.70), "1024": (75.17, 92.54)}),
        Row("warmup", "+ LR warm-up", add=(Warmup(5),), paper={"256": (76.03, 92.81), "1024": (75.93, 92.84)}),
        Row("zero_gamma", "+ Zero gamma", add=(ZeroGamma(),), paper={"256": (76.19, 93.03), "1024": (76.37, 92.96)}),
        Row(
            "no_bias_decay",
            "+ No bias decay",
            add=(NoBiasDecay(),),
            paper={"256": (76.16, 92.97), "1024": (76.03, 92.86)},
        ),
        Row("fp16", "+ FP16", set=dict(dtype="float16"), paper={"256": (76.15, 93.09), "1024": (76.21, 92.97)}),
    ),
)
