"""What lies in a folder of photos beside them: files that are no image, results of this program, folders too many."""

import json
import struct

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.own_photos import ABOUT, OwnPhotos
from gluon_tricks.data.photo_folder import look_into
from gluon_tricks.trained.found_photos import find_photos

HEIC = b"\0\0\0\x18ftypheic" + bytes(64)
RAW = b"II*\0\x10\0\0\0CR\2\0" + bytes(64)  # of a camera: CR2
OF_NONE = {".heic": HEIC, ".cr2": RAW}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def write(folder, *files):
    """Photos that differ; of an ending other than .jpg files that are none."""
    for k, file in enumerate(files):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(k) if file.endswith(".jpg") else OF_NONE.get(path.suffix, b""))
    return folder


def test_photos_of_which_none_is_an_image_are_told_with_the_reason(tmp_path):
    folder = write(tmp_path / "p", *(f"{name}/{k}.heic" for name in ("bee", "ant") for k in range(2)))
    why = rf"no images found: of 4 files none is an image; the first is {folder}/ant/0.heic \(no JPEG, PNG, BMP"
    for begin in (OwnPhotos.pack, OwnPhotos.counts):
        with pytest.raises(Refused, match=why):
            begin(OwnPhotos(folder, "--data"))


def test_classes_without_a_readable_image_are_named(tmp_path):
    folder = write(tmp_path / "p", "ant/0.jpg", "{b}/1.heic", "{b}/2.heic", "cow/3.jpg")
    with pytest.raises(Refused, match="no class of .* has two different photos.*, and {b} has no readable image: add"):
        OwnPhotos(folder, "--data").pack()
    write(folder, "ant/0.jpg", "ant/1.jpg", "cow/2.heic", "cow/3.heic")
    (folder / "cow" / "3.jpg").unlink()
    with pytest.raises(Refused, match="ant alone .*photos, and cow, {b} have no readable image, and th"):
        OwnPhotos(folder, "--data").pack()


def test_a_camera_s_raw_files_are_neither_validated_on_nor_a_class(tmp_path):
    folder = write(tmp_path / "p", "ant/0.jpg", "ant/1.jpg", *(f"bee/{k}.cr2" for k in range(20)))
    assert image_header(RAW).pages == 0
    with pytest.raises(Refused, match="ant alone has two different photos, and bee has no readable image"):
        OwnPhotos(folder, "--data").pack()
    write(folder, *(f"ant/{k}.cr2" for k in range(5)), "bee/5.jpg", "bee/6.jpg")
    photos = OwnPhotos(folder, "--data")
    photos.pack()
    assert photos.counts() == {"ant": [1, 1], "bee": [1, 1]}


def test_photos_that_an_earlier_version_packed_are_known_as_the_same(tmp_path):
    folder = write(tmp_path / "p", *(f"{name}/{k}.jpg" for name in ("ant", "bee") for k in range(3)))
    photos = OwnPhotos(folder, "--data")
    places = [photos.place.with_name(photos._name(version)) for version in (1, 2)]
    assert places[0] != places[1] == photos.place and all(map(photos.were_packed_in, places))
    write(folder, "ant/7.jpg")
    assert not any(map(OwnPhotos(folder, "--data").were_packed_in, places))


def run_in(folder):
    """A run of this program, with pictures."""
    return write(folder, "recipe.json", "events.jsonl", "log.txt", "pictures/a.jpg", "pictures/b.jpg")


def predictions_in(folder):
    return write(folder, "predictions.csv", "index.html", "ant/a.jpg", "c.jpg")


def test_results_of_this_program_among_the_photos_are_no_class(tmp_path, capsys):
    folder = write(tmp_path / "p", *(f"{name}/{k}.jpg" for name in ("ant", "bee") for k in range(20)))
    before = OwnPhotos(folder, "--data")
    before.pack()
    run_in(folder / "runs" / "photos-1")
    run_in(folder / "mine")
    predictions_in(folder / "predictions")
    predictions_in(folder / "ant" / "predictions")
    again = OwnPhotos(folder, "--data")
    assert again.is_packed and [*again.counts()] == ["ant", "bee"]
    assert OwnPhotos(folder, "--data").place == before.place
    write(folder, "bee/new.jpg")
    capsys.readouterr()
    OwnPhotos(folder, "--data").pack()
    told = capsys.readouterr().err
    for name in ("runs", "mine", "predictions", "ant/predictions"):
        assert f"left out: {folder}/{name} (results of gluon-tricks)" in told
    (folder / "train").mkdir()
    for name in ("ant", "bee"):
        (folder / name).rename(folder / "train" / name)
    assert [*OwnPhotos(folder, "--data").counts()] == ["ant", "bee"]


def test_a_class_with_runs_beside_its_photos_stays_one(tmp_path):
    folder = write(tmp_path / "p", "ant/0.jpg", "ant/1.jpg", "bee/0.jpg", "bee/1.jpg")
    run_in(folder / "ant" / "photos-1")
    found = class_folders(folder, deep=True)
    assert found.classes == ("ant", "bee") and len(found.entries) == 4
    assert class_folders(run_in(tmp_path / "q" / "mine").parent, ["mine"]).classes == ("mine",)  # who says so


def test_folders_of_photos_beside_a_run_stay_what_they_are(tmp_path):
    folder = write(tmp_path / "p", *(f"project/{name}/{k}.jpg" for name in ("ant", "bee") for k in range(3)))
    run_in(folder / "project" / "mine")
    assert len(find_photos([str(folder)])) == 6
    write(folder / "classes", "ant/2021/0.jpg", "ant/2022/1.jpg", "bee/2.jpg")
    run_in(folder / "classes" / "ant" / "photos-1")
    source = look_into(folder / "classes", "--data").train
    assert source.classes == ("ant", "bee") and len([e for e in source.entries if e.path.endswith(".jpg")]) == 3
    write(folder / "parts", *(f"{part}/{name}/0.jpg" for part in ("train", "val") for name in ("ant", "bee")))
    run_in(folder / "parts" / "train" / "mine")
    assert look_into(folder / "parts", "--data").val is not None


def test_a_folder_of_results_alone_is_told_as_one(tmp_path):
    run_in(tmp_path / "runs" / "photos-1")
    run_in(tmp_path / "runs" / "table6" / "seed0")
    why = r"no images found: .*runs holds results of gluon-tricks \(photos-1, table6\): name the folder of the photos"
    for find in (class_folders, lambda folder: look_into(folder, "--data")):
        with pytest.raises(Refused, match=why):
            find(tmp_path / "runs")


def test_photos_are_not_looked_for_in_results_of_this_program(tmp_path, capsys):
    folder = write(tmp_path / "p", "ant/0.jpg")
    run_in(folder / "runs" / "photos-1")
    predictions_in(folder / "ant" / "predictions")
    (photo,) = find_photos([folder])
    assert photo.path == folder / "ant" / "0.jpg"
    assert capsys.readouterr().err == "".join(
        f"left out: {folder}/{name} (results of gluon-tricks)\n" for name in ("runs", "ant/predictions")
    )
    assert len(find_photos([folder / "runs" / "photos-1" / "pictures"])) == 2  # they are named


def test_what_is_left_out_of_class_folders_has_its_true_reason(tmp_path):
    folder = write(tmp_path / "p", "ant/0.jpg", "ant/more/1.jpg", "cat/deep/2.jpg", "notes/a.txt")
    assert class_folders(folder).left_out == [
        f"{folder}/cat (its images lie a folder deeper, such as {folder}/cat/deep/2.jpg)",
        f"{folder}/notes (no image in it)",
        f"{folder}/ant/more (a folder within a class folder, which is not looked into)",
    ]


def both(*folders):
    """Three photos of each class in each folder."""
    return [f"{folder}/{name}/{k}.jpg" for folder in folders for name in ("cat", "dog") for k in range(3)]


def test_training_set_and_test_set_are_parts_and_no_classes(tmp_path):
    folder = write(tmp_path / "p", *both("training_set", "test_set"))
    own = OwnPhotos(folder, "--data")
    assert [*own.counts()] == ["cat", "dog"] and any("test_set is not looked at" in line for line in own.said())
    with pytest.raises(Refused, match="holds test_set, training_set, which are no classes: .* first .*/training_set"):
        class_folders(folder)
    folder = write(tmp_path / "q", *both("train_set", "validation_set"))
    assert OwnPhotos(folder, "--data").counts() == {"cat": [3, 3], "dog": [3, 3]}


def test_classes_that_hold_the_same_folders_are_told(tmp_path):
    folder = write(tmp_path / "p", *both("2021", "2022"), "0_notes/of.txt")
    (line,) = look_into(folder, "--data").said
    assert line.startswith("2021, 2022 are taken for classes, and have the same folders in them (cat, dog): if these")
    assert f"a folder too deep: name {folder}/2021 or another alone" in line
    write(folder, "2021/here.jpg")
    assert look_into(folder, "--data").said == ()
    assert look_into(write(tmp_path / "q", "ant/a/1.jpg", "ant/b/1.jpg", "bee/a/1.jpg"), "--data").said == ()


def test_a_picture_smaller_than_its_tile_is_not_told_as_made_smaller(tmp_path):
    folder = write(tmp_path / "p", *both("."))
    tags = {256: 32, 257: 24, 258: 8, 259: 1, 262: 1, 277: 1, 322: 256, 323: 256, 324: 134, 325: 256 * 256}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    tiled = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + bytes(256 * 256)
    (folder / "cat" / "tiled.tiff").write_bytes(tiled)
    assert image_header((folder / "cat" / "tiled.tiff").read_bytes()).pixels == 256 * 256
    own = OwnPhotos(folder, "--data")
    own.pack()
    assert sum(map(sum, own.counts().values())) == 7  # it is packed
    assert json.loads((own.place / ABOUT).read_text())["made_smaller"] == 0
    write(folder, "cat/new.jpg")
    smaller = OwnPhotos(folder, "--data", at_most=12)
    smaller.pack()
    assert json.loads((smaller.place / ABOUT).read_text())["made_smaller"] >= 7  # the photos of 24 px
