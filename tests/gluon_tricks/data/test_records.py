import concurrent.futures
import json
import math
import struct

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.recordio import MARK, decode_record, encode_record, walk
from gluon_tricks.data.records import BadRecord, Records

# A record is 8 bytes of mark and length, 24 of image header and the image, padded to 4 bytes.
IMAGES = [b"abcde", b"wxyz", b"12345678" + MARK + b"xyz"]
#   8 + 24 + 5 + 3 of padding = 40; 8 + 24 + 4 = 36; cut at the mark: (8 + 24 + 8) + (8 + 3 + 1) = 52
OFFSETS, SIZE = [0, 40, 76], 128


@pytest.fixture
def packed(tmp_path):
    with RecordWriter(tmp_path / "a", ["cat", "dog", "owl"]) as writer:
        for label, image in enumerate(IMAGES):
            writer.add(label, 10 + label, image)
    return tmp_path / "a.rec"


@pytest.mark.parametrize("label", [-1, 3, 0.5, "cat"])
def test_a_label_that_is_no_class_is_not_written(label, tmp_path):
    with pytest.raises(Refused, match="label .* of image 7: it is a whole number from 0 to 2"):
        with RecordWriter(tmp_path / "b", ["cat", "dog", "owl"]) as writer:
            writer.add(label, 7, b"abcde")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change, says",
    [
        ({"id": -1}, "id is -1: it takes 0 or more"),
        ({"id": "a"}, "id takes a whole number, but got 'a'"),
        ({"image": np.zeros((4, 4, 3), np.uint8)}, r"image takes the bytes of a file, .*, but got an ndarray"),
        ({"image": "cat.png"}, "image takes the bytes of a file, such as .*, but got 'cat.png'"),
        ({"name": 3}, "name takes the name of a file, but got 3"),
        ({"classes": "cat"}, "classes takes a list of names, but got 'cat'"),
        ({"classes": [0, 1]}, "classes takes a list of names"),
        ({"about": ["x"]}, "about takes a dict"),
        ({"prefix": None}, "prefix takes the files' common name, but got None"),
    ],
)
def test_what_is_none_of_a_record_is_refused(change, says, tmp_path):
    given = {"prefix": tmp_path / "b", "classes": ["cat", "dog"], "about": None, "id": 7, "image": b"x", "name": ""}
    given |= change
    with pytest.raises(Refused, match=says):
        with RecordWriter(given["prefix"], given["classes"], about=given["about"]) as writer:
            writer.add(0, given["id"], given["image"], given["name"])
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_written_while_the_file_is_open(tmp_path):
    with pytest.raises(Refused, match="records are written inside of a with statement: with RecordWriter"):
        RecordWriter(tmp_path / "b", ["cat"]).add(0, 7, b"x")


@pytest.mark.parametrize("paths", [None, 3, [3], [None], {"a": 1}.values()])
def test_what_names_no_records_is_refused(paths):
    with pytest.raises(Refused, match="paths takes names of .rec files, but got (None|3|1)"):
        Records(paths)


def test_records_lie_where_the_format_puts_them(packed):
    assert packed.with_suffix(".idx").read_text() == "10\t0\n11\t40\n12\t76\n"
    assert packed.stat().st_size == SIZE
    records = Records(packed)
    assert [records.place(i) for i in range(3)] == [(packed, offset) for offset in OFFSETS]
    assert [records.read(i) for i in range(3)] == [(0, 10, IMAGES[0]), (1, 11, IMAGES[1]), (2, 12, IMAGES[2])]
    assert list(walk(packed)) == list(zip(OFFSETS, [10, 11, 12]))


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        (b"ab", [(0, 26)]),
        (b"", [(0, 24)]),
        (MARK, [(1, 24), (3, 0)]),
        (b"1" + MARK + b"123", [(0, 32)]),  # a mark at no multiple of 4 may stay
        (b"1234" + MARK + MARK + b"1", [(1, 28), (2, 0), (3, 1)]),
        (b"1234" + MARK + b"12345" + MARK, [(1, 28), (3, 9)]),
    ],
)
def test_a_payload_is_cut_at_aligned_marks_as_mxnet_cuts_it(tmp_path, image, parts):
    record = encode_record(3, 9, image)
    at, seen = 0, []
    while at < len(record):
        mark, word = struct.unpack_from("<4sI", record, at)
        assert mark == MARK
        seen.append((word >> 29, word & 0x1FFFFFFF))
        at += 8 + (seen[-1][1] + 3) // 4 * 4
    assert seen == parts
    assert decode_record(record) == (3, 9, image)
    theirs = mx.recordio.MXRecordIO(str(tmp_path / "theirs.rec"), "w")
    theirs.write(mx.recordio.pack(mx.recordio.IRHeader(0, 3, 9, 0), image))
    theirs.close()
    assert record == (tmp_path / "theirs.rec").read_bytes()


def test_files_of_mxnet_are_read_with_their_kinds_of_label(tmp_path):
    path = tmp_path / "theirs.rec"
    theirs = mx.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for key, label in enumerate([4, [7.0], [2.0, 5.0, 1.0]]):
        theirs.write_idx(key, mx.recordio.pack(mx.recordio.IRHeader(0, label, 100 + key, 0), b"image%d" % key))
    theirs.close()
    records = Records(path)
    assert records.classes is None
    assert records.read(0) == (4, 100, b"image0")
    assert records.read(1) == (7, 101, b"image1")
    label, id, image = records.read(2)
    assert (math.isnan(label), id, image) == (True, 102, b"image2")
    np.testing.assert_array_equal(records.labels(), np.array([4, 7, np.nan], np.float32))


def test_mxnet_reads_our_file(packed):
    theirs = mx.recordio.MXIndexedRecordIO(str(packed.with_suffix(".idx")), str(packed), "r")
    for label, image in enumerate(IMAGES):
        header, data = mx.recordio.unpack(theirs.read_idx(10 + label))
        assert (header.flag, header.label, header.id, data) == (0, label, 10 + label, image)


def test_several_files_act_as_one(packed, tmp_path):
    with RecordWriter(tmp_path / "b", ["cat", "dog", "owl"]) as writer:
        writer.add(1, 5, b"more")
    records = Records([packed, tmp_path / "b.rec"])
    assert len(records) == 4
    assert records.read(2)[1] == 12 and records.read(3) == (1, 5, b"more")
    assert records.place(3) == (tmp_path / "b.rec", 0)
    assert records.classes == ("cat", "dog", "owl")
    np.testing.assert_array_equal(records.labels(), np.float32([0, 1, 2, 1]))
    for outside in (-1, 4):
        with pytest.raises(IndexError):
            records.read(outside)


def test_an_index_may_be_in_any_order(packed):
    packed.with_suffix(".idx").write_text("12\t76\n10\t0\n11\t40\n")
    records = Records(packed)
    assert [records.read(i)[1] for i in range(3)] == [12, 10, 11]
    np.testing.assert_array_equal(records.labels(), np.float32([2, 0, 1]))


def test_threads_may_read_at_once(packed):
    records = Records(packed)
    wanted = np.random.default_rng(0).integers(0, 3, 3000).tolist()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [image for _, _, image in pool.map(records.read, wanted)] == [IMAGES[i] for i in wanted]


def test_the_digest_tells_data_apart_and_not_names(packed, tmp_path):
    before = Records(packed).digest
    (tmp_path / "moved").mkdir()
    for ending in (".rec", ".idx", ".json"):
        (tmp_path / "moved" / f"z{ending}").write_bytes(packed.with_suffix(ending).read_bytes())
    assert Records(tmp_path / "moved" / "z.rec").digest == before
    with RecordWriter(tmp_path / "a", ["cat", "dog", "owl"], overwrite=True) as writer:
        for label, image in enumerate([b"abcdf", *IMAGES[1:]]):  # one byte, told by the manifest's sha256
            writer.add(label, 10 + label, image)
    assert Records(packed).digest != before


def refusal(path) -> str:
    with pytest.raises(Refused) as caught:
        Records(path)
    return str(caught.value)


def test_missing_and_foreign_files_are_refused(packed, tmp_path):
    assert "there is no" in refusal(tmp_path / "none.rec")
    (tmp_path / "empty.rec").write_bytes(b"")
    assert "empty.rec is empty" in refusal(tmp_path / "empty.rec")
    (tmp_path / "photo.rec").write_bytes(b"\xff\xd8\xff\xe0 a photo")
    assert "not a RecordIO file" in refusal(tmp_path / "photo.rec")
    packed.with_suffix(".json").write_text("{")
    assert "a.json is not JSON" in refusal(packed)
    packed.with_suffix(".idx").unlink()
    assert f"gluon-tricks pack --index {packed}" in refusal(packed)
    assert "no .rec file is named" in refusal([])


@pytest.mark.parametrize("with_manifest", [True, False])
def test_an_index_cut_anywhere_is_refused(packed, with_manifest):
    if not with_manifest:
        packed.with_suffix(".json").unlink()
    index = packed.with_suffix(".idx")
    whole = index.read_bytes()
    for cut in range(len(whole)):
        index.write_bytes(whole[:cut])
        assert f"gluon-tricks pack --index {packed}" in refusal(packed), cut


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_rec_cut_anywhere_is_refused(packed, with_manifest):
    if not with_manifest:
        packed.with_suffix(".json").unlink()
    whole = packed.read_bytes()
    for cut in range(4, SIZE):
        packed.write_bytes(whole[:cut])
        assert "is truncated" in refusal(packed), cut
        if cut not in OFFSETS:  # a cut between two records cannot be seen without the index
            with pytest.raises(Refused, match="copy it again"):
                list(walk(packed))


def test_an_index_of_another_file_is_refused(packed):
    packed.with_suffix(".idx").write_text("10\t0\n11\t44\n12\t76\n")
    assert "belongs to another .rec: no record starts at byte 44" in refusal(packed)
    packed.with_suffix(".idx").write_text("10\t0\n11\t41\n12\t76\n")
    assert "damaged or truncated" in refusal(packed)
    for nothing in ("", "\n", " \n\n"):
        packed.with_suffix(".idx").write_text(nothing)
        assert "a.idx is empty; " in refusal(packed)


def test_a_manifest_that_does_not_fit_is_refused(packed):
    manifest = json.loads(packed.with_suffix(".json").read_text())
    packed.with_suffix(".json").write_text(json.dumps({**manifest, "count": 4}))
    assert "lists 3 records" in refusal(packed) and "the manifest says 4" in refusal(packed)
    packed.with_suffix(".json").write_text(json.dumps({**manifest, "rec": {"bytes": 130}}))
    assert "has 128 bytes where its manifest says 130" in refusal(packed)


def test_files_of_different_classes_are_refused(packed, tmp_path):
    with RecordWriter(tmp_path / "b", ["cat", "owl"]) as writer:
        writer.add(1, 5, b"more")
    assert "name different classes (3 and 2, the first difference: dog and owl)" in refusal(
        [packed, tmp_path / "b.rec"]
    )


def test_a_name_in_either_form_of_unicode_is_one_class(tmp_path):
    for name, form in (("a", "caf\u00e9"), ("b", "cafe\u0301")):
        with RecordWriter(tmp_path / name, ["ant", form]) as writer:
            writer.add(1, 5, b"more")
    assert Records([tmp_path / "a.rec", tmp_path / "b.rec"]).classes == ("ant", "caf\u00e9")


def test_a_damaged_record_is_named(packed):
    damaged = bytearray(packed.read_bytes())
    damaged[44:48] = struct.pack("<I", 1000)  # the length of record 1
    packed.write_bytes(damaged)
    records = Records(packed)
    with pytest.raises(BadRecord, match="record 1 of .*a.rec at byte 40: the record is cut off"):
        records.read(1)
    damaged[40] ^= 1
    packed.write_bytes(damaged)
    with pytest.raises(Refused, match="no record starts at byte 40"):
        Records(packed)


def test_an_index_with_one_wrong_line_is_found_when_the_record_is_read(tmp_path):
    with RecordWriter(tmp_path / "many", ["cat"]) as writer:
        for id in range(40):
            writer.add(0, id, b"12345678")  # 8 + 24 + 8 = 40 bytes each
    index = tmp_path / "many.idx"
    index.write_text(index.read_text().replace("1\t40\n", "1\t44\n", 1))
    records = Records(tmp_path / "many.rec")  # 16 of the 40 are looked at, and the second is not among them
    with pytest.raises(BadRecord, match="record 1 of .*many.rec at byte 44: no RecordIO mark"):
        records.read(1)
    with pytest.raises(Refused, match="many.rec or its .idx is damaged"):
        records.labels()


def test_a_record_is_read_without_what_the_index_leaves_out_behind_it(tmp_path):
    with RecordWriter(tmp_path / "few", ["cat"]) as writer:
        for id in range(3):
            writer.add(0, id, bytes(3 << 20))
    (tmp_path / "few.json").unlink()
    index = tmp_path / "few.idx"
    index.write_text("".join(line for line in index.read_text().splitlines(keepends=True) if line[0] != "1"))
    records = Records(tmp_path / "few.rec")
    assert len(records._files[0].record(0)) == 8 + 24 + (3 << 20)
    assert [records.read(i)[1] for i in range(2)] == [0, 2]
