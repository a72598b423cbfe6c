"""The augmentation against numbers worked out by hand, and against MXNet's own operators where they are exact."""

import colorsys
import itertools
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.augment import (
    AUGMENTS,
    MEAN_RGB,
    STD_RGB,
    augmented,
    coefficients,
    compose,
    hue_matrix,
    normalised,
    pca_offset,
)
from gluon_tricks.data.network_input import NetworkInput, Preprocess, on_host
from gluon_tricks.recipes.recipe import Recipe

RAW = {"mean": (0, 0, 0), "std": (1, 1, 1)}
# Grey of the first: 0.299 * 200 + 0.587 * 50 + 0.114 * 20 = 91.43; of the second: 83.69; so their mean is 87.56.
PIXELS = np.array([[[[200, 50, 20], [10, 120, 90]]]], np.uint8)  # (1, 1, 2, 3)


def apply(images, matrix, flip=None):
    """What the operators make of it, back in the layout of the input (N, H, W, 3); the host makes the same."""
    flip = np.zeros(len(images)) if flip is None else flip
    out = Preprocess()(mx.nd.array(images, dtype="uint8"), mx.nd.array(matrix), mx.nd.array(flip)).asnumpy()
    np.testing.assert_allclose(on_host(images, matrix, flip), out, rtol=2e-6, atol=2e-6 * np.abs(matrix).max() * 255)
    return out.transpose(0, 2, 3, 1)


def one(brightness=1.0, contrast=1.0, saturation=1.0, hue=1.0, pca=(0, 0, 0)):
    """One image's matrix with no normalisation in it."""
    return compose([brightness], [contrast], [saturation], [hue], [pca], **RAW)


def photo(*shape):
    return np.random.default_rng(7).integers(0, 256, size=shape, dtype=np.uint8)


def test_flip_mirrors_the_columns_of_the_images_marked():
    images = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    seen = apply(images, np.repeat(one(), 2, axis=0), [0, 1])
    np.testing.assert_allclose(seen[0], images[0], atol=1e-4)
    assert seen[1, 0].round().tolist() == [[24, 25, 26], [21, 22, 23], [18, 19, 20]]
    assert seen[1, 1].round().tolist() == [[33, 34, 35], [30, 31, 32], [27, 28, 29]]


def test_brightness_scales_and_does_not_clip():
    np.testing.assert_allclose(apply(PIXELS, one(brightness=1.2))[0, 0], [[240, 60, 24], [12, 144, 108]], atol=1e-3)
    np.testing.assert_allclose(apply(PIXELS, one(brightness=1.4))[0, 0, 0], [280, 70, 28], atol=1e-3)


def test_saturation_blends_with_the_grey_of_the_pixel():
    np.testing.assert_allclose(apply(PIXELS, one(saturation=0))[0, 0], [[91.43] * 3, [83.69] * 3], atol=1e-3)
    half = [145.715, 70.715, 55.715]
    np.testing.assert_allclose(apply(PIXELS, one(saturation=0.5))[0, 0, 0], half, atol=1e-3)


def test_contrast_blends_with_the_mean_grey_of_the_image():
    np.testing.assert_allclose(apply(PIXELS, one(contrast=0))[0, 0], [[87.56] * 3] * 2, atol=1e-3)
    np.testing.assert_allclose(apply(PIXELS, one(contrast=0.5))[0, 0, 0], [143.78, 68.78, 53.78], atol=1e-3)


def test_hue_turns_the_chroma_in_yiq():
    for whole_turns in (0, 1, 2):
        np.testing.assert_allclose(hue_matrix([whole_turns])[0], np.eye(3), atol=1e-12)
    # Half a turn negates I and Q: 2 * 91.43 - (200, 50, 20).
    np.testing.assert_allclose(apply(PIXELS, one(hue=1.5))[0, 0, 0], [-17.14, 132.86, 162.86], atol=1e-3)
    # A quarter by hand with the rounded NTSC numbers: I, Q = 99.08, 22.27 become 22.27, -99.08;
    # R = 91.43 + 0.956 I + 0.621 Q, G = 91.43 - 0.272 I - 0.647 Q, B = 91.43 - 1.106 I + 1.703 Q.
    np.testing.assert_allclose(apply(PIXELS, one(hue=1.25))[0, 0, 0], [51.19, 149.48, -101.93], atol=0.3)


def test_hue_leaves_grey_alone():
    np.testing.assert_allclose(hue_matrix(np.linspace(0.6, 1.4, 9)).sum(axis=2), 1, atol=1e-12)


@pytest.mark.parametrize("coefficient", [0.6, 0.9, 1.25, 1.4])
def test_hue_is_the_turn_of_hue_jitter_aug(coefficient, monkeypatch):
    monkeypatch.setattr(mx.image.image.random, "uniform", lambda low, high: -2 * (coefficient - 1))
    image = photo(1, 5, 4, 3)
    theirs = mx.image.HueJitterAug(1)(mx.nd.array(image[0])).asnumpy()  # its matrices have three digits
    np.testing.assert_allclose(apply(image, one(hue=coefficient))[0], theirs, atol=1.5)


@pytest.mark.parametrize("coefficient", [0.65, 0.8, 0.95, 1.1, 1.35])
def test_hue_turns_as_far_and_the_same_way_as_random_hue(coefficient):
    """random_hue turns in HLS: the angles agree to the distortion between the two colour circles."""
    turn, mixed = np.arange(12) / 12, []
    colours = np.array([colorsys.hls_to_rgb(t, 0.5, 0.2) for t in turn]) * 255
    for theirs, ours in zip(
        mx.nd.image.random_hue(mx.nd.array(colours[None]), min_factor=coefficient, max_factor=coefficient).asnumpy()[0],
        colours @ hue_matrix([coefficient])[0].T,
    ):
        apart = colorsys.rgb_to_hls(*ours / 255)[0] - colorsys.rgb_to_hls(*theirs / 255)[0]
        mixed.append((apart + 0.5) % 1 - 0.5)
    assert np.abs(mixed).max() < 30 / 360 and abs(np.mean(mixed)) < 10 / 360


@pytest.mark.parametrize("coefficient", [0.6, 1.3])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_jitter_is_that_of_mxnet(name, coefficient, monkeypatch):
    monkeypatch.setattr(mx.image.image.random, "uniform", lambda low, high: coefficient - 1)
    image = photo(1, 6, 5, 3)
    theirs = getattr(mx.image, f"{name.capitalize()}JitterAug")(1)(mx.nd.array(image[0])).asnumpy()
    np.testing.assert_allclose(apply(image, one(**{name: coefficient}))[0], theirs, atol=2e-3)


@pytest.mark.parametrize("name", ["brightness", "contrast"])
def test_jitter_is_that_of_mxnets_operators(name):
    """random_saturation is not among them: the grey it blends with is 0.114 times blue and nothing else."""
    image = photo(1, 6, 5, 3)
    operator = getattr(mx.nd.image, f"random_{name}")
    theirs = operator(mx.nd.array(image[0]), min_factor=0.7, max_factor=0.7).asnumpy()
    np.testing.assert_allclose(apply(image, one(**{name: 0.7}))[0], theirs, atol=2e-3)


def test_pca_noise_by_hand():
    # 0.1 * 55.46 times the first eigenvector, -0.2 * 4.794 times the second, 1.148 times the third.
    expected = [[-3.1474, -3.2211, -3.2366], [-0.6896, 0.0043, 0.6662], [0.4602, -0.9345, 0.4825]]
    np.testing.assert_allclose(pca_offset([[0.1, 0, 0], [0, -0.2, 0], [0, 0, 1]]), expected, atol=1e-4)


def test_normalise():
    matrix, flip = coefficients("none", 0, 0, [3], MEAN_RGB, STD_RGB)
    images = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    expected = [[-2.11806, -2.04445, -1.81157], [2.24890, 2.41984, 2.63287]]
    np.testing.assert_allclose(apply(images, matrix, flip)[0, 0], expected, atol=1e-5)
    assert flip.tolist() == [0]
    matrix, _ = coefficients("none", 0, 0, [3], mean=(5, 5, 5), std=(10, 20, 50))
    np.testing.assert_allclose(apply(images, matrix)[0, 0], [[-0.5, -0.25, -0.1], [25, 12.5, 5]], atol=1e-5)


def test_the_composition_is_the_operations_one_after_another_in_any_order():
    grey = np.array([0.299, 0.587, 0.114])
    yiq = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    turn = -0.2 * 2 * np.pi
    turned = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    operations = [
        lambda x: 0.7 * x,
        lambda x: 1.3 * x - 0.3 * (x @ grey).mean(),
        lambda x: 0.6 * x + 0.4 * (x @ grey)[..., None],
        lambda x: x @ yiq.T @ turned.T @ np.linalg.inv(yiq).T,
    ]
    image = photo(1, 8, 6, 3)
    seen = apply(image, compose([0.7], [1.3], [0.6], [1.2], [(0.1, 0, 0)]), [1])[0]
    for order in itertools.permutations(operations):
        x = image[0, :, ::-1].astype(np.float64)
        for operation in order:
            x = operation(x)
        expected = (x + [-3.14736, -3.22112, -3.23665] - np.array(MEAN_RGB)) / STD_RGB
        np.testing.assert_allclose(seen, expected, atol=1e-5)


def assert_uniform(values, low, high):
    """20,000 draws: a bin of 4,000 has a standard deviation of 57."""
    counts, _ = np.histogram(values, bins=5, range=(low, high))
    assert counts.sum() == len(values) and np.abs(counts - len(values) / 5).max() < 300


def chroma(matrix):
    """The 2x2 blocks that act on (I, Q), as complex factors; brightness times saturation, turned by the hue."""
    yiq = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    block = (yiq @ matrix[:, :, :3].astype(np.float64) @ np.linalg.inv(yiq))[:, 1:, 1:]
    return block[:, 0, 0] + 1j * block[:, 0, 1]


def test_the_papers_draws():
    matrix, flip = coefficients("paper", 3, 1, range(20_000), **RAW)
    brightness = matrix[:, 0, :3].sum(axis=1)  # what becomes of grey
    saturation, hue = np.abs(chroma(matrix)) / brightness, np.angle(chroma(matrix)) / (2 * np.pi) + 1
    for values in (brightness, saturation, hue):
        assert_uniform(values, 0.6, 1.4)
    assert not matrix[:, :, 3:6].any()  # no contrast
    assert abs(flip.mean() - 0.5) < 0.015 and set(flip) == {0, 1}
    together = np.corrcoef([brightness, saturation, hue, flip])
    assert np.abs(together - np.eye(4)).max() < 0.03


def test_gluoncvs_draws():
    matrix, flip = coefficients("gluoncv", 3, 1, range(20_000), **RAW)
    own, of_mean = matrix[:, 0, :3].sum(axis=1), matrix[:, 0, 3:6].sum(axis=1)  # b c and b (1 - c)
    brightness = own + of_mean
    for values in (brightness, own / brightness, np.abs(chroma(matrix)) / own):
        assert_uniform(values, 0.6, 1.4)
    assert np.abs(np.angle(chroma(matrix))).max() < 1e-5  # no hue
    assert abs(flip.mean() - 0.5) < 0.015


def test_pca_noise_has_a_tenth_of_the_eigenvalue_along_each_eigenvector():
    noise = coefficients("paper", 0, 0, range(20_000), **RAW)[0][:, :, 6].astype(np.float64)
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    along = noise @ vectors
    np.testing.assert_allclose(along.std(axis=0), [5.546, 0.4794, 0.1148], rtol=0.025)
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.03
    assert np.abs(along.mean(axis=0) / along.std(axis=0)).max() < 0.03


def test_an_images_draws_do_not_depend_on_its_batch():
    matrix, flip = coefficients("paper", 1, 2, np.arange(40, dtype=np.int64))
    for part in ([5], [39, 0, 17], range(10, 20)):
        some, flips = coefficients("paper", 1, 2, part)
        np.testing.assert_array_equal(some, matrix[list(part)])
        np.testing.assert_array_equal(flips, flip[list(part)])
    for seed, epoch in ((2, 2), (1, 3)):
        other, _ = coefficients("paper", seed, epoch, range(40))
        assert (other[:, 0, 0] != matrix[:, 0, 0]).all()


def test_flip_alone_changes_no_colour_and_alexnet_adds_one_colour_to_an_image():
    """Half of the images are mirrored; a flip alone leaves y = x - 0; PCA noise moves all pixels of an image alike."""
    plain = [[1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]]
    matrix, flip = coefficients("flip", 0, 0, range(400), mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_allclose(matrix, np.tile(plain, (400, 1, 1)), atol=1e-12)
    assert 160 < flip.sum() < 240
    noisy, same = coefficients("alexnet", 0, 0, range(400), mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_array_equal(same, flip)
    np.testing.assert_allclose(noisy[:, :, :6], np.tile(plain, (400, 1, 1))[:, :, :6], atol=1e-12)
    # Along the first component, about (1, 1, 1) / sqrt(3), the deviation is 0.1 x 55.46.
    assert abs(noisy[:, :, 6].sum(axis=1).std() / (5.546 * 1.7319) - 1) < 0.1


def test_unknown_names_are_refused_with_the_known_ones():
    assert set(AUGMENTS) == {"paper", "gluoncv", "alexnet", "flip", "none"} == set(Recipe.choices["augment"])
    with pytest.raises(Refused, match="'papper'.*paper, gluoncv, alexnet, flip, none"):
        coefficients("papper", 0, 0, [0])


def test_hybridized_it_takes_any_batch_and_any_size():
    block = Preprocess()
    block.hybridize(static_alloc=True, static_shape=True)
    for count, height, width in ((4, 16, 16), (3, 16, 16), (2, 5, 9), (4, 16, 16)):
        images = photo(count, height, width, 3)
        matrix, flip = coefficients("gluoncv", 0, 0, range(count))
        out = block(mx.nd.array(images, dtype="uint8"), mx.nd.array(matrix), mx.nd.array(flip))
        assert out.shape == (count, 3, height, width)
        np.testing.assert_array_equal(out.asnumpy().transpose(0, 2, 3, 1), apply(images, matrix, flip))


def test_the_pixels_of_a_large_batch_are_counted_exactly():
    """More than 2**24 of them, where float32 has no more whole numbers."""
    images = np.zeros((70, 500, 500, 3), np.uint8)
    images[-1, -1, :3] = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    seen = apply(images, np.repeat(one(), 70, axis=0), np.ones(70))[-1, -1, -4:]
    assert seen.round().tolist() == [[0, 0, 0], [7, 8, 9], [4, 5, 6], [1, 2, 3]]


def test_the_result_has_the_dtype_asked_for():
    images, matrix, flip = (mx.nd.array(photo(2, 4, 4, 3), dtype="uint8"), mx.nd.array(one()), mx.nd.zeros(1))
    assert Preprocess("float16")(images[:1], matrix, flip).dtype == np.float16
    assert Preprocess()(images[:1], matrix, flip).dtype == np.float32
    for dtype in ("float16", "float32"):
        assert NetworkInput(dtype)(photo(1, 4, 4, 3), one(), np.zeros(1), mx.cpu(1)).dtype == np.dtype(dtype)


@pytest.mark.parametrize("hybrid", [True, False])
def test_a_device_that_is_sent_pixels_gets_what_the_host_computes(hybrid):
    """The operators are for GPUs, which this CPU stands for: equal to rounding, of any number and size of images."""
    network_input = NetworkInput(hybrid=hybrid, one_shape=False)
    for count, height, width in ((4, 16, 16), (1, 1, 1), (2, 5, 9), (3, 7, 1)):
        images = photo(count, height, width, 3)
        matrix, flip = coefficients("gluoncv", 0, 0, range(count))
        seen = network_input(images, matrix, flip, mx.cpu(1))
        assert seen.context == mx.cpu(1)
        sent = network_input._block(*(mx.nd.array(part, dtype=part.dtype) for part in (images, matrix, flip)))
        np.testing.assert_allclose(seen.asnumpy(), sent.asnumpy(), atol=2e-5)


def test_arrays_that_are_written_anew_wait_for_their_readers():
    """Of six batches each is read by a slow operator that is still under way when its array's turn comes again."""
    network_input, weight = NetworkInput(reuse=2), mx.nd.random.normal(shape=(64, 3, 7, 7))
    batches, plain = [photo(8, 64, 64, 3) + np.uint8(k) for k in range(6)], coefficients("none", 0, 0, range(8), **RAW)
    slow = dict(kernel=(7, 7), num_filter=64, no_bias=True)
    seen = [mx.nd.Convolution(network_input(images, *plain, mx.cpu()), weight, **slow) for images in batches]
    for images, found in zip(batches, seen):
        alone = mx.nd.Convolution(NetworkInput()(images, *plain, mx.cpu()), weight, **slow)
        np.testing.assert_array_equal(found.asnumpy(), alone.asnumpy())
    first, second, third = (
        network_input(images[:3], *(part[:3] for part in plain), mx.cpu()) for images in batches[:3]
    )
    assert third.handle.value == first.handle.value != second.handle.value


def test_arrays_of_mxnet_and_numbers_of_numpy_are_taken():
    images, indices = photo(2, 4, 4, 3), np.array([5, -1])
    wanted = augmented(images, indices, epoch=3, seed=2).asnumpy()
    theirs = augmented(mx.nd.array(images, dtype="uint8"), mx.nd.array(indices), epoch=[3, 3], seed=np.int64(2))
    np.testing.assert_array_equal(theirs.asnumpy(), wanted)
    plain = normalised(mx.nd.array(images, dtype="uint8"), mean=np.array(MEAN_RGB)).asnumpy()
    np.testing.assert_array_equal(plain, normalised(list(images)).asnumpy())


@pytest.mark.parametrize(
    "change, says",
    [
        ({"images": photo(2, 4, 4, 3) / 255}, r"images are an array \(N, H, W, 3\) of uint8, RGB, but got float64"),
        ({"images": photo(4, 4, 3)}, r"but got uint8 \(4, 4, 3\)"),
        ({"images": None}, "but got None"),
        ({"context": "cpu"}, "context takes a context such as .*, but got 'cpu'"),
        ({"context": [mx.cpu()]}, "context takes one context"),
        ({"mean": 3}, "mean takes 3 numbers, but got 3"),
        ({"std": (1, 1, 0)}, "std is 0"),
        ({"indices": [0]}, r"indices takes a number for each image, 2 in all, but got \[0\]"),
        ({"indices": 0}, "indices takes a number for each image, 2 in all"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed takes a whole number"),
        ({"epoch": "a"}, "epoch takes a whole number, but got 'a'"),
        ({"epoch": -1}, "epoch is -1"),
        ({"epoch": [0, 1, 2]}, r"epoch takes one for all images, or one for each, 2 in all, but got \[0, 1, 2\]"),
        ({"kind": 3}, "there is no augmentation 3: choose one of paper"),
    ],
)
def test_what_cannot_be_augmented_is_refused(change, says):
    given = {"images": photo(2, 4, 4, 3), "indices": [0, 1], **change}
    with pytest.raises(Refused, match=says):
        augmented(**given)
    if not {*change} & {"indices", "seed", "epoch", "kind"}:
        with pytest.raises(Refused, match=says):
            normalised(**{name: value for name, value in given.items() if name != "indices"})


def test_a_mean_image_is_that_of_a_network():
    with pytest.raises(Refused, match="mean_image takes that of net.preprocessing, but got an ndarray"):
        normalised(photo(2, 4, 4, 3), mean_image=np.zeros((4, 4, 3)))


UNDER_AMP = """
import sys
import gluon_tricks
import numpy as np, mxnet as mx
from mxnet.contrib import amp
amp.init("bfloat16")
from gluon_tricks.data.network_input import Preprocess
given = np.load(sys.argv[1])
block = Preprocess()
block.hybridize(static_alloc=True, static_shape=True)
out = block(mx.nd.array(given["images"], dtype="uint8"), mx.nd.array(given["matrix"]), mx.nd.array(given["flip"]))
assert out.dtype == np.float32, out.dtype
np.save(sys.argv[2], out.asnumpy())
"""


def test_under_amp_it_stays_float32(tmp_path):
    images = photo(4, 12, 10, 3)
    matrix, flip = coefficients("gluoncv", 0, 0, range(4))
    np.savez(tmp_path / "given.npz", images=images, matrix=matrix, flip=flip)
    path = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(
        [sys.executable, "-c", UNDER_AMP, str(tmp_path / "given.npz"), str(tmp_path / "out.npy")],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    seen = np.load(tmp_path / "out.npy").transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(seen, apply(images, matrix, flip))
