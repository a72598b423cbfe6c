"""Every command that writes a file outside a run, onto a disk that is full, too small or read-only."""

import pathlib
import subprocess
import sys

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import benchmark, convert, evaluate, export, look, pack, predict, reproduce, train
from gluon_tricks.core import files
from gluon_tricks.data.builtin import scenes, shapes
from model_zoo import catalogue, get_model, published, summary

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def full(mounted, tmp_path):
    """A disk without a free byte."""
    folder = mounted(tmp_path / "full", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    (folder / "filler").write_bytes(bytes(2**16))
    return folder


@pytest.fixture
def small(mounted, tmp_path):
    """A disk on which the first bytes of a file have room."""
    return mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs")


@pytest.fixture
def read_only(mounted, tmp_path):
    folder = mounted(tmp_path / "read_only", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Parameters of 1.1 MB, a photo, a folder of 40 photos with 90 KB in all, and an index that is lost."""
    folder = tmp_path_factory.mktemp("source")
    net = get_model("cifar_resnet20_v1", classes=4)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    net.save_parameters(str(folder / "net.params"))
    rng = np.random.default_rng(0)
    for k in range(40):
        (folder / "photos" / f"class{k % 2}").mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "photos" / f"class{k % 2}" / f"{k}.png"), image)
    return folder


NET = ["--model", "cifar_resnet20_v1"]
COMMANDS = {  # name -> main, words with {from} and {to}: the folder of `source` and the disk
    "evaluate --json": (evaluate.main, ["--pretrained", "{from}/net.params", "--json", "{to}/x.json"]),
    "evaluate --submission": (
        evaluate.main, ["--pretrained", "{from}/net.params", "--places365", "list", "--submission", "{to}/x.txt"],
    ),
    "export onnx": (export.main, ["{from}/net.params", "{to}/x.onnx", "--to", "onnx", *NET]),
    "export symbol": (export.main, ["{from}/net.params", "{to}/x", "--to", "symbol", *NET]),
    "convert params": (convert.main, ["{from}/net.params", "{to}/x.params", *NET]),
    "convert safetensors": (convert.main, ["{from}/net.params", "{to}/x.safetensors", *NET]),
    "pack --resize": (pack.main, ["{from}/photos", "{to}/x", "--resize", "200"]),
    "pack into a new folder": (pack.main, ["{from}/photos", "{to}/a/b/x", "--resize", "200"]),
    "predict": (predict.main, ["{from}/photos/class0", "--params", "{from}/net.params", "--out", "{to}/x", *NET]),
    "look": (look.main, ["{from}/net.params", "--out", "{to}/x", "--views", "filters", *NET]),
    "reproduce --csv": (reproduce.main, ["table5", "--show", "--csv", "{to}/x.csv"]),
    "reproduce --runs": (reproduce.main, ["table5", "--scale", "smoke", "--rows", "v1", "--runs", "{to}/x"]),
    "reproduce figure1": (reproduce.main, ["figure1", "--show", "--runs", "{to}"]),
    "benchmark --out": (benchmark.main, ["loader", "--out", "{to}/x.json"]),
    "summary --json": (summary.main, ["cifar_resnet20_v1", "--json", "{to}/x.json"]),
}  # fmt: skip
LARGE = ("export onnx", "export symbol", "convert params", "convert safetensors", "pack --resize", "predict")


def names_in(folder):
    """Of files and of folders: an empty one is not to stay either."""
    return sorted(path.name for path in folder.rglob("*"))


def told_in_one_sentence(name, source, to, capsys, left=None):
    """Args: left: what is on the disk afterwards; None: what was there before, but for the whole images of predict."""
    main, words = COMMANDS[name]
    before = names_in(to) if left is None else left
    code = main([word.format(**{"from": source, "to": to}) for word in words])
    said = capsys.readouterr().err.splitlines()
    assert code == 1 and len(said) == 1, said
    assert said[0].startswith("stopped: ") and str(to) in said[0]
    assert names_in(to) == before or name == "predict" and left is None
    return said[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name, source, full, capsys):
    said = told_in_one_sentence(name, source, full, capsys, names_in(full))
    assert "No space left on device" in said or "is full" in said


@pytest.mark.parametrize("name", LARGE)
def test_a_disk_that_is_too_small(name, source, small, capsys):
    """It fills up while the file is written; what was there before stays."""
    said = told_in_one_sentence(name, source, small, capsys)
    assert "No space left on device" in said or "is full" in said


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "reproduce --runs"])
def test_a_read_only_disk(name, source, read_only, capsys):
    assert "Read-only file system" in told_in_one_sentence(name, source, read_only, capsys)


@pytest.mark.parametrize("disk", ["small", "read_only"])
def test_a_cache_for_photos_that_cannot_be_packed(disk, source, request, tmp_path, monkeypatch, capsys):
    """No run has begun, so nothing is said of going on with one."""
    disk = request.getfixturevalue(disk)
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(disk))
    words = ["--data", str(source / "photos"), *NET, "--input-size", "32", "--save-dir", str(tmp_path / "run")]
    assert train.main(words) == 1
    *_, said = capsys.readouterr().err.splitlines()
    assert (
        said.startswith("stopped: ") and str(disk) in said and said.endswith("puts what is packed by itself elsewhere")
    )
    assert {*names_in(disk)} <= {"photos"} and not (tmp_path / "run").exists()  # the folder of all packed photos


def test_a_folder_for_runs_on_a_read_only_disk(read_only, capsys):
    assert reproduce.main(["table5", "--scale", "smoke", "--runs", f"{read_only}/x"]) == 2
    assert "no folder can be made there (Read-only file system)" in capsys.readouterr().err


@pytest.mark.parametrize("ensure", [shapes.ensure, scenes.ensure])
def test_built_in_pictures(ensure, small, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(small))
    with pytest.raises(files.CannotWrite, match=f"{small}.*(is full|No space left).*GLUON_TRICKS_CACHE"):
        ensure(train=30, val=30)
    assert not names_in(small)


def test_a_published_file(read_only, monkeypatch):
    """Not "cannot be downloaded", as the server was not asked."""
    monkeypatch.setenv("MXNET_HOME", str(read_only))
    with pytest.raises(files.CannotWrite, match=f"{read_only}.*-117a384e.params cannot be written: Read-only"):
        published.fetch("resnet50_v1d")


def test_what_was_there_stays(source, small, capsys):
    (small / "x.params").write_bytes(b"old")
    told_in_one_sentence("convert params", source, small, capsys)
    assert (small / "x.params").read_bytes() == b"old"


@pytest.mark.parametrize("numbers", [16366, 16380])
def test_the_last_bytes_that_libmxnet_loses(numbers, small, tmp_path):
    """65536 bytes have room. mx.nd.save of a few more says nothing and leaves a file without its end."""
    arrays = {"x": mx.nd.ones(numbers)}
    mx.nd.save(str(tmp_path / "whole"), arrays)
    whole = (tmp_path / "whole").read_bytes()
    assert 65536 < len(whole) < 65536 + 4096
    assert files.bytes_of(lambda name: mx.nd.save(name, arrays)) == whole
    for write in (lambda path: path.write_bytes(whole), lambda path: mx.nd.save(str(path), arrays)):
        with pytest.raises(files.CannotWrite, match="No space left on device"):
            files.write_atomically(small / "x", write)
    with pytest.raises(files.CannotWrite, match="No space left on device"):
        files.write_together(small, lambda folder: mx.nd.save(f"{folder}/x", arrays))
    assert not names_in(small)


def test_the_catalogue(read_only, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "TARGET", read_only / "model_zoo.md")
    monkeypatch.setattr(catalogue, "catalogue", lambda: "text")
    assert catalogue.main([]) == 1
    assert capsys.readouterr().err == f"stopped: {read_only}/model_zoo.md cannot be written: Read-only file system\n"


def test_a_full_standard_output():
    """Python by itself ends with a traceback, or with exit code 120 and "Exception ignored"."""
    code = "from gluon_tricks.core.commands import command\n"
    code += "@command\ndef main(argv=None):\n    print('much')\n    return 0\nraise SystemExit(main())"
    with open("/dev/full", "w") as full_output:
        words, pipe = [sys.executable, "-c", code], subprocess.PIPE
        done = subprocess.run(words, stdout=full_output, stderr=pipe, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == "stopped: the standard output cannot be written: No space left on device\n"
