"""Photos as medicine and industry store them: one channel, 16 bits, palettes, CMYK; the same in training and after."""

import io
import struct

import cv2
import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.check import check
from gluon_tricks.data.decoding import used_bits, why_not
from gluon_tricks.data.encoding import NoImage
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.own_photos import OwnPhotos
from gluon_tricks.data.pack import pack
from gluon_tricks.data.records import Records, decode_image
from gluon_tricks.trained.prediction_files import read_photo

RAMP = np.tile(np.arange(0, 256, 8, dtype=np.uint16), (24, 1))  # 0, 8, ... 248, and 255 at the end
RAMP[:, -1] = 255
GREY = RAMP.astype(np.uint8)
COLOUR = np.dstack([GREY] * 3)


def by_cv(ending, pixels):
    return cv2.imencode(ending, pixels)[1].tobytes()


def by_pil(pixels, kind, mode=None, **how):
    image, file = PIL.Image.fromarray(pixels), io.BytesIO()
    if mode == "P":
        image = image.convert("P", palette=PIL.Image.Palette.ADAPTIVE, colors=256)  # all that it has
    elif mode:
        image = image.convert(mode)
    image.save(file, kind, **how)
    return file.getvalue()


def patched(tiff, tag, value):
    """A TIFF with another number in a tag of its first directory."""
    order, data = "<" if tiff[:2] == b"II" else ">", bytearray(tiff)
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    (at,) = [
        k for k in range(start + 2, start + 2 + 12 * count, 12) if struct.unpack_from(order + "H", tiff, k)[0] == tag
    ]
    struct.pack_into(order + "H", data, at + 8, value)
    return bytes(data)


def deep(bits):
    """The ramp in a file of 16 bits that uses so many: its largest value is 2^bits - 1."""
    return (RAMP.astype(np.float64) / 255 * (2**bits - 1)).round().astype(np.uint16)


KINDS = {
    "grey.png": (by_cv(".png", GREY), 1, 8),
    "grey.jpg": (by_cv(".jpg", GREY), 1, 8),
    "grey.tiff": (by_cv(".tiff", GREY), 1, 8),
    "grey with alpha.png": (by_pil(np.dstack([GREY, GREY]), "PNG"), 1, 8),
    "rgba.png": (by_cv(".png", np.dstack([GREY] * 4)), 3, 8),
    "palette.tiff": (by_pil(COLOUR, "TIFF", "P"), 3, 8),
    "palette.png": (by_pil(COLOUR, "PNG", "P"), 3, 8),
    "palette.bmp": (by_pil(GREY, "BMP"), 3, 8),
    "cmyk.jpg": (by_pil(COLOUR, "JPEG", "CMYK", quality=100), 4, 8),
    "cmyk.tiff": (by_pil(COLOUR, "TIFF", "CMYK"), 4, 8),
    "rgb 16.png": (by_cv(".png", np.dstack([deep(16)] * 3)), 3, 16),
    "rgba 16.png": (by_cv(".png", np.dstack([deep(16)] * 4)), 3, 16),
    "rgba 16.tiff": (by_cv(".tiff", np.dstack([deep(16)] * 4)), 3, 16),
    "lzw 16.tiff": (by_pil(deep(16), "TIFF", compression="tiff_lzw"), 1, 16),
    **{f"grey {b}.png": (by_cv(".png", deep(b)), 1, b) for b in (8, 10, 12, 14, 16)},
    **{f"grey {b}.tiff": (by_cv(".tiff", deep(b)), 1, b) for b in (8, 10, 12, 14, 16)},
}


def levels_of(name):
    """What a picture of the ramp is to look like, and by how many levels it may differ."""
    near = {"grey.jpg": 6, "cmyk.jpg": 6}
    return COLOUR, near.get(name, 1)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_taken_as_rgb_of_8_bits(name, tmp_path):
    data, components, bits = KINDS[name]
    pixels = decode_image(data)
    wanted, levels = levels_of(name)
    assert pixels.dtype == np.uint8 and pixels.shape == (24, 32, 3)
    assert np.abs(pixels.astype(int) - wanted).max() <= levels
    assert image_header(data).components == components and used_bits(data) == bits and why_not(data) == ""
    photo = tmp_path / "photos" / "a" / name
    photo.parent.mkdir(parents=True)
    photo.write_bytes(data)
    pack(class_folders(tmp_path / "photos"), tmp_path / "as it is")
    pack(class_folders(tmp_path / "photos"), tmp_path / "smaller", resize=12, quality=100)
    (stored, small) = (decode_image(Records(tmp_path / f"{p}.rec").read(0)[2]) for p in ("as it is", "smaller"))
    np.testing.assert_array_equal(stored, pixels)
    np.testing.assert_array_equal(read_photo(photo), pixels[:, :, ::-1])  # as predict takes it
    assert small.shape == (12, 16, 3) and abs(float(small.mean()) - pixels.mean()) < 3


def test_one_bit_is_black_and_white():
    dots = np.indices((24, 32)).sum(axis=0) % 2 == 0
    for kind in ("PNG", "TIFF", "BMP"):
        pixels = decode_image(by_pil(dots, kind))
        np.testing.assert_array_equal(pixels, np.dstack([dots] * 3) * np.uint8(255), err_msg=kind)


def test_a_depth_is_that_of_the_largest_value():
    """4095 is the most of 12 bits, 4096 takes 14: v becomes round(255 v / 4095), or of 16383."""
    for largest, bits in ((255, 8), (256, 10), (4095, 12), (4096, 14), (16384, 16), (0, 8)):
        image = np.array([[largest // 2, largest]], np.uint16)
        data = by_cv(".png", image)
        wanted = np.rint(image * (255 / (2**bits - 1)))
        assert used_bits(data) == bits and np.abs(decode_image(data)[:, :, 0] - wanted).max() <= 1, largest


def test_where_the_largest_number_is_black():
    """PhotometricInterpretation 0, as X-rays are stored: OpenCV turns 8 bits by itself, 16 it does not."""
    shallow = patched(by_pil(GREY, "TIFF"), 262, 0)
    for data in (shallow, patched(by_pil(deep(16), "TIFF"), 262, 0), patched(by_pil(deep(12), "TIFF"), 262, 0)):
        assert np.abs(decode_image(data).astype(int) - (255 - COLOUR)).max() <= 1


PAGES = by_pil(GREY, "TIFF", save_all=True, append_images=[PIL.Image.fromarray(GREY)])


def raw(*tags):
    """A TIFF that has further tags (tag, kind, value) in its first directory, as cameras' raw files have."""
    entries = PIL.TiffImagePlugin.ImageFileDirectory_v2()
    for tag, kind, value in tags:
        entries.tagtype[tag], entries[tag] = kind, value
    return by_pil(COLOUR, "TIFF", tiffinfo=entries)


RAW = "a camera's raw file: export its picture as JPEG"
NOT_READ = {
    "nef.tif": (raw((254, 4, 1), (330, 4, 8)), RAW),
    "dng.tif": (raw((254, 4, 1), (330, 13, 8)), RAW),
    "sensor.tif": (patched(by_cv(".tiff", GREY), 262, 32803), RAW),
    "cr2.tif": (PAGES[:4] + struct.pack("<I", 16) + b"CR\2\0" + bytes(4) + PAGES[8:], RAW),
    "scan.dcm": (bytes(128) + b"DICM" + bytes(60), "a DICOM file: export its picture as PNG"),
    "stack.tiff": (PAGES, "a TIFF of several pages: save each as a file of its own"),
    "float.tiff": (by_cv(".tiff", RAMP.astype(np.float32)), "a TIFF of 32 bits a channel: save it as PNG with 8 or 16"),
    "cmyk 16.tiff": (
        patched(by_cv(".tiff", np.dstack([deep(16)] * 4)), 262, 5), "a CMYK TIFF of 16 bits a channel: save it as PNG",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_takes_one_sentence(name, tmp_path, monkeypatch, capsys):
    data, why = NOT_READ[name]
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(3):
            (tmp_path / "photos" / label / f"{k}.png").write_bytes(by_cv(".png", GREY + np.uint8(k)))
    (tmp_path / "photos" / "a" / name).write_bytes(data)
    assert why_not(data).startswith(why) and decode_image(data) is None
    with pytest.raises(NoImage, match=why):
        read_photo(tmp_path / "photos" / "a" / name)
    OwnPhotos(tmp_path / "photos", "--data").pack()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert f"a/{name} ({why}" in line


def test_a_thumbnail_is_no_page():
    """A smaller copy of the page (NewSubfileType 1), as cameras and editors add it."""
    for tags in ([(254, 4, 1)], [(330, 4, 8)], [(254, 4, 0), (330, 4, 8)]):  # the file's one picture, whatever it says
        assert decode_image(raw(*tags)) is not None and image_header(raw(*tags)).pages <= 1
    second = patched_second(PAGES, 254, 1)
    assert image_header(PAGES).pages == 2 and image_header(second).pages == 1 and decode_image(second) is not None


def patched_second(tiff, tag, value):
    """The same for a tag of the second directory: there ImageWidth, the first, becomes it."""
    order, data = "<" if tiff[:2] == b"II" else ">", bytearray(tiff)
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    (second,) = struct.unpack_from(order + "I", tiff, start + 2 + 12 * count)
    struct.pack_into(order + "HHII", data, second + 2, tag, 4, 1, value)
    return bytes(data)


def test_a_check_counts_grey_tiffs_too(tmp_path):
    (tmp_path / "p" / "a").mkdir(parents=True)
    (tmp_path / "p" / "b").mkdir()
    (tmp_path / "p" / "a" / "1.tiff").write_bytes(KINDS["grey 12.tiff"][0])
    (tmp_path / "p" / "b" / "1.png").write_bytes(KINDS["rgb 16.png"][0])
    pack(class_folders(tmp_path / "p"), tmp_path / "x")
    assert len(check(Records(tmp_path / "x.rec")).found["greyscale"]) == 1


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda folder: pack(folder, folder / "x"), r"source is the name '.*p': find its images first, with class_f"),
        (lambda folder: pack(str(folder), folder / "x"), "source is the name"),
        (lambda folder: pack(None, folder / "x"), r"source takes what class_folders\(FOLDER\) finds, but got None"),
        (lambda folder: pack(class_folders(folder), None), "prefix takes the files' common name, but got None"),
        (lambda folder: pack(class_folders(folder), folder / "x", resize=0), "resize is 0: it takes 1 or more"),
        (lambda folder: pack(class_folders(folder), folder / "x", resize=8.5), "resize takes a whole number"),
        (lambda folder: pack(class_folders(folder), folder / "x", seed=-1), "seed is -1"),
        (lambda folder: pack(class_folders(folder), folder / "x", jobs=-1), "jobs is -1"),
        (lambda folder: pack(class_folders(folder), folder / "x", shards="2"), "shards takes a whole number"),
        (lambda folder: pack(class_folders(folder), folder / "x", about=["x"]), "about takes a dict"),
        (lambda folder: pack(class_folders(folder), folder / "x", look=3), "look takes a function"),
        (lambda folder: class_folders(3), "folder takes the name of a file or folder, but got 3"),
        (lambda folder: class_folders(folder, "ant"), "classes takes a list of names, but got 'ant'"),
        (
            lambda folder: class_folders(folder, folder / "classes.json"),
            "classes takes a list of names, but got",
        ),
        (lambda folder: class_folders(folder.parent), "lie a folder too deep"),
        (lambda folder: class_folders(folder / "ant"), "no class folders"),
    ],
)
def test_what_is_no_source_of_images_is_refused(tmp_path, call, says):
    for name in ("ant", "bee"):
        (tmp_path / "p" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "p" / name / "0.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(Refused, match=says):
        call(tmp_path / "p")
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["ant", "bee"]
