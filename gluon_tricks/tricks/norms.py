"""The length of a gradient, on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mxnet as mx

if TYPE_CHECKING:
    from mxnet.nd import NDArray


_ROW = 1000  # numbers that are added up one after the other


def length(arrays: Sequence[NDArray]) -> NDArray:
    """sqrt(sum_i x_i^2) over all numbers of arrays on one device, (1,) float32; nothing waits for it.

    Differs: from MXNet's norm and multi_sum_sq, which add up one after the other: of 8 M numbers on a CPU they are
        0.5 % off and of 20 M 2 %, and of float16 they overflow. sum() compensates.
    """
    squares = [part for array in arrays for part in _squares(array.astype("float32", copy=False).reshape(-1))]
    return mx.nd.add_n(*squares).sqrt()


def _squares(flat: NDArray) -> list[NDArray]:
    """Sums of the squares of an array (n,), each (1,): rows of it by a matrix product, which makes no array of n."""
    whole = len(flat) // _ROW * _ROW
    sums = [flat[whole:].square().sum()] if whole < len(flat) else []
    if whole:
        rows = flat[:whole].reshape((-1, 1, _ROW))
        sums.append(mx.nd.batch_dot(rows, rows, transpose_b=True).sum())
    return sums
