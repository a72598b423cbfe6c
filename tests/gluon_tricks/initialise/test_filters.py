"""Filters from patches: what principal components and spherical k-means are, on data made for it."""

import numpy as np
import pytest

from gluon_tricks.initialise import filters
from gluon_tricks.initialise.filters import Window

PLAIN = Window((2, 2), (1, 1), (0, 0), (1, 1), 1)


def test_patches_are_what_the_window_sees():
    image = np.arange(9.0, dtype=np.float32).reshape(1, 1, 3, 3)
    found = filters.patches([image], PLAIN, 0, np.random.default_rng(0))
    assert sorted(map(tuple, found.tolist())) == [(0, 1, 3, 4), (1, 2, 4, 5), (3, 4, 6, 7), (4, 5, 7, 8)]


@pytest.mark.parametrize(
    ("window", "first"),
    [
        (Window((2, 2), (1, 1), (1, 1), (1, 1), 1), (0, 0, 0, 0)),  # the corner: three zeros of padding and pixel 0
        (Window((2, 2), (1, 1), (0, 0), (2, 2), 1), (0, 2, 6, 8)),  # every second pixel
        (Window((1, 1), (2, 2), (0, 0), (1, 1), 1), (0,)),
    ],
)
def test_padding_dilation_and_stride(window, first):
    image = np.arange(9.0, dtype=np.float32).reshape(1, 1, 3, 3)
    found = sorted(map(tuple, filters.patches([image], window, 0, np.random.default_rng(0)).tolist()))
    assert found[0] == first and len(found) == {(1, 1): 16}.get(window.padding, 1 if window.dilation == (2, 2) else 4)


def test_a_group_sees_its_own_channels():
    image = np.stack([np.full((2, 2), k, np.float32) for k in range(4)])[None]
    window = Window((1, 1), (1, 1), (0, 0), (1, 1), 2)
    assert filters.patches([image], window, 1, np.random.default_rng(0)).tolist() == [[2, 3]] * 4


def test_principal_components_give_white_outputs():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, 6))
    rows = (rng.standard_normal((5000, 6)) @ mixing + 3).astype(np.float32)
    outputs = (rows - rows.mean(axis=0)) @ filters.pca(rows, 4).T
    np.testing.assert_allclose(np.cov(outputs.T), np.eye(4), atol=0.02)
    assert filters.pca(rows, 9).shape == (6, 6)


def test_the_first_component_is_the_direction_of_the_largest_variance():
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((4000, 1)) * [[3, 4]] + 0.1 * rng.standard_normal((4000, 2))).astype(np.float32)
    first = filters.pca(rows, 1)[0]
    np.testing.assert_allclose(abs(first / np.linalg.norm(first)), [0.6, 0.8], atol=0.01)


def test_of_fewer_rows_than_dimensions_the_components_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((12, 40)) * np.linspace(3, 0.1, 40) + 1).astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(rows.T.astype(np.float64), bias=True))
    expected = (vectors / np.sqrt(values.clip(0) + 0.001))[:, ::-1]
    found = filters.whitening(rows, 40).matrix
    assert found.shape == (40, 11)  # twelve points span eleven directions
    signs = np.sign((found * expected[:, :11]).sum(axis=0))
    np.testing.assert_allclose(found, expected[:, :11] * signs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(filters.whitening(rows, 3).matrix, found[:, :3], rtol=1e-9)


def test_kmeans_of_one_centre_ends_when_no_row_moves(monkeypatch):
    """As of each channel of a depthwise convolution: it is the direction of the sum of its rows, after one round."""
    rows = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    rounds, matrix = [], filters.scipy.sparse.csr_matrix
    monkeypatch.setattr(filters.scipy.sparse, "csr_matrix", lambda *a, **k: rounds.append(1) or matrix(*a, **k))
    found = filters.kmeans(rows, 1, np.random.default_rng(1))
    assert len(rounds) == 1
    white = filters.whitening(rows, 1)
    points = np.sign((rows - white.mean) @ white.matrix)
    np.testing.assert_allclose(found, np.sign(points.sum()) * white.matrix.T, rtol=1e-6)


def test_kmeans_finds_planted_directions():
    """Rows along three axes, to both sides: with centres to spare there is one on each half axis, and none elsewhere.

    Three centres of four half axes would lie between two of them, at 45 degrees: a cosine of 0.71.
    """
    rng = np.random.default_rng(0)
    rows = np.zeros((3000, 3), np.float32)
    rows[np.arange(3000), np.arange(3000) % 3] = rng.choice([-1, 1], 3000) * rng.uniform(1, 2, 3000)
    rows += 0.01 * rng.standard_normal(rows.shape).astype(np.float32)
    found = filters.kmeans(rows, 24, np.random.default_rng(2))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    cosines = found @ np.concatenate([np.eye(3), -np.eye(3)]).T
    assert (cosines.max(axis=0) > 0.99).all() and (cosines.max(axis=1) > 0.99).all()


def test_nothing_varies():
    rows = np.full((50, 4), 2, np.float32)
    assert filters.kmeans(rows, 3, np.random.default_rng(0)).shape[0] == 0
    assert filters.pca(rows, 3).shape[0] == 0
