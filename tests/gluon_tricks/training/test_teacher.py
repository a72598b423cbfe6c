"""A teacher that does not fit stops before training: nothing is written, one sentence says why."""

import json
import pathlib
import types

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training import requirements
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import Distillation
from model_zoo import get_model, weights

NAME = "cifar_resnet20_v1"


def leave_run(folder, classes=4, input_size=32, **fields):
    net = get_model(NAME, classes=classes)
    net.initialize()
    folder.mkdir()
    recipe = Recipe(model=NAME, classes=classes, input_size=input_size, **fields)
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    weights.save(net, folder / "final.params")
    return folder


@pytest.fixture
def recipe(tiny_records):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(model=NAME, data="records", **files, input_size=32, epochs=1, batch_size=16, lr=0.01)


def refused(recipe, teacher, tmp_path):
    with pytest.raises(Refused) as error:
        train_and_evaluate(recipe.add(Distillation(str(teacher))), tmp_path / "student")
    assert not any((tmp_path / "student").glob("*"))
    return str(error.value)


def test_one_that_is_not_there(recipe, tmp_path):
    assert f"there is no run or file {tmp_path}/nowhere" in refused(recipe, tmp_path / "nowhere", tmp_path)


def test_other_classes(recipe, tmp_path):
    says = refused(recipe, leave_run(tmp_path / "five", classes=5), tmp_path)
    assert "five has 5 classes and the data has 4: train it on this data" in says


def test_as_many_classes_of_other_names(recipe, tmp_path):
    files = {}
    for split in ("train", "val"):
        with RecordWriter(tmp_path / split, ["one", "two", "three", "four"]) as writer:
            for k in range(8):
                writer.add(k % 4, k, cv2.imencode(".jpg", np.full((8, 8, 3), 30 * k, np.uint8))[1].tobytes())
        files[split] = (str(tmp_path / f"{split}.rec"),)
    teacher = leave_run(tmp_path / "numbers", data="records", **files)
    says = refused(recipe, teacher, tmp_path)
    assert "the teacher" in says and "on other classes than" in says and "(the first difference: one and red)" in says
    for ending in (".rec", ".json"):  # nobody knows any more
        pathlib.Path(files["train"][0]).with_suffix(ending).unlink()
    assert train_and_evaluate(recipe.add(Distillation(str(teacher))), tmp_path / "unknown").images == 20


def test_other_normalisation(recipe, tmp_path):
    teacher = leave_run(tmp_path / "grey", mean=(127.5, 127.5, 127.5))
    assert "grey takes images of mean [127.5, 127.5, 127.5] and deviation" in refused(recipe, teacher, tmp_path)


def test_another_input_size(recipe, tmp_path):
    """A fully convolutional network takes any size, and is poor at another than it was trained on."""
    teacher = leave_run(tmp_path / "small", input_size=24)
    says = refused(recipe, teacher, tmp_path)
    assert "small was trained on images of 24 px and these have 32 px" in says and "--set teacher_size=24" in says
    meant = recipe.set(teacher_size=24).add(Distillation(str(teacher)))
    assert train_and_evaluate(meant, tmp_path / "meant").images == 20
    assert "of 24 px and these have 28 px" in refused(recipe.set(teacher_size=28), teacher, tmp_path)


def test_a_network_that_takes_one_size_only(recipe, tmp_path):
    """Its dense layer has 3 x 24 x 24 inputs; a file of no run does not say its size."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(4))
    net.initialize()
    net.hybridize()
    net(mx.nd.zeros((1, 3, 24, 24)))
    net.export(str(tmp_path / "dense"))
    says = refused(recipe, tmp_path / "dense-symbol.json", tmp_path)
    assert "dense-symbol.json does not take images of 32 px" in says


def test_one_that_has_changed_since(recipe, tmp_path):
    """At the same place, and by the same name: only its numbers tell."""
    teacher, other = (leave_run(tmp_path / name) for name in ("teacher", "other"))
    taught, resume = recipe.set(epochs=2).add(Distillation(str(teacher))), Options(resume=True)
    steps = iter(range(100))
    with pytest.raises(Interrupted):
        train_and_evaluate(taught, tmp_path / "student", Options(should_stop=lambda: next(steps) == 1))
    kept = (teacher / "final.params").read_bytes()
    (teacher / "final.params").write_bytes((other / "final.params").read_bytes())
    with pytest.raises(Refused, match="learnt from a teacher with other numbers than it has now: put the file back"):
        train_and_evaluate(taught, tmp_path / "student", resume)
    (teacher / "final.params").write_bytes(kept)
    assert train_and_evaluate(taught, tmp_path / "student", resume).images == 20


def test_ranks_have_one_teacher(monkeypatch):
    monkeypatch.setattr(requirements.distributed, "ranks", lambda: 3)
    monkeypatch.setattr(requirements.distributed, "differing", lambda text: [2] * (text != "rank 0's"))
    requirements.require_one_teacher(types.SimpleNamespace(learnt_from="rank 0's"))
    with pytest.raises(Refused, match="of 3 ranks, 2 have a teacher with other numbers than rank 0's: give all"):
        requirements.require_one_teacher(types.SimpleNamespace(learnt_from="another"))
