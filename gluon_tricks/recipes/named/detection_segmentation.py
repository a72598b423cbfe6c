"""Where the scripts of section 6 start from: the paper's settings, GluonCV's, and small ones for what is built in."""

from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tricks import Cosine, PolyDecay, Warmup

# Pictures of 200 to 260 px need no larger side, and 400 of them are learnt in minutes.
_SCENES = DetectionRecipe(
    name="faster_rcnn_scenes",
    model="resnet18_v1d",
    dataset="scenes",
    short=200,
    long=320,
    roi="small",
    epochs=4,
    batch_size=2,
    lr=0.01,
    tricks=(Warmup(epochs=0.5), Cosine()),
)
DETECTION = {
    "voc": DetectionRecipe(name="faster_rcnn_voc"),
    "coco": DetectionRecipe(name="faster_rcnn_coco", dataset="coco", train_splits=("train",), val_splits=("val",)),
    "scenes": _SCENES,
    "few_scenes": _SCENES.set(name="faster_rcnn_few_scenes", dataset="few_scenes"),
}

_MASKS = SegmentationRecipe(
    name="fcn_scenes",
    model="resnet18_v1d",
    dataset="scenes",
    crop=160,
    base_size=240,
    epochs=6,
    batch_size=8,
    lr=0.02,
    tricks=(PolyDecay(power=0.9),),
)
SEGMENTATION = {
    "ade20k": SegmentationRecipe(name="fcn_ade20k"),
    "masks": SegmentationRecipe(name="fcn_masks", dataset="masks"),
    "scenes": _MASKS,
    "few_scenes": _MASKS.set(name="fcn_few_scenes", dataset="few_scenes"),
}

# GluonCV's scripts where they differ from the paper, whose settings are the default: this work is about the paper.
GLUONCV = (
    # Its warm-up is for COCO alone.
    DETECTION["voc"].without("warmup").set(name="faster_rcnn_voc_gluoncv"),
    # Its lr is 0.01, and its Trainer divides the gradient of a mean loss by a device's images, of which 16 on 8 GPUs
    # are 2. lr (g / 2 + wd w) is lr / 2 (g + 2 wd w), for the heads at ten times the rate too. The weight of its
    # auxiliary loss is not in its gradient.
    SEGMENTATION["ade20k"].set(name="fcn_ade20k_gluoncv", lr=0.01 / 2, wd=2 * 1e-4, aux_weight=1.0),
)
RECIPES = (*DETECTION.values(), *SEGMENTATION.values(), *GLUONCV)
