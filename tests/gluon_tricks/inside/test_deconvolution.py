"""Which activations are the strongest, and how they are shown."""

import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.inside.chain import Chain, Layer
from gluon_tricks.inside.deconvolution import as_levels, pairs, project, strongest, window


@pytest.fixture
def chain():
    """Channel 0 is red, channel 1 minus red: behind the relu it never fires for images of 0 and more."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, 1, in_channels=3, use_bias=False, activation="relu"))
    net.initialize()
    net[0].weight.set_data(nd.array([[[[1]], [[0]], [[0]]], [[[-1]], [[0]], [[0]]]]))
    return Chain(net)


@pytest.fixture
def pixels():
    """Five images of 4 x 3 px; the k-th has its greatest red at row k % 4, column k % 3."""
    found = np.zeros((5, 4, 3, 3), np.uint8)
    for k, red in enumerate([10, 50, 30, 50, 20]):
        found[k, k % 4, k % 3, 0] = red
    return found


def normalise(pixels):
    return nd.array(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 10)


def test_the_strongest_of_each_image_in_order(chain, pixels):
    """Images 1 and 3 are alike: the first comes first. Batches of 2, 2 and 1 change nothing."""
    batches = [normalise(pixels[start : start + 2]) for start in (0, 2, 4)]
    found = strongest(chain, batches, chain.layers, top=3)["0"]
    np.testing.assert_array_equal(found.values, [[5, 5, 3], [0, 0, 0]])
    np.testing.assert_array_equal(found.images[0], [1, 3, 2])
    np.testing.assert_array_equal(found.places[0], [[1, 1], [3, 0], [2, 2]])


def test_patches_and_views(chain, pixels):
    found = strongest(chain, [normalise(pixels)], chain.layers, top=9)["0"]
    done = []
    shown = pairs(chain, chain.layers[0], [0, 1], found, pixels, normalise, (10, 10, 10), 2, done.append)
    assert shown[1] == [] and done == [2, 2, 1]
    first = shown[0][0]
    assert first.value == 5 and first.patch.tolist() == [[[50, 0, 0]]]  # the one pixel that it sees
    assert first.view.tolist() == [[[255, 128, 128]]]  # by the weights of red alone


def test_infinite_activations_are_refused(chain):
    images = nd.full((1, 3, 2, 2), np.inf)
    images[:, 1:] = 0
    with pytest.raises(Refused, match="infinite numbers in 0: its parameters are those of a training that diverged"):
        strongest(chain, [images], chain.layers)


def test_one_activation_goes_back_by_its_weights(chain, pixels):
    """Of red alone: that of channel 0 at (1, 1) of image 1, where the red is 5; also as MXNet's numbers."""
    for units in ([(0, 1, 1)], nd.array([[0, 1, 1]])):
        found = project(chain, chain.layers[0], normalise(pixels[1:2]), units)
        assert found[0, 0, 1, 1] == 5 and (found != 0).sum() == 1


@pytest.mark.parametrize("units", [[(-1, 0, 0)], [(2, 0, 0)], [(0, 4, 0)], [(0, 0)], (0, 0, 0), [(0, 0, 0)] * 2, None])
def test_an_activation_that_there_is_not_is_refused(chain, pixels, units):
    with pytest.raises(Refused, match="units takes channel, y and x, less than 2, 4, 3, for each image, 1 in all, but"):
        project(chain, chain.layers[0], normalise(pixels[:1]), units)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"chain": nn.Dense(2)}, r"chain takes a network step by step, such as viewed.chain\(\), but got a Dense"),
        ({"layer": "0"}, "layer takes one of chain.layers, such as .*, but got '0'"),
        ({"layer": Layer("1", 1, 2, True)}, "layer 1 is of another network than hybridsequential"),
        (
            {"images": np.zeros((1, 4, 3, 3), np.uint8)},
            r"images are an NDArray \(n, 3, H, W\), .*, but got",
        ),
        ({"images": nd.zeros((3, 4, 3))}, r"but got shape \(3, 4, 3\)"),
        ({"images": nd.zeros((1, 2, 4, 3))}, r"the network does not take images of the shape \(1, 2, 4, 3\)"),
    ],
)
def test_what_is_none_of_a_network_is_refused(chain, change, says):
    given = {"chain": chain, "layer": chain.layers[0], "images": nd.zeros((1, 3, 4, 3)), **change}
    with pytest.raises(Refused, match=says):
        project(**given, units=[(0, 0, 0)])
    with pytest.raises(Refused, match=says):
        strongest(given["chain"], [given["images"]], [given["layer"]])


@pytest.mark.parametrize(
    "change, says",
    [
        ({"top": 0}, "top is 0: it takes 1 or more"),
        ({"batches": None}, r"batches takes batches of images, such as viewed.batches\(pixels\), but got None"),
        ({"batches": []}, "batches has no images to look at"),
        ({"layers": []}, r"layers takes a list of chain.layers, .*, but got \[\]"),
        ({"layers": "0"}, "layers takes a list of chain.layers, .*, but got '0'"),
    ],
)
def test_where_there_is_nothing_to_look_at(chain, pixels, change, says):
    given = {"batches": [normalise(pixels)], "layers": chain.layers, **change}
    with pytest.raises(Refused, match=says):
        strongest(chain, **given)


@pytest.mark.parametrize(
    "field, shown",
    [
        ((2, 3, 5, 6), (slice(2, 5), slice(3, 6))),
        ((0, 7, 3, 10), (slice(0, 3), slice(7, 10))),
        ((0, 8, 5, 10), (slice(0, 5), slice(5, 10))),  # cut off at the right: moved in
        ((0, 0, 10, 10), (slice(0, 8), slice(0, 8))),  # of a lower image
    ],
)
def test_a_patch_is_a_square_in_the_image(field, shown):
    assert window(field, 8 if field == (0, 0, 10, 10) else 10, 10) == shown


def test_a_signal_is_shown_about_grey():
    signal = np.array([[[0, 2, -2]], [[1, -1, 0.5]]])
    np.testing.assert_array_equal(as_levels(signal), [[[128, 255, 1]], [[192, 64, 160]]])
    assert (as_levels(np.zeros((2, 2, 3))) == 128).all()
