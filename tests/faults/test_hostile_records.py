"""Images that claim to be huge, labels that claim a million classes, and pickles in the place of every file."""

import json
import os
import pickle
import resource
import struct
import zlib

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data import folders, sources
from gluon_tricks.data.decoding import MOST_PIXELS
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.pack import pack
from gluon_tricks.data.recipe_records import count_classes
from gluon_tricks.data.record_file import write_index
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import BadRecord, Records, decode_image
from gluon_tricks.networks import checkpoint
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained import load
from model_zoo import formats, load_model
from model_zoo.symbols import import_symbol

JPEG = cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes()


def jpeg(width, height, progressive=0) -> bytes:
    """A few hundred bytes that claim this size, which libjpeg believes: it fills what is missing with grey."""
    data = cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1]
    frame = data.tobytes().index(b"\xff\xc2" if progressive else b"\xff\xc0")
    return data.tobytes()[: frame + 5] + struct.pack(">HH", height, width) + data.tobytes()[frame + 9 :]


def png(width, height) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = zlib.compressobj()
    picture = b"".join(row.compress(bytes(3 * width + 1)) for _ in range(height)) + row.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", picture) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60000, 60000), (20000, 20000), (65500, 2050)])
def test_an_image_that_claims_to_be_huge_is_not_decoded(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KB
    for image in (jpeg(*size), jpeg(*size, progressive=1)):
        assert decode_image(image) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_nor_is_one_of_another_format(child):
    """Other formats that OpenCV reads: a few bytes say 50000 x 50000 (WebP: 16384 x 16384)."""
    done = child("huge_images.py")
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in found] == "bmp tiff webp jpeg2000 ppm pam pfm sun hdr".split()
    for name, _, huge, megabytes in found:
        assert (huge, int(megabytes) < 100) == ("False", True), name
    # Of 64 x 64 they are images, but only the first three say in their headers what decoding takes.
    assert [name for name, small, *_ in found if small == "True"] == ["bmp", "tiff", "webp"]


def test_the_limit_is_the_decoders_own():
    assert int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]) == MOST_PIXELS


def test_a_huge_image_that_is_all_there_is_not_decoded():
    """135e6 px of one colour are 400 KB as PNG and 400 MB decoded; the limit is 2**27 = 134.2e6."""
    assert decode_image(png(13500, 10000)) is None


def test_a_large_image_is_decoded():
    assert decode_image(png(4000, 3000)).shape == (3000, 4000, 3)
    assert decode_image(jpeg(400, 300)).shape == (300, 400, 3)


def test_the_loader_counts_a_bomb_as_undecodable(tmp_path):
    with RecordWriter(tmp_path / "a", ["cat", "dog"]) as writer:
        for k in range(120):
            writer.add(k % 2, k, jpeg(30000, 30000) if k == 7 else JPEG)
    loader = RecordLoader(Records(tmp_path / "a.rec"), size=8, batch_size=40, train=True)
    assert [batch.count for batch in loader.epoch()] == [40, 40, 40]
    assert list(loader.undecodable) == [7] and loader.undecodable[7][0] == 7
    assert sum(batch.count for batch in RecordLoader(loader.records, size=8, batch_size=40, train=False).epoch()) == 119


def test_a_bomb_is_left_out_of_packing(tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for name, image in (("good.jpg", JPEG), ("bomb.jpg", jpeg(30000, 30000))):
        (tmp_path / "photos" / "cat" / name).write_bytes(image)
    manifest, left_out = pack(folders.class_folders(tmp_path / "photos"), tmp_path / "a", resize=8)
    assert manifest["count"] == 1
    assert left_out == [f"{tmp_path}/photos/cat/bomb.jpg (an image of more than 134 million pixels)"]


def test_labels_do_not_decide_how_large_a_network_is(tmp_path):
    """Without a manifest the labels tell the number of classes: not if there are fewer images than that."""
    with RecordWriter(tmp_path / "a", ["cat", "dog"]) as writer:
        for k in range(4):
            writer.add(k % 2, k, JPEG)
    (tmp_path / "a.json").unlink()
    assert count_classes(*2 * [Records(tmp_path / "a.rec")], None) == 2
    data = bytearray((tmp_path / "a.rec").read_bytes())
    data[12:16] = struct.pack("<f", 1e9)  # behind mark, length and flag
    (tmp_path / "a.rec").write_bytes(data)
    records = Records(tmp_path / "a.rec")
    with pytest.raises(Refused, match="the highest label is 1000000000, and 4 training images cannot show as many"):
        count_classes(records, records, None)
    with pytest.raises(BadRecord, match=r"image 0 \(id 0\) of .*a.rec at byte 0 has label 1e\+09, which is not"):
        list(RecordLoader(records, size=8, batch_size=4, train=False).epoch())


class Evil:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_in_the_place_of_any_file_is_not_executed(tmp_path):
    trace, good = tmp_path / "trace", tmp_path / "a"
    with RecordWriter(good, ["cat", "dog"]) as writer:
        for k in range(4):
            writer.add(k % 2, k, JPEG)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        evil = pickle.dumps({"state_dict": Evil(trace)}, protocol=protocol)
        for number, read in enumerate(
            (formats.read, load_model, checkpoint.read_checkpoint, load.load_network, read_recipe, Records,
             write_index, lambda path: sources.list_file(tmp_path, path), sources.read_classes)
        ):  # fmt: skip
            for ending in (".safetensors", ".params", ".json", ".rec"):
                path = tmp_path / f"evil{number}{ending}"
                path.write_bytes(evil)
                if read is not sources.read_classes or ending == ".json":  # of text any line is a class
                    with pytest.raises(Refused):
                        read(path)
        for ending in (".idx", ".json"):
            kept = good.with_suffix(ending).read_bytes()
            good.with_suffix(ending).write_bytes(evil)
            with pytest.raises(Refused):
                Records(good.with_suffix(".rec"))
            good.with_suffix(ending).write_bytes(kept)
        with pytest.raises(Refused):
            (tmp_path / "x-symbol.json").write_bytes(evil)
            (tmp_path / "x-0000.params").write_bytes(evil)
            import_symbol(tmp_path / "x-symbol.json")
    assert len(Records(good.with_suffix(".rec"))) == 4
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists()  # it would have been seen


@pytest.mark.parametrize(
    "evil",
    [
        {"tricks": [{"trick": "os.system", "command": "true"}]},
        {"tricks": [{"trick": "__import__('os')"}]},
        {"tricks": [{"trick": "mixup", "__class__": "x"}]},
        {"tricks": [{"trick": "mixup", "alpha": "__import__('os')"}]},
        {"__class__": "x"},
        {"augment": "os.system"},
        {"dtype": "os.system"},
    ],
)
def test_a_recipe_names_tricks_of_the_list_only(evil, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({**Recipe().to_json(), **evil}))
    with pytest.raises(Refused):
        read_recipe(tmp_path / "recipe.json")


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "x/../../a.jpg", "..", "./../a.jpg"])
def test_a_list_cannot_lead_out_of_its_folder(name, tmp_path):
    (tmp_path / "photos" / "x").mkdir(parents=True)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "list.lst").write_text(f"0\t0\t{name}\n")
    with pytest.raises(Refused, match="lies outside"):
        sources.list_file(tmp_path / "photos", tmp_path / "list.lst")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-1\t0\ta.jpg", "has the index -1"),
        (f"{1 << 64}\t0\ta.jpg", "has the index 18446744073709551616"),
        ("0\t1e9\ta.jpg", "unknown class 1e9"),
        ("0\tinf\ta.jpg", "unknown class inf"),
    ],
)
def test_numbers_of_a_list_have_their_ranges(line, says, tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "list.lst").write_text(f"{line}\n")
    with pytest.raises(Refused, match=says):
        sources.list_file(tmp_path, tmp_path / "list.lst")


def test_files_that_are_too_large_for_what_they_are_are_not_read(tmp_path):
    """Holes in files take no place on the disk: these have none."""
    with RecordWriter(tmp_path / "a", ["cat", "dog"]) as writer:
        writer.add(0, 0, JPEG)
    for ending, size, says in (
        (".json", 1 << 27, "it has 134 MB, and 67.1 MB are the most"),
        (".idx", 1 << 32, "than a.rec has room"),
    ):
        path = tmp_path / f"a{ending}"
        kept = path.read_bytes()
        with open(path, "r+b") as file:
            file.truncate(size)
        with pytest.raises(Refused, match=says):
            Records(tmp_path / "a.rec")
        path.write_bytes(kept)
    with open(tmp_path / "list.lst", "wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(Refused, match="are the most"):
        sources.list_file(tmp_path, tmp_path / "list.lst")
