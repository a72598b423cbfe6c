"""ImageNet models with batch normalisation, as their authors trained them.

    gluon-tricks train --recipe cvjena/resnet10 --rec-train train.rec --rec-val val.rec

The rate falls linearly to 0, without warm-up. Training crops are random squares of images whose shorter side has 256
px, validation has the one in the middle. Pixels go into the network as they are: it normalises them itself. What is
reported is the last network, which final.params holds, not the best. Where the loss explodes the run goes back to its
newest checkpoint with another order of the images, at the same rate.

Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), section 3.
Differs: the paper does not say that images are mirrored (it used no "color, scale or aspect ratio augmentation"), so
    they are not; --augment flip does it. Nor does it say momentum and weight decay: here 0.9, and what the networks'
    own papers have. Weights start as in the authors' definitions, which the networks bring.
"""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import LinearDecay


def _trained(name: str, lr: float, wd: float, input_size: int = 224) -> Recipe:
    return Recipe(
        name=f"cvjena/{name}",
        model=f"cvjena_{name}",
        crop="side",
        side=(256, 256),
        input_size=input_size,
        crop_ratio=input_size / 256,
        augment="none",
        init="gluoncv",
        epochs=64,
        batch_size=256,
        lr=lr,
        wd=wd,
        optimizer="sgd",
        rollback_lr=1.0,
        tricks=(LinearDecay(),),
    )


RECIPES = (
    _trained("alexnet", lr=0.05, wd=5e-4, input_size=227),
    _trained("vgg19", lr=0.01, wd=5e-4),
    _trained("resnet10", lr=0.1, wd=1e-4),
    _trained("resnet50", lr=0.1, wd=1e-4),
)
