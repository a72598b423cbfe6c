"""A detector as other programs take it."""

from __future__ import annotations

import math

from mxnet.gluon import HybridBlock

from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks.detection.anchors import map_size
from gluon_tricks.tasks.detection.settings import ASPECTS, STRIDE
from model_zoo.whole_images import WholeImages

MEANING = {
    "ids": "(1, D): the class of each box; -1: there is no box",
    "scores": "(1, D): in [0, 1]; boxes of less than 0.5 are usually left out",
    "boxes": "(1, D, 4): xmin, ymin, xmax, ymax in pixels of the resized photo, within it",
}


class ExportedDetector(HybridBlock):
    """One image (1, 3, H, W) of any size -> "ids" (1, D), "scores" (1, D) and "boxes" (1, D, 4), as predict has them.

    Each class is suppressed (NMS) by itself, in the graph.
    """

    def __init__(self, net: HybridBlock):
        super().__init__(prefix="")
        self.net = net

    @property
    def name(self) -> str:
        return self.net.name

    def hybrid_forward(self, F, images):
        ids, scores, boxes = self.net(images)
        width_height = F.reverse(F.slice_axis(F.shape_array(images), axis=0, begin=2, end=4), axis=0)
        far = F.reshape(F.cast(F.tile(width_height, reps=(2,)), dtype="float32"), shape=(1, 1, 4))
        boxes = F.broadcast_minimum(F.maximum(boxes, 0.0), far, name="boxes")
        xmin, ymin, xmax, ymax = F.split(boxes, axis=2, num_outputs=4)
        empty = (xmax - xmin) * (ymax - ymin) == 0
        ids = F.where(empty, -F.ones_like(ids), ids)
        return F.squeeze(ids, axis=2, name="ids"), F.squeeze(scores, axis=2, name="scores"), boxes


def exported_form(net: HybridBlock, recipe: DetectionRecipe) -> tuple[ExportedDetector, WholeImages]:
    """See Task."""
    settings = net.settings
    places = math.ceil(settings.proposals_in_prediction / (len(settings.anchor_scales) * len(ASPECTS)))
    steps = WholeImages(
        recipe.task, recipe.mean, recipe.std, tuple(net.classes), MEANING, recipe.long, recipe.short, net.smallest_side,
        places, _added(net), one_by_one=True,
    )  # fmt: skip
    return ExportedDetector(net), steps


def _added(net: HybridBlock) -> int:
    """The px by which a side of the feature map is (side + px) // STRIDE: a chain of strided layers is of that form."""
    least = net.smallest_side
    sizes = [map_size(net, side, side)[0] for side in range(least, least + STRIDE + 1)]
    first = next(k for k, size in enumerate(sizes) if size > sizes[0])
    return STRIDE * (sizes[0] + 1) - (least + first)
