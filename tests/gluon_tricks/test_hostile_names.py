"""Folders and names that somebody prepared: what is written goes nowhere else, and what is printed is printable."""

import functools
import json
import os
import pathlib

import cv2
import numpy as np
import pytest

from gluon_tricks.cli import detect, export, launch, look, pack, predict, reproduce, segment, train
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.data.shard_writer import ShardWriter
from gluon_tricks.paper import tables
from gluon_tricks.trained.contact_sheet import Shown, contact_sheet
from gluon_tricks.trained.found_photos import find_photos
from gluon_tricks.trained.predict import Prediction
from gluon_tricks.trained.prediction_files import Results
from gluon_tricks.training.journal import Journal
from model_zoo import get_model

JPEG = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
ODD = {  # name -> how it is printed
    b"caf\xe9": r"caf\xe9",
    b"e\x1b[31mred": r"e\x1b[31mred",
    b"new\nline": r"new\nline",
    b"x" * 251: "x" * 251,
    b"a|`b`<c>": "a|`b`<c>",
}


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


def photos(folder, *names):
    """A folder with a photo in each of some class folders."""
    for name in names:
        os.makedirs(os.path.join(os.fsencode(folder), name))
        with open(os.path.join(os.fsencode(folder), name, b"1.jpg"), "wb") as file:
            file.write(JPEG)


def last_line(capsys) -> str:
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    return (said.out + said.err).splitlines()[-1]


def test_packing_follows_no_link(tmp_path, victim, capsys):
    photos(tmp_path / "photos", b"a", b"b")
    for k in range(11):  # so many files left out are listed in one
        (tmp_path / "photos" / "a" / f"{k}.png").touch()
    for ending in (".rec", ".idx", ".json", ".files"):
        (tmp_path / f"out{ending}.partial").symlink_to(victim)
    (tmp_path / "out.left_out.txt").symlink_to(victim)
    assert pack.main([str(tmp_path / "photos"), str(tmp_path / "out")]) == 0
    assert (
        len(Records(tmp_path / "out.rec")) == 2 and len((tmp_path / "out.left_out.txt").read_text().split("\n")) == 12
    )
    capsys.readouterr()
    os.mkfifo(tmp_path / "pipe.rec.partial")
    assert pack.main([str(tmp_path / "photos"), str(tmp_path / "pipe")]) == 1
    assert last_line(capsys).endswith(
        "pipe.rec.partial cannot be written: it is a pipe, not a file: remove it; nothing was packed"
    )
    assert (tmp_path / "pipe.rec.partial").is_fifo()


def test_packing_looks_at_its_places_first(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(Refused, match="a.json is a folder, where a file is to be written"):
        RecordWriter(tmp_path / "a", ["x"], overwrite=True)
    with pytest.raises(Refused, match="no file can have a name of 256 bytes"):  # 243 and .left_out.txt
        RecordWriter(tmp_path / ("a" * 243), ["x"])
    for name, instead in {"in/": "in/train", "in/..": "in/../train", ".": "./train", "": "train"}.items():
        for write in (RecordWriter, functools.partial(ShardWriter, shards=2)):
            with pytest.raises(Refused, match=f"^'{name}' is a folder's name: name the files in it, such as {instead}"):
                write(name, ["x"])
    photos(tmp_path / "photos", b"ok")
    assert pack.main([str(tmp_path / "photos"), f"{tmp_path}/new/"]) == 2 and not (tmp_path / "new").exists()
    (tmp_path / "b.idx").symlink_to("nowhere")
    with pytest.raises(Refused, match="b.idx exist already: give --overwrite"):
        RecordWriter(tmp_path / "b", ["x"])


@pytest.mark.parametrize("name", ODD)
def test_packing_folders_and_photos_of_odd_names(name, tmp_path, capsys):
    photos(tmp_path / "classes", name, b"ok")
    code = pack.main([str(tmp_path / "classes"), str(tmp_path / "a")])
    said = last_line(capsys)
    if name in (b"x" * 251, b"a|`b`<c>"):
        assert code == 0 and Records(tmp_path / "a.rec").classes == tuple(sorted((os.fsdecode(name), "ok")))
    else:
        assert code == 2 and f"the class of label 0, {ODD[name]}, has control characters or bytes that" in said
    photos(tmp_path / "photos", b"ok")
    for ending, data in ((b".jpg", JPEG), (b".png", b"broken")):
        with open(os.path.join(os.fsencode(tmp_path / "photos" / "ok"), name + ending), "wb") as file:
            file.write(data)
    assert pack.main([str(tmp_path / "photos"), str(tmp_path / "b")]) == 0
    left_out = capsys.readouterr().out.splitlines()[0]
    assert left_out == f"left out: {tmp_path}/photos/ok/{ODD[name]}.png (no JPEG, PNG, BMP, WebP or TIFF)"
    told = {Records(tmp_path / "b.rec").name(i) for i in range(2)}
    long = "ok/" + "x" * 126 + " ... " + "x" * 62 + ".jpg"  # 200 letters
    assert told == {"ok/1.jpg", long if name[:1] == b"x" else f"ok/{ODD[name]}.jpg"}


@pytest.mark.parametrize("name", ODD)
def test_predictions_of_photos_of_odd_names(name, tmp_path):
    photo = tmp_path / os.fsdecode(name + b".jpg")
    prediction = Prediction("a <b>\x1b[31m\nclass", {"classes": []}, np.zeros((4, 4, 3), np.uint8))
    results = Results(tmp_path / "out")
    results.add(photo, prediction, {})
    results.add(photo, prediction, {})  # again: its own place
    page = contact_sheet(tmp_path / "out", "caf\udce9", results.shown).read_text(encoding="utf-8")
    assert r"<br>a &lt;b&gt;\x1b[31m\nclass</figcaption>" in page and r"<h1>caf\xe9</h1>" in page and "\x1b" not in page
    files = sorted(os.listdir(tmp_path / "out"))
    stem = ("x" * 230) if name[:1] == b"x" else ODD[name]
    assert files == sorted([f"{stem}.json", f"{stem}.png", "index.html"])
    told = json.loads((tmp_path / "out" / f"{stem}.json").read_text(encoding="utf-8"))["file"]
    assert told == str(tmp_path) + "/" + name.decode("utf-8", "backslashreplace") + ".jpg"


def test_a_page_of_pictures_whose_names_are_no_text(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    page = contact_sheet(tmp_path, "cats", [Shown(pathlib.PurePath(name), name)]).read_text(encoding="utf-8")
    assert 'href="caf%E9.png"' in page and r'alt="caf\xe9.png"' in page


def test_predictions_take_the_place_of_links(tmp_path, victim):
    (tmp_path / "out").mkdir()
    for name in ("1.json", "1.png", "index.html"):
        (tmp_path / "out" / name).symlink_to(victim)
    results = Results(tmp_path / "out")
    results.add(tmp_path / "1.jpg", Prediction("cat", {}, np.zeros((4, 4, 3), np.uint8)), {})
    contact_sheet(tmp_path / "out", "cats", results.shown)
    assert sorted(os.listdir(tmp_path / "out")) == ["1-2.json", "1-2.png", "1.json", "1.png", "index.html"]
    assert not (tmp_path / "out" / "index.html").is_symlink()


@pytest.mark.parametrize("name", [".lock", "events.jsonl", "log.txt"])
def test_a_run_adds_to_its_own_files_only(name, tmp_path, victim):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(victim)
    with pytest.raises(Refused, match=rf"cannot be written \(.*/{name}: it is a link: remove it\)"):
        Journal(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(Refused, match=rf"{name}: it is a pipe, not a file: remove it\)"):
        Journal(tmp_path / "run")


@pytest.mark.parametrize("name", ["checkpoints", "pictures", "tensorboard"])
def test_the_folders_of_a_run_are_its_own(name, tmp_path):
    for folder in ("run", "users"):
        (tmp_path / folder).mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "users")
    with pytest.raises(Refused, match=rf"cannot be written \(.*/{name}: it is a link: remove it\)"):
        Journal(tmp_path / "run")
    assert not os.listdir(tmp_path / "users")


def test_a_run_writes_and_tells_in_print(tmp_path, victim, capsys):
    for name in ("metrics.csv", "recipe.json"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).symlink_to(victim)
    with Journal(tmp_path / "run") as journal:
        journal.start({"name": "x"}, [])
        journal.warn("caf\udce9 \x1b[31m and\na line")
    assert (tmp_path / "run" / "metrics.csv").read_text().startswith("epoch,train_loss")
    said = r"caf\xe9 \x1b[31m and\na line"
    assert capsys.readouterr().out == f"{said}\n" and (tmp_path / "run" / "log.txt").read_text().endswith(f" {said}\n")


def test_a_reason_is_text_in_every_table(tmp_path):
    cell = tables._markdown_cell("failed: a | b `c` <script> [x](y) \\ \x1b\nd")
    assert cell == r"failed: a \| b \`c\` \<script> \[x](y) \\ \\x1b\\nd"


@pytest.mark.parametrize("command", [predict, export, reproduce])
def test_places_are_looked_at_before_anything_is_opened(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    (tmp_path / "file").touch()
    (tmp_path / "d" / "smoke" / "figure1.png").mkdir(parents=True)
    (tmp_path / "x-preprocessing.json").mkdir()
    words, wrong = {
        predict: (["photo.jpg", "--params", "nothing", "--out", "file"], "--out file: {}/file is no folder"),
        export: (["nothing", "x.onnx", "--to", "onnx"], "DST x-preprocessing.json: it is a folder"),
        reproduce: (
            ["figure1", "--scale", "smoke", "--runs", "d"],
            "--runs d/smoke: figure1.png in it is a folder, where a file is to be written: move it away",
        ),
    }[command]
    assert command.main(words) == 2
    assert last_line(capsys) == f"refused: {wrong.format(tmp_path)}"


LONG = "x" * 300


@pytest.mark.parametrize(
    "command, words, says",
    [
        (predict, [LONG, "--params", "run"], "is no file or folder that can be read (File name too long)"),
        (look, ["run", "--images", LONG], "is no file or folder that can be read (File name too long)"),
        (train, ["--data", LONG], "there is no such folder (File name too long)"),
        (train, ["--data-dir", LONG], "there is no such folder (File name too long)"),
        (detect, ["--dataset", "coco", "--data", LONG], "instances_train.json (File name too long)"),
        (segment, ["--dataset", "ade20k", "--data", LONG], "ADEChallengeData2016 (File name too long): check --data"),
        (launch, ["-np", "1", LONG], "(File name too long): after -- comes gluon-tricks train"),
        (reproduce, ["table6", "--scale", "smoke", "--runs", LONG], "no file can have a name of 300 bytes"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(command, words, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == 2
    assert says in last_line(capsys)


@pytest.mark.parametrize("name", [f"{LONG}.params", f"{LONG}.caffemodel", LONG])
def test_parameters_of_a_name_that_no_file_can_have(name):
    with pytest.raises(Refused, match="there is no parameter file"):
        get_model("caffenet", pretrained=name)


def test_a_photo_that_is_none_is_told_as_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, says in (("pipe.jpg", "it is a pipe, not a file"), ("nothing", "No such file or directory"),
                       ("a\0b", "no file can have this name")):  # fmt: skip
        with pytest.raises(Refused, match=f"is no file or folder that can be read \\({says}\\): check the name"):
            find_photos([tmp_path / name])
