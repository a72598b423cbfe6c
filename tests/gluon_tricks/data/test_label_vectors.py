"""A label for each class: in annotations, lists and records."""

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import pack as pack_command
from gluon_tricks.core.errors import Refused
from gluon_tricks.data import sources
from gluon_tricks.data.annotations.image_labels import image_labels, read_voc_labels
from gluon_tricks.data.check import check
from gluon_tricks.data.label_vectors import LabelledRecords, require_positives
from gluon_tricks.data.pack import pack
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.recordio import MARK, decode_labels, decode_record, encode_record
from gluon_tricks.data.records import BadRecord, Records
from gluon_tricks.data.requirements import class_labels

JPEG = cv2.imencode(".jpg", np.full((8, 9, 3), 128, np.uint8))[1].tobytes()


def test_the_labels_of_boxes():
    """Two cats, one of them difficult, are a cat; a difficult dog alone does not count; there is no cow."""
    boxes = np.array([[0, 0, 5, 5, 0, 1], [0, 0, 5, 5, 0, 0], [0, 0, 5, 5, 1, 1]], np.float32)
    assert image_labels(boxes, 3).tolist() == [1, -1, 0]
    assert image_labels(np.zeros((0, 6), np.float32), 3).tolist() == [0, 0, 0]


@pytest.fixture
def voc(tmp_path):
    """Three images of 9 x 8 px: a cat and a difficult dog; a dog; nothing."""
    folder, thing = tmp_path / "VOC2007", "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>1</xmin>"
    thing += "<ymin>1</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for i, things in enumerate(([("cat", 0), ("dog", 1)], [("dog", 0)], [])):
        (folder / f"JPEGImages/{i}.jpg").write_bytes(JPEG + bytes(i))
        said = "".join(thing.format(*one) for one in things)
        (folder / f"Annotations/{i}.xml").write_text(f"<annotation>{said}</annotation>")
    (folder / "ImageSets/Main/trainval.txt").write_text("0\n1\n2\n")
    return tmp_path


def test_a_voc_folder(voc, caplog):
    images = read_voc_labels(voc, ("2007_trainval",), ("cat", "dog"))
    assert images.vectors.tolist() == [[1, -1], [0, 1], [0, 0]] and images.classes == ("cat", "dog")
    assert images.read(1)[1:] == (1, JPEG + bytes(1)) and images.describe(1, 1).endswith("1.jpg")
    lists = voc / "VOC2007/ImageSets/Main"
    (lists / "cat_trainval.txt").write_text("0  1\n1 -1\n2 -1\n")
    (lists / "dog_trainval.txt").write_text("0  0\n1  1\n2 -1\n")
    read_voc_labels(voc, ("2007_trainval",), ("cat", "dog"))
    assert caplog.text == ""
    (lists / "dog_trainval.txt").write_text("0 -1\n1  1\n2  1\n")
    read_voc_labels(voc, ("2007_trainval",), ("cat", "dog"))
    assert "2 labels of the 2 lists of single classes" in caplog.text and "0 in dog_trainval.txt" in caplog.text


@pytest.mark.parametrize("name", ["cat/kitten", "/etc/passwd", "..", "x" * 300])
def test_a_class_whose_name_is_no_file_name(voc, name):
    """It has no list of its own."""
    annotation = voc / "VOC2007/Annotations/0.xml"
    annotation.write_text(annotation.read_text().replace("cat", name))
    assert read_voc_labels(voc, ("2007_trainval",), (name, "dog")).vectors.tolist() == [[1, -1], [0, 1], [0, 0]]


def test_packing_a_voc_folder(voc, capsys):
    classes = voc / "classes.txt"
    classes.write_text("cat\ndog\n")
    words = [str(voc), str(voc / "packed"), "--voc", "2007_trainval", "--classes", str(classes)]
    assert pack_command.main(words) == 0
    records, folder = LabelledRecords(voc / "packed.rec"), read_voc_labels(voc, ("2007_trainval",), ("cat", "dog"))
    ids = [records.read(i)[1] for i in range(3)]
    assert records.vectors.tolist() == folder.vectors[ids].tolist() and records.classes == ("cat", "dog")
    assert [records.read(i)[2] for i in range(3)] == [folder.read(k)[2] for k in ids]
    capsys.readouterr()
    assert pack_command.main(["--check", str(voc / "packed.rec")]) == 0
    said = capsys.readouterr().out
    assert "0.67 classes an image, 1 image of none, 1 labels not counted" in said
    assert "smallest classes: cat 1, dog 1" in said and "several labels: 0" in said


def test_a_record_is_as_mxnet_writes_it(tmp_path):
    header = mx.recordio.IRHeader(0, [1, 0, -1], 7, 0)
    ours = encode_record((1, 0, -1), 7, JPEG)
    path = str(tmp_path / "theirs.rec")
    theirs = mx.recordio.MXRecordIO(path, "w")
    theirs.write(mx.recordio.pack(header, JPEG))
    theirs.close()
    assert ours == open(path, "rb").read()
    assert decode_labels(ours) == (1, 0, -1) and decode_labels(encode_record(3, 7, JPEG)) == (3,)
    assert decode_record(ours)[1:] == (7, JPEG)
    with pytest.raises(ValueError, match="cut off"):
        decode_labels(encode_record((1, 0, -1), 7, b"")[:-4])


def packed(folder, *labels, classes=("a", "b", "c"), first=0):
    with RecordWriter(folder / "x", classes) as writer:
        for i, label in enumerate(labels):
            writer.add(label, first + i, JPEG)
    return folder / "x.rec"


def test_records_with_a_label_for_each_class(tmp_path):
    """One id is the format's mark, so that record lies in two parts."""
    mark = int.from_bytes(MARK, "little")
    path = packed(tmp_path, (1, 0, -1), (0, 0, 0), np.array([0, 1, 1]), first=mark - 1)
    records = LabelledRecords(path)
    assert records.vectors.tolist() == [[1, 0, -1], [0, 0, 0], [0, 1, 1]] and records.vectors.dtype == np.int8
    report = check(Records(path), jobs=1)
    assert report.per_class.tolist() == [1, 1, 1] and report.problems == []
    with pytest.raises(Refused, match="has 3 labels .* gluon-tricks tag one for each class"):
        class_labels(Records(path))


@pytest.mark.parametrize(
    "labels, says",
    [
        ([0, (1, 0, 0)], "image 1 has several labels, and each image before it one"),
        ([(1, 0, 0), 0], "image 1 has one label, and each image before it several"),
        ([(1, 0)], "image 0 has 2 labels, and there are 3 classes"),
        ([(1, 0, 2)], r"image 0 has the label 2: of several labels each is 1 \(present\), 0"),
    ],
)
def test_labels_that_are_not_written(tmp_path, labels, says):
    with pytest.raises(Refused, match=says):
        packed(tmp_path, *labels)


def test_more_labels_than_there_can_be_classes(tmp_path):
    (tmp_path / "list.lst").write_text("0\t" + "1\t" * ((1 << 20) + 1) + "a.jpg\n")
    with pytest.raises(Refused, match="list.lst line 1 has 1048579 columns: 1048576 labels are the most"):
        sources.list_file(tmp_path, tmp_path / "list.lst")
    (tmp_path / "list.lst").write_text("0\t" + "9" * 5000 + "\ta.jpg\n")
    with pytest.raises(Refused, match="has the unknown class 9999.*: labels are whole numbers from 0") as refused:
        sources.list_file(tmp_path, tmp_path / "list.lst")
    assert len(str(refused.value)) < 300 + len(str(tmp_path))
    written(tmp_path / "a.rec", [1.0] * ((1 << 20) + 1))
    with pytest.raises(Refused, match="has 1048577 labels, and 1048576 are the most"):
        LabelledRecords(tmp_path / "a.rec")


def written(path, *rows):
    """Records of others, without a manifest."""
    offset, index = 0, ""
    with open(path, "wb") as file:
        for i, labels in enumerate(rows):
            index += f"{i}\t{offset}\n"
            offset += file.write(encode_record(labels, i, JPEG))
    path.with_suffix(".idx").write_text(index)
    return path


@pytest.mark.parametrize(
    "rows, says",
    [
        ([(1, 0), (1, 0, 0)], "image 1 .* has 3 labels and image 0 .* 2: multi-label records have one for each class"),
        ([(1, 0), (1, 0.5)], "image 1 .* has 0.5 as the label of class 1: it is 1"),
        ([(1, 0), (1, float("nan"))], "image 1 .* has nan as the label of class 1"),
    ],
)
def test_records_that_are_none(tmp_path, rows, says):
    path = written(tmp_path / "x.rec", *rows)
    with pytest.raises(Refused, match=says):
        LabelledRecords(path)
    assert any("gluon-tricks tag one for each class" in problem for problem in check(Records(path), jobs=1).problems)


def test_records_of_one_class_an_image(tiny_records):
    with pytest.raises(Refused, match="has one label, the number of the image's class, and multi-label"):
        LabelledRecords(tiny_records / "train.rec")


def test_one_class_alone(tmp_path):
    with pytest.raises(Refused, match="image 0 has a label for one class alone: pack two class folders"):
        packed(tmp_path, (1,), classes=("a",))


def test_a_manifest_of_other_classes(tmp_path):
    path = packed(tmp_path, (1, 0, 0))
    manifest = path.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace('"a",', ""))
    with pytest.raises(Refused, match="has 3 labels, and there are 2 classes"):
        LabelledRecords(path)


def test_damaged_records(tmp_path):
    """A byte of one changed at a time: what is read is labels, or one sentence; never more memory than the file."""
    path, rng = packed(tmp_path, *[(1, 0, -1)] * 4), np.random.default_rng(0)
    path.with_suffix(".json").unlink()
    whole = path.read_bytes()
    for place in [*range(44), *rng.integers(0, len(whole), 60).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert LabelledRecords(path).vectors.shape == (4, 3)
        except (Refused, BadRecord) as error:
            assert "\n" not in str(error)
    path.write_bytes(whole[:8] + b"\xff\xff\xff\x7f" + whole[12:])  # 2**31 - 1 labels
    path.with_suffix(".idx").write_text("0\t0\n")
    path.write_bytes(path.read_bytes()[: len(encode_record((1, 0, -1), 0, JPEG))])
    with pytest.raises(Refused, match="is damaged"):
        LabelledRecords(path)


def test_a_class_that_no_image_shows(tmp_path, caplog):
    records = LabelledRecords(packed(tmp_path, (1, 0, 0), (1, -1, 0)))
    require_positives(records, "abc", train=True)
    assert "no training image has the class b, c: it cannot be learnt" in caplog.text
    records.vectors[:] = 0
    with pytest.raises(Refused, match=r"no validation image \(of 2\) has any of the 3 classes"):
        require_positives(records, "abc", train=False)


@pytest.fixture
def photos(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    return tmp_path


def listed(folder, text, classes=None):
    (folder / "x.lst").write_text(text)
    return sources.list_file(folder, folder / "x.lst", classes)


def test_a_list_with_several_labels(photos):
    source = listed(photos, "4\t1\t0\t-1\ta.jpg\n9\t0.0\t1\t1\tb.jpg\n")
    assert [(e.id, e.label) for e in source.entries] == [(4, (1, 0, -1)), (9, (0, 1, 1))]
    assert source.classes == ("0", "1", "2")
    manifest, _ = pack(listed(photos, "4\t1\t0\ta.jpg\n9\t1\t1\tb.jpg\n", ("x", "y")), photos / "out", jobs=1)
    assert (manifest["count"], manifest["images_per_class"], manifest["classes"]) == (2, [2, 1], ["x", "y"])


@pytest.mark.parametrize(
    "text, classes, says",
    [
        ("0\t1\t0\ta.jpg\n1\t1\tb.jpg\n", None, "line 2 has 1 label, the lines before it 2"),
        ("0\t1\ta.jpg\n1\t1\t0\tb.jpg\n", None, "line 2 has 2 labels, the lines before it 1"),
        ("0\t1\t3\ta.jpg\n", None, "line 1 has the label 3.0: of several labels each is"),
        ("0\t1\t0\ta.jpg\n", ("x", "y", "z"), "line 1 has 2 labels, and there are 3 classes"),
        ("0\t1\tx\ta.jpg\n", None, 'should be "index<tab>label<tab>path", or have several labels'),
        ("0\ta.jpg\n", None, 'should be "index<tab>label<tab>path"'),
    ],
)
def test_lists_that_do_not_fit(photos, text, classes, says):
    with pytest.raises(Refused, match=says):
        listed(photos, text, classes)
