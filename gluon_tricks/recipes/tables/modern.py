"""Beyond the paper: from its best ResNet-50-D without a teacher to torchvision's recipe of 2021, and timm's A2 and A3.

The ladder takes the refinements that torchvision stacked and the paper's recipe does not have; the differences beside
it are torchvision's, of its own ResNet-50. The last rows are whole recipes for the ResNet-50-B, which is torchvision's
and timm's ResNet-50.

Source: Vryniotis, How to train state-of-the-art models using torchvision's latest primitives (PyTorch blog, 2021);
    Wightman et al., ResNet strikes back (2021), tables 1 and 2 (A2, A3), with timm's LAMB, which clips the gradient of
    all parameters to length 1 by default.
Differs: validation resizes bilinearly, as everywhere here, and timm's recipes bicubically; A2 and A3 have RandAugment
    with a magnitude that varies by 0.5 and timm's own operators, here it is torchvision's at that magnitude.
"""

import math

from gluon_tricks.recipes.named.imagenet import BASELINE, EFFICIENT
from gluon_tricks.recipes.tables.rows import Row, Table, ladder
from gluon_tricks.tricks import (
    ClipGradients,
    Cosine,
    DecoupledDecay,
    Ema,
    LabelSmoothing,
    LinearScaling,
    Mixup,
    MixupOrCutMix,
    NoBiasDecay,
    RandomErasing,
    SigmoidLoss,
    StochasticDepth,
    TrustRatio,
    Warmup,
)

# The recipe of table 6's row "mixup".
_PAPER = EFFICIENT.set(model="resnet50_v1d", epochs=200).add(Cosine(), LabelSmoothing(), Mixup())
_PLAIN = BASELINE.set(model="resnet50_v1b", epochs=90)
# torchvision averages every 32 steps with a decay of 1 - 2e-5 x batch x 32 / epochs: 0.99891 for 1024 and 600.
_TORCHVISION_EMA = Ema(decay=1 - 2e-5 * 1024 * 32 / 600, every=32)
_TRIVIAL = dict(augment="flip", auto_augment="trivial")
_TORCHVISION = dict(
    batch_size=1024, epochs=600, wd=2e-5, optimizer="sgd", train_size=176, crop_ratio=224 / 232, aug_repeats=4,
    **_TRIVIAL,
)  # fmt: skip
_TIMM = dict(batch_size=2048, lr=8e-3, wd=0.02, optimizer="adam", dtype="float16", augment="flip", crop_ratio=0.95)
_LAMB = (ClipGradients(1.0), DecoupledDecay(eps=1e-6), TrustRatio())  # timm's (timm/optim/lamb.py: max_grad_norm)
_V1D, _V1B = (
    {name: math.nan} for name in ("resnet50_v1d", "resnet50_v1b")
)  # shown there; the difference is that of the scores

TABLE = Table(
    "modern",
    "refinements after the paper, stacked",
    {"resnet50_v1d": _PAPER, "resnet50_v1b": _PLAIN},
    ladder(
        Row("paper", "The paper's best without a teacher", paper={"resnet50_v1d": (79.01, 94.57)}, gain=_V1D),
        Row("trivial", "+ TrivialAugment", set=_TRIVIAL, gain={"resnet50_v1d": 0.312}),
        Row("long", "+ 600 epochs", set=dict(epochs=600), gain={"resnet50_v1d": 1.8}),
        Row("erasing", "+ random erasing", add=(RandomErasing(0.1),), gain={"resnet50_v1d": 0.19}),
        Row("cut_mix", "+ CutMix", add=(MixupOrCutMix(),), gain={"resnet50_v1d": 0.278}),
        Row("decay", "+ weight decay 2e-5", set=dict(wd=2e-5), gain={"resnet50_v1d": 0.526}),
        Row("sizes", "+ trained at 176 px", set=dict(train_size=176), gain={"resnet50_v1d": 0.16}),
        Row("ema", "+ EMA", add=(_TORCHVISION_EMA,), gain={"resnet50_v1d": 0.254}),
        Row("resize", "+ resized to 232 px", set=dict(crop_ratio=224 / 232), gain={"resnet50_v1d": 0.224}),
        Row("repeats", "+ repeated augmentation", set=dict(aug_repeats=4), gain={"resnet50_v1d": 0.184}),
        Row("baseline", "torchvision's baseline", base="", paper={"resnet50_v1b": (76.130, 92.862)}, gain=_V1B),
        Row(
            "torchvision",
            "torchvision 2021",
            base="baseline",
            set=_TORCHVISION,
            add=(
                LinearScaling(205), Warmup(5), Cosine(), NoBiasDecay(), LabelSmoothing(form="gluoncv"),
                MixupOrCutMix(), RandomErasing(0.1), _TORCHVISION_EMA,
            ),
            paper={"resnet50_v1b": (80.858, 95.434)},
            gain=_V1B,
        ),
        Row(
            "a3",
            "timm A3",
            base="baseline",
            set=dict(epochs=100, train_size=160, auto_augment="rand-m6-n2", **_TIMM),
            add=(Warmup(5), Cosine(), NoBiasDecay(), MixupOrCutMix(0.1), SigmoidLoss(0.2), *_LAMB),
            paper={"resnet50_v1b": (78.1, math.nan)},
            gain=_V1B,
        ),
        Row(
            "a2",
            "timm A2",
            base="a3",
            set=dict(epochs=300, train_size=None, lr=5e-3, auto_augment="rand-m7-n2", aug_repeats=3),
            add=(StochasticDepth(0.05),),
            paper={"resnet50_v1b": (79.8, math.nan)},
            gain=_V1B,
        ),
    ),
    proxy=dict(batch_size=64),
)  # fmt: skip
