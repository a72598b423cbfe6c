"""ImageNet recipes: the paper's two starting points, and what GluonCV's flags mean by default."""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import LinearScaling, NoBiasDecay, StepDecay, Warmup, ZeroGamma

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

RECIPES = (GLUONCV, BASELINE, EFFICIENT)
