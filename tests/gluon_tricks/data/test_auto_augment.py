"""AutoAugment's policies; torchvision, whose operations are Pillow's too, is the oracle."""

import contextlib
import importlib
import tracemalloc

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest

from gluon_tricks.core import foreign
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data import auto_augment, decoding, loader
from gluon_tricks.data.auto_augment import POLICIES, AutoAugmented, changed
from gluon_tricks.data.crop import TRIES, AreaCrop
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.records import Records

NAMES = {"autocontrast": "AutoContrast", "colour": "Color", "shear_x": "ShearX"}
PIXELS = generator(0, "pixels").integers(20, 230, (40, 50, 3)).astype(np.uint8)


@pytest.fixture
def torchvision():
    pytest.importorskip("torch")
    try:
        foreign.import_torchvision()
    except ImportError as error:
        pytest.skip(str(error))
    return importlib.import_module("torchvision.transforms.autoaugment")


def test_the_table_is_torchvisions(torchvision):
    theirs = torchvision.AutoAugment()._get_policies(torchvision.AutoAugmentPolicy.IMAGENET)
    without = {"AutoContrast", "Equalize", "Invert"}  # of which they leave the magnitude out
    for ours, policy in zip(POLICIES, theirs):
        for (name, probability, magnitude), (their_name, their_probability, their_magnitude) in zip(ours, policy):
            assert (NAMES.get(name, name.title()), probability) == (their_name, their_probability)
            assert their_magnitude == (None if their_name in without else magnitude)
    assert len(POLICIES) == len(theirs) == 25


@pytest.mark.parametrize("name", sorted(auto_augment._OPERATIONS))
@pytest.mark.parametrize("magnitude, sign", [(3, 1), (8, -1)])
def test_an_operation_is_torchvisions(name, magnitude, sign, torchvision):
    space = torchvision.AutoAugment()._augmentation_space(10, (40, 50))
    their_name = NAMES.get(name, name.title())
    levels, signed = space[their_name]
    level = float(levels[magnitude]) * (sign if signed else 1) if levels.ndim else 0.0
    image = PIL.Image.fromarray(PIXELS)
    nearest = torchvision.InterpolationMode.NEAREST
    theirs = torchvision._apply_op(image, their_name, level, nearest, list(auto_augment._GREY))
    ours = auto_augment._OPERATIONS[name](np.ascontiguousarray(PIXELS[..., ::-1]), sign * magnitude / 9)[..., ::-1]
    if name == "shear_x":  # the same map from pixel to pixel but for roundings
        assert (np.asarray(ours) == np.asarray(theirs)).mean() > 0.9
    else:  # their magnitudes are float32
        np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), atol=1)


PILLOWS = {  # (image, share of the largest magnitude)
    "autocontrast": lambda image, share: PIL.ImageOps.autocontrast(image),
    "equalize": lambda image, share: PIL.ImageOps.equalize(image),
    "invert": lambda image, share: PIL.ImageOps.invert(image),
    "posterize": lambda image, share: PIL.ImageOps.posterize(image, 8 - round(4 * abs(share))),
    "solarize": lambda image, share: PIL.ImageOps.solarize(image, 255 - 255 * abs(share)),
    "rotate": lambda image, share: image.rotate(30 * share, fillcolor=(128, 128, 128)),
    "shear_x": lambda image, share: image.transform(
        image.size, PIL.Image.Transform.AFFINE, (1, 0.3 * share, 0, 0, 1, 0), fillcolor=(128, 128, 128)
    ),
    "colour": lambda image, share: PIL.ImageEnhance.Color(image).enhance(1 + 0.9 * share),
    "contrast": lambda image, share: PIL.ImageEnhance.Contrast(image).enhance(1 + 0.9 * share),
    "sharpness": lambda image, share: PIL.ImageEnhance.Sharpness(image).enhance(1 + 0.9 * share),
}


@pytest.mark.parametrize("name", sorted(PILLOWS))
def test_an_operation_is_pillows_level_for_level(name):
    """At every magnitude and sign: what runs of earlier versions, which had Pillow do it, go on with."""
    assert sorted(auto_augment._OPERATIONS) == sorted(PILLOWS)
    for share in np.arange(-9, 10) / 9:
        theirs = np.asarray(PILLOWS[name](PIL.Image.fromarray(PIXELS), share))
        ours = auto_augment._OPERATIONS[name](np.ascontiguousarray(PIXELS[..., ::-1]), share)
        np.testing.assert_array_equal(ours[..., ::-1], theirs)


def draws(policy, done=(0.0, 0.0), sign=0.9):
    return np.array([[done[0], sign, (policy + 0.5) / 25, 0], [done[1], sign, 0, 0]])


def test_what_is_drawn():
    """Policy 13 inverts (0.6) and equalises (always); 12 never does its first."""
    inverted = 255 - PIXELS
    np.testing.assert_array_equal(changed(PIXELS, draws(13)), changed(inverted, draws(13, (0.7, 0.0))))
    np.testing.assert_array_equal(changed(PIXELS, draws(12, (0.0, 0.9))), PIXELS)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 200  # BGR: magnitude 9 of colour towards grey: 0.1 of the colour stays, so red is still the largest
    grey = changed(red, draws(16, (0.0, 1.0)))[0, 0].tolist()
    assert grey[0] == grey[1] < grey[2] < 200


def test_the_crop_is_the_one_without_policies():
    """The loader draws more numbers, of which the first are the same."""
    numbers = generator(0, "crop", 0, 5).random((AutoAugmented(AreaCrop()).rows, 4))
    np.testing.assert_array_equal(numbers[:TRIES], generator(0, "crop", 0, 5).random((TRIES, 4)))
    numbers[TRIES:] = draws(12, (0.0, 0.9))
    wanted = AreaCrop().cut(PIXELS, 24, numbers[:TRIES])
    np.testing.assert_array_equal(AutoAugmented(AreaCrop()).cut(PIXELS, 24, numbers), wanted)


@pytest.mark.parametrize("name", sorted(auto_augment._OPERATIONS))
def test_the_memory_of_operations_is_asked_for(name):
    """Each after another one, whose image it gets."""
    image = np.ascontiguousarray(np.tile(PIXELS, (10, 10, 1)))
    tracemalloc.start()
    try:
        auto_augment._OPERATIONS[name](auto_augment._OPERATIONS["invert"](image, 1.0), 0.5)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < AutoAugmented.pixel_bytes * image.size / 3 + 1e5


@pytest.mark.parametrize("crop, each", [(AreaCrop(), 0), (AutoAugmented(AreaCrop()), 33)])
def test_a_crop_that_changes_whole_images_shares_the_memory_for_it(crop, each, tiny_records, monkeypatch):
    asked, budget = set(), decoding.Budget(1 << 30)
    monkeypatch.setattr(loader, "DECODING", budget)
    monkeypatch.setattr(budget, "share", lambda count: asked.add(count) or contextlib.nullcontext())
    records = Records(tiny_records / "train.rec")
    headers = [image_header(records.read(i)[2]) for i in range(len(records))]
    next(iter(RecordLoader(records, size=8, batch_size=48, train=True, crop=crop).epoch()))
    assert asked == {decoding.bytes_of_decoding(header) + each * header.pixels for header in headers}
    asked.clear()
    next(iter(RecordLoader(records, size=8, batch_size=48, train=False, crop=crop).epoch()))
    assert asked == {decoding.bytes_of_decoding(header) for header in headers}


def test_batches_follow_from_seed_and_epoch_alone(tiny_records):
    records = Records(tiny_records / "train.rec")

    def images(threads, crop, start=0):
        loader = RecordLoader(records, size=32, batch_size=8, train=True, crop=crop, threads=threads)
        return np.stack([batch.images for batch in loader.epoch(1, start)])

    with_policies = images(1, AutoAugmented(AreaCrop()))
    np.testing.assert_array_equal(with_policies, images(3, AutoAugmented(AreaCrop())))
    np.testing.assert_array_equal(with_policies[2:], images(2, AutoAugmented(AreaCrop()), 2))
    differing = (with_policies != images(1, AreaCrop())).any((2, 3, 4)).mean()
    assert 0.7 < differing < 1
