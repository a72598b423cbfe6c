"""GluonCV's own networks from a published file to a run that is resumed, evaluated, looked at and learnt from."""

import hashlib
import json
import shutil
import zipfile

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import convert, evaluate, look, predict
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.tricks import Distillation
from model_zoo import formats, get_model, published, weights

NAME = "cifar_resnet20_v2"
OPTIONS = {"contexts": [mx.cpu()], "picture_epochs": 0}


def recipe(records, **changes):
    files = {split: (str(records / f"{split}.rec"),) for split in ("train", "val")}
    given = dict(model=NAME, epochs=2, batch_size=24, lr=0.01, input_size=32, **changes)
    return Recipe(data="records", **files, **given)


@pytest.fixture(scope="module")
def run(tiny_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    scores = train_and_evaluate(recipe(tiny_records), folder, Options(**OPTIONS))
    return folder, scores


def arrays(folder):
    return formats.read(folder / "final.params")


def test_resumed_it_ends_in_the_same_numbers(run, tiny_records, tmp_path):
    folder, _ = run
    shutil.copytree(folder, tmp_path / "begun")
    (tmp_path / "begun" / "checkpoints" / "step-000000004.safetensors").unlink()
    (tmp_path / "begun" / "final.params").unlink()
    train_and_evaluate(recipe(tiny_records), tmp_path / "begun", Options(**OPTIONS, resume=True))
    one, two = arrays(folder), arrays(tmp_path / "begun")
    assert one.keys() == two.keys() and all((one[key] == two[key]).all() for key in one)


def test_evaluated_predicted_converted_and_looked_at(run, tmp_path, capsys):
    folder, scores = run
    net = load_network(folder)
    assert (net.name, net.preprocessing.input_size) == (NAME, 32)
    words = ["--num-gpus", "0", "--json", str(tmp_path / "scores.json")]
    assert evaluate.main(["--pretrained", str(folder), *words]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["loss"] == pytest.approx(scores.loss, rel=1e-4)
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    graph = load_network(folder / "final-symbol.json")(x).asnumpy()
    np.testing.assert_allclose(graph, net(x).asnumpy(), rtol=0, atol=1e-5 * np.abs(graph).max())
    assert convert.main([str(folder), str(tmp_path / "theirs.params"), "--to", "gluoncv"]) == 0
    assert formats.read(tmp_path / "theirs.params").keys() == arrays(folder).keys()
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((40, 40, 3), 90, np.uint8))
    words = [str(tmp_path / "photo.png"), "--params", str(folder), "--out", str(tmp_path / "out"), "--num-gpus", "0"]
    assert predict.main(words) == 0
    said = json.loads((tmp_path / "out" / "photo.json").read_text())["classes"]
    assert {one["name"] for one in said} == {"red", "green", "blue", "grey"}
    capsys.readouterr()
    views = ["--views", "filters", "occlusion", "--photos", "1", "--stride", "16", "--num-gpus", "0"]
    assert look.main([str(folder), *views, "--out", str(tmp_path / "look")]) == 0
    assert "filters: 1 sheet" in capsys.readouterr().out
    assert look.main([str(folder), "--views", "invariance", "--num-gpus", "0", "--out", str(tmp_path / "no")]) == 2
    assert f"refused: {NAME} is GluonCV's own network, which has no stages" in capsys.readouterr().err


def test_a_network_of_the_zoo_learns_from_it(run, tiny_records, tmp_path):
    folder, _ = run
    student = recipe(tiny_records).set(model="cifar_resnet20_v1", epochs=1).add(Distillation(str(folder)))
    scores = train_and_evaluate(student, tmp_path / "student", Options(**OPTIONS))
    assert np.isfinite(scores.loss)


def test_training_starts_from_the_published_file(tiny_records, tmp_path, monkeypatch):
    """GluonCV's zip in a repository that is a folder; the file has ten classes and the photos four."""
    net = get_model(NAME)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    weights.save(net, tmp_path / "file.params", "gluoncv")
    content = (tmp_path / "file.params").read_bytes()
    sha1 = hashlib.sha1(content).hexdigest()
    place = tmp_path / "repository" / "gluon" / "models"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / f"{NAME}-{sha1[:8]}.zip", "w") as archive:
        archive.writestr(f"{NAME}-{sha1[:8]}.params", content)
    monkeypatch.setitem(published.PUBLISHED, NAME, (published.Published(sha1[:8], sha1),))
    monkeypatch.setenv("MXNET_GLUON_REPO", f"file://{tmp_path}/repository")
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
    for source in ("true", sha1[:8]):
        started = recipe(tiny_records, pretrained=source, freeze=("features",)).set(epochs=1)
        train_and_evaluate(started, tmp_path / f"from {source}", Options(**OPTIONS))
        ends, given = arrays(tmp_path / f"from {source}"), formats.read(tmp_path / "file.params")
        assert ends["output.weight"].shape == (4, 64)
        assert all((ends[key] == given[key]).all() for key in given if not key.startswith("output."))
