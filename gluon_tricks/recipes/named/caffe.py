"""ImageNet recipes of Caffe's two reference models, CaffeNet and GoogLeNet ("quick").

Numbers: the solvers and networks in models/bvlc_reference_caffenet and models/bvlc_googlenet of BVLC's Caffe.
Differs: Caffe counts iterations, and here whole epochs stand for them: 20 of 1,281,167 / 256 for 100,000, 90 for
450,000; 60 of 1,281,167 / 32 for 2,400,000. Caffe's images were made 256x256 without regard to their proportions, and
these are cropped from images of shorter side 256. Its biases learn at twice the rate, and here like the weights.
"""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import NoBiasDecay, PolyDecay, StepDecay

_CAFFE = dict(optimizer="sgd", lr=0.01, momentum=0.9, init="gluoncv", crop="side", side=(256, 256), augment="flip")

CAFFENET = Recipe(
    name="caffenet", model="caffenet", epochs=90, batch_size=256, wd=5e-4,
    tricks=(NoBiasDecay(), StepDecay((20, 40, 60, 80))), **_CAFFE,
)  # fmt: skip
GOOGLENET = Recipe(
    name="googlenet_quick", model="googlenet_2014_aux", epochs=60, batch_size=32, wd=2e-4,
    tricks=(NoBiasDecay(), PolyDecay(power=0.5)), **_CAFFE,
)  # fmt: skip
RECIPES = (CAFFENET, GOOGLENET)
