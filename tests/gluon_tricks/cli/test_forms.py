"""What the scales of int8 are found on."""

import numpy as np

from gluon_tricks.cli.forms import without_padding
from gluon_tricks.data.loader import Batch


def batch(values, count):
    """Images of one pixel, of which `count` are real."""
    images = np.array(values, np.uint8)[:, None, None, None]
    zeros = np.zeros(len(values), np.int64)
    return Batch(images, zeros, np.arange(len(values)), count, zeros)


def test_int8_is_calibrated_on_whole_batches():
    found = without_padding([batch([1, 2, 3], 3), batch([4, 5, 6], 3), batch([7, 0, 0], 1)])
    assert [images.ravel().tolist() for images in found] == [[1, 2, 3], [4, 5, 6]]


def test_few_images_are_repeated_to_fill_a_batch_to_calibrate_on():
    (found,) = without_padding([batch([8, 9, 0, 0, 0], 2)])
    assert found.ravel().tolist() == [8, 9, 8, 9, 8]
