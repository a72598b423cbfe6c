"""The length of a gradient, on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mxnet as mx

if TYPE_CHECKING:
    from mxnet.nd import NDArray


def length(arrays: Sequence[NDArray]) -> NDArray:
    """sqrt(sum_i x_i^2) over all numbers of arrays on one device, (1,) float32; nothing waits for it.

    Differs: from MXNet's norm and multi_sum_sq, which add up one after the other: of 8 M numbers on a CPU they are
        0.5 % off and of 20 M 2 %, and of float16 they overflow. sum() compensates.
    """
    squares = [array.astype("float32", copy=False).square().sum() for array in arrays]
    return mx.nd.add_n(*squares).sqrt()
