"""A network opened to be looked at: what it is given, what it says, and which images are shown."""

import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.inside import show, viewed
from gluon_tricks.inside.deconvolution import Strongest
from gluon_tricks.inside.viewed import Pictures, open_viewed, pictures_of_files, pictures_of_records
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from model_zoo import get_model
from model_zoo.mean_image import MeanImage
from model_zoo.preprocessing import Preprocessing

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)


def planted(biases=(0, 1, 2)):
    net = get_model("cifar_resnet20_v1", classes=len(biases))
    net.initialize(mx.init.Xavier())
    net.head.weight.set_data(mx.nd.zeros(net.head.weight.shape))
    net.head.bias.set_data(mx.nd.array(biases))
    return net


def test_it_gives_features_and_probabilities():
    """Of a softmax of 0, 1 and 2: 1, e, e^2 over their sum; the first stage has 16 maps of 32 x 32, the neck 64."""
    net = planted()
    before = {name: p.data().asnumpy() for name, p in parameters_by_name(net).items()}
    seen = open_viewed(net, batch_size=2)
    early, late, found = seen.features(PIXELS)
    assert early.shape == (5, 16 * 32 * 32) and late.shape == (5, 64)
    np.testing.assert_allclose(found, np.tile(np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), (5, 1)), rtol=1e-6)
    normalised = (PIXELS - np.array(net.preprocessing.mean)) / net.preprocessing.std
    images = mx.nd.array(normalised.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(early, net.stage1(net.stem(images)).asnumpy().reshape(5, -1), rtol=1e-3, atol=1e-4)
    for name, parameter in parameters_by_name(net).items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[name])


@pytest.mark.parametrize("method", ["features", "probabilities", "normalise"])
def test_what_is_no_array_of_pixels_is_refused(method):
    for pixels in (PIXELS / 255, PIXELS[0], PIXELS.transpose(0, 3, 1, 2), PIXELS[:0], None, "photo.png"):
        with pytest.raises(Refused, match=r"images are an array \(N, H, W, 3\) of uint8, RGB, but got"):
            getattr(open_viewed(planted()), method)(pixels)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"context": "cpu"}, "context takes a context such as .*, but got 'cpu'"),
        ({"batch_size": 0}, "batch_size is 0: it takes 1 or more"),
        ({"class_file": 3}, "class_file takes the name of a file or folder, but got 3"),
        ({"source": None}, "source takes a run, a file or the name of a published one, but got None"),
        ({"source": mx.gluon.nn.Dense(2)}, "source takes a run, a file or .*, but got a Dense"),
    ],
)
def test_what_cannot_be_opened_is_refused(change, says):
    given = {"source": planted(), **change}
    with pytest.raises(Refused, match=says):
        open_viewed(**given)


def test_a_mean_image_is_subtracted():
    net = planted()
    mean = MeanImage.of(PIXELS[0].astype(np.float32))
    net.preprocessing = Preprocessing(32, 1.0, (9.0, 9.0, 9.0), (2.0, 2.0, 2.0), mean_image=mean)
    found = open_viewed(net).normalise(PIXELS[:2]).asnumpy()
    assert np.abs(found[0]).max() < 1e-5
    wanted = (PIXELS[1].astype(float) - PIXELS[0]).transpose(2, 0, 1) / 2
    np.testing.assert_allclose(found[1], wanted, atol=1e-4)


def test_the_colour_that_says_nothing():
    net = planted()
    assert open_viewed(net).fill == (125, 123, 114)  # CIFAR's mean
    net.preprocessing = Preprocessing(32, mean=(0.0, 0.0, 0.0))
    assert open_viewed(net).fill == (124, 117, 104)  # of raw pixels ImageNet's


def test_of_several_classes_each_has_its_own_probability(tmp_path):
    recipe = MultiLabelRecipe(model="cifar_resnet20_v1", input_size=32, classes=3, class_names=("a", "b", "c"))
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    planted().save_parameters(str(tmp_path / "final.params"))
    seen = open_viewed(tmp_path)
    np.testing.assert_allclose(seen.probabilities(PIXELS)[4], 1 / (1 + np.exp([0, -1, -2])), rtol=1e-6)
    assert seen.names == ("a", "b", "c")
    with pytest.raises(
        Refused, match="finds several classes in an image, and these records have one label each: name photos"
    ):
        pictures_of_records(seen, str(tmp_path), 5)


def test_photos_are_cropped_as_the_network_takes_them(tmp_path):
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 8:40] = PIXELS[0][:, :, ::-1]
    cv2.imwrite(str(tmp_path / "1.png"), image)
    (tmp_path / "0.png").write_bytes(b"x")
    found = pictures_of_files(open_viewed(planted()), [tmp_path / "0.png", tmp_path / "1.png", tmp_path / "1.png"], 1)
    np.testing.assert_array_equal(found.pixels, PIXELS[:1])
    assert found.broken == ((tmp_path / "0.png", "no JPEG, PNG, BMP, WebP or TIFF"),) and found.labels is None
    with pytest.raises(Refused, match=r"no images found: of 1 file none can be decoded, such as .*0.png \(no JPEG, "):
        pictures_of_files(open_viewed(planted()), [tmp_path / "0.png"], 1)


def test_more_images_than_memory_are_refused(monkeypatch, tiny_records):
    monkeypatch.setattr(viewed, "MOST_BYTES", 10_000)
    with pytest.raises(Refused, match="20 images of 32 px take 61.4 kB, and 10 kB are the most: name fewer .--count"):
        pictures_of_records(open_viewed(planted((0, 0, 0, 1))), "", 99, [str(tiny_records / "val.rec")])


def test_records_have_labels(tiny_records):
    """They come in the order of the records: red, green, blue, grey, over and over."""
    found = pictures_of_records(
        open_viewed(planted((0, 0, 0, 1)), batch_size=4), "", 7, [str(tiny_records / "val.rec")]
    )
    assert found.pixels.shape == (7, 32, 32, 3) and found.labels.tolist() == [0, 1, 2, 3, 0, 1, 2]


def test_a_network_that_cannot_compute_is_refused():
    with pytest.raises(Refused, match="cifar_plain20 has no parameters yet .*: train it, or load some with"):
        open_viewed(get_model("cifar_plain20", classes=2))
    half = _initialised("cifar_plain20")
    half.cast("float16")
    with pytest.raises(Refused, match="cifar_plain20 has float16 parameters: save it and name the file"):
        open_viewed(half)


@pytest.mark.parametrize(
    "labels, count, chosen",
    [
        ([2, 0, 2, 2, 1], 2, [0, 2]),  # it always says 2
        ([0, 2, 1, 2, 0], 3, [1, 3, 0]),
        ([0, 0, 0, 0, 0], 2, [0, 1]),
        ([2] * 5, 9, [0, 1, 2, 3, 4]),
        (None, 2, [0, 1]),
    ],
)
def test_images_that_it_gets_right_come_first(labels, count, chosen):
    pictures = Pictures(PIXELS, None if labels is None else np.array(labels), "")
    assert show.choose_images(open_viewed(planted(), batch_size=2), pictures, count)[0] == chosen


def test_a_class_at_a_time(monkeypatch):
    """All are right: of classes 0, 0, 1, 1, 2 the first of each, then the others."""
    seen, labels = open_viewed(planted(), batch_size=5), np.array([0, 0, 1, 1, 2])
    monkeypatch.setattr(type(seen), "probabilities", lambda self, pixels: np.eye(3)[labels])
    assert show.choose_images(seen, Pictures(PIXELS, labels, ""), 4)[0] == [0, 2, 4, 1]


def test_layers_and_channels_by_default():
    """Of many convolutions the last of each stage; channels that fire, drawn by the seed."""
    chain = open_viewed(_initialised("cifar_plain20")).chain()
    layers = show.chosen_layers(chain, ())
    assert [layer.path for layer in layers] == ["stem.0", "stage1.2.3", "stage2.2.3", "stage3.2.3", "head"]
    assert [layer.path for layer in show.chosen_layers(chain, ["head", "stem.0", "head"])] == ["head", "stem.0"]
    found = Strongest(np.array([[1.0], [0], [2], [0], [3]]), np.zeros((5, 1), int), np.zeros((5, 1, 2), int))
    assert show.chosen_channels(layers[0], found, show.Choice(channels=9), 0) == [0, 2, 4]
    drawn = {tuple(show.chosen_channels(layers[0], found, show.Choice(channels=1, seed=s), 0)) for s in range(20)}
    assert drawn == {(0,), (2,), (4,)}
    assert show.chosen_channels(layers[0], found, show.Choice(pick=(3, 1)), 0) == [3, 1]


def _initialised(name):
    net = get_model(name, classes=3)
    net.initialize()
    return net


def test_the_first_filters_of_any_network():
    for name, shape in (("cifar_resnet20_v1", (16, 3, 3, 3)), ("mobilenet0.25", (8, 3, 3, 3))):
        path, weights = show.first_filters(open_viewed(_initialised(name)))
        assert path == "stem.0" and weights.shape == shape
