"""The built-in data set: geometry against formulas, determinism, and that it is neither trivial nor half made."""

import concurrent.futures
import json
import math
import pathlib
import time

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.data import shapes
from gluon_tricks.runtime import Refused

SMALL = {"train": 30, "val": 20}
FILES = {f"{split}.{ending}" for split in ("train", "val") for ending in ("rec", "idx", "json")}


class Fixed:
    """A generator of which every uniform draw is the lower bound."""

    def uniform(self, low, high, size=None):
        return low if size is None else np.full(size, low, dtype=float)


def area(contour):
    x, y = contour.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize(
    "name, areas",
    [
        ("disc", [math.pi]),
        ("ring", [math.pi, math.pi / 4]),  # the hole's radius is 0.5
        ("square", [2]),
        ("triangle", [3 * math.sqrt(3) / 4]),
        ("star", [5 * 0.36 * math.sin(math.pi / 5)]),  # ten triangles between radii 1 and 0.36
        ("cross", [4 * 0.75 * 0.4 + 0.4**2]),  # four arms 0.95 - 0.2 long and a middle, all 0.4 wide
        ("arrow", [1.28 / 2 * 1 - 0.04 + 0.0]),
    ],
)
def test_outlines_have_the_areas_of_their_forms(name, areas):
    contours = shapes.outline(shapes.CLASSES.index(name), Fixed())
    np.testing.assert_allclose([area(contour) for contour in contours], areas, rtol=2e-3)
