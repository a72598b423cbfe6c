"""Images as a program has them."""

import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.pixels import as_images, as_photo, require_colour

PHOTO = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


def test_arrays_and_images_of_pil_are_the_same_pixels():
    for photo in (PHOTO, mx.nd.array(PHOTO, dtype="uint8"), PIL.Image.fromarray(PHOTO)):
        np.testing.assert_array_equal(as_photo(photo), PHOTO)
        np.testing.assert_array_equal(as_images([photo, PHOTO]), np.stack([PHOTO, PHOTO]))
    assert as_photo(PHOTO) is PHOTO


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_an_image_of_pil_of_any_mode_of_8_bits(mode):
    image = PIL.Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode)
    assert (as_photo(image) == 255).all() and as_photo(image).shape == (4, 6, 3)


def test_an_image_of_pil_is_turned_as_a_file_is():
    """Orientation 6: what is at the left was up."""
    image = PIL.Image.fromarray(PHOTO)
    image.getexif()[0x0112] = 6
    np.testing.assert_array_equal(as_photo(image), np.rot90(PHOTO, -1))


def cut_off(tmp_path):
    PIL.Image.fromarray(PHOTO.repeat(20, 0).repeat(20, 1)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    return PIL.Image.open(tmp_path / "cut.png")


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: as_photo(PHOTO / 255), r"a photo is an array \(H, W, 3\) of uint8, RGB, but got float64 \(4, 6, 3\)"),
        (lambda: as_photo(PHOTO[None]), r"but got uint8 \(1, 4, 6, 3\)"),
        (lambda: as_photo(mx.nd.array(PHOTO)), r"but got float32 \(4, 6, 3\)"),
        (lambda: as_photo("photo.png"), "but got 'photo.png'"),
        (lambda: as_photo(PIL.Image.new("I;16", (4, 4))), "PIL's mode I;16 has more than 8 bits a channel: name its"),
        (lambda: as_images(PHOTO), r"images are an array \(N, H, W, 3\) of uint8, RGB, but got uint8 \(4, 6, 3\)"),
        (lambda: as_images(PHOTO[None].transpose(0, 3, 1, 2)), r"but got uint8 \(1, 3, 4, 6\)"),
        (lambda: as_images(PHOTO[None][:0]), r"but got uint8 \(0, 4, 6, 3\)"),
        (lambda: as_images([]), r"but got \[\]"),
        (lambda: as_images([PHOTO, PHOTO[:2]]), "images are of one size, but got .*: resize them"),
        (lambda: require_colour("fill", (1, 2)), r"fill \(R, G, B\) takes 3 numbers, but got \(1, 2\)"),
        (lambda: require_colour("fill", (1, 2, 300)), r"fill \(R, G, B\) is 300.*: it takes 255 or less"),
    ],
)
def test_what_is_no_image_is_refused(call, says):
    with pytest.raises(Refused, match=says):
        call()


def test_a_file_of_pil_that_is_cut_off_is_refused(tmp_path):
    with pytest.raises(Refused, match="an image of PIL's cannot be read: "):
        as_photo(cut_off(tmp_path))
