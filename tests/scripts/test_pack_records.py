import errno
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import pytest
import scipy.io

from gluon_tricks.cli import pack as script
from gluon_tricks.core.commands import words_of
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records


def jpeg(value: int, width=40, height=30, mode="RGB", **options) -> bytes:
    file = io.BytesIO()
    PIL.Image.new(mode, (width, height), (value,) * len(mode) if len(mode) > 1 else value).save(file, "JPEG", **options)
    return file.getvalue()


def write(path: pathlib.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path):
    """Classes ant (4 images), bee (6) and cow (8): 18 images, value 10 x class + number."""
    for label, (name, count) in enumerate([("ant", 4), ("bee", 6), ("cow", 8)]):
        for k in range(count):
            write(tmp_path / "photos" / name / f"{k}.jpg", jpeg(10 * label + k))
    return tmp_path / "photos"


def run(*arguments) -> int:
    return script.main([str(argument) for argument in arguments])


def refused(capsys, *arguments) -> str:
    assert run(*arguments) == 2
    text = capsys.readouterr().err.strip()
    assert "\n" not in text
    return text


def contents(path) -> dict[int, tuple[float, bytes]]:
    records = Records(path)
    return {id: (label, image) for label, id, image in map(records.read, range(len(records)))}


def test_class_folders_are_packed_untouched_and_shuffled(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "out" / "train") == 0
    assert "18 images, 3 classes" in capsys.readouterr().out
    files = sorted(folder.glob("*/*"))
    assert contents(tmp_path / "out" / "train.rec") == {
        id: ("abc".index(path.parent.name[0]), path.read_bytes()) for id, path in enumerate(files)
    }
    labels = Records(tmp_path / "out" / "train.rec").labels()
    assert np.count_nonzero(np.diff(labels)) > 4  # in the files' order there would be two changes
    manifest = json.loads((tmp_path / "out" / "train.json").read_text())
    assert manifest["classes"] == ["ant", "bee", "cow"] and manifest["images_per_class"] == [4, 6, 8]
    assert (manifest["count"], manifest["seed"], manifest["resize"]) == (18, 0, None)
    for ending in ("rec", "idx"):
        data = (tmp_path / "out" / f"train.{ending}").read_bytes()
        assert manifest[ending] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert sorted(os.listdir(tmp_path / "out")) == [
        f"train.{ending}" for ending in ("files", "idx", "json", "labels", "rec")
    ]


def test_the_file_depends_on_the_seed_and_not_on_the_threads(folder, tmp_path):
    for name, options in {"a": ["--jobs", 1], "b": ["--jobs", 5], "c": ["--seed", 1]}.items():
        assert run(folder, tmp_path / name, *options) == 0
    a, b, c = ((tmp_path / f"{name}.rec").read_bytes() for name in "abc")
    assert a == b != c and len(a) == len(c)


def test_mxnet_reads_what_was_packed(folder, tmp_path):
    assert run(folder, tmp_path / "train") == 0
    rec, idx = str(tmp_path / "train.rec"), str(tmp_path / "train.idx")
    indexed = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    header, image = mx.recordio.unpack_img(indexed.read_idx(17))  # the last of cow
    assert (header.label, header.id, image.shape) == (2, 17, (30, 40, 3)) and abs(int(image[0, 0, 0]) - 27) <= 2
    iterator = mx.io.ImageRecordIter(
        path_imgrec=rec, path_imgidx=idx, data_shape=(3, 30, 40), batch_size=6, shuffle=True, preprocess_threads=1
    )
    seen = []
    for batch in iterator:
        values = batch.data[0].asnumpy().mean(axis=(1, 2, 3))
        assert (np.abs(values // 10 - batch.label[0].asnumpy()) <= 0.3).all()
        seen += values.round().astype(int).tolist()
    assert len(seen) == 18 and sum(seen) == pytest.approx(6 + 75 + 188, abs=9)  # 0..3, 10..15, 20..27


def test_resize_makes_the_shorter_edge_n(tmp_path):
    for name, width, height in [("a", 300, 200), ("b", 40, 50), ("c", 100, 333), ("d", 3000, 1)]:
        write(tmp_path / "photos" / "x" / f"{name}.jpg", jpeg(99, width, height))
    assert run(tmp_path / "photos", tmp_path / "small", "--resize", 100, "--quality", 90) == 0
    images = contents(tmp_path / "small.rec")
    assert images[3][1] == (tmp_path / "photos" / "x" / "d.jpg").read_bytes()  # 300000 px wide would be no JPEG
    shapes = [cv2.imdecode(np.frombuffer(images[id][1], np.uint8), 1).shape[:2] for id in range(3)]
    assert shapes == [(100, 150), (125, 100), (333, 100)]  # made smaller, made larger, as it was
    assert images[2][1] == (tmp_path / "photos" / "x" / "c.jpg").read_bytes()
    manifest = json.loads((tmp_path / "small.json").read_text())
    assert (manifest["resize"], manifest["quality"]) == (100, 90)


def test_shrinking_averages_pixels(tmp_path):
    stripes = np.tile(np.repeat([[255, 0, 0, 255]], 3, axis=0).T.astype(np.uint8), (16, 1)).reshape(64, 1, 3)
    write(tmp_path / "photos" / "x" / "a.png", cv2.imencode(".png", np.tile(stripes, (1, 64, 1)))[1].tobytes())
    assert run(tmp_path / "photos", tmp_path / "a", "--resize", 16) == 0
    image = cv2.imdecode(np.frombuffer(contents(tmp_path / "a.rec")[0][1], np.uint8), 1).astype(int)
    assert abs(image - 127.5).max() < 3  # of each 4 rows 2 are white; sampling the middle 2 would give black


def test_what_is_no_image_is_listed_and_left_out(folder, tmp_path, capsys):
    write(folder / "bee" / "notes.txt", b"not an image")
    write(folder / "bee" / "page.jpg", b"<html>not found</html>")
    write(folder / "bee" / "more" / "1.jpg", jpeg(1))
    write(folder / "README", b"hello")
    write(folder / ".git" / "config", b"hidden")
    write(folder / "cow" / "half.jpg", jpeg(5)[:300])
    (folder / "dodo").mkdir()
    assert run(folder, tmp_path / "hurry", "--no-verify") == 0
    said = capsys.readouterr().out
    for name in ("notes.txt", "page.jpg", "more", "README"):
        assert f"{name} (" in said
    assert "half.jpg" not in said and "19 images, 4 classes" in said  # stored as it is: it was not decoded
    assert "classes without images: dodo" in said
    assert run(folder, tmp_path / "a") == 0
    said = capsys.readouterr().out
    assert "half.jpg (a JPEG that is cut off)" in said and "18 images, 4 classes" in said
    assert "left out: 5 files and folders in all" in said
    assert run(folder, tmp_path / "b", "--resize", 20) == 0
    said = capsys.readouterr().out
    assert "half.jpg (a JPEG that is cut off)" in said and "18 images" in said


def test_a_list_file_is_packed_as_im2rec_does(folder, tmp_path):
    (tmp_path / "my.lst").write_text("7\t1.000000\tcow/0.jpg\n3\t0\tant/2.jpg\n9\t1\tcow/5.jpg\n")
    assert run(folder, tmp_path / "a", "--list", tmp_path / "my.lst") == 0
    cow, ant = ((folder / name).read_bytes() for name in ("cow/0.jpg", "ant/2.jpg"))
    images = contents(tmp_path / "a.rec")
    assert sorted(images) == [3, 7, 9] and images[7] == (1, cow) and images[3] == (0, ant)
    assert Records(tmp_path / "a.rec").classes == ("ant", "cow")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1\tant\tant/0.jpg", 'line 2 is .* should be "index<tab>label<tab>path"'),
        ("1\t0.5\tant/0.jpg", "line 2 has the unknown class 0.5"),
        ("1\t-1\tant/0.jpg", "line 2 has the unknown class -1"),
        ("1\t3\tant/0.jpg", "line 2 has the unknown class 3: labels are 0 to 2"),
        ("1\t1\t5\tant/0.jpg", "2 labels"),
        ("0\t1\tant/0.jpg", "has the index 0 more than once"),
        ("1\t1\t../secret.jpg", "'../secret.jpg', which lies outside"),
        ("1\t1\tant/../../secret.jpg", "lies outside"),
        ("1\t1\t/etc/passwd", "lies outside"),
        ("1\t1\tant/77.jpg", "lacks ant/77.jpg"),
    ],
)
def test_a_wrong_line_of_a_list_is_refused(folder, tmp_path, capsys, line, text):
    write(tmp_path / "secret.jpg", jpeg(1))
    (tmp_path / "names").write_text("ant\nbee\ncow\n")
    (tmp_path / "my.lst").write_text(f"0\t0\tant/1.jpg\n{line}\n")
    said = refused(capsys, folder, tmp_path / "a", "--list", tmp_path / "my.lst", "--classes", tmp_path / "names")
    assert re.search(text, said), said
    assert not list(tmp_path.glob("a.*"))


# The development kit numbers its classes in an order of its own: here 1 is n03, 2 is n01 and 3 is n02. Sorted, as
# the training folders are, n01 is class 0, n02 is 1 and n03 is 2.
WNIDS = ["n03", "n01", "n02"]
TRUTH, LABELS = [1, 2, 3, 2, 1], [2, 0, 1, 0, 2]


@pytest.fixture
def validation(tmp_path):
    """Five flat images; meta.mat with three classes and, as in the real one, a group of them behind."""
    for k in range(1, 6):
        write(tmp_path / "val" / f"ILSVRC2012_val_{k:08d}.JPEG", jpeg(40 * k))
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(k, wnid, "words", 0) for k, wnid in enumerate(WNIDS, start=1)] + [(4, "n00", "animal", 3)]
    scipy.io.savemat(tmp_path / "meta.mat", {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    (tmp_path / "meta.txt").write_text("1 n03\n2 n01\n3 n02\n")
    (tmp_path / "official.txt").write_text("".join(f"{id}\n" for id in TRUTH))
    names = [f"ILSVRC2012_val_{k:08d}" for k in range(1, 6)]
    wnids = [WNIDS[id - 1] for id in TRUTH]
    order = [3, 0, 4, 2, 1]  # lines with names may come in any order
    (tmp_path / "wnids.txt").write_text("".join(f"{names[k]}.JPEG {wnids[k]}\n" for k in order))
    (tmp_path / "caffe.txt").write_text("".join(f"{names[k]}.JPEG {LABELS[k]}\n" for k in order))
    csv = "".join(f"{names[k]},{wnids[k]} 85 1 499 272 {wnids[k]} 1 2 3 4 \n" for k in order)
    (tmp_path / "kaggle.csv").write_text("ImageId,PredictionString\n" + csv)
    return tmp_path


@pytest.mark.parametrize(
    ("truth", "meta"),
    [
        ("official.txt", "meta.mat"),
        ("official.txt", "meta.txt"),
        ("wnids.txt", None),
        ("kaggle.csv", None),
        ("caffe.txt", None),
    ],
)
def test_imagenets_validation_labels_are_those_of_the_training_folders(validation, truth, meta):
    for wnid in WNIDS:
        write(validation / "train" / wnid / "1.jpg", jpeg(1))
    assert run(validation / "train", validation / "train") == 0
    options = ["--meta", validation / meta] if meta else []
    assert run(validation / "val", validation / "out", "--ground-truth", validation / truth, *options) == 0
    train, val = Records(validation / "train.rec"), Records(validation / "out.rec")
    assert train.classes == ("n01", "n02", "n03")
    if truth != "caffe.txt":
        assert val.classes == train.classes
    for label, _, image in map(val.read, range(5)):
        value = int(cv2.imdecode(np.frombuffer(image, np.uint8), 1)[0, 0, 0])
        assert label == LABELS[round(value / 40) - 1]


def test_ground_truth_that_does_not_fit_is_refused(validation, capsys):
    def said(truth: str, *options) -> str:
        (validation / "truth").write_text(truth)
        return refused(capsys, validation / "val", validation / "out", "--ground-truth", validation / "truth", *options)

    meta = ["--meta", validation / "meta.mat"]
    assert "give --meta meta.mat" in said("1\n2\n3\n2\n1\n")
    assert "names ILSVRC2012_ID 4, unknown among the 3 classes" in said("1\n2\n3\n2\n4\n", *meta)
    assert "lacks ILSVRC2012_val_00000006 of the 6 images" in said("1\n2\n3\n2\n1\n1\n", *meta)
    names = [f"ILSVRC2012_val_{k:08d}.JPEG" for k in (1, 2, 3, 4)]
    assert "run from 1 to 1000" in said("".join(f"{name} {id}\n" for name, id in zip(names, [1, 7, 1000, 5])))
    (validation / "classes").write_text("n01\nn02\n")
    assert "names n03, unknown among the 2 classes" in said(f"{names[0]} n03\n", "--classes", validation / "classes")
    assert "more than once" in said(f"{names[0]} n03\n{names[0]} n01\n")
    assert 'line 2 should be "image wnid"' in said(f"{names[0]} n03\n{names[1]}\n")


def test_classes_of_a_manifest_give_the_labels(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "train") == 0
    write(tmp_path / "val" / "cow" / "1.jpg", jpeg(1))
    assert run(tmp_path / "val", tmp_path / "val", "--classes", tmp_path / "train.json") == 0
    assert contents(tmp_path / "val.rec")[0][0] == 2  # alone, cow would be class 0
    write(tmp_path / "val" / "yak" / "1.jpg", jpeg(1))
    said = refused(capsys, tmp_path / "val", tmp_path / "v", "--classes", tmp_path / "train.json")
    assert "yak" in said and "not among the 3 classes" in said
    said = refused(capsys, tmp_path / "val", tmp_path / "v", "--classes", tmp_path / "trian.json")
    assert said.endswith("trian.json: No such file or directory")  # not: "delete it"


def test_without_images_nothing_is_packed(tmp_path, capsys):
    assert "cannot read the folder" in refused(capsys, tmp_path / "none", tmp_path / "a")
    write(tmp_path / "flat" / "1.jpg", jpeg(1))
    assert "has 1 file and no class folders" in refused(capsys, tmp_path / "flat", tmp_path / "a")
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    assert "no images found" in refused(capsys, tmp_path / "hollow", tmp_path / "a")
    write(tmp_path / "text" / "cat" / "a.txt", b"text")
    assert "no images found: of 1 file in the folders of" in refused(capsys, tmp_path / "text", tmp_path / "a")
    assert not list(tmp_path.glob("a.*"))


def test_existing_files_are_kept_unless_told(folder, tmp_path, capsys):
    write(tmp_path / "a.idx", b"precious")
    assert "a.idx exist already: give --overwrite" in refused(capsys, folder, tmp_path / "a")
    assert (tmp_path / "a.idx").read_bytes() == b"precious"
    assert run(folder, tmp_path / "a", "--overwrite") == 0
    assert len(Records(tmp_path / "a.rec")) == 18
    assert "without its ending" in refused(capsys, folder, tmp_path / "b.rec")


def test_new_records_never_stand_beside_an_old_index(folder, tmp_path, monkeypatch):
    assert run(folder, tmp_path / "a", "--seed", 1) == 0
    rename = pathlib.Path.replace

    def power_fails(path, target):
        if path.name == "a.idx.partial":
            raise RuntimeError("power failure")
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", power_fails)
    with pytest.raises(RuntimeError, match="power failure"):
        run(folder, tmp_path / "a", "--overwrite")
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.rec"]
    monkeypatch.undo()
    assert run("--index", tmp_path / "a.rec") == 0 and len(Records(tmp_path / "a.rec")) == 18


def test_too_little_disk_is_refused(folder, tmp_path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5000))  # 18 images of 700 bytes
    assert f"{tmp_path} has 5 kB free" in refused(capsys, folder, tmp_path / "new" / "a")
    monkeypatch.undo()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(folder, tmp_path / "a") == 1
    assert f"stopped: the disk of {tmp_path} is full; nothing was packed" in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


def test_wrong_arguments_are_refused(folder, tmp_path, capsys):
    assert "give --resize too" in refused(capsys, folder, tmp_path / "a", "--quality", 90)
    for arguments in (
        [],
        [folder],
        [folder, "a", "--check", "b.rec"],
        [folder, "a", "--meta", "m"],
        ["--jobs", 0, "a", "b"],
    ):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert stop.value.code == 2


@pytest.mark.parametrize(
    "words, flag",
    [
        (["--check", "a.rec", "--resize", "64"], "--resize changes nothing beside --check"),
        (["--check", "a.rec", "--no-verify"], "--no-verify changes nothing beside --check"),
        (["--index", "a.rec", "--jobs", "2"], "--jobs changes nothing beside --index"),
        (["--labels", "a.rec", "--shards", "2"], "--shards changes nothing beside --labels"),
    ],
)
def test_what_a_work_of_its_own_would_not_heed_is_refused(words, flag, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"refused: {flag}: leave it out\n"


def test_two_writers_of_one_file_are_kept_apart(tmp_path):
    with RecordWriter(tmp_path / "a", ["x"]) as writer:
        writer.add(0, 1, b"one")
        with pytest.raises(Refused, match="another process is writing"), RecordWriter(tmp_path / "a", ["x"]):
            pass
    assert contents(tmp_path / "a.rec") == {1: (0, b"one")}


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_half_made(folder, tmp_path, kill):
    slow = jpeg(5, 3000, 3000)  # about 0.1 s each to decode, resize and encode
    for k in range(200):
        write(tmp_path / "slow" / "x" / f"{k}.jpg", slow)
    command = [*words_of("pack"), tmp_path / "slow", tmp_path / "a", "--resize", "2900", "--jobs", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "a.rec.partial").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(kill)
    said = process.communicate(timeout=30)[1]
    left = sorted(path.name for path in tmp_path.glob("a.*"))
    if kill == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL and left == ["a.idx.partial", "a.rec.partial"]
        write(tmp_path / "a.rec.partial", b"half a record" * 9999)  # had it been killed later
        write(tmp_path / "a.json.partial", b"{")
    else:
        assert process.returncode == 128 + kill and left == [] and said == "interrupted: nothing was written\n"
    assert run(folder, tmp_path / "a") == 0
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.files", "a.idx", "a.json", "a.labels", "a.rec"]
    assert len(Records(tmp_path / "a.rec")) == 18


def test_a_lost_index_is_made_anew_byte_for_byte(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "a") == 0
    index = (tmp_path / "a.idx").read_bytes()
    (tmp_path / "a.idx").unlink()
    assert run("--index", tmp_path / "a.rec") == 0
    assert (tmp_path / "a.idx").read_bytes() == index
    rec = (tmp_path / "a.rec").read_bytes()
    (tmp_path / "a.rec").write_bytes(rec[:-10])
    assert "ends inside the record" in refused(capsys, "--index", tmp_path / "a.rec")
    assert "there is no" in refused(capsys, "--index", tmp_path / "b.rec")
    with RecordWriter(tmp_path / "same", ["x"]) as writer:
        for image in (b"1", b"2"):
            writer.add(0, 5, image)
    assert run("--index", tmp_path / "same.rec") == 0
    assert (tmp_path / "same.idx").read_text() == "0\t0\n1\t36\n"  # ids repeat; 8 + 24 + 1 + 3 = 36


@pytest.mark.parametrize("flag, says", [("--index", "the .idx lists 6 records"), ("--labels", "its .labels has 6")])
def test_of_many_files_a_damaged_one_is_named_and_the_others_have_their_turn(flag, says, folder, tmp_path, capsys):
    assert run(folder, tmp_path / "a", "--shards", 3) == 0
    shards, ending = sorted(tmp_path.glob("a-*.rec")), "." + flag.removeprefix("--").replace("index", "idx")
    lost = [path.with_suffix(ending) for path in shards]
    contents = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    whole = shards[0].read_bytes()
    shards[0].write_bytes(whole[:-10])
    capsys.readouterr()
    assert run(flag, tmp_path / "a-*.rec") == 2
    told = capsys.readouterr()
    assert [line.partition(": ")[0] for line in told.out.splitlines()] == [str(path) for path in shards[1:]]
    assert told.out.count(says) == 2 and told.err.startswith("refused: ") and str(shards[0]) in told.err
    assert [path.read_bytes() for path in lost[1:]] == contents[1:] and not lost[0].exists()
    assert run("--check", tmp_path / "a-*.rec") == 2 and f"{shards[2]}: " in capsys.readouterr().out
    shards[0].write_bytes(whole)
    assert run(flag, *shards) == 0 and lost[0].read_bytes() == contents[0]


def write_records(prefix, images, classes=("ant", "bee")):
    with RecordWriter(prefix, classes) as writer:
        for id, (label, image) in enumerate(images):
            writer.add(label, min(id, 90), image)


def test_check_counts_what_there_is(tmp_path, capsys):
    turned = PIL.Image.Exif()
    turned[0x0112] = 3
    images = [(k % 2, jpeg(k, 16, 16, quality=95)) for k in range(100)]
    images[3] = (1, jpeg(3)[:200])  # cannot be decoded: 1 of 101, less than 1 %
    images[10] = (0, jpeg(200, mode="L"))
    images[11] = (1, jpeg(201, mode="L"))
    images[20] = (0, jpeg(202, mode="CMYK"))
    images[30] = (0, jpeg(203, exif=turned))
    images[40] = images[42]
    images.append((0, jpeg(204)))
    write_records(tmp_path / "a", images)
    assert run("--check", tmp_path / "a.rec") == 0
    lines = capsys.readouterr().out.splitlines()
    for line in [
        "images per class: min 50, median 50.5, max 51",
        "smallest classes: bee 50, ant 51",
        "undecodable: 1",
        "greyscale: 2",
        "CMYK: 1",
        "rotated (EXIF): 1",
        "duplicate ids: 10",  # 91 to 100 have the id 90
        "duplicate contents: 1",
        "labels out of range: 0",
        "labels not whole: 0",
    ]:
        assert line in lines, line
    assert f"  image 3 (id 3) of {tmp_path / 'a.rec'} at byte" in "\n".join(lines)


def test_check_finds_what_spoils_a_training(tmp_path, capsys):
    write_records(tmp_path / "one", [(1, jpeg(k)) for k in range(5)])
    write_records(tmp_path / "broken", [(k % 2, jpeg(k) if k else b"nothing") for k in range(50)])
    write_records(tmp_path / "range", [(k % 3, jpeg(k)) for k in range(9)], ["ant", "bee", "cow"])
    manifest = json.loads((tmp_path / "range.json").read_text())
    (tmp_path / "range.json").write_text(json.dumps({**manifest, "classes": ["ant", "bee"]}))
    theirs = mx.recordio.MXIndexedRecordIO(str(tmp_path / "half.idx"), str(tmp_path / "half.rec"), "w")
    for key, label in enumerate([0, 1, 0.5, -1, [1.0, 2.0]]):
        theirs.write_idx(key, mx.recordio.pack(mx.recordio.IRHeader(0, label, key, 0), jpeg(key)))
    theirs.close()
    for name, texts in {
        "one": ["all 5 images of ", "one.rec have label 1 (bee)", "--ground-truth"],
        "broken": ["1 of 50 images, more than 1 %"],
        "range": ["labels out of range: 3, first 2 of image 2 (id 2) of ", ": the classes are 0 to 1"],
        "half": [
            "labels not whole: 1, first 0.5 of image 2",
            "labels out of range: 1, first -1 of image 3",
            "1 of 5 records have several labels, first image 4 (id 4)",
        ],
    }.items():
        assert run("--check", tmp_path / f"{name}.rec") == 2
        said = capsys.readouterr().out
        assert all(text in said for text in texts), (texts, said)
    assert run("--check", tmp_path / "range.rec", tmp_path / "none.rec", "--verbose") == 2


def test_a_header_is_read_without_decoding():
    upright, turned = PIL.Image.Exif(), PIL.Image.Exif()
    upright[0x010E], turned[0x0112], turned[0x010E] = "a description", 8, "a description"
    assert image_header(jpeg(1))[:4] == ("jpeg", 3, 1, 1200)
    assert image_header(jpeg(1, mode="L", exif=upright))[:4] == ("jpeg", 1, 1, 1200)
    assert image_header(jpeg(1, mode="CMYK", progressive=True))[:4] == ("jpeg", 4, 1, 1200)
    assert image_header(jpeg(1, exif=turned))[:4] == ("jpeg", 3, 8, 1200)
    assert image_header(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())[:4] == ("png", 1, 1, 16)
    assert image_header(cv2.imencode(".png", np.zeros((4, 4, 4), np.uint8))[1].tobytes())[:4] == ("png", 3, 1, 16)
    # A Huffman table (marker c4) may stand before the frame (c0: length, 8 bits, 30 x 40 px, 1 component).
    table, frame = b"\xff\xc4\x00\x0a" + bytes([4] * 8), b"\xff\xc0\x00\x0b\x08\x00\x1e\x00\x28\x01\x01\x11\x00"
    assert image_header(b"\xff\xd8" + table + frame)[:4] == ("jpeg", 1, 1, 1200)
    # Where libjpeg goes on at once, a length must not lead past the frame: a restart marker, and an escaped ff.
    for skipped in (b"\xff\xd0", b"\xff\x00", b"\xff\xff\x01", b"junk", b"\xff\xfe\x00\x00"):
        assert image_header(b"\xff\xd8" + skipped + frame)[:4] == ("jpeg", 1, 1, 1200), skipped
    for cut in range(0, 400, 7):
        image_header(jpeg(1, exif=turned)[:cut])  # whatever is missing: no error


def test_greyscale_photos_are_those_that_pillow_names(shared_data, tmp_path, capsys):
    greyscale = 0
    for path in (shared_data / "imagenet_photos").glob("*.JPEG"):
        greyscale += PIL.Image.open(path).mode == "L"
        write(tmp_path / "photos" / path.name.split("_")[0] / path.name, path.read_bytes())
    assert run(tmp_path / "photos", tmp_path / "a") == 0
    assert run("--check", tmp_path / "a.rec") == 0
    said = capsys.readouterr().out
    assert "63 images" in said and "undecodable: 0" in said
    assert greyscale > 0 and f"greyscale: {greyscale}" in said
