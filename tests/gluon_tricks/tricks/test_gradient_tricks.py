"""What is done with gradients before an update, by hand and against PyTorch."""

import mxnet as mx
import numpy as np
import pytest
import torch

from gluon_tricks.core.errors import Refused
from gluon_tricks.tricks import ClipGradients, Sam
from gluon_tricks.tricks.norms import length


def numbers(arrays):
    return [array.asnumpy().tolist() for array in arrays]


def test_a_gradient_of_length_5_is_shortened_to_1():
    """(3) and (4, 0): sums of 8 images that are 24, 32 and 0. Of the mean 0.6, 0.8, so 4.8 and 6.4 of the sums."""
    sums = [mx.nd.array([24.0]), mx.nd.array([32.0, 0.0])]
    first, second = ClipGradients(1.0).gradients(sums, 8.0)
    assert first.asnumpy() == pytest.approx([4.8], rel=1e-5) and second.asnumpy() == pytest.approx([6.4, 0], rel=1e-5)
    assert numbers(sums) == [[24.0], [32.0, 0.0]]  # a hook changes nothing


def test_a_shorter_one_stays_to_the_last_bit():
    sums = [mx.nd.array([0.3, -0.7])]
    assert numbers(ClipGradients(5.0).gradients(sums, 1.0)) == numbers(sums)


def test_as_pytorch_shortens():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=size).astype("float32") for size in (1000, 30)]
    parameters = [torch.nn.Parameter(torch.zeros(array.shape)) for array in arrays]
    for parameter, array in zip(parameters, arrays):
        parameter.grad = torch.from_numpy(array / 4)
    torch.nn.utils.clip_grad_norm_(parameters, 2.5)
    ours = ClipGradients(2.5).gradients([mx.nd.array(array) for array in arrays], 4.0)
    for array, parameter in zip(ours, parameters):
        np.testing.assert_allclose(array.asnumpy() / 4, parameter.grad.numpy(), rtol=1e-5, atol=1e-8)


def test_float16_with_a_loss_scale():
    """Scaled by 1024 and two images: sums of 30000 have the mean 14.6; their squares would overflow float16."""
    sums = [mx.nd.array([30000.0, 0.0], dtype="float16"), mx.nd.array([30000.0])]
    found = ClipGradients(2.0).gradients(sums, 2048.0)
    want = 2.0 * 2048 / np.sqrt(2)
    assert [array.dtype for array in found] == [np.float32] * 2
    assert found[0].asnumpy() == pytest.approx([want, 0], rel=1e-5) and found[1].asnumpy() == pytest.approx([want])


def test_by_value():
    """Of the mean of 4 images no number is beyond 0.5: 2 of the sum."""
    (found,) = ClipGradients(0.0, value=0.5).gradients([mx.nd.array([-9.0, 1.0, 3.0])], 4.0)
    assert found.asnumpy().tolist() == [-2, 1, 2]


def test_the_length_of_many_numbers():
    """20 million: MXNet's norm is 2 % off."""
    array = np.random.default_rng(0).normal(size=20_000_000).astype("float32")
    want = np.sqrt((array.astype("float64") ** 2).sum())
    assert length([mx.nd.array(array)]).asscalar() == pytest.approx(want, rel=1e-6)
    assert length([mx.nd.array([3.0]), mx.nd.array([[4.0, 12.0]])]).asscalar() == 13


def test_the_step_of_sam():
    """rho 0.1 along (3, 4): (0.06, 0.08), whatever the gradient is scaled by."""
    for scale in (1.0, 1e6):
        found = Sam(0.1).ascent([mx.nd.array([3.0 * scale]), mx.nd.array([4.0 * scale])])
        assert np.concatenate([array.asnumpy() for array in found]) == pytest.approx([0.06, 0.08], rel=1e-6)
    (nowhere,) = Sam(0.1).ascent([mx.nd.zeros(2)])
    assert nowhere.asnumpy().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ClipGradients(0.0), "one of norm and value must be more than 0"),
        (lambda: ClipGradients(1.0, 1.0), "one of norm and value must be more than 0"),
        (lambda: Sam(0.0), "rho must be more than 0"),
    ],
)
def test_what_they_do_not_take(make, says):
    with pytest.raises(Refused, match=says):
        make()
