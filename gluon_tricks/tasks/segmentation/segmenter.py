"""A fully convolutional network on the last two stages of a classifier.

images -> stages -> second to last map -> auxiliary head -> upsampled to the images' size
                 -> last map -> head -> upsampled to the images' size
stride    8, 8                 8                              1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from model_zoo.classifier import Classifier

STRIDE = 8  # pixels of the images between two numbers of a map
_DILATED = "ResNet v1b, v1c and v1d, ResNeXt, SE-ResNeXt, MobileNet, DenseNet and cvjena_resnet"


class Segmenter(HybridBlock):
    """A class for every pixel. Made by build_segmenter, whose arguments it takes.

    Returns: called with images (N, 3, H, W) of any size: a list of logits (N, K, H, W), of the head and then, if there
        is one, of the auxiliary head; in training and prediction alike, as GluonCV's FCN.
    """

    output_parts = ("head", "aux_head")

    def __init__(self, base: Classifier, classes: int, aux: bool, norm_layer: Callable, norm_kwargs: Mapping | None):
        import_gluoncv()
        from gluoncv.model_zoo.fcn import _FCNHead as Head

        super().__init__(prefix=f"{base.name}_fcn_")
        self.classes, self.smallest_side = classes, base.smallest_for_features
        norm = dict(norm_layer=norm_layer, norm_kwargs=dict(norm_kwargs or {}))
        with self.name_scope():
            self.base = base.features_at(base.stages - 1, base.stages)
            channels = _channels(base, self.base)
            self.head = Head(channels[1], classes, **norm)
            self.aux_head = Head(channels[0], classes, **norm) if aux else None

    @property
    def heads(self) -> list[HybridBlock]:
        """What is new beside the base and has learned nothing yet."""
        return [head for head in (self.head, self.aux_head) if head is not None]

    def coarse(self, images: mx.nd.NDArray) -> mx.nd.NDArray:
        """Images (N, 3, H, W) -> the head's logits at stride 8, (N, K, h, w): all that prediction needs."""
        return self.head(self.base(images)[1])

    def hybrid_forward(self, F, images):
        before_last, last = self.base(images)
        coarse = [self.head(last)] + ([] if self.aux_head is None else [self.aux_head(before_last)])
        return [F.contrib.BilinearResize2D(logits, images, mode="like") for logits in coarse]


def build_segmenter(
    base: Classifier,
    classes: int,
    aux: bool = True,
    norm_layer: Callable = nn.BatchNorm,
    norm_kwargs: Mapping | None = None,
) -> Segmenter:
    """FCN on a network of the zoo, whose parameters it shares; those of the heads are not initialised yet.

    Args:
        base: made with dilated=True.
        classes: K, at least 1; void is none of them.
        aux: with the auxiliary head.
        norm_layer, norm_kwargs: of the heads' normalisation. For statistics over all ranks, the very function that
            the base was made with: it numbers its layers, and the numbers must go on.

    Raises:
        Refused: the base's last two maps are not at stride 8; no class.

    Source: section 6.2; Long et al., Fully convolutional networks (CVPR 2015); Zhao et al., Pyramid scene parsing
        network (CVPR 2017), for the auxiliary head. The heads are GluonCV's; the upsampling maps corners on corners,
        as its does.
    Differs: GluonCV's FCN has a base of its own, resnet50_v1s. It gives its heads 10 times the learning rate
        (lr_mult); here that is for the training to say, see `heads`.
    """
    if classes < 1:
        raise Refused(f"a segmenter of {classes} classes: give at least 1")
    return Segmenter(base, classes, aux, norm_layer, norm_kwargs)


def _channels(base: Classifier, features: HybridBlock) -> list[int]:
    """The channels of both maps, if both are at stride 8."""
    fine = -(-max(64, base.smallest_for_features) // STRIDE)
    side = fine * STRIDE
    maps = mx.sym.Group(features(mx.sym.Variable("images")))
    shapes = maps.infer_shape_partial(images=(1, 3, side, side))[1]
    if any(shape[2:] != (fine, fine) for shape in shapes):
        seen = shapes[1][2]
        raise Refused(
            f"{base.name} as it was made ends in a map of {seen}x{seen} for images of {side}x{side}, and a segmenter "
            f"needs {fine}x{fine}: make it with dilated=True, which these have: {_DILATED}"
        )
    return [shape[1] for shape in shapes]
