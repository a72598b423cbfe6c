"""The outlines of the data set `shapes`: contours in the unit disc, (P, 2) float64 as x, y; an inner one is a hole."""

from __future__ import annotations

import cv2
import numpy as np


def polar(radii: np.ndarray) -> np.ndarray:
    """The closed contour through these radii at equal angles."""
    angles = np.arange(len(radii)) * (2 * np.pi / len(radii))
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


_CIRCLE = polar(np.ones(72))


def _disc(rng: np.random.Generator) -> list[np.ndarray]:
    return [_CIRCLE]


def _ring(rng: np.random.Generator) -> list[np.ndarray]:
    return [_CIRCLE, _CIRCLE * rng.uniform(0.5, 0.72)]


def _triangle(rng: np.random.Generator) -> list[np.ndarray]:
    return [polar(np.ones(3))]


def _square(rng: np.random.Generator) -> list[np.ndarray]:
    return [polar(np.ones(4))]


def _star(rng: np.random.Generator) -> list[np.ndarray]:
    return [polar(np.tile([1, rng.uniform(0.36, 0.48)], 5))]


def _cross(rng: np.random.Generator) -> list[np.ndarray]:
    half = rng.uniform(0.2, 0.32)  # of the arm's width
    quarter = np.array([[0.95, -half], [0.95, half], [half, half]])
    turn = np.array([[0, 1], [-1, 0]])
    return [np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])]


def _crescent(rng: np.random.Generator) -> list[np.ndarray]:
    radius, shift = rng.uniform(0.75, 0.85), rng.uniform(0.4, 0.55)  # of the disc that bites into the unit disc
    x = (1 - radius**2 + shift**2) / (2 * shift)  # where the two circles meet
    y = np.sqrt(1 - x**2)
    outer = np.linspace(np.arctan2(y, x), 2 * np.pi - np.arctan2(y, x), 48)
    inner = np.linspace(2 * np.pi - np.arctan2(y, x - shift), np.arctan2(y, x - shift), 48)
    bite = np.stack([shift + radius * np.cos(inner), radius * np.sin(inner)], axis=1)
    return [np.concatenate([np.stack([np.cos(outer), np.sin(outer)], axis=1), bite])]


def _heart(rng: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 2.5 + 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([x, -y], axis=1) / 18.3]


def _arrow(rng: np.random.Generator) -> list[np.ndarray]:
    neck, head, shaft = rng.uniform(0, 0.3), rng.uniform(0.6, 0.8), rng.uniform(0.14, 0.26)
    upper = np.array([[neck, head], [neck, shaft], [-0.95, shaft]])
    return [np.concatenate([[[1, 0]], upper, upper[::-1] * [1, -1]])]


def _gear(rng: np.random.Generator) -> list[np.ndarray]:
    root = rng.uniform(0.68, 0.76)
    wheel = polar(np.tile([1, 1, root, root], rng.integers(7, 10)))
    return [wheel, _CIRCLE * rng.uniform(0.22, 0.4)] if rng.random() < 0.5 else [wheel]


_OUTLINES = {
    "arrow": _arrow,
    "crescent": _crescent,
    "cross": _cross,
    "disc": _disc,
    "gear": _gear,
    "heart": _heart,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}
CLASSES = tuple(_OUTLINES)


def outline(label: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The contours of one thing of class `label`, about the origin and in the unit disc; the second is a hole."""
    return _OUTLINES[CLASSES[label]](rng)


def pose(contours: list[np.ndarray], radius: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The contours turned by any angle, scaled to `radius` pixels and squeezed to 85 to 100 % along any direction."""
    turn, along = rng.uniform(0, 2 * np.pi, size=2)
    squeeze = np.diag([radius, radius * rng.uniform(0.85, 1)])
    transform = _rotation(along).T @ squeeze @ _rotation(along) @ _rotation(turn)
    return [contour @ transform.T for contour in contours]


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def silhouette(contours: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """What the contours (in pixels) enclose: (height, width) uint8, 0 outside to 255 inside, smooth at the edge."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [fixed_point(contour) for contour in contours], 255, cv2.LINE_AA, shift=4)
    return mask


def fixed_point(points: np.ndarray) -> np.ndarray:
    """OpenCV's sub-pixel coordinates: whole sixteenths of a pixel."""
    return np.round(points * 16).astype(np.int32)
