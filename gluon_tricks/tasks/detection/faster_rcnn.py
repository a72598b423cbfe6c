"""GluonCV's Faster-RCNN, traced for what it is used for. Importing this imports gluoncv."""

from __future__ import annotations

import warnings

import mxnet as mx
from mxnet import autograd

from gluon_tricks.core import foreign
from gluon_tricks.tasks.detection.anchors import with_room

# isort: split
foreign.import_gluoncv()

from gluoncv.model_zoo.rcnn.faster_rcnn.faster_rcnn import FasterRCNN  # noqa: E402 (torch had to be hidden first)
from gluoncv.model_zoo.rcnn.rpn.proposal import RPNProposal  # noqa: E402


class FiniteProposals(RPNProposal):
    """GluonCV's proposals without those that are no numbers: of such corners MXNet's ROIAlign ends the process.

    A training that diverges has some for a few steps, before its loss is read and it is taken back.
    """

    def hybrid_forward(self, F, anchor, score, bbox_pred, img):
        found = super().hybrid_forward(F, anchor, score, bbox_pred, img)  # (n, anchors, 5): score and corners
        return F.where(found - found == 0, found, -F.ones_like(found))  # inf - inf and NaN - NaN are NaN; -1: none


class Detector(FasterRCNN):
    """A Faster-RCNN that may be trained and may predict by turns, also when hybridized.

    Called in training mode with images (n, 3, H, W), boxes (n, M, 4) and labels (n, M, 1), padded with -1, and in
    prediction with one image (1, 3, H, W); returns what FasterRCNN does.

    In prediction a strip or a small image is padded with zeros at the right and at the bottom: see with_room.

    Differs: GluonCV's network is built for one number of images in training, and its users hybridize it anew whenever
        they turn from training to prediction: its graph is another in each, and only the first is traced.
    """

    output_parts = ("rpn", "class_predictor", "box_predictor", "_target_generator")
    _traced_for = None

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        theirs = self.rpn.region_proposer
        self.rpn.region_proposer = FiniteProposals(theirs._box_decoder._clip, theirs._min_size, stds=(1.0,) * 4)

    def forward(self, images, *targets):
        if not isinstance(images, mx.nd.NDArray):
            return super().forward(images, *targets)
        use = len(images) if autograd.is_training() else "prediction"
        if use == "prediction":
            images = with_room(self, images, self.settings.proposals_in_prediction)
        if use == self._traced_for:
            return super().forward(images, *targets)
        if use != "prediction":
            self._batch_size = self.sampler._num_image = self.target_generator._box_encoder._batch_size = use
        self._clear_cached_op()
        self._traced_for = use
        with warnings.catch_warnings():  # the targets' parameters are not used in prediction, as they should not be
            warnings.simplefilter("ignore", UserWarning)
            return super().forward(images, *targets)
