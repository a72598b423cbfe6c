"""Filters for a convolution from the patches that it sees: principal components, or the centres of spherical k-means.

Source: section 3.3; Coates & Ng, Learning feature representations with k-means (2012).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.sparse

from gluon_tricks.core.moves import moved

MEMORY = 256 << 20  # bytes of a sample of patches; what is made of them takes three times as much
MOST_PATCHES = 100_000
_REGULAR = 1e-3  # added to eigenvalues before the root
_LEAST = 1e-6  # eigenvalues under it, relative to the first, are no direction of the data
_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Window:
    """Where a convolution looks.

    Args:
        kernel, stride, padding, dilation: height and width of each, px of its input.
        groups: that see their own channels only.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def patches(chunks: Sequence[np.ndarray], window: Window, group: int, rng: np.random.Generator) -> np.ndarray:
    """A sample of what one group of a convolution sees: (S, C / groups * kernel area), float32.

    Args:
        chunks: iterable of maps (n, C, H, W), each array being used once.

    Returns: rows in the order (channel, row, column), as a weight has them; at places drawn uniformly, at most as many
        as MEMORY and MOST_PATCHES take, from all images alike.
    """
    chunks = list(chunks)
    images = sum(len(chunk) for chunk in chunks)
    channels = chunks[0].shape[1] // window.groups
    (kh, kw), (ph, pw), (dh, dw), (sh, sw) = window.kernel, window.padding, window.dilation, window.stride
    height = (chunks[0].shape[2] + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    width = (chunks[0].shape[3] + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    size = channels * kh * kw
    most = min(MOST_PATCHES, MEMORY // (4 * size))
    each = min(height * width, max(most // images, 1))
    found = np.empty((images * each, size), np.float32)
    row = 0
    for chunk in chunks:
        for image in chunk:
            maps = image[group * channels : (group + 1) * channels]
            maps = np.pad(maps, ((0, 0), (ph, ph), (pw, pw)))
            windows = np.lib.stride_tricks.sliding_window_view(maps, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), (1, 2))
            windows = windows[:, ::sh, ::sw, ::dh, ::dw]  # (C / groups, height, width, kh, kw), nothing copied
            y, x = np.divmod(rng.choice(height * width, each, replace=False), width)
            found[row : row + each] = windows[:, y, x].swapaxes(0, 1).reshape(each, size)
            row += each
        moved()
    return found


@dataclasses.dataclass(frozen=True)
class Whitening:
    """x -> (x - mean) @ matrix, which has unit variance in every direction that the data has.

    Args:
        mean: (D,). matrix: (D, P), P directions, the first being that of the largest variance.
    """

    mean: np.ndarray
    matrix: np.ndarray


def whitening(rows: np.ndarray, most: int) -> Whitening:
    """Of rows (S, D): their first `most` principal components, over the root of eigenvalue + 0.001."""
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean.astype(rows.dtype)
    few = len(rows) < rows.shape[1]
    values, vectors = (_components_of_few if few else _components)(centred, min(most, rows.shape[1], len(rows) - 1))
    values, vectors = values[::-1], vectors[:, ::-1]  # largest first
    there = values > max(values[0], 0) * _LEAST
    return Whitening(mean, vectors[:, there] / np.sqrt(values[there] + _REGULAR))


def _components(centred: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues (P,) of the covariance of rows (S, D) of mean 0, rising, and its vectors (D, P)."""
    # Of a symmetric product BLAS computes one half, which is all that eigh reads.
    product = scipy.linalg.blas.get_blas_funcs("syrk", (centred,))
    covariance = product(1.0, centred.T, lower=1).astype(np.float64) / len(centred)
    size = len(covariance)
    return scipy.linalg.eigh(covariance, subset_by_index=(size - wanted, size - 1))


def _components_of_few(centred: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by the inner products of the rows (S, S), which has these eigenvalues too and is smaller if S < D."""
    centred, size = centred.astype(np.float64), len(centred)
    values, weights = scipy.linalg.eigh(centred @ centred.T / size, subset_by_index=(size - wanted, size - 1))
    vectors = centred.T @ weights
    return values, vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-30)


def pca(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` filters (M, D): outputs that are white and decorrelated on the rows (S, D)."""
    return whitening(rows, count).matrix.T


def kmeans(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` filters (M, D): the centres of spherical k-means on the whitened rows (S, D), back through the whitening.

    Spherical: rows and centres have length 1, a row belongs to the centre with the largest inner product, a centre is
    the direction of the sum of its rows. A centre without rows starts again at a row drawn anew. S must be M or more.
    """
    white = whitening(rows, count)
    points = ((rows - white.mean) @ white.matrix).astype(np.float32)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    points = points[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    if not len(points):
        return np.zeros((0, rows.shape[1]))
    centres = points[rng.choice(len(points), count, replace=len(points) < count)]
    ones, before = np.ones(len(points), np.float32), None
    for _ in range(_ROUNDS):
        moved()
        nearest = np.concatenate([(part @ centres.T).argmax(axis=1) for part in np.array_split(points, 16)])
        owners = np.unique(nearest)
        if len(owners) == count and np.array_equal(nearest, before):
            break  # the same rows give the same centres, now and in all rounds to come
        before = nearest
        owned = scipy.sparse.csr_matrix((ones, (nearest, np.arange(len(points)))), shape=(count, len(points)))
        centres = points[rng.choice(len(points), count)]  # for those without rows
        centres[owners] = (owned @ points)[owners]
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return centres.astype(np.float64) @ white.matrix.T
