"""A segmenter as other programs take it."""

from __future__ import annotations

from mxnet.gluon import HybridBlock

from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.tasks.segmentation.prediction import LONGEST
from gluon_tricks.tasks.segmentation.segmenter import Segmenter
from model_zoo.whole_images import WholeImages


class ExportedSegmenter(HybridBlock):
    """Images (N, 3, H, W) of any size -> "logits" (N, K, H, W), those of the head alone."""

    def __init__(self, net: Segmenter):
        super().__init__(prefix="")
        self.net = net

    @property
    def name(self) -> str:
        return self.net.name

    def hybrid_forward(self, F, images):
        return F.contrib.BilinearResize2D(self.net.coarse(images), images, mode="like", name="logits")


def exported_form(net: Segmenter, recipe: SegmentationRecipe) -> tuple[ExportedSegmenter, WholeImages]:
    """See Task."""
    names = recipe.class_names or tuple(f"class {k}" for k in range(net.classes))
    meaning = "(N, K, height, width): the likeliest class of a pixel has the largest; their softmax is its probability"
    steps = WholeImages(
        recipe.task, recipe.mean, recipe.std, names, {"logits": meaning}, LONGEST, smallest_side=net.smallest_side,
        interpolation="cv2.INTER_AREA",
    )  # fmt: skip
    return ExportedSegmenter(net), steps
