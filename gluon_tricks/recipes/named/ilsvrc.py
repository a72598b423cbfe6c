"""The ILSVRC winners as they were trained: AlexNet, ZFNet, VGG and ResNet, at the scale of their papers.

    gluon-tricks train --recipe alexnet_2012 --plan
    gluon-tricks train --recipe vgg19_jittered --rec-train train.rec --rec-val val.rec

Source: ILSVRC winners, "data manipulation" and "training" of each network; where that says nothing, the papers, as told
    below.
Differs: whether the validation error "stopped improving" was judged by hand; here five epochs without a new best are
    one plateau (plateau.patience), and the run ends after the one that follows the last drop. AlexNet's images have 227
    px, where its paper says 224 (see model_zoo.alexnet).
"""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import Plateau

_THREE_DROPS = (Plateau(by=0.1, drops=3),)
_UNSCALED = (1.0, 1.0, 1.0)  # of all four: a mean is subtracted, and nothing divided

# Random crops of 256 x 256 and their mirror images, PCA noise; biases of 1 are the network's own.
ALEXNET = Recipe(
    name="alexnet_2012",
    model="alexnet_2012",
    crop="square",
    side=(256, 256),
    crop_ratio=227 / 256,
    std=_UNSCALED,
    mean_of="pixels",
    augment="alexnet",
    init="gaussian",
    init_sd=0.01,
    epochs=90,
    batch_size=128,
    lr=0.01,
    wd=5e-4,
    optimizer="sgd",
    tricks=_THREE_DROPS,
)

# The document has its first layer and its size. From the paper, section 3.1: 70 epochs, batch, rate and start as here,
# no colours. Of weight decay neither speaks: AlexNet's. There ten fixed crops, here any of the square; there filters of
# a root mean square beyond 0.1 are scaled back.
ZFNET = ALEXNET.set(name="zfnet", model="zfnet", crop_ratio=224 / 256, augment="flip", epochs=70)

# Xavier, as found after the submission; --shallow RUN with --init gaussian --set init_sd=0.1 (a variance of 0.01) is
# how it was submitted, RUN being a vgg11. S is 256; --set side=[384,384] is the other fixed one, whose validation
# images are as large with --crop-ratio 0.58334, which is 224 of 384 px.
_VGG16 = Recipe(
    name="vgg16",
    model="vgg16",
    crop="side",
    side=(256, 256),
    crop_ratio=224 / 256,
    std=_UNSCALED,
    mean_of="channels",
    augment="alexnet",
    epochs=74,
    batch_size=256,
    lr=0.01,
    wd=5e-4,
    optimizer="sgd",
    tricks=_THREE_DROPS,
)
_FIXED = [_VGG16.set(name=f"vgg{depth}", model=f"vgg{depth}") for depth in (11, 16, 19)]
VGG = (*_FIXED, *(recipe.set(name=f"{recipe.model}_jittered", side=(256, 512)) for recipe in _FIXED[1:]))

# 120 epochs are 60 x 10^4 steps of 256 images. How often the rate falls is not said: three times at most.
RESNETS = tuple(
    Recipe(
        name=f"resnet{depth}_2015",
        model=f"resnet{depth}_v1",
        crop="side",
        side=(256, 480),
        crop_ratio=224 / 256,
        std=_UNSCALED,
        mean_of="pixels",
        augment="alexnet",
        init="kaiming",
        epochs=120,
        batch_size=256,
        lr=0.1,
        wd=1e-4,
        optimizer="sgd",
        tricks=_THREE_DROPS,
    )
    for depth in (18, 34, 50, 101, 152)
)

RECIPES = (ALEXNET, ZFNET, *VGG, *RESNETS)
