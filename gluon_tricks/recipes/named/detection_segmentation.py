"""Where the scripts of section 6 start from, by data set: the paper's settings, and small ones for what is built in."""

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
