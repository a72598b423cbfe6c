"""A folder of a person's own photos: what is found in it, how it is split, when it is packed."""

import json
import os
import pathlib
import shutil
import threading

import cv2
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.data import own_photos, pack, packed, photo_record
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.near_copies import look_of, near_copies
from gluon_tricks.data.own_photos import ABOUT, OwnPhotos, stored_edge
from gluon_tricks.data.photo_folder import look_into
from gluon_tricks.data.recipe_records import count_classes
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import of_one_class
from gluon_tricks.data.split import split_by_content


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "photos"


def scene(seed, height=48, width=64):
    """A picture like no other: smooth, so that it survives resizing and JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(pixels, quality=95):
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pixels if isinstance(pixels, bytes) else jpeg(pixels))
    return path


@pytest.fixture
def photos(tmp_path):
    """40 of ant, 20 of bee, 2 of 猫 cat."""
    folder = tmp_path / "my photos"
    for first, (name, count) in enumerate({"ant": 40, "bee": 20, "猫 cat": 2}.items()):
        for k in range(count):
            write(folder / name / f"{k}.jpg", scene(1000 * first + k))
    return folder


def names(paths):
    records = Records(paths)
    return {records.name(i) for i in range(len(records))}


def parts(folder, **how):
    """The names of the photos to train and to validate on."""
    own = OwnPhotos(folder, "--data", **how)
    own.pack()
    return tuple(names(paths) for paths in own.paths)


def test_photos_are_split_and_packed_once(photos, cache, capsys):
    own = OwnPhotos(f"{photos}/", "--data")
    assert own.fraction == 0.2 and not own.is_packed and own.place.parent == cache
    before = own.counts()
    own.pack()
    assert own.is_packed and own.counts() == before and {name: sum(both) for name, both in before.items()} == {
        "ant": 40, "bee": 20, "猫 cat": 2,
    }  # fmt: skip
    assert all(min(both) >= 1 for both in before.values())
    assert f"packing {photos} into {own.place}" in capsys.readouterr().err
    train, val = map(names, own.paths)
    assert not train & val and len(train | val) == 62 and {name.split("/")[0] for name in val} == {*before}
    again = OwnPhotos(photos, "--data")
    again.pack()
    assert again.place == own.place and capsys.readouterr().err == ""
    assert f"{photos}: {len(train)} photos of 3 classes to train on and {len(val)} to validate on" in again.said()
    record = json.loads((own.place / ABOUT).read_text())
    assert record["classes"] == before and record["val_split"] == 0.2 and record["folder"] == str(photos)
    for split in ("train", "val"):
        manifest = json.loads((own.place / f"{split}.json").read_text())
        assert manifest["folder"] == str(photos) and manifest["split"]["classes"] == before
        assert all((photos / name).is_file() for name in names([own.place / f"{split}.rec"]))


def test_adding_photos_moves_none_and_copies_lie_on_one_side(photos, capsys):
    train, val = parts(photos)
    for k in range(30):
        write(photos / "ant" / f"new {k}.jpg", scene(5000 + k))
    copy = next(name for name in val if name.startswith("ant"))
    write(photos / "ant" / "copy of it.jpg", (photos / copy).read_bytes())
    (photos / "bee" / "0.jpg").rename(photos / "bee" / "renamed.jpg")
    capsys.readouterr()
    more_train, more_val = parts(photos)
    moved = lambda one, other: {name for name in one & other if "bee/" not in name}  # noqa: E731
    assert not moved(train, more_val) and not moved(val, more_train)
    assert "ant/copy of it.jpg" in more_val
    assert ("bee/renamed.jpg" in more_val) == ("bee/0.jpg" in val)
    assert "again, because it has changed" in capsys.readouterr().err


def test_the_fraction_is_kept_within_chance(tmp_path):
    """Of 1000 photos and 0.3, 300 +- 14.5: beyond 5 deviations once in two million."""
    for k in range(1000):
        write(tmp_path / "p" / "ab"[k % 2] / f"{k}.jpg", b"\xff\xd8\xff" + str(k).encode())
    found = look_into(tmp_path / "p", "--data").train
    split = split_by_content(found, 0.3)
    assert abs(len(split.val.entries) - 300) < 72 and len(split.train.entries) == 1000 - len(split.val.entries)
    assert [split_by_content(found, f).val.entries for f in (0.3, 0.6)][0] == split.val.entries
    assert {*split.val.entries} < {*split_by_content(found, 0.6).val.entries}


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.99])
def test_small_classes_have_both(tmp_path, count, fraction):
    for k in range(count):
        write(tmp_path / "ant" / f"{k}.jpg", scene(k))
        write(tmp_path / "bee" / f"{k}.jpg", scene(100 + k))
    split = split_by_content(look_into(tmp_path, "--data").train, fraction)
    for part in (split.train, split.val):
        assert {entry.label for entry in part.entries} == {0, 1}


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("shared", range(4))
def test_classes_that_share_a_photo_have_both(tmp_path, fraction, shared):
    """The photo of lowest or highest place that one class gives back is not the only one that another validates on."""
    for k in range(4):
        write(tmp_path / "bee" / f"{k}.jpg", scene(k))
    write(tmp_path / "cat" / "copy.jpg", scene(shared))
    for folder, k in (("ant", shared), ("ant", 9), ("dog", shared), ("dog", 8)):
        write(tmp_path / folder / f"{k}.jpg", scene(k))
    split = split_by_content(look_into(tmp_path, "--data").train, fraction)
    assert {entry.label for entry in split.train.entries} == {0, 1, 2, 3} and split.alone == ("cat",)
    assert {entry.label for entry in split.val.entries} == {0, 1, 3}


def test_a_single_photo_is_trained_on_and_no_pair_is_refused(tmp_path):
    for k in range(3):
        write(tmp_path / "ant" / f"{k}.jpg", scene(k))
        write(tmp_path / "cat" / f"{k}.jpg", scene(20 + k))
    write(tmp_path / "bee" / "0.jpg", scene(7))
    own = OwnPhotos(tmp_path, "--data", 0.9)
    own.pack()
    assert own.counts()["bee"] == [1, 0]
    assert "no photo to validate on, because there is but one: bee" in own.said()
    write(tmp_path / "bee" / "copy.jpg", scene(7))
    own = OwnPhotos(tmp_path, "--data", 0.9)
    own.pack()
    assert own.counts()["bee"] == [2, 0]
    assert "no photo to validate on, because the others are copies or cannot be read: bee" in own.said()
    assert count_classes(*map(Records, own.paths), None) == 3
    shutil.rmtree(tmp_path / "cat")
    for begin in (OwnPhotos.pack, OwnPhotos.counts):  # as training does, and --plan
        own = OwnPhotos(tmp_path, "--data", 0.9)
        with pytest.raises(
            Refused, match="--data .*: of its classes ant alone has two .*, and there are 2: add photos"
        ):
            begin(own)
        assert not own.place.exists()
    for path in tmp_path.glob("ant/[12].jpg"):
        path.unlink()
    with pytest.raises(Refused, match="no class of .* has two different photos"):
        OwnPhotos(tmp_path, "--data").pack()


def test_validation_photos_of_one_class_are_refused_before_packing(tmp_path):
    for k, place in enumerate(["train/ant", "train/ant", "train/bee", "train/bee", "val/ant", "val/ant"]):
        write(tmp_path / place / f"{k}.jpg", scene(k))
    for begin in (OwnPhotos.pack, OwnPhotos.counts):
        own = OwnPhotos(tmp_path, "--data")
        with pytest.raises(
            Refused, match="validate on are all of one class, ant, and there are 2: put photos of the oth"
        ):
            begin(own)
        assert not own.place.exists()
    (tmp_path / "val" / "ant" / "5.jpg").unlink()  # of one photo nothing is said, as without a folder val
    OwnPhotos(tmp_path, "--data").pack()


def test_records_of_own_photos_of_one_class(tmp_path):
    """As earlier versions packed them."""
    with RecordWriter(tmp_path / "val", ["ant", "bee"]) as writer:
        for k in range(2):
            writer.add(0, k, jpeg(scene(k)))
    manifest = tmp_path / "val.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "split": {}}))
    said = of_one_class(Records(tmp_path / "val.rec"))
    assert said.endswith("val.rec are of one class (ant), and there are 2: add photos, as a class needs two different "
                         "ones, one to train on and one to validate on")  # fmt: skip


def test_one_photo_in_two_classes_is_told_and_lies_on_one_side(photos):
    write(photos / "bee" / "an ant.jpg", (photos / "ant" / "3.jpg").read_bytes())
    train, val = parts(photos)
    pair = {"ant/3.jpg", "bee/an ant.jpg"}
    assert pair <= train or pair <= val
    (line,) = [line for line in OwnPhotos(photos, "--data").said() if "same file in two classes" in line]
    assert line.endswith("one label is wrong: ant/3.jpg and bee/an ant.jpg")


def test_near_copies_across_the_split_are_told(photos):
    train, val = parts(photos)
    of = sorted(name for name in train if name.startswith("ant"))[0]
    picture = cv2.imread(str(photos / of))
    k = 0
    while True:  # until the file's bytes put it on the other side
        again = write(photos / "ant" / "again.jpg", jpeg(cv2.resize(picture, None, fx=0.8, fy=0.8), 60 + k))
        if "ant/again.jpg" in parts(photos)[1]:
            break
        again.unlink()
        k += 1
    own = OwnPhotos(photos, "--data")
    assert json.loads((own.place / ABOUT).read_text())["near_copies"] == [["ant/again.jpg", of]]
    (line,) = [line for line in own.said() if "nearly the same" in line]
    assert line.startswith("1 validation photo nearly the same as a training photo") and of in line
    assert json.loads((own.place / "val.json").read_text())["split"]["near_copies"] == 1


def test_a_class_whose_photo_to_validate_on_is_broken_has_more_than_one(tmp_path):
    for k in range(6):
        write(tmp_path / "ant" / f"{k}.jpg", scene(k))
        write(tmp_path / "bee" / f"{k}.jpg", scene(100 + k))
    for k in range(3):
        write(tmp_path / "cat" / f"{k}.jpg", scene(20 + k))
    for k in range(1000):  # until the broken one is that which is chosen
        write(tmp_path / "cat" / "2.jpg", jpeg(scene(22))[: 400 + k])
        split = split_by_content(look_into(tmp_path, "--data").train, 0.01)
        if [entry.path for entry in split.val.entries if entry.label == 2] == [str(tmp_path / "cat" / "2.jpg")]:
            break
    own = OwnPhotos(tmp_path, "--data", 0.01)
    own.pack()
    assert own.counts()["cat"] == [2, 0]
    (line,) = [line for line in own.said() if "no photo to validate on" in line]
    assert line.endswith("because the others are copies or cannot be read: cat")


def test_pairs_beyond_those_that_are_listed_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_record, "_LISTED", 2)
    for k in range(5):
        picture = scene(k)
        write(tmp_path / "train" / "ant" / f"{k}.jpg", jpeg(picture))
        write(tmp_path / "val" / "ant" / f"{k}.jpg", jpeg(picture, 70))
        write(tmp_path / "train" / "bee" / f"{k}.jpg", jpeg(scene(k + 50)))
        write(tmp_path / "val" / "bee" / f"{k}.jpg", jpeg(scene(k + 50)))
        write(tmp_path / "train" / "bee" / f"ant {k}.jpg", jpeg(picture))
    own = OwnPhotos(tmp_path, "--data")
    own.pack()
    record = json.loads((own.place / ABOUT).read_text())
    assert len(record["near_copies"]) == 2 == len(record["labelled_twice"])
    assert record["pairs"] == {"labelled_twice": 5, "near_copies": 10}
    assert json.loads((own.place / "val.json").read_text())["split"]["near_copies"] == 10
    near, twice = ([line for line in own.said() if said in line] for said in ("nearly the same", "same file in two"))
    assert near[0].startswith("10 validation photos nearly") and near[0].endswith("; and 7 more (photos.json)")
    assert twice[0].endswith("; and 2 more (photos.json)")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda image: cv2.imdecode(np.frombuffer(jpeg(image, 30), np.uint8), cv2.IMREAD_COLOR),
        lambda image: image[5:-5, 6:-6],
        lambda image: np.clip(image * 0.8, 0, 255).astype(np.uint8),
        lambda image: image,
    ],
    ids=["half", "quality 30", "2 % cut", "darker", "itself"],
)
def test_what_counts_as_nearly_the_same(change):
    ones = [scene(k, 240, 320) for k in range(40)]
    looks = [look_of(image) for image in ones]
    found = near_copies([look_of(change(image)) for image in ones], looks)
    assert {*found} <= {(k, k) for k in range(40)} and len(found) >= 38
    assert near_copies(looks[:20], looks[20:]) == [] == near_copies([], looks) == near_copies(looks, [])
    plain = look_of(np.full((40, 40, 3), 90, np.uint8))
    assert near_copies([plain], [plain]) == []  # of one colour: nothing to compare


SPLITS = [("train", "val"), ("Training", "valid"), ("train", "validation")]


@pytest.mark.parametrize("train, val", SPLITS)
def test_train_and_val_are_taken_as_they_are(tmp_path, train, val):
    for k in range(4):
        for name in ("ant", "bee"):
            write(tmp_path / "p" / train / name / f"{k}.jpg", scene(k + 10 * (name == "bee")))
    write(tmp_path / "p" / val / "bee" / "x.jpg", scene(50))
    write(tmp_path / "p" / "test" / "ant" / "y.jpg", scene(51))
    write(tmp_path / "p" / "unlabeled" / "z.jpg", scene(52))
    own = OwnPhotos(tmp_path / "p", "--data")
    own.pack()
    assert own.fraction is None and own.counts() == {"ant": [4, 0], "bee": [4, 1]}
    assert names(own.paths[1]) == {f"{val}/bee/x.jpg"}
    said = "\n".join(own.said())
    assert "test is not looked at" in said and f"{val} has no photo of ant" in said
    assert f"{tmp_path}/p/unlabeled is not looked at: only train and val are" in said
    with pytest.raises(Refused, match="--val-split 0.5: --data .* has validation photos of its own"):
        OwnPhotos(tmp_path / "p", "--data", 0.5)


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path):
    """A Mac's archive beside folders made elsewhere; in one place the two forms are refused."""
    one, two = "caf\u00e9", "cafe\u0301"
    for k, path in enumerate((f"train/{two}/1", "train/ant/2", f"val/{one}/3")):
        write(tmp_path / f"{path}.jpg", scene(k))
    found = look_into(tmp_path, "--data")
    assert found.train.classes == found.val.classes == ("ant", two) and found.val.entries[0].label == 1
    given = class_folders(tmp_path / "train", ["ant", one])
    assert [entry.label for entry in given.entries] == [0, 1]
    write(tmp_path / "train" / one / "4.jpg", scene(4))
    with pytest.raises(Refused, match="twice, labels 1 and 2, written in two Unicode forms: give it one label"):
        look_into(tmp_path, "--data")


def test_train_alone_is_split(tmp_path):
    for k in range(12):
        write(tmp_path / "train" / ("ant", "bee")[k % 2] / f"{k}.jpg", scene(k))
    write(tmp_path / "test" / "ant" / "y.jpg", scene(51))
    train, val = parts(tmp_path, fraction=0.5)
    assert len(train) + len(val) == 12 and all(name.startswith("train/") for name in train | val)


def test_deep_linked_hidden_and_foreign_files(photos, tmp_path, capsys):
    write(photos / "ant" / "2021" / "may" / "deep.jpg", scene(70))
    write(photos / "ant" / ".hidden.jpg", scene(71))
    write(photos / ".thumbnails" / "1.jpg", scene(72))
    write(photos / "bee" / "notes.txt", b"no image")
    write(photos / "bee" / "cut.jpg", jpeg(scene(73))[:-40])
    (photos / "ant" / "loop").symlink_to(photos / "ant")
    (photos / "ant" / "nowhere.jpg").symlink_to(tmp_path / "nowhere")
    for circle in (photos / "circle", photos / "ant" / "circle", photos / "bee" / "circle.jpg"):
        circle.symlink_to(circle)
    (photos / "linked").symlink_to(write(tmp_path / "elsewhere" / "far.jpg", scene(74)).parent)
    write(tmp_path / "elsewhere" / "near.jpg", scene(75))
    (photos / "bee" / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "far.jpg")
    (photos / "empty").mkdir()
    train, val = parts(photos)
    assert len(train | val) == 62 + 1 + 2 + 1
    assert {"ant/2021/may/deep.jpg", "bee/linked.jpg", "linked/far.jpg", "linked/near.jpg"} <= train | val
    told = capsys.readouterr().err
    for name, why in {
        "empty": "no class",
        "notes.txt": "no JPEG",
        "cut.jpg": "cut off",
        "nowhere.jpg": "no file",
        f"{photos}/circle": "not in a class folder",
        "ant/circle": "no file",
        "circle.jpg": "no file",
    }.items():
        assert any(name in line and why in line for line in told.splitlines()), name
    own = OwnPhotos(photos, "--data")
    assert [*own.counts()] == ["ant", "bee", "linked", "猫 cat"]
    said = "\n".join(own.said())
    assert "one label is wrong: bee/linked.jpg and linked/far.jpg" in said


def folder_of(*files):
    def make(folder):
        folder.mkdir()
        for k, file in enumerate(files):
            write(folder / file, scene(k) if file.endswith(".jpg") else b"text")

    return make


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda folder: None, "there is no such folder"),
        (lambda folder: write(folder, b"PK"), "it is a file, not a folder of photos: name the folder in"),
        (folder_of(), "has 0 files and no class folders"),
        (folder_of("1.jpg", "2.jpg"), r"has 2 files and no class folders: put .*p/CLASS/photo.jpg"),
        (folder_of("ant/1.jpg", "ant/2.jpg"), "has photos of one class alone, ant"),
        (folder_of("ant/1.jpg", "bee/1.txt"), "has photos of one class alone, ant"),
        (folder_of("ant/1.txt", "bee/1.txt"), "of 2 files in .* none is an image"),
        (folder_of("photos/ant/1.jpg", "photos/bee/1.jpg"), "holds others: name .*p/photos"),
        (folder_of("train/1.jpg", "val/1.jpg"), "its train holds no class folders"),
        (folder_of("val/ant/1.jpg", "val/bee/1.jpg", "test/ant/1.jpg"), "has test, val and no train|has val, test"),
        (
            folder_of("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"),
            "has val, valid, which say the same",
        ),
        (folder_of("train/a/1.jpg", "train/b/1.jpg", "val/猫/1.jpg"), "val has 猫, which train lacks"),
        (folder_of("train/a/1.jpg", "val/a/1.jpg"), "has photos of one class alone, a"),
        (
            folder_of("train/a/1.jpg", "train/b/1.jpg", "other/1.jpg"),
            "has train with folders in it beside other with photos in it: if train is a class, give it another name",
        ),
        (folder_of("a/1.jpg", "b/1.jpg", "val/a/1.jpg", "val/b/1.jpg"), "has val with folders in it beside a, b with"),
        (
            folder_of("train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "other/1.jpg"),
            "train with folders .* beside other",
        ),
        (folder_of("a\nb/1.jpg", "c/1.jpg"), "control characters"),
    ],
)
def test_what_cannot_be_trained_on_takes_one_sentence(tmp_path, make, words):
    make(tmp_path / "p")
    with pytest.raises(Refused, match=words) as error:
        OwnPhotos(tmp_path / "p", "--data").pack()
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("cache/photos/*"))


def test_classes_may_be_called_train_and_test(tmp_path):
    for k, name in enumerate(("train", "bus", "test")):
        for j in range(3):
            write(tmp_path / name / f"{j}.jpg", scene(10 * k + j))
    write(tmp_path / "train" / "more" / "3.jpg", scene(33))
    write(tmp_path / "bus" / "more" / "3.jpg", scene(34))
    assert [*OwnPhotos(tmp_path, "--data").counts()] == ["bus", "test", "train"]


def test_what_is_beside_train_and_holds_no_photos_is_no_class(tmp_path):
    for k, place in enumerate(("train/ant", "train/bee", "unlabeled/may")):
        for j in range(3):
            write(tmp_path / place / f"{j}.jpg", scene(10 * k + j))
    write(tmp_path / "labels" / "1.txt", b"text")
    (tmp_path / "empty").mkdir()
    found = look_into(tmp_path, "--data")
    assert found.train.classes == ("ant", "bee")
    assert found.said == (f"{tmp_path}/labels, {tmp_path}/unlabeled are not looked at: only train and val are",)


def test_a_folder_of_records_is_taken_as_it_is(tiny_records):
    own = OwnPhotos(tiny_records, "--data")
    own.pack()
    assert own.is_records and own.paths == ((f"{tiny_records}/train.rec",), (f"{tiny_records}/val.rec",))
    assert sum(train for train, _ in own.counts().values()) == 48 and own.said() == []
    with pytest.raises(Refused, match="--val-split 0.2"):
        OwnPhotos(tiny_records, "--data", 0.2)


def test_large_photos_are_made_smaller(tmp_path):
    for k in range(4):
        write(tmp_path / "p" / "ab"[k % 2] / f"{k}.jpg", scene(k, 700, 1400))
    small = write(tmp_path / "p" / "a" / "small.jpg", scene(9))
    own = OwnPhotos(tmp_path / "p", "--data")
    own.pack()
    shapes = {}
    for paths in own.paths:
        records = Records(paths)
        for i in range(len(records)):
            data = records.read(i)[2]
            shapes[records.name(i)] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
            assert records.name(i) != "a/small.jpg" or data == small.read_bytes()
    assert shapes == {"a/small.jpg": (48, 64), **{f"{'ab'[k % 2]}/{k}.jpg": (512, 1024) for k in range(4)}}
    assert "of a shorter edge of at most 512 px" in own.said()[0]
    assert (stored_edge(224, 0.875), stored_edge(32, 0.875), stored_edge(299, 0.875)) == (512, 512, 684)
    assert OwnPhotos(tmp_path / "p", "--data", at_most=684).place != own.place


def test_how_photos_are_stored_is_told(tmp_path):
    grey = (scene(1)[:, :, 0].astype(np.uint16)) * 16
    for name, pixels in {"a/8.png": grey.astype(np.uint8), "a/12.png": grey, "b/16.tiff": grey * 16}.items():
        write(tmp_path / name, cv2.imencode(pathlib.Path(name).suffix, pixels)[1].tobytes())
    write(tmp_path / "b" / "1.jpg", scene(5))
    with_alpha = np.dstack([scene(7), np.full(scene(7).shape[:2], 9, np.uint8)])
    write(tmp_path / "b" / "alpha.png", cv2.imencode(".png", with_alpha)[1].tobytes())
    PIL.Image.fromarray(scene(9)).quantize(16).save(tmp_path / "b" / "palette.png")
    own = OwnPhotos(tmp_path, "--data")
    own.pack()
    told = "\n".join(own.said())
    assert "3 with one channel" in told and "1 with 16 bits a channel, of which 12 are used" in told
    assert "1 with a palette" in told and "1 with transparency, which is dropped" in told
    assert "these differ" in told


def test_a_change_while_packing_is_refused(photos, monkeypatch, cache):
    attempt = pack.encoded

    def deleting(path, *args, **how):
        (photos / "bee" / "7.jpg").unlink(missing_ok=True)
        return attempt(path, *args, **how)

    own = OwnPhotos(photos, "--data")
    own.counts()
    monkeypatch.setattr(pack, "encoded", deleting)
    with pytest.raises(Refused, match="changed while it was packed.*start again when it is whole"):
        own.pack()
    assert list(cache.iterdir()) == []


def test_an_unreadable_photo_is_named(photos):
    if os.geteuid() == 0:
        (photos / "bee" / "0.jpg").unlink()
        os.mkfifo(photos / "bee" / "0.jpg")  # root may read anything but this
        assert 0 < len(OwnPhotos(photos, "--data").counts()["bee"])
        return
    (photos / "bee" / "0.jpg").chmod(0)
    with pytest.raises(Refused, match="cannot read .*bee/0.jpg: Permission denied"):
        OwnPhotos(photos, "--data").pack()


def test_half_packed_records_are_not_taken(photos, cache):
    own = OwnPhotos(photos, "--data")
    own.pack()
    whole = {path.name: path.read_bytes() for path in own.place.iterdir()}
    killed = cache / "packing.0123456789abcdef"  # a minute ago, of other photos
    write(killed / "other-1" / "train.rec.partial", b"x")
    os.utime(killed, (0, 0))
    for name in ("val.rec", ABOUT):
        (own.place / name).unlink()
        again = OwnPhotos(photos, "--data")
        assert not again.is_packed
        again.pack()
        assert {path.name: path.read_bytes() for path in own.place.iterdir()} == whole
    assert [path.name for path in cache.iterdir()] == [own.place.name]


def test_two_at_a_time_both_have_the_records(photos):
    both = [OwnPhotos(photos, "--data") for _ in range(2)]
    threads = [threading.Thread(target=own.pack) for own in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(Records(own.paths[0])) + len(Records(own.paths[1])) == 62 for own in both)


def test_a_full_disk_is_one_sentence(photos, monkeypatch, cache):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", str(cache))

    monkeypatch.setattr(packed, "make_whole", full)
    with pytest.raises(CannotWrite, match="No space left.*GLUON_TRICKS_CACHE=FOLDER"):
        OwnPhotos(photos, "--data").pack()


def test_where_the_photos_lie_does_not_change_the_digest(photos):
    own = OwnPhotos(photos, "--data")
    own.pack()
    first = [Records(paths).digest for paths in own.paths]
    moved = photos.rename(photos.with_name("moved"))
    other = OwnPhotos(moved, "--data")
    other.pack()
    assert other.place != own.place and [Records(paths).digest for paths in other.paths] == first


@pytest.mark.parametrize("text", ["{", "[]", "null", '"said"', "{}", '{"said": 5}', '{"said": "text"}', b"\xff"])
def test_a_spoilt_record_of_the_photos_costs_its_lines_alone(photos, text):
    own = OwnPhotos(photos, "--data")
    own.pack()
    (own.place / ABOUT).write_bytes(text if isinstance(text, bytes) else text.encode())
    again = OwnPhotos(pathlib.Path(photos), "--data")
    assert again.is_packed and again.said() == []
    assert own_photos.FRACTION == again.fraction


@pytest.mark.parametrize("value", [None, 5, "40 20 2", [[40], 20, 2], [40.5, 20, 2]])
def test_a_spoilt_manifest_of_the_photos_is_refused(photos, value):
    own = OwnPhotos(photos, "--data")
    own.pack()
    manifest = own.place / "train.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "images_per_class": value}))
    with pytest.raises(Refused, match='is no manifest: "images_per_class" should be a list of whole numbers; pack'):
        OwnPhotos(photos, "--data").counts()
