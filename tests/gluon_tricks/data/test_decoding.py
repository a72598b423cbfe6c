"""What images may take: told by their headers, bounded, and shared by all threads."""

import io
import resource
import struct
import threading
import time
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.data.annotations.annotated import read_stored
from gluon_tricks.data.annotations.masks import value_counts
from gluon_tricks.data.decoding import MOST_SCANS, Budget, bytes_of_decoding, why_not
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.records import decode_image

PIXELS = np.random.default_rng(0).integers(0, 255, (48, 32, 3), np.uint8)


def encoded(ending, *options, pixels=PIXELS):
    return cv2.imencode(ending, pixels, options)[1].tobytes()


def moving_webp():
    frames = [PIL.Image.new("RGB", (32, 48), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def scans(count):
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data.rindex(b"\xff\xda")
    there = data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - there) + data[-2:]


@pytest.mark.parametrize(
    "data, kind, number_bytes",
    [
        (encoded(".jpg"), "jpeg", 3),
        (encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "jpeg", 3 + 6),
        (encoded(".png"), "png", 6),
        (encoded(".png", pixels=PIXELS.astype(np.uint16)), "png", 12),
        (encoded(".bmp"), "bmp", 4),
        (encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101), "webp", 8),
        (encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 50), "webp", 8),
        (moving_webp(), "webp", 8),
        (encoded(".tiff"), "tiff", 3 + 4),
        (encoded(".tiff", pixels=PIXELS.astype(np.uint16)), "tiff", 6 + 6),
    ],
)
def test_headers_say_the_true_size_and_what_decoding_takes(data, kind, number_bytes):
    header = image_header(data)
    assert (header.format, header.pixels, header.number_bytes) == (kind, 32 * 48, number_bytes)
    assert bytes_of_decoding(header) == 32 * 48 * number_bytes and why_not(data) == ""


def test_turning_an_image_takes_a_second_one():
    exif, file = PIL.Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    PIL.Image.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    assert bytes_of_decoding(image_header(file.getvalue())) == 32 * 48 * (3 + 3)


def test_a_tile_larger_than_its_picture_counts():
    tags = [(256, 4, 16), (257, 4, 16), (258, 3, 8), (277, 3, 3), (322, 4, 60000), (323, 4, 60000)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    assert image_header(tiff).pixels == 60000**2
    assert why_not(tiff) == "an image of more than 134 million pixels" and decode_image(tiff) is None


@pytest.mark.parametrize("ending", [".jp2", ".ppm", ".sr", ".hdr"])
def test_a_format_that_does_not_say_what_it_takes_is_not_decoded(ending):
    data = encoded(ending, pixels=PIXELS.astype(np.float32) if ending == ".hdr" else PIXELS)
    assert decode_image(data) is None and why_not(data) == "no JPEG, PNG, BMP, WebP or TIFF"


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once(tmp_path):
    began = time.monotonic()
    bomb = scans(20000)
    assert why_not(bomb) == "a JPEG of 20000 scans, which would take minutes to decode"
    (tmp_path / "a.jpg").write_bytes(bomb)
    assert decode_image(bomb) is None and read_stored(tmp_path / "a.jpg") is None
    assert time.monotonic() - began < 1
    most = scans(MOST_SCANS)
    assert why_not(most) == "" and decode_image(most).shape == (48, 32, 3)
    assert why_not(scans(MOST_SCANS + 1)).startswith("a JPEG of 101 scans")


def test_a_large_progressive_jpeg_has_fewer_scans_and_less_memory():
    """10 scans of 100 million pixels are decoded, 40 are not; nor is what takes more than 1.6 GB."""

    def sized(data, height, width):
        frame = data.index(b"\xff\xc2")
        return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]

    assert why_not(sized(scans(10), 10000, 10000)) == ""
    assert "40 scans" in why_not(sized(scans(40), 10000, 10000))


def test_threads_share_a_budget_and_wait_for_each_other():
    budget, most, now, lock = Budget(100), [0], [0], threading.Lock()

    def work():
        for _ in range(20):
            with budget.share(40), budget.share(10**9):  # the second is part of the first
                with lock:
                    now[0] += 40
                    most[0] = max(most[0], now[0])
                time.sleep(0.0005)
                with lock:
                    now[0] -= 40

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most[0] == 80 and now[0] == 0  # two at a time, as three would take 120
    with budget.share(10**12):  # more than there is: alone
        pass
    with pytest.raises(KeyError), budget.share(100):
        raise KeyError
    with budget.share(100):  # given back after an error
        pass


def test_values_are_counted_in_parts():
    values = np.zeros((3000, 2000), np.uint16)  # 6 million pixels, more than one part
    values[:2] = 65535
    values[2999, 1999] = 7
    counts = value_counts(values)
    assert counts.shape == (65536,)
    assert (counts[65535], counts[7], counts[0], counts.sum()) == (4000, 1, 5995999, 6000000)


def png_with_texts(count):
    good, text = encoded(".png"), b"zTXtk\0\0" + zlib.compress(bytes(1000))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return good[:33] + chunk * count + good[33:]


def test_a_png_of_many_compressed_texts_is_refused():
    """OpenCV unpacks up to 8 MB of each, and keeps it: 900 of them, in 7 MB, took 7 GB and a minute."""
    assert why_not(png_with_texts(16)) == "" and decode_image(png_with_texts(16)).shape == PIXELS.shape
    assert why_not(png_with_texts(17)) == "a PNG with 17 texts, and 16 are the most"


def test_a_comment_is_not_taken_for_the_first_scan():
    """Of a sequential JPEG whose comment looks like a scan of all components, each real one has a single component."""
    image = encoded(".jpg")
    frame = image.index(b"\xff\xc0")
    behind = frame + 2 + int.from_bytes(image[frame + 2 : frame + 4], "big")
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    bomb = image[:behind] + b"\xff\xfe\0\x08\xff\xda\0\x0c\x03x"[:10] + scan * 300 + b"\xff\xd9"
    assert image_header(image).scans == 1
    assert why_not(bomb) == "a JPEG of 301 scans, which would take minutes to decode"


@pytest.mark.parametrize("filling", [b"\xff", b"\0"])
def test_what_fills_up_a_jpeg_is_passed_over_at_once(filling):
    image, began = encoded(".jpg"), time.process_time()
    assert image_header(image[:2] + filling * 30_000_000 + image[2:])[:5] == image_header(image)[:5]
    assert time.process_time() - began < 3  # letter by letter: 4 s for each 10 MB


def test_a_jpeg_of_millions_of_segments_is_refused_at_once():
    image, began = encoded(".jpg"), time.process_time()
    bomb = image[:2] + b"\xff\xfe\0\2" * 5_000_000 + image[2:]
    assert why_not(bomb) == "a JPEG whose size is not found at its beginning" and time.process_time() - began < 3


def test_a_png_whose_part_claims_more_than_the_file_is_not_decoded():
    good = encoded(".png")
    first = good.index(b"IDAT")
    length = int.from_bytes(good[first - 4 : first], "big")
    claims = good[: first - 4] + (0xF0000000).to_bytes(4, "big") + good[first:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KB
    for data in (claims, good[: first + 4 + length // 2], good[: first + 4 + length + 2]):
        assert why_not(data) == "a PNG that is cut off" and decode_image(data) is None
    empty = good[: first - 4] + good[good.index(b"IEND") - 4 :]  # OpenCV looks for a picture behind the end
    assert decode_image(empty + b"\xf0\0\0\0junk") is None
    astray = good[:33] + b"\0\0\0\x24eXIf" + b"\x08\x1dm\xc1\1\1\0\0\0\1 n\xf6\x7f\x88\3\xaa\xc8S"  # EXIF of noise
    assert decode_image(astray.ljust(33 + 8 + 36, b"\0") + b"crc " + good[33:]).shape == PIXELS.shape
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert why_not(good + b"something else") == "" and decode_image(good + b"\xf0\0\0\0junk").shape == PIXELS.shape
