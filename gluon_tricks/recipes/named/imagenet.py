"""ImageNet recipes: the paper's two starting points, and what GluonCV's flags mean by default."""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import (
    LabelSmoothing,
    LinearDecay,
    LinearScaling,
    NoBiasDecay,
    Resizing,
    StepDecay,
    Warmup,
    ZeroGamma,
)

# Section 2.1: 120 epochs of NAG, batch 256, lr 0.1 divided by 10 at epochs 30, 60 and 90.
# Its ResNet-50 is v1: table 5 has the efficient setting of tables 3 and 4, 76.21 %, in the row before ResNet-50-B.
BASELINE = Recipe(name="baseline", model="resnet50_v1", tricks=(LinearScaling(), StepDecay((30, 60, 90))))

# Section 3, the "efficient" column of table 3: batch 1024 in float16 with all of the section's heuristics.
EFFICIENT = BASELINE.set(name="efficient", batch_size=1024, dtype="float16").add(Warmup(5), ZeroGamma(), NoBiasDecay())

# Inception-V3 is trained on larger images (section 2.2). Its teacher in table 6 is the ResNet that the others have.
INCEPTION = dict(model="inceptionv3", input_size=299, teacher_size=224)

# GluonCV's train_imagenet.py without a flag (its model has no default), but that the rate is scaled with the batch, as
# section 3.1 has it: 0.0125 for these 32 images. `Differs:` GluonCV has lr 0.1 whatever the batch; --lr 0.1 gives that.
GLUONCV = Recipe(
    name="imagenet",
    epochs=3,
    batch_size=32,
    init="gluoncv",
    augment="gluoncv",
    tricks=(LinearScaling(), StepDecay((40, 60))),
)


# FFCV's trainings of ResNet-50 (Leclerc et al., FFCV, 2023), of 16 to 88 epochs: small images that grow near the end,
# blurred strides, a rate that peaks after two epochs and falls linearly, and validation at a larger size than training.
# `Differs:` validation is of the image alone, not of its mirror image too.
def _fast(epochs: int) -> Recipe:
    grows = (round(0.74 * epochs), round(0.86 * epochs))  # from which epoch to which: 65 and 76 of 88
    return BASELINE.set(
        name=f"fast{epochs}", model="resnet50_v1b", net={"blur": True}, epochs=epochs, batch_size=1024, lr=1.7,
        optimizer="sgd", wd=1e-4, dtype="float16", augment="flip", min_area=0.35, train_size=192, input_size=256,
        crop_ratio=224 / 256,
    ).without("step_decay").add(
        Warmup(2), LinearDecay(), NoBiasDecay(), LabelSmoothing(form="gluoncv"), Resizing((160, 160), grows)
    )  # fmt: skip


RECIPES = (GLUONCV, BASELINE, EFFICIENT, _fast(16), _fast(40))
