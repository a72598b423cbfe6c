"""CIFAR-10 recipes: GluonCV's published commands, and the training of the document on the degradation problem."""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import (
    Ema,
    LabelSmoothing,
    LinearDecay,
    Mixup,
    NoBiasDecay,
    Resizing,
    StepDecay,
    Warmup,
)

# GluonCV's script for CIFAR-10 as its logs have it: NAG, batch 128 on any number of devices, a black border of 4 px.
# The rate is 0.1 for any batch. Mean and deviation are the networks' own, which are that script's.
CIFAR10 = Recipe(
    name="cifar10",
    model="cifar_resnet20_v1",
    data="records",
    crop="pad",
    pad_colour="black",
    augment="flip",
    epochs=200,
    batch_size=128,
    lr=0.1,
    tricks=(StepDecay((100, 150)),),
)

# Its script with mixup, whose alpha 1 and last 20 epochs without mixup are no flags.
CIFAR10_MIXUP = CIFAR10.set(name="cifar10_mixup", epochs=350).add(
    StepDecay((150, 250)), Mixup(alpha=1.0, off_epochs=20)
)

_STEPS = 50_000 // 128  # an epoch

# Section 4.2 of He et al. (CVPR 2016): SGD, batch 128 on two GPUs, so that a batch normalisation sees 64 images; lr 0.1
# divided by 10 after 32,000 and 48,000 of 64,000 iterations, which end here with the epoch, after 63,960; the mean of
# every pixel subtracted. `Differs:` the inputs are divided by the network's own deviation too, which the stem's batch
# normalisation undoes.
CIFAR10_2015 = CIFAR10.set(
    name="cifar10_2015",
    init="kaiming",
    mean_of="pixels",
    pad_colour="mean",
    optimizer="sgd",
    epochs=64_000 // _STEPS,
    bn_batch=64,
).add(StepDecay((32_000 / _STEPS, 48_000 / _STEPS)))

# For gluon-tricks benchmark time_to_accuracy: an eighth of the epochs, the first half on images of 24 px.
CIFAR_FAST = CIFAR10.set(name="cifar_fast", epochs=24, lr=0.2, wd=5e-4, dtype="float16").add(
    Warmup(4), LinearDecay(), NoBiasDecay(), LabelSmoothing(), Ema(decay=0.999), Resizing((24,))
)

RECIPES = (CIFAR10, CIFAR10_MIXUP, CIFAR10_2015, CIFAR_FAST)
