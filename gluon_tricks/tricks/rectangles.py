"""Rectangles of images on their device, of which a trick pastes or erases what lies inside."""

from __future__ import annotations

import mxnet as mx
import numpy as np


def inside(boxes: np.ndarray, images: mx.nd.NDArray) -> mx.nd.NDArray:
    """1 inside each image's rectangle, 0 outside.

    Args:
        boxes: (N, 4) or (1, 4) for all images, px: left, top, right, bottom; right and bottom lie outside. A rectangle
            without area is none.
        images: (N, C, H, W); what is returned has its device and dtype.

    Returns: (N, 1, H, W) or (1, 1, H, W).
    """
    height, width = images.shape[2:]
    left, top, right, bottom = (
        mx.nd.array(edge.reshape(-1, 1, 1, 1), ctx=images.context, dtype="float32") for edge in np.transpose(boxes)
    )
    x = mx.nd.arange(width, ctx=images.context).reshape((1, 1, 1, -1))
    y = mx.nd.arange(height, ctx=images.context).reshape((1, 1, -1, 1))
    column = mx.nd.broadcast_greater_equal(x, left) * mx.nd.broadcast_lesser(x, right)  # (n, 1, 1, W)
    row = mx.nd.broadcast_greater_equal(y, top) * mx.nd.broadcast_lesser(y, bottom)  # (n, 1, H, 1)
    return mx.nd.broadcast_mul(row, column).astype(images.dtype)


def replaced(images: mx.nd.NDArray, by: mx.nd.NDArray, mask: mx.nd.NDArray) -> mx.nd.NDArray:
    """What lies where the mask is 1 comes from `by`, the rest from the images; each (n, C, H, W), n being N or 1."""
    kept = mx.nd.broadcast_mul(images, 1 - mask)
    return mx.nd.broadcast_add(kept, mx.nd.broadcast_mul(by, mask))
