"""Where a detector's anchors are: boxes of several sizes and shapes at every place of its feature map."""

from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from gluon_tricks.core.errors import Refused
from gluon_tricks.tasks.detection.settings import ANCHOR_GRID, ASPECTS, STRIDE


def map_size(net: HybridBlock, height: int, width: int) -> tuple[int, int]:
    """Height and width of the feature map of images of a size in px; found out once for each."""
    sizes = net.__dict__.setdefault("map_sizes", {})
    if (height, width) not in sizes:
        features = net.features(mx.sym.var("images"))
        sizes[height, width] = features.infer_shape(images=(1, 3, height, width))[1][0][2:]
    return sizes[height, width]


def with_room(net: HybridBlock, images: mx.nd.NDArray, proposals: int) -> mx.nd.NDArray:
    """Images (n, 3, H, W) with zeros at the right and at the bottom until the network takes them.

    A strip or a small image may be lower than the base's convolutions need, or have fewer anchors than proposals, which
    GluonCV's network does not take.
    """
    height, width = (max(side, net.smallest_side) for side in images.shape[2:])
    while np.prod(map_size(net, height, width)) * len(net.settings.anchor_scales) * len(ASPECTS) < proposals:
        height, width = (height + STRIDE, width) if height <= width else (height, width + STRIDE)
    more = (height - images.shape[2], width - images.shape[3])
    if not any(more):
        return images
    return mx.nd.pad(images, mode="constant", pad_width=(0, 0, 0, 0, 0, more[0], 0, more[1]), constant_value=0)


def anchors_of(net: HybridBlock, shape: tuple[int, int]) -> np.ndarray:
    """(A, 4) corners in px, in the order of the network's outputs, for images of that height and width."""
    if not hasattr(net, "anchor_grid"):
        net.anchor_grid = net.rpn.anchor_generator.anchors.list_data()[0].asnumpy()[0, 0]
    height, width = map_size(net, *shape)
    if max(height, width) > len(net.anchor_grid):
        raise Refused(f"images of {shape[0]}x{shape[1]} px are too large: a side has at most {STRIDE * ANCHOR_GRID} px")
    return net.anchor_grid[:height, :width].reshape(-1, 4)
