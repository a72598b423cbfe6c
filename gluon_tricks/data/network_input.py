"""What a batch of uint8 pixels and its augmentation make of the network's input: on the CPU by OpenCV, else on the GPU.

A CPU that computes the network has the pixels at hand, and OpenCV goes over them once, into the memory of MXNet's
array. A GPU is sent the pixels as they are, a quarter of the bytes.
"""

from __future__ import annotations

import collections
import ctypes
import functools

import cv2
import mxnet as mx
import numpy as np
from mxnet.base import _LIB, check_call


class NetworkInput:
    """Applies augment.coefficients to a batch: mirrored where flip is 1, then y = A x + B m + c at every pixel.

    Always computed in float32, also under `amp.init("bfloat16")`.

    Args:
        dtype: of the result: the network's own.
        hybrid: whether operators on a GPU are compiled into a graph.
        one_shape: all batches have one shape.
        reuse: on a CPU an array that was given is written anew after so many calls, once its readers are through: the
            pages of fresh memory take longer than the numbers in them. 0: every call gives a new one.
    """

    def __init__(self, dtype: str = "float32", hybrid: bool = True, one_shape: bool = True, reuse: int = 0):
        self._dtype, self._hybrid, self._one_shape, self._reuse = dtype, hybrid, one_shape, reuse
        self._arrays: dict[tuple, collections.deque[mx.nd.NDArray]] = {}

    def __call__(self, images: np.ndarray, matrix: np.ndarray, flip: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """The network's input (N, 3, H, W) on a device.

        Args:
            images: (N, H, W, 3) uint8, RGB, of any size.
            matrix: (N, 3, 7) float32, [A | B | c].
            flip: (N,) float32, 0 or 1.
        """
        if context.device_type == "cpu":
            count, height, width, _ = images.shape
            array = self._array((count, 3, height, width), context)
            on_host(images, matrix, flip, out=_memory(array))
            return array if self._dtype == "float32" else array.astype(self._dtype)
        return self._block(*(mx.nd.array(part, ctx=context, dtype=part.dtype) for part in (images, matrix, flip)))

    def _array(self, shape: tuple[int, ...], context: mx.Context) -> mx.nd.NDArray:
        """An array float32 that nobody reads."""
        if not self._reuse:
            return mx.nd.empty(shape, context)
        if (shape, context) not in self._arrays:  # of other shapes none comes again
            self._arrays = {place: ring for place, ring in self._arrays.items() if place[0] == shape}
            ring = (mx.nd.empty(shape, context) for _ in range(self._reuse))
            self._arrays[shape, context] = collections.deque(ring)
        ring = self._arrays[shape, context]
        ring.rotate()
        check_call(_LIB.MXNDArrayWaitToWrite(ring[0].handle))  # for those who still read what was there
        return ring[0]

    @functools.cached_property
    def _block(self) -> Preprocess:
        block = Preprocess(self._dtype)
        if self._hybrid:
            block.hybridize(static_alloc=True, static_shape=self._one_shape)
        return block


def _memory(array: mx.nd.NDArray) -> np.ndarray:
    """The numbers of an array float32 on a CPU where they lie, for as long as the array is there."""
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), array.shape)


def on_host(images: np.ndarray, matrix: np.ndarray, flip: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """What NetworkInput gives, as (N, 3, H, W) float32 in the host's memory.

    Args: as of NetworkInput.__call__, and
        out: what is written and returned; None: a new array.
    """
    count, height, width, _ = images.shape
    found = np.empty((count, 3, height, width), np.float32) if out is None else out
    for image, affine, mirrored, planes in zip(images, matrix, flip, found):
        offset = affine[:, 6:]  # (3, 1)
        if affine[:, 3:6].any():  # only contrast looks at the image's mean
            offset = offset + affine[:, 3:6] @ np.reshape(cv2.mean(image)[:3], (3, 1))
        pixels = (cv2.flip(image, 1) if mirrored else image).astype(np.float32)
        cv2.split(cv2.transform(pixels, np.hstack([affine[:, :3], offset])), list(planes))  # into the planes themselves
    return found


class Preprocess(mx.gluon.HybridBlock):
    """The same as operators, for a device to which pixels are sent as uint8.

    Always computed in float32, also under `amp.init("bfloat16")`.

    Args:
        dtype: of the result: the network's own.

    Inputs:
        images: (N, H, W, 3) uint8, RGB, of any size.
        matrix: (N, 3, 7) float32.
        flip: (N,) float32, 0 or 1.

    Returns: (N, 3, H, W).
    """

    def __init__(self, dtype: str = "float32"):
        super().__init__()
        self._dtype = dtype

    def hybrid_forward(self, F, images, matrix, flip):
        slope, of_mean, offset = (
            F.slice_axis(matrix, axis=2, begin=begin, end=end) for begin, end in ((0, 3), (3, 6), (6, 7))
        )
        source, area = self._source(F, images, flip)
        pixels = F.cast(F.take(images.reshape((-1, 3)), source, axis=0), "float32")  # (N, H*W, 3)
        # As a product with ones: the mean operator along this axis takes ten times as long.
        ones = F.ones_like(F.cast(source, "float32")).expand_dims(2)
        mean = F.broadcast_div(F.batch_dot(pixels, ones, transpose_a=True), area)  # (N, 3, 1)
        offset = offset + F.batch_dot(of_mean, mean)  # (N, 3, 1)
        # Transposing the pixels inside the product gives the network's layout for nothing.
        result = F.broadcast_add(F.batch_dot(slope, pixels, transpose_b=True), offset)  # (N, 3, H*W)
        result = F.reshape_like(result, images, lhs_begin=2, lhs_end=3, rhs_begin=1, rhs_end=3)  # (N, 3, H, W)
        return result if self._dtype == "float32" else F.cast(result, self._dtype)

    def _source(self, F, images, flip):
        """The number of the pixel that comes to each place, (N, H*W) int32, and H * W, (1, 1, 1) float32.

        Gathering pixels is three times as fast as reversing everything and choosing. The counting starts from the
        inputs because `arange` cannot be traced under AMP and the shape is unknown here.
        """
        plane = F.cast(F.slice(images, begin=(0, 0, 0, 0), end=(1, None, None, 1)), "float32")
        order = F.contrib.arange_like(plane)  # (1, H, W, 1): y W + x
        orders = F.concat(order, F.reverse(order, axis=2), dim=0).reshape((2, -1))  # as it is, mirrored
        area = F.max(order, keepdims=True).reshape((1, 1, 1)) + 1
        stride = F.cast(area.reshape((1, 1)), "int32")
        image = F.cast(F.contrib.arange_like(flip, axis=0), "int32").reshape((-1, 1))  # (N, 1)
        return F.broadcast_add(F.take(F.cast(orders, "int32"), flip), F.broadcast_mul(image, stride)), area
