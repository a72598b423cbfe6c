"""What a mean image takes from images on the device, beside the mean of every channel."""

from __future__ import annotations

import functools

import mxnet as mx
import numpy as np

from model_zoo.mean_image import MeanImage


class PixelMean:
    """What a mean image takes from images that are normalised by its channels' mean; without one nothing.

    Args:
        image: None: there is none.
        mean, std: per channel, which they are normalised by.
    """

    def __init__(self, image: MeanImage | None, mean: tuple[float, ...], std: tuple[float, ...]):
        self._image, self._mean, self._std = image, tuple(mean), tuple(std)
        self._on_device = functools.lru_cache(maxsize=16)(self._deviation)

    def __call__(self, images: mx.nd.NDArray) -> mx.nd.NDArray:
        """(N, 3, H, W) normalised -> the same less the mean image's deviation from its channels' mean."""
        if self._image is None:
            return images
        return mx.nd.broadcast_sub(images, self._on_device(images.context, *images.shape[2:], np.dtype(images.dtype)))

    def _deviation(self, context: mx.Context, height: int, width: int, dtype: np.dtype) -> mx.nd.NDArray:
        deviation = self._image.deviation(self._mean, self._std, height, width)
        return mx.nd.array(deviation[None], ctx=context, dtype=dtype)
