"""Packing into shards."""

import json
import os
import pathlib
import signal
import subprocess
import time

import cv2
import numpy as np
import pytest

from gluon_tricks.cli import pack as command
from gluon_tricks.core.commands import words_of
from gluon_tricks.core.errors import Refused
from gluon_tricks.data import manifest
from gluon_tricks.data.records import Records
from gluon_tricks.data.shard_writer import ShardWriter
from gluon_tricks.data.sources import read_classes
from gluon_tricks.machine import checks, doctor


@pytest.fixture
def photos(tmp_path):
    for k in range(23):
        path = tmp_path / "photos" / ("ant", "bee", "cow")[k % 3] / f"{k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8 + k, 8, 3), 9 * k, np.uint8))
    return tmp_path / "photos"


def run(*words):
    return command.main(list(map(str, words)))


def content(records):
    return [records.read(i) for i in range(len(records))]


def test_shards_hold_what_one_file_holds_in_its_order(photos, tmp_path, capsys):
    assert run(photos, tmp_path / "one") == 0
    assert run(photos, tmp_path / "out" / "train", "--shards", 5) == 0
    assert (
        f"{tmp_path}/out/train-00000-of-00005.rec and so on, 5 shards: 23 images, 3 classes" in capsys.readouterr().out
    )
    endings = ("files", "idx", "json", "labels", "rec")
    wanted = {f"train-{k:05d}-of-00005.{ending}" for k in range(5) for ending in endings} | {"train.json"}
    assert set(os.listdir(tmp_path / "out")) == wanted
    one, shards = Records(tmp_path / "one.rec"), Records(tmp_path / "out" / "train-*.rec")
    assert content(shards) == content(one)
    assert [len(Records(path)) for path in shards.paths] == [5, 5, 4, 5, 4]  # the k-th of 23 is in shard 5 k // 23
    assert shards.classes == ("ant", "bee", "cow") and shards.labels().tolist() == one.labels().tolist()
    assert [shards.name(i) for i in range(23)] == [one.name(i) for i in range(23)]
    told, whole = (json.loads((tmp_path / name).read_text()) for name in ("out/train.json", "one.json"))
    assert (told["count"], told["shards"], told["images_per_class"]) == (23, 5, [8, 8, 7])
    assert told["classes"] == whole["classes"] and told["rec"]["bytes"] == whole["rec"]["bytes"]
    assert read_classes(tmp_path / "out" / "train.json") == ("ant", "bee", "cow")
    assert run(photos, tmp_path / "val", "--classes", tmp_path / "out" / "train.json") == 0
    assert run("--check", tmp_path / "out" / "train-*.rec") == 0
    assert capsys.readouterr().out.count("of-00005.rec: ") == 5


@pytest.mark.parametrize(
    "classes, labels, sound",
    [("ab", (0, 1), True), ("a", (0, 0), False), ("ab", ((0, 0), (0, 1)), True)],
    ids=["two classes", "one class", "a label for each class"],
)
def test_a_shard_of_one_class_is_sound_where_its_series_has_others(classes, labels, sound, tmp_path):
    """Of few classes, or packed in small shards."""
    with ShardWriter(tmp_path / "train", [*classes], shards=2) as writer:
        for id in range(6):
            writer.turn_to(id // 3)
            writer.add(labels[id // 3], id, cv2.imencode(".png", np.full((8, 8, 3), id, np.uint8))[1].tobytes())
    assert run("--check", tmp_path / "train-*.rec") == (0 if sound else 2)
    first = next(doctor.examine_records(str(tmp_path / "train-00000-of-00002.rec")))
    assert first.level == (checks.OK if sound else checks.PROBLEM)


def test_an_only_shard_is_looked_at_as_a_whole(tmp_path):
    with ShardWriter(tmp_path / "train", ["a", "b"], shards=1) as writer:
        for id in range(3):
            writer.add(0, id, cv2.imencode(".png", np.full((8, 8, 3), id, np.uint8))[1].tobytes())
    assert run("--check", tmp_path / "train-00000-of-00001.rec") == 2


def test_shards_of_a_size(tmp_path):
    with ShardWriter(tmp_path / "a", ["x"], most_bytes=1200) as writer:
        for id, size in enumerate((500, 500, 500, 2000, 100, 100)):
            writer.add(0, id, bytes([id]) * size)
    # 8 + 24 + 500 = 532 bytes each: two are 1064, and a third one does not fit; what is larger is alone
    assert [len(Records(path)) for path in sorted(tmp_path.glob("a-*.rec"))] == [2, 1, 1, 2]
    assert [record[1] for record in content(Records(tmp_path / "a-*.rec"))] == [0, 1, 2, 3, 4, 5]
    for text, size in (("1GB", 10**9), ("500 MB", 5 * 10**8), ("1.5TB", 15 * 10**11), ("2000000", 2 * 10**6)):
        assert command.parse(["x", "y", "--shard-size", text]).shard_size == size


@pytest.mark.parametrize("text", ["0", "1kB", "-1GB", "1 EB", "GB", "nan", "1e9"])
def test_sizes_that_are_none(text, capsys):
    with pytest.raises(SystemExit):
        command.parse(["x", "y", f"--shard-size={text}"])
    assert "is no size of at least 1 MB" in capsys.readouterr().err


def test_what_is_there_is_not_overwritten_and_then_replaced_as_a_whole(photos, tmp_path, capsys):
    prefix = tmp_path / "out" / "train"
    assert run(photos, prefix, "--shards", 7) == 0
    other = tmp_path / "out" / "train-more.rec"
    other.write_bytes(b"somebody else's")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert run(photos, prefix, "--shards", 3) == 2
    said = capsys.readouterr().err
    assert "train-00000-of-00007.files, " in said and "and 33 more exist already: give --overwrite" in said
    assert run(photos, prefix) == 2
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert run(photos, prefix, "--shards", 3, "--overwrite") == 0
    assert len(list((tmp_path / "out").glob("train-0*.rec"))) == 3 and other.read_bytes() == b"somebody else's"
    assert run(photos, tmp_path / "val") == 0 and run(photos, tmp_path / "val", "--shards", 2, "--overwrite") == 0
    assert not (tmp_path / "val.rec").exists() and len(Records(tmp_path / "val-*.rec")) == 23


def test_one_file_replaces_the_shards_of_its_name(photos, tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(photos, folder / "s", "--shards", 3) == 0 and run(photos, folder / "s-b") == 0
    assert run(photos, folder / "s") == 2
    assert "s-00000-of-00003.files, " in (said := capsys.readouterr().err) and "and 13 more exist already" in said
    assert len(Records(folder / "s-*-of-*.rec")) == 23
    assert run(photos, folder / "s", "--overwrite") == 0
    assert set(os.listdir(folder)) == {
        f"{name}.{end}" for name in ("s", "s-b") for end in ("files", "idx", "json", "labels", "rec")
    }


def test_too_many_shards_are_refused(photos, tmp_path, capsys):
    assert run(photos, tmp_path / "train", "--shards", 24) == 2
    assert "24 shards of 23 images: give fewer shards" in capsys.readouterr().err
    for path in sorted(photos.rglob("*.png"))[1:]:
        path.write_bytes(b"no image")
    assert run(photos, tmp_path / "train", "--shards", 23) == 2
    assert "give fewer shards" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["photos"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        with ShardWriter(tmp_path / "sub" / "a", ["x"], most_bytes=10) as writer:
            writer.add(0, 0, b"1234")
            writer.add(0, 1, b"1234")
            raise RuntimeError
    assert os.listdir(tmp_path / "sub") == []
    with ShardWriter(tmp_path / "a", ["x"], shards=1) as writer:
        writer.add(0, 0, b"1234")
        with pytest.raises(Refused, match="another process is writing"):
            ShardWriter(tmp_path / "a", ["x"], shards=1, overwrite=True).__enter__()
    assert len(Records(tmp_path / "a-*.rec")) == 1


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_packing_leaves_no_shards(photos, tmp_path, kill):
    slow = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (2000, 2000, 3), np.uint8))[1].tobytes()
    for k in range(200):
        (photos / "ant" / f"slow {k}.jpg").write_bytes(slow)
    words = [photos, tmp_path / "out" / "a", "--resize", "1900", "--jobs", "1", "--shards", "100"]
    process = subprocess.Popen([*words_of("pack"), *map(str, words)], stderr=subprocess.PIPE, text=True)
    out = tmp_path / "out"
    while not list(out.glob("a.shards.*/00001.rec.partial")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(kill)
    process.communicate(timeout=60)
    left = sorted(path.name.split(".")[1] for path in out.iterdir()) if out.exists() else []
    assert left == (["rec", "shards"] if kill == signal.SIGKILL else [])
    for path in photos.glob("ant/slow*"):
        path.unlink()
    for path in out.glob("a.shards.*"):
        os.utime(path, (1, 1))  # long ago
    assert run(photos, out / "a", "--shards", 2) == 0
    assert sorted(path.name for path in out.iterdir() if path.suffix == ".rec") == [
        "a-00000-of-00002.rec", "a-00001-of-00002.rec",
    ]  # fmt: skip
    assert not list(out.glob("*.shards.*")) and len(Records(out / "a-*.rec")) == 23


def test_a_shard_without_the_manifest_of_all(photos, tmp_path):
    assert run(photos, tmp_path / "train", "--shards", 3) == 0
    whole = (tmp_path / "train.json").read_text()
    first = tmp_path / "train-00000-of-00003.rec"
    assert Records(first).classes == ("ant", "bee", "cow")
    (tmp_path / "train.json").unlink()
    manifest._classes_of_all.cache_clear()
    with pytest.raises(Refused, match=f"{tmp_path}/train.json, which names the classes of the shards beside it, is mi"):
        Records(first)
    (tmp_path / "train.json").write_text(whole.replace("bee", "boa"))
    with pytest.raises(Refused, match=f"{tmp_path}/train.json names other classes than the shards"):
        Records(tmp_path / "train-*.rec")
    own = first.with_suffix(".json")
    told = json.loads(own.read_text())
    for wrong in ("train.json", {}, {"manifest": "../x.json", "sha256": ""}, {"manifest": 1, "sha256": ""}):
        own.write_text(json.dumps({**told, "classes_of": wrong}))
        with pytest.raises(Refused, match='is no manifest: "classes_of" should have the name of a "manifest"'):
            Records(first)


def test_the_classes_are_held_once(photos, tmp_path):
    assert run(photos, tmp_path / "train", "--shards", 3) == 0
    files = Records(tmp_path / "train-*.rec")._files
    assert len({id(file.manifest["classes"]) for file in files}) == 1
    assert pathlib.Path(tmp_path / "train-00001-of-00003.json").stat().st_size < 1000
