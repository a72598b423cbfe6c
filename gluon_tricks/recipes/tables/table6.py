"""Table 6: the refinements of section 5 stacked, for three networks, and the teachers that two rows need."""

from gluon_tricks.recipes.named.imagenet import EFFICIENT, INCEPTION
from gluon_tricks.recipes.tables.rows import Row, Table, ladder
from gluon_tricks.tricks import Cosine, Distillation, LabelSmoothing, Mixup

TABLE = Table(
    "table6",
    "training refinements, stacked",
    {
        "resnet50_v1d": EFFICIENT.set(model="resnet50_v1d"),
        "inceptionv3": EFFICIENT.without("zero_gamma").set(**INCEPTION),
        "mobilenet1.0": EFFICIENT.without("zero_gamma").set(model="mobilenet1.0"),
        "resnet152_v1d": EFFICIENT.set(model="resnet152_v1d"),  # the teacher
    },
    ladder(  # spread: of four runs
        Row(
            "efficient",
            "Efficient",
            paper={"resnet50_v1d": (77.26, 93.53), "inceptionv3": (77.50, 93.60), "mobilenet1.0": (71.90, 90.53)},
            spread={"resnet50_v1d": (0.07, 0.05)},
        ),
        Row(
            "cosine",
            "+ cosine decay",
            add=(Cosine(),),
            paper={"resnet50_v1d": (77.73, 93.82), "inceptionv3": (78.19, 94.06), "mobilenet1.0": (72.83, 91.00)},
            spread={"resnet50_v1d": (0.13, 0.08)},
        ),
        Row(
            "smooth",
            "+ label smoothing",
            add=(LabelSmoothing(),),
            paper={"resnet50_v1d": (78.37, 94.10), "inceptionv3": (78.40, 94.13), "mobilenet1.0": (72.93, 91.14)},
            spread={"resnet50_v1d": (0.09, 0.03)},
        ),
        # The last three do not stack on each other but on label smoothing.
        Row(
            "distill",
            "+ distill w/o mixup",
            add=(Distillation("table6/resnet152_v1d/smooth"),),
            paper={"resnet50_v1d": (78.63, 94.38), "inceptionv3": (78.26, 94.01), "mobilenet1.0": (71.97, 90.89)},
            spread={"resnet50_v1d": (0.04, 0.03)},
        ),
        Row(
            "mixup",
            "+ mixup w/o distill",
            set=dict(epochs=200),
            add=(Mixup(),),
            base="smooth",
            paper={"resnet50_v1d": (79.01, 94.57), "inceptionv3": (78.77, 94.39), "mobilenet1.0": (73.28, 91.30)},
            spread={"resnet50_v1d": (0.09, 0.02)},
        ),
        Row(
            "distill_mixup",
            "+ distill w/ mixup",
            add=(Distillation("table6/resnet152_v1d/mixup"),),
            base="mixup",
            paper={"resnet50_v1d": (79.33, 94.66), "inceptionv3": (78.34, 94.16), "mobilenet1.0": (72.51, 91.02)},
            spread={"resnet50_v1d": (0.07, 0.03)},
        ),
        # Section 5.5 on what mixup's longer training does by itself: "around 0.15%". It names no network: ResNet-50-D.
        Row("long", "+ 200 epochs w/o mixup", set=dict(epochs=200), base="smooth", gain={"resnet50_v1d": 0.15}),
    ),
    proxy=dict(batch_size=64),
    repeats=4,  # "We repeat each refinement on ResNet-50-D for 4 times with different initialization"
)
