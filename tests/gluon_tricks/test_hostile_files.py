"""What is named for reading and is no file: refused at once, in one sentence, by every reader."""

import json
import os

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core import reading
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import Unreadable
from gluon_tricks.data import encoding, matlab, recordio
from gluon_tricks.data.annotations import annotated, boxes, mask_file
from gluon_tricks.data.annotations.annotated import Problem
from gluon_tricks.data.file_names import read_names
from gluon_tricks.data.lists import read_lines
from gluon_tricks.data.manifest import read_manifest
from gluon_tricks.data.records import BadRecord, Records
from gluon_tricks.data.sources import read_classes
from gluon_tricks.networks import checkpoint
from gluon_tricks.paper.cells import Cell
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained.load import open_network
from gluon_tricks.trained.prediction_files import read_photo
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from model_zoo import described, formats, published, symbols, torch_files

PIPE, DEVICE, FOLDER, NOWHERE, LARGE = (
    "it is a pipe",
    "it is a device",
    "it is a folder",
    "No such file",
    "it has 1.1 TB",
)
KINDS = {"pipe": PIPE, "device": DEVICE, "folder": FOLDER, "nowhere": NOWHERE, "large": LARGE}
READERS = {
    "list": read_lines,
    "manifest": read_manifest,
    "recipe": read_recipe,
    "checkpoint": checkpoint.read_checkpoint,
    "torch": torch_files.read,
    "graph": symbols._graph,
    "meta.mat": lambda path: matlab.read_structures(path, "synsets"),
    "preprocessing": lambda path: described.read_bytes(path, 1 << 20),
    "annotation": lambda path: boxes._parse(boxes.read_bytes(path, reading.ANNOTATION_BYTES)),
    "file": lambda path: reading.read_text(path, 1 << 20),
}


@pytest.fixture(params=KINDS)
def hostile(request, tmp_path):
    path = tmp_path / "named"
    if request.param == "large":
        with open(path, "wb") as file:
            file.truncate(1 << 40)  # takes no room
    else:
        make = {"pipe": os.mkfifo, "device": lambda p: p.symlink_to("/dev/zero"), "folder": os.mkdir}
        make.get(request.param, lambda p: p.symlink_to("nowhere"))(path)
    return path, KINDS[request.param]


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_what_is_no_file(name, hostile):
    path, reason = hostile
    with pytest.raises(Refused, match=reason) as error:
        READERS[name](path)
    assert str(error.value).count("\n") == 0 and str(path) in str(error.value)


def test_parameters_are_told_of_as_well(hostile):
    path, reason = hostile
    with pytest.raises(Refused, match="there is no parameter file" if reason == NOWHERE else reason):
        formats.read(path)
    if reason != NOWHERE:
        with pytest.raises(Refused, match="holds neither" if reason == FOLDER else reason):
            open_network(path)


def test_a_run_with_something_else_in_it(hostile):
    path, reason = hostile
    for name in ("recipe.json", "final.params", "metrics.csv", "events.jsonl"):
        run = path.parent / f"run_{name}"
        run.mkdir()
        (run / name).symlink_to(path)
    (path.parent / "run_recipe.json" / "final.params").touch()
    with pytest.raises(Refused, match=reason):
        open_network(path.parent / "run_recipe.json")
    if reason != NOWHERE:  # a link that leads nowhere is no final.params, and the run has no checkpoint either
        with pytest.raises(Refused, match=reason):
            open_network(path.parent / "run_final.params")
    cell = Cell("x", None, path.parent / "run_metrics.csv")
    with pytest.raises(Refused, match=reason):
        cell.metrics()
    with pytest.raises(Refused, match=reason):
        list(Cell("x", None, path.parent / "run_events.jsonl").events())
    (path.parent / "why.failed").symlink_to(path)
    with pytest.raises(Refused, match=reason):
        Cell("x", type("R", (), {"epochs": 1}), path.parent / "why").state()


def test_a_newest_checkpoint_that_is_something_else(hostile, tiny_records):
    """A run does not go on from it: nothing could not be written, and doing the same again would not help."""
    path, reason = hostile
    checkpoints = path.parent / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-000000004.safetensors").symlink_to(path)
    train, val = ((str(tiny_records / f"{split}.rec"),) for split in ("train", "val"))
    recipe = Recipe(model="cifar_resnet20_v1", data="records", train=train, val=val, input_size=32, batch_size=8)
    (path.parent / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
    with pytest.raises(Refused, match=rf"step-000000004.* cannot be read \({reason}.*: start anew") as error:
        train_and_evaluate(recipe, path.parent / "run", Options(contexts=[mx.cpu()], resume=True))
    assert not isinstance(error.value, OSError)


def test_images_and_masks(hostile):
    path, reason = hostile
    with pytest.raises(encoding.NoImage, match=reason):
        read_photo(path)
    with pytest.raises(BadRecord, match=reason):
        annotated.read_stored(path)
    with pytest.raises(Problem, match=f"named cannot be read: .*{reason}"):
        annotated.stored_image(path)
    if reason == LARGE:
        with pytest.raises(encoding.NoImage, match="512 MB or more"):
            encoding.encoded(str(path), None, None, True)
    else:
        with pytest.raises(Refused, match=reason):
            encoding.encoded(str(path), None, None, True)
        with pytest.raises(Problem, match=reason):
            mask_file.size_of(path)
        with pytest.raises(Problem, match="there is no .*named" if reason == NOWHERE else "named is no file"):
            annotated.file_bytes(path)


@pytest.mark.parametrize("ending", [".rec", ".json", ".files", ".labels"])
def test_packed_records(ending, hostile, tmp_path):
    path, reason = hostile
    pack(tmp_path / "a")
    (tmp_path / f"a{ending}").unlink()
    (tmp_path / f"a{ending}").symlink_to(path)
    if ending == ".files":  # costs the names only
        assert read_names(tmp_path / "a.rec", {}) == b"" and Records(tmp_path / "a.rec").name(0) == ""
        return
    if ending == ".labels":  # costs the time alone
        records = Records(tmp_path / "a.rec")
        assert records.labels().tolist() == [records.read(i)[0] for i in range(len(records))]
        return
    wanted = {(".rec", NOWHERE): "there is no", (".rec", FOLDER): "is a folder", (".rec", LARGE): "is not a RecordIO"}
    with pytest.raises(Refused, match=wanted.get((ending, reason), reason)):
        Records(tmp_path / "a.rec")
    if ending == ".rec" and reason in (PIPE, DEVICE):
        with pytest.raises(Refused, match=reason):
            next(recordio.walk(tmp_path / "a.rec"))
    if ending == ".json":
        with pytest.raises(Refused, match=reason):
            read_classes(tmp_path / "a.json")


def pack(prefix):
    from gluon_tricks.data.record_writer import RecordWriter

    with RecordWriter(prefix, ["x"]) as writer:
        writer.add(0, 0, cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes(), "x/1.png")


def test_what_is_no_descriptor_of_a_file(tmp_path):
    """/dev/stdin and <(...) as a list: a pipe is refused, a file that was redirected is read."""
    read, write = os.pipe()
    with pytest.raises(Refused, match=f"cannot read /dev/fd/{read}: it is a pipe, not a file: save what comes out of"):
        read_lines(f"/dev/fd/{read}")
    (tmp_path / "list").write_text("cat\n")
    with open(tmp_path / "list") as file:
        assert read_lines(f"/dev/fd/{file.fileno()}") == [(1, "cat")]
    os.close(read)
    os.close(write)


def test_a_published_file_that_is_a_pipe_is_no_match(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="it is a pipe"):
        published._sha1(tmp_path / "pipe")


def test_class_names_are_text(tmp_path):
    for k, name in enumerate(("e\x1b[31m", "new\nline", "tab\t", "caf\udce9", "\x9b31m", "nul\0")):
        path = tmp_path / f"{k}.json"
        path.write_text(json.dumps({"classes": ["cat", name]}))
        with pytest.raises(Refused, match=r"the class of label 1, \S.* has control characters or bytes") as error:
            read_classes(path)
        assert str(error.value).isprintable()
    (tmp_path / "good.json").write_text(json.dumps({"classes": ["猫", "a/b c", "café|`x`"]}))
    assert read_classes(tmp_path / "good.json") == ("猫", "a/b c", "café|`x`")
