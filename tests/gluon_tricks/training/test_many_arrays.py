"""Many arrays at once, in place: against numpy, of both dtypes, and more of them than an operator takes."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.training import many_arrays


def some(count, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(k % 5 + 1, 3)).astype("float32") for k in range(count)]


@pytest.mark.parametrize("count", [1, 40, 41, 97])
def test_they_move_by_a_share(count):
    targets, values = some(count, 0), some(count, 1)
    arrays = [mx.nd.array(target) for target in targets]
    many_arrays.move(arrays, [mx.nd.array(value) for value in values], 0.25)
    for array, target, value in zip(arrays, targets, values):
        np.testing.assert_allclose(array.asnumpy(), 0.75 * target + 0.25 * value, atol=1e-6)


def test_what_is_there_already_stays_to_the_last_bit():
    (value,) = some(1, 2)
    array = mx.nd.array(value)
    many_arrays.move([array], [mx.nd.array(value)], 0.1)
    np.testing.assert_array_equal(array.asnumpy(), value)


def test_sums_of_two_dtypes():
    """1 + 2^-10 is a number of float16, 1 + 2^-12 is not."""
    arrays = [mx.nd.array([1.0], dtype="float16"), mx.nd.array([1.0]), mx.nd.array([1.0], dtype="float16")]
    steps = [mx.nd.array([step], dtype=array.dtype) for step, array in zip((2**-10, 2**-12, 2**-12), arrays)]
    many_arrays.add(arrays, steps)
    assert [array.dtype for array in arrays] == [np.float16, np.float32, np.float16]
    assert [array.asscalar() for array in arrays] == [1 + 2**-10, 1 + 2**-12, 1]
