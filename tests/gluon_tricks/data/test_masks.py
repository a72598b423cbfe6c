import logging
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.annotated import Problem, read_stored, stored_image
from gluon_tricks.data.annotations.masks import check_values, read_ade20k, read_masks, require_classes


@pytest.fixture
def folders(tmp_path):
    """folders(masks) -> images/0.jpg and masks/0.png, images/1.jpg ...; a mask is an array or a Pillow image."""

    def write(*masks):
        for name in ("images", "masks"):
            (tmp_path / name).mkdir()
        for i, mask in enumerate(masks):
            mask = mask if isinstance(mask, PIL.Image.Image) else PIL.Image.fromarray(np.array(mask))
            mask.save(tmp_path / f"masks/{i}.png")
            PIL.Image.new("RGB", mask.size).save(tmp_path / f"images/{i}.jpg")
        return tmp_path / "images", tmp_path / "masks"

    return write


def u1(*rows):
    return np.array(rows, np.uint8)


def test_values_become_classes_and_void(folders):
    images = read_masks(*folders(u1([0, 1, 2], [255, 9, 2])), ["sky", "sea"], void=(0, 9, 255), values=(1, 2))
    mask = images.read_mask(0)
    assert mask.tolist() == [[-1, 0, 1], [-1, -1, 1]] and mask.dtype == np.int32
    assert (images.classes, images.void, images.values) == (("sky", "sea"), (0, 9, 255), (1, 2))
    assert images.sizes.tolist() == [[2, 3]] and len(images) == 1


def test_all_kinds_of_masks(folders):
    palette = PIL.Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putdata([1, 0])
    images = read_masks(*folders(palette, np.array([[999, 3]], np.uint16), u1([4, 5])), 1000)
    assert [images.read_mask(i).tolist() for i in range(3)] == [[[1, 0]], [[999, 3]], [[4, 5]]]
    assert images.classes[999] == "999"
    check_values(images)


def test_masks_of_one_two_and_four_bits(folders):
    """PNG's grey of few bits, which Pillow does not write: of 2 bits 0 1 2 3, of 4 bits 15 0 7 1, of 1 bit 0 1 1 0."""
    images = read_masks(*folders(*[u1([0, 0, 0, 0])] * 3), 16)
    for path, bits, row in zip(images.masks, (1, 2, 4), ((0, 1, 1, 0), (0, 1, 2, 3), (15, 0, 7, 1))):
        packed = sum(value << (bits * (3 - k)) for k, value in enumerate(row)) << (-4 * bits % 8)
        chunks = (
            (b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"\0" + packed.to_bytes((4 * bits + 7) // 8, "big"))),
            (b"IEND", b""),
        )
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                for kind, data in chunks
            )
        )
    images = read_masks(images.paths[0].parent, images.masks[0].parent, 16)
    assert [images.read_mask(i)[0].tolist() for i in range(3)] == [[0, 1, 1, 0], [0, 1, 2, 3], [15, 0, 7, 1]]


def test_black_and_white_masks(folders, caplog):
    places = folders(u1([0, 255, 255]), u1([0, 0, 0]))
    images = read_masks(*places, ["paper", "ink"], values=(0, 255))
    assert images.read_mask(0).tolist() == [[0, 1, 1]]
    counts = check_values(images)
    assert (counts[0], counts[255], counts.sum()) == (4, 2, 6)
    require_classes(images, counts, train=True)
    assert not caplog.text
    void = read_masks(*places, 2, void=(255,))
    with pytest.raises(
        Refused, match=r"only one class occurs .* hold the values 0, 255, and .* 0 to 1, void 255.*0,255"
    ):
        require_classes(void, check_values(void), train=True)
    require_classes(void, check_values(void), train=False)  # a part of the images to validate on may show one class
    assert "no mask of" in caplog.text and "has the class 1: the mean is over the others" in caplog.text
    with pytest.raises(Refused, match="the mask values 0, 255 of 3 classes"):
        read_masks(*places, 3, values=(0, 255))
    with pytest.raises(Refused, match="the mask values 0, 255 of 2 classes and 255 of void"):
        read_masks(*places, 2, values=(0, 255), void=(255,))


def test_blurred_masks_are_told_as_such(folders):
    images = read_masks(*folders(u1(np.arange(0, 256, 8), np.arange(0, 256, 8))), 2, values=(0, 248))
    with pytest.raises(Refused, match="has the values 8, 16, 24, 32, 40 and 25 more, .*0, 248, .*come from JPEG"):
        check_values(images)


def test_masks_whose_ending_is_in_capitals(folders):
    images, masks = folders(u1([0, 1]))
    (masks / "0.png").rename(masks / "0.PNG")
    found = read_masks(images, masks, 2)
    assert found.masks == [masks / "0.PNG"] and found.read_mask(0).tolist() == [[0, 1]]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_images_that_exif_turns(folders, caplog, form):
    images, masks = folders(u1([0, 1]), u1([0, 1]))
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.new("RGB", (2, 1)).save(images / "1.jpg", form, exif=exif)
    read_masks(images, masks, 2)
    assert "1 of 2 images of" in caplog.text and "1.jpg: masks are taken for the photo as it is stored" in caplog.text
    PIL.Image.new("L", (1, 2)).save(masks / "1.png")
    with pytest.raises(Refused, match="1.png has 1 x 2 px and its image 2 x 1 px .its EXIF data turns it, which"):
        read_masks(images, masks, 2)


def test_a_tiff_is_turned_as_it_is_read(tmp_path):
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.new("RGB", (2, 1)).save(tmp_path / "a.tif", exif=exif)
    assert stored_image(tmp_path / "a.tif") == ((2, 1), 1) and read_stored(tmp_path / "a.tif").shape == (2, 1, 3)


def test_an_image_that_is_opened_and_not_decoded(folders):
    images, masks = folders(u1([0, 1]))
    PIL.Image.new("RGB", (2, 1)).save(images / "0.jpg", "GIF")
    with pytest.raises(Refused, match="0.jpg is no JPEG, PNG, BMP, WebP or TIFF"):
        read_masks(images, masks, 2)


def test_a_mask_of_another_format_is_named(folders):
    images, masks = folders(u1([0, 1]))
    (masks / "0.png").rename(masks / "0.jpg")
    with pytest.raises(Refused, match="0.jpg has no mask .*0.png: 0.jpg there is not a PNG"):
        read_masks(images, masks, 2)


def test_values_beyond_the_classes_are_named(folders):
    images = read_masks(*folders(u1([0, 1]), u1([2, 0]), u1([12, 1]), u1([11, 0])), 2, void=(11,))
    with pytest.raises(Refused, match=r"2 of 4 images .*1.png has the value 2, .* 0 to 1, void 11; .*2.png has .* 12"):
        check_values(images, jobs=2)
    with pytest.raises(Problem, match="2.png has the value 12"):
        images.read_mask(2)
    below = read_masks(
        images.paths[0].parent, images.masks[0].parent, 12, values=range(1, 13)
    )  # 0 is neither class nor void
    with pytest.raises(Problem, match="0.png has the value 0, and the classes are 1 to 12, void none"):
        below.read_mask(0)


def test_what_headers_show_is_found_before(folders):
    images, masks = folders(*[u1([0, 1])] * 7)
    (masks / "0.png").unlink()
    PIL.Image.new("L", (2, 2)).save(masks / "1.png")
    PIL.Image.new("RGB", (2, 1)).save(masks / "2.png")
    PIL.Image.new("RGBA", (2, 1)).save(masks / "3.png")
    PIL.Image.new("L", (2, 1)).save(masks / "4.png", format="BMP")
    (images / "5.jpg").write_text("nothing")
    said = {}
    for i in range(6):
        keep = images.parent / "keep"
        keep.mkdir(exist_ok=True)
        for path in keep.iterdir():
            path.unlink()
        (keep / f"{i}.jpg").write_bytes((images / f"{i}.jpg").read_bytes())
        with pytest.raises(Refused) as caught:
            read_masks(keep, masks, 2)
        said[i] = str(caught.value)
    assert "0.jpg has no mask" in said[0] and "0.png" in said[0]
    assert "1.png has 2 x 2 px and its image 2 x 1" in said[1]
    assert "2.png holds RGB, and not one number" in said[2]
    assert "3.png holds RGB and alpha, and not" in said[3]
    assert said[2].endswith("Write classes as numbers, not colours")
    assert "4.png is not a PNG" in said[4] and "5.jpg is no JPEG, PNG" in said[5]
    with pytest.raises(Refused, match="6 of 7 images of .*; and 3 more. Fix them, .*. Write classes as numbers"):
        read_masks(images, masks, 2)


def test_folders_and_names(folders, caplog):
    images, masks = folders(u1([0, 1]), u1([0, 1]))
    (images / "README.txt").write_text("not an image")
    (images / "1.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(read_masks(images, masks, 2)) == 1
    assert "masks without an image are left out: 1 of" in caplog.text  # the one without an image
    (images / "0.png").write_bytes((masks / "0.png").read_bytes())
    with pytest.raises(Refused, match="2 of 2 .*0.jpg has the same mask as another"):
        read_masks(images, masks, 2)
    with pytest.raises(Refused, match="there is no folder .*nowhere"):
        read_masks(images, masks.parent / "nowhere", 2)
    with pytest.raises(Refused, match="no images found"):
        read_masks(masks.parent, masks, 2)
    with pytest.raises(Refused, match="no classes"):
        read_masks(images, masks, 0)


def test_masks_without_a_class_are_refused(folders):
    some = folders(u1([11, 11]), u1([11, 0]))
    check_values(read_masks(*some, 11, void=(11,)))
    with pytest.raises(Refused, match="all pixels of the 2 masks of .* are void: the classes are 0 to 10"):
        check_values(read_masks(*some, 11, void=(0, 11)))


def test_a_mask_that_is_cut_short(folders):
    import gluoncv.data  # noqa: F401  tells Pillow to pass over it

    images = read_masks(*folders(np.random.default_rng(0).integers(0, 9, (60, 70)).astype("u1")), 9)
    images.masks[0].write_bytes(images.masks[0].read_bytes()[:500])
    with pytest.raises(OSError):
        images.read_mask(0)
    with pytest.raises(Refused, match="1 of 1 image .*0.png cannot be decoded"):
        check_values(images)


def test_the_digest_is_of_names_sizes_and_classes(folders):
    images, masks = folders(u1([0, 1]), u1([0, 1]))
    digest = read_masks(images, masks, 2).digest
    assert read_masks(images, masks, 2).digest == digest != read_masks(images, masks, 3).digest
    assert digest != read_masks(images, masks, 2, void=(5,)).digest
    (images / "1.jpg").rename(images / "2.jpg")
    (masks / "1.png").rename(masks / "2.png")
    assert read_masks(images, masks, 2).digest != digest


def test_ade20k_in_either_form(shared_data, tmp_path):
    flat = read_ade20k(shared_data / "ade20k_samples", "validation")
    assert len(flat) == 3 and len(flat.classes) == 150 and flat.classes[:3] == ("wall", "building, edifice", "sky")
    assert flat.sizes.tolist() == [[512, 683], [364, 500], [300, 400]]
    check_values(flat)
    # The second holds the values 0 1 2 3 5 14 18: void and seven less one.
    assert np.unique(flat.read_mask(1)).tolist() == [-1, 0, 1, 2, 4, 13, 17]
    for kind, name in (("images", "training"), ("annotations", "training"), ("images", "validation")):
        (tmp_path / "ADEChallengeData2016" / kind / name).mkdir(parents=True)
    for path, mask in zip(flat.paths[:2], flat.masks):
        for source, kind in ((path, "images"), (mask, "annotations")):
            (tmp_path / "ADEChallengeData2016" / kind / "training" / source.name).write_bytes(source.read_bytes())
    training = read_ade20k(tmp_path, "training")
    assert [path.name for path in training.paths] == ["ADE_val_00000001.jpg", "ADE_val_00000002.jpg"]
    with pytest.raises(Refused, match="there is no folder .*annotations/validation"):
        read_ade20k(tmp_path, "validation")
    with pytest.raises(Refused, match='"training" and "validation"'):
        read_ade20k(tmp_path, "val")


def test_camvid(shared_data):
    folder = shared_data / "camvid_mini"
    val = read_masks(folder / "images/val", folder / "masks/val", 11, void=(11,))
    assert len(val) == 60 and (val.sizes == [360, 480]).all()
    check_values(val)
    with pytest.raises(Refused, match="60 of 60 images"):
        check_values(read_masks(folder / "images/val", folder / "masks/val", 11))
