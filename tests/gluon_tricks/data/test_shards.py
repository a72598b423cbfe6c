"""Several .rec files as one set: which are meant, what of them is read, and how many are open."""

import collections
import hashlib
import json
import os
import pathlib

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import pack
from gluon_tricks.cli import train as training
from gluon_tricks.cli.command_line import parse, recipe_from_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data import handles, record_index, records, shards
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.own_photos import OwnPhotos
from gluon_tricks.data.packed import packed_photos, records_in
from gluon_tricks.data.recipe_records import find_records, records_are_here
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import BadRecord, Records
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.tasks.registry import task_of

CLASSES = ("ant", "bee")
JPEG = cv2.imencode(".jpg", np.full((24, 24, 3), 90, np.uint8))[1].tobytes()


def write(path, ids, classes=CLASSES, image=JPEG):
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordWriter(path.with_suffix(""), classes) as writer:
        for id in ids:
            writer.add(id % 2, id, image)
    return path


def series(folder, of=4, each=3, stem="train"):
    """Shard k has the ids each * k, each * k + 1, ..."""
    return [write(folder / f"{stem}-{k:05d}-of-{of:05d}.rec", range(each * k, each * k + each)) for k in range(of)]


def refusal(*names, flag=""):
    with pytest.raises(Refused) as refused:
        Records(list(names)) if not flag else shards.record_paths(list(names), flag)
    return str(refused.value)


def test_a_pattern_is_every_file_it_fits_2_before_10(tmp_path):
    files = {k: write(tmp_path / f"train-{k}.rec", [k]) for k in (10, 2, 1)}
    write(tmp_path / "val-1.rec", [7])
    found = Records(tmp_path / "train-*.rec")
    assert found.paths == (files[1], files[2], files[10])
    assert [found.read(i)[1] for i in range(3)] == [1, 2, 10]
    assert found.digest == Records([files[1], files[2], files[10]]).digest != Records([files[2], files[1]]).digest
    assert "no file fits " + str(tmp_path / "test-*.rec") in refusal(tmp_path / "test-*.rec")
    assert f"fits {tmp_path}/train-1.idx, " in refusal(tmp_path / "train-1*")


def test_a_name_that_is_a_file_is_no_pattern(tmp_path):
    file = write(tmp_path / "train[1].rec", [5])
    write(tmp_path / "train1.rec", [6])
    assert Records(file).paths == (file,) and Records(file).read(0)[1] == 5
    at = write(tmp_path / "@train.rec", [8])
    assert Records(at).read(0)[1] == 8


def test_a_list_names_files_from_its_folder_on(tmp_path, monkeypatch):
    here, there = write(tmp_path / "lists" / "b" / "1.rec", [1]), write(tmp_path / "else" / "a.rec", [2])
    names = tmp_path / "lists" / "shards.txt"
    names.write_text(f"# of the second disk\n{there}\n\n  b/1.rec\r\n")
    monkeypatch.chdir(tmp_path)
    for name in (f"@{names}", "@lists/shards.txt"):
        assert [path.resolve() for path in Records(name).paths] == [there, here]
    names.write_text(f"{there}\n# b/1.rec\nb/2.rec\n")
    assert f"{names} line 3: {names.parent}/b/2.rec is not there: name one .rec a line" in refusal(f"@{names}")
    names.write_text("b\n")
    assert f"line 1: {names.parent}/b is a folder" in refusal(f"@{names}")
    names.write_text(f"b/1.rec\n{there}\nb/1.rec\n")
    assert f"line 3: {names.parent}/b/1.rec is named in line 1 already: name it once" in refusal(f"@{names}")
    names.write_text("# nothing\n")
    assert f"{names} names no file" in refusal(f"@{names}")
    assert f"cannot read {names}x: " in refusal(f"@{names}x")


def test_a_folder_of_the_shards_of_one_series(tmp_path):
    files = series(tmp_path / "in")
    assert list(Records(tmp_path / "in").paths) == files
    series(tmp_path / "in", stem="val")
    assert f"{tmp_path}/in is a folder: name the records in it" in refusal(tmp_path / "in")


def test_a_missing_shard_is_named(tmp_path):
    files = series(tmp_path, of=6)
    pattern = tmp_path / "train-*.rec"
    assert len(Records(pattern)) == 18
    files[3].unlink()
    whole = f"{files[3]} of 6 shards is missing: copy or pack them again"
    for named in ([pattern], [*files[:3], *files[4:]]):
        assert refusal(*named, flag="--rec-train: ").startswith(f"--rec-train: {whole}")
        assert refusal(*named).startswith(whole)
    for file in files[:3]:
        file.unlink()
    assert f"{files[0]}, {files[1]}, {files[2]} and 1 more of 6 shards are missing" in refusal(pattern)
    assert len(Records(files[5])) == 3  # one alone is meant so


def test_a_folder_of_the_records_of_training_and_validation(tmp_path, monkeypatch):
    """One .rec or shards of each, for --data of every command and for ImageNet in its place."""
    folder = tmp_path / ".mxnet" / "datasets" / "imagenet" / "rec"
    files, val = series(folder), write(folder / "val.rec", [50, 51])
    write(folder / "train-old-0-of-2.rec", [7])  # of another name
    wanted = tuple(map(str, files)), (str(val),)
    assert records_in(folder) == packed_photos(folder, tmp_path / "cache", "--data") == wanted
    own = OwnPhotos(folder, "--data")
    assert own.is_records and own.is_packed and own.paths == wanted
    monkeypatch.setenv("HOME", str(tmp_path))
    imagenet = get_recipe("imagenet")
    assert flags("--use-rec").data == imagenet.data and records_are_here(imagenet)
    assert [found.paths for found in find_records(imagenet.set(classes=2))] == [(*files,), (val,)]
    val.unlink()
    assert records_in(folder) is None and not records_are_here(imagenet)
    with pytest.raises(Refused, match=r"it has neither val.rec \(or its shards\) nor a folder val of class folders$"):
        packed_photos(folder, tmp_path / "cache", "--data")
    with pytest.raises(Refused, match=f"--data {folder} has records, but neither val.rec nor its shards: pack them"):
        OwnPhotos(folder, "--data")


@pytest.mark.parametrize(
    "more, without, says",
    [
        ([], [2], "train-00002-of-00004.rec of 4 shards is missing: copy or pack them again"),
        ([], [0, 1, 2], "train-00001-of-00004.rec, .*train-00002-of-00004.rec of 4 shards are missing"),
        (["train.rec"], [], "train.rec and train-00003-of-00004.rec are two packings of the same name: take one"),
        (["train-0-of-2.rec"], [], "train-0-of-2.rec and train-.*.rec are two packings of the same name"),
    ],
)
def test_a_folder_of_records_that_are_not_whole(tmp_path, monkeypatch, more, without, says):
    folder = tmp_path / ".mxnet" / "datasets" / "imagenet" / "rec"
    files = series(folder)
    for name in ("val.rec", *more):
        write(tmp_path / name, [50, 51]).rename(folder / name)
    for k in without:
        files[k].unlink()
    monkeypatch.setenv("HOME", str(tmp_path))
    for look in (records_in, lambda _: OwnPhotos(folder, "--data"), lambda _: flags("--use-rec")):
        with pytest.raises(Refused, match=says):
            look(folder)
    assert not records_are_here(get_recipe("imagenet"))


def test_a_series_may_lie_in_several_folders(tmp_path):
    files = series(tmp_path, of=3)
    (tmp_path / "disk2").mkdir()
    for end in (".rec", ".idx", ".json"):
        moved = files[1].with_suffix(end)
        if moved.exists():
            moved.rename(tmp_path / "disk2" / moved.name)
    there = tmp_path / "disk2" / files[1].name
    assert [*shards.record_paths([files[0], there, files[2]])] == [files[0], there, files[2]]
    assert refusal(files[0], there).startswith(f"{files[2]} of 3 shards is missing")


def test_a_shard_that_is_named_twice(tmp_path):
    files = series(tmp_path)
    (tmp_path / "link.rec").symlink_to(files[0])
    for again in (files[1], tmp_path / "link.rec"):
        for named in (["train-*.rec"], files):  # or as a shell expands it
            words = [*(tmp_path / name for name in named), again]
            assert f"--rec-val: {again} is named twice" in refusal(*words, flag="--rec-val: ")
            assert f"{again} is named twice: name every shard once" == refusal(*words)


def test_damaged_shards_are_refused_by_their_names(tmp_path):
    files = series(tmp_path)
    whole = files[2].read_bytes()
    files[2].write_bytes(whole[:-4])
    assert f"{files[2]} is truncated: it has {len(whole) - 4} bytes" in refusal(tmp_path / "train-*.rec")
    files[2].write_bytes(whole)
    index = files[1].with_suffix(".idx").read_bytes()
    files[1].with_suffix(".idx").unlink()
    assert f"there is no {files[1].with_suffix('.idx')} beside" in refusal(tmp_path / "train-*.rec")
    files[1].with_suffix(".idx").write_bytes(index)
    files[3].unlink()
    for ending in (".idx", ".json", ".labels"):
        files[3].with_suffix(ending).unlink()
    write(files[3], [9, 10, 11], ("ant", "cow"))
    assert f"{files[0]} and {files[3]} name different classes (2 and 2, the first difference: bee and cow)" in refusal(
        tmp_path / "train-*.rec"
    )


def flags(*words):
    return recipe_from_flags(parse([*map(str, words), "--num-gpus", "0"]), 1)[0]


def test_flags_mean_the_same_quoted_expanded_listed_or_as_a_folder(tmp_path, monkeypatch):
    for k in (1, 2, 10):
        write(tmp_path / "t" / f"train-{k}.rec", [k, k + 1])
    val = write(tmp_path / "val.rec", [50, 51])
    (tmp_path / "shards.txt").write_text("t/train-1.rec\nt/train-2.rec\nt/train-10.rec\n")
    monkeypatch.chdir(tmp_path)
    expanded = sorted(map(str, pathlib.Path("t").glob("train-*.rec")))  # as a shell does: 1, 10, 2
    assert [name[-6:-4] for name in expanded] == ["-1", "10", "-2"]
    wanted = tuple(f"{tmp_path}/t/train-{k}.rec" for k in (1, 2, 10))
    for words in (["t/train-*.rec"], expanded, ["@shards.txt"]):
        recipe = flags("--rec-train", *words, "--rec-val", val)
        assert recipe.train == wanted and recipe.val == (str(val),) and recipe.data == "records"
    assert flags("--rec-train", "t/train-2.rec", "t/train-1.rec", "--rec-val", val).train == (wanted[1], wanted[0])


def test_a_run_goes_on_in_its_own_order(tmp_path):
    """Begun by an earlier version, or in a shell that lists names otherwise."""
    files = {k: str(write(tmp_path / f"train-{k}.rec", [k, k + 1])) for k in (1, 2, 10)}
    val = str(write(tmp_path / "val.rec", [50, 51]))
    begun = get_recipe("imagenet").set(data="records", train=(files[1], files[10], files[2]), val=(val,))
    words = ["--rec-train", str(tmp_path / "train-*.rec"), "--rec-val", val, "--num-gpus", "0"]
    assert recipe_from_flags(parse(words), 1, begun)[0].train == begun.train
    assert recipe_from_flags(parse(words), 1)[0].train == (files[1], files[2], files[10])


def test_a_recipe_with_a_pattern_is_run_and_saved_with_its_files(tmp_path):

    files = series(tmp_path / "t", of=3, each=4)
    val = write(tmp_path / "val.rec", [50, 51])
    recipe = get_recipe("shapes").set(
        data="records", train=(str(tmp_path / "t" / "train-*.rec"),), val=(str(val),), batch_size=4
    )
    assert records_are_here(recipe) and len(find_records(recipe)[0]) == 12
    assert not records_are_here(recipe.set(train=(str(tmp_path / "u-*.rec"),)))
    task = task_of(recipe)(recipe, [mx.cpu()], 1)
    assert task.recipe.train == tuple(map(str, files)) and task.recipe.val == (str(val),)
    assert task.open_files == 4


def test_a_refused_shard_ends_a_command_before_any_work(tmp_path, capsys):
    files = series(tmp_path)
    files[1].unlink()
    words = [
        "--rec-train",
        str(tmp_path / "train-*.rec"),
        "--rec-val",
        str(files[0]),
        "--save-dir",
        str(tmp_path / "r"),
    ]
    assert training.main(words) == 2
    assert f"--rec-train: {files[1]} of 4 shards is missing" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


# --- what is read


@pytest.fixture
def counted(monkeypatch):
    """Bytes read of each .rec: os.pread alone reads them."""
    read = collections.Counter()
    pread = os.pread

    def counting(descriptor, length, start):
        data = pread(descriptor, length, start)
        read[pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}"))] += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    return read


def test_opening_reads_neither_images_nor_labels_from_the_shards(tmp_path, counted):
    series(tmp_path, of=20, each=50)
    found = Records(tmp_path / "train-*.rec")
    labels, counts = found.labels(), found.label_counts()
    # of each shard: the first 4 bytes, the head of its last record (8) and 16 marks of 4
    assert set(counted.values()) == {4 + 8 + 64} and len(counted) == 20
    np.testing.assert_array_equal(labels, np.arange(1000) % 2)
    assert (counts == 1).all() and counts.shape == (1000,)


def test_each_rank_reads_its_own_images_and_no_others(tmp_path, counted):
    files = series(tmp_path, of=6, each=16)  # 96 images, of equal size
    size = files[0].stat().st_size // 16
    sums = collections.Counter()
    for rank in range(3):
        loader = RecordLoader(
            Records(tmp_path / "train-*.rec"), size=8, batch_size=4, train=True, threads=2, rank=rank, ranks=3
        )
        counted.clear()
        seen = np.concatenate([batch.indices for batch in loader.epoch(1)])
        shares = collections.Counter((seen // 16).tolist())
        assert len(seen) == 32 and {path: count for path, count in counted.items()} == {
            files[k]: share * size for k, share in shares.items()
        }
        sums.update(counted)
    assert sums == {path: path.stat().st_size for path in files}  # all of each once, over all ranks


def test_records_without_labels_beside_them_give_the_same(tmp_path, counted):
    files = series(tmp_path)
    told = Records(tmp_path / "train-*.rec").labels()
    for file in files:
        file.with_suffix(".labels").unlink()
    counted.clear()
    np.testing.assert_array_equal(Records(tmp_path / "train-*.rec").labels(), told)
    assert set(counted.values()) == {76 - 64 + 3 * 4 + 13 * 4 + 3 * 36}  # the heads of 3 records


@pytest.mark.parametrize("wrong", ["cut", "longer", "other records", "nothing", "a folder", "another index"])
def test_labels_that_belong_to_other_records_are_not_believed(tmp_path, wrong):
    file = write(tmp_path / "a.rec", range(6))
    table = file.with_suffix(".labels")
    content = bytearray(table.read_bytes())
    # "labels 1", sha256, count, six labels of 4 bytes
    assert len(content) == 8 + 32 + 8 + 24 and content[-24:] == b"".join(k.to_bytes(4, "little") for k in [0, 1] * 3)
    content[-24] = 1  # which is wrong, and believed if nothing else is
    table.write_bytes(content)
    assert Records(file).labels().tolist() == [1, 1, 0, 1, 0, 1]
    if wrong == "other records":
        content[20] ^= 1
    table.write_bytes({"cut": content[:-4], "longer": content + bytes(4), "nothing": b""}.get(wrong, content))
    if wrong == "a folder":
        table.unlink()
        table.mkdir()
    if wrong == "another index":
        lines = file.with_suffix(".idx").read_bytes().splitlines(keepends=True)
        file.with_suffix(".idx").write_bytes(b"".join(lines[::-1]))
        assert Records(file).labels().tolist() == [1, 0, 1, 0, 1, 0]
    else:
        assert Records(file).labels().tolist() == [0, 1, 0, 1, 0, 1]


def test_a_record_with_another_label_than_was_counted_is_named(tmp_path):
    file = write(tmp_path / "a.rec", range(6))
    content = bytearray(file.with_suffix(".labels").read_bytes())
    content[-24] = 1
    file.with_suffix(".labels").write_bytes(content)
    found = Records(file)
    assert found.read(0)[0] == 0  # nobody has asked for the labels yet
    found.labels()
    with pytest.raises(BadRecord, match="record 0 of .*a.rec at byte 0: it has label 0, and 1 was counted"):
        found.read(0)
    assert found.read(1)[0] == 1


def test_the_labels_of_records_that_were_packed_without_them(tmp_path, capsys):
    file, other = series(tmp_path, of=2)
    table = file.with_suffix(".labels")
    whole = table.read_bytes()
    table.unlink()
    assert pack.main(["--labels", str(tmp_path / "train-*.rec")]) == 0 and table.read_bytes() == whole
    assert capsys.readouterr().out.splitlines() == [f"{path}: its .labels has 3 labels" for path in (file, other)]
    for path, says in ((file, "are not those of"), (other, "records without one class each")):
        content = bytearray(path.read_bytes())
        content[12:16] = np.float32(0.5).tobytes()  # another label than was packed
        path.write_bytes(content)
        path.with_suffix(".labels").unlink()
        if path == other:
            told = json.loads(path.with_suffix(".json").read_text())
            told["rec"]["sha256"] = hashlib.sha256(content).hexdigest()
            path.with_suffix(".json").write_text(json.dumps(told))
        assert pack.main(["--labels", str(path)]) == 2 and says in capsys.readouterr().err
        assert not path.with_suffix(".labels").exists()


# --- how many are open


def descriptors():
    return [name for name in os.listdir("/proc/self/fd") if _target(name).endswith(".rec")]


def _target(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def test_more_shards_than_may_be_open_are_read_by_threads_at_once(tmp_path, monkeypatch):
    few = handles.Handles(5)
    monkeypatch.setattr(handles, "HANDLES", few)
    series(tmp_path, of=40, each=2)
    before = len(descriptors())
    found = Records(tmp_path / "train-*.rec")
    assert len(found) == 80 and len(descriptors()) - before == len(few) == 5
    loader = RecordLoader(found, size=8, batch_size=8, train=True, threads=8)
    for _ in range(3):
        ids = sorted(found.read(int(i))[1] for batch in loader.epoch() for i in batch.indices)
        assert ids == list(range(80)) and len(descriptors()) - before == 5
    assert handles.open_at_once(40) == 5 and handles.open_at_once(3) == 3
    del loader, found
    assert len(descriptors()) == before


def test_the_file_that_was_read_longest_ago_is_closed(tmp_path):
    few = handles.Handles(2)
    files = []
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 8)
        files.append(handles.Handle(tmp_path / name, few))
    a, b, c = files
    assert (a.read(0, 2), b.read(6, 9), a.read(1, 1)) == (b"aa", b"bb", b"a")
    c.read(0, 1)
    assert [file._file is not None for file in files] == [True, False, True]
    assert b.state() == (8, os.stat(tmp_path / "b").st_mtime_ns) and len(few) == 2
    assert [file._file is not None for file in files] == [False, True, True]


def test_a_shard_that_is_replaced_while_it_is_closed_is_not_read_on(tmp_path, monkeypatch):
    monkeypatch.setattr(handles, "HANDLES", handles.Handles(1))
    files = series(tmp_path, of=2)
    found = Records(tmp_path / "train-*.rec")
    found.read(0), found.read(5)  # the first is closed
    os.utime(files[0], ns=(1, 1))  # as a file of the same size, written at another time
    with pytest.raises(BadRecord, match=f"{files[0]} was written to while it was in use"):
        found.read(0)
    files[0].unlink()
    found.read(5)
    with pytest.raises(BadRecord, match=f"{files[0]} cannot be read .No such file"):
        found.read(0)


# --- in little memory


@pytest.mark.parametrize(
    ("listing", "offsets"),
    [
        (b"0\t0\n1\t40\n", [0, 40]),
        (b"0 0\r\n18446744073709551615\t40\r\n", [0, 40]),  # an id may be any number of 64 bits
        (b"-1\t4\n", [4]),
        (b"", None), (b"\n", None), (b" \n\n", None),
        (b"0\t0\n1\t40", None), (b"0\t0\n1\n", None), (b"0\t-4\n", None), (b"0\t6\n", None),
        (b"0\t9999999999999999999\n", None), (b"a\t4\n", None), (b"0\t4.0\n", None), (b"0\t0x4\n", None),
    ],
)  # fmt: skip
def test_an_index_is_lines_of_key_and_offset(listing, offsets):
    found = record_index.parse_index(listing)
    assert (None if found is None else found.tolist()) == offsets


@pytest.mark.parametrize("size", [1 << 34, (1 << 34) + 4, 1 << 40])
def test_offsets_of_large_files_in_any_order(size):
    order = np.array([size - 40, 0, (1 << 33) + 8, 400], np.int64)
    for given in (order, np.sort(order)):
        found = record_index.Offsets(given, size)
        assert [found[k] for k in range(4)] == found.some(0, 4) == given.tolist()
        ends = {size - 40: size, 0: 400, 400: (1 << 33) + 8, (1 << 33) + 8: size - 40}
        assert [found.end(k) for k in range(4)] == [ends[at] for at in given.tolist()]
    assert found.ascending


def test_an_epoch_has_the_order_that_it_had_with_64_bits(tmp_path):
    loader = RecordLoader(Records(write(tmp_path / "a.rec", range(500))), size=8, batch_size=4, train=True, seed=9)
    expected = generator(9, "shuffle", 3).permutation(500)
    assert loader._order(3).tolist() == expected.tolist() and loader._order(3).dtype == np.int32


def test_opening_side_by_side_tells_the_first_that_is_wrong(tmp_path):
    files = series(tmp_path, of=40, each=1)
    for k in (31, 7):
        files[k].write_bytes(b"")
    assert f"{files[7]} is empty" in refusal(tmp_path / "train-*.rec")
    assert records._SIDE_BY_SIDE < 40
