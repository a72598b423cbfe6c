"""Trainings on classes of unequal size: what is told of them, that both remedies go on bit for bit, what is refused."""

import csv
import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import tag, train
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import ClassWeights, LabelSmoothing, Mixup

CLASSES = {"good": 40, "a, b": 2, "猫 <b>": 4, "d" * 200: 2}


def write(path, counts, classes=tuple(CLASSES)):
    """Images of 32 px, a colour with noise for each class, in random order."""
    random = np.random.default_rng(0)
    with RecordWriter(path, list(classes)) as writer:
        for i, k in enumerate(random.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()):
            image = random.integers(0, 60, (32, 32, 3)).astype(np.uint8)
            image[:, :, k if k < 3 else slice(None)] += 150
            writer.add(k, i, cv2.imencode(".png", image)[1].tobytes())
    return f"{path}.rec"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """48 images of which 40 are of one class; batches of 16."""
    folder = tmp_path_factory.mktemp("unequal")
    train = write(folder / "train", [*CLASSES.values()])
    return Recipe(
        name="unequal", model="cifar_resnet20_v1", data="records", train=(train,),
        val=(write(folder / "val", (3, 3, 3, 3)),), input_size=32, min_area=0.5, epochs=2, batch_size=16, lr=0.02,
    )  # fmt: skip


GIVEN = ClassWeights(tuple(reversed(CLASSES)), (4.0, 3.0, 2.0, 1.0))
OPTIONS = dict(contexts=[mx.cpu()], threads=1, picture_epochs=0)


def words(recipe, *more):
    return ["--rec-train", *recipe.train, "--rec-val", *recipe.val, "--model", recipe.model, "--num-gpus", "0", *more]


def outcome(run):
    """The arrays of the last checkpoint, the rows of metrics.csv."""
    with open(run / "metrics.csv") as file:
        rows = [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]
    return read_checkpoint(list_checkpoints(run / "checkpoints")[-1])[0], rows


def test_both_go_on_bit_for_bit_from_the_middle_of_an_epoch(recipe, tmp_path):
    """With all that changes a target, and with repeats within an epoch."""
    recipe = recipe.set(sampling="balanced").add(LabelSmoothing(), Mixup(1.0), GIVEN)
    train_and_evaluate(recipe, tmp_path / "whole", Options(**OPTIONS))
    asked = iter([False, True])
    with pytest.raises(Interrupted, match="after step 2 of 6"):
        train_and_evaluate(recipe, tmp_path / "halves", Options(should_stop=lambda: next(asked), **OPTIONS))
    train_and_evaluate(recipe, tmp_path / "halves", Options(resume=True, **OPTIONS))
    (arrays, rows), (others, other_rows) = outcome(tmp_path / "whole"), outcome(tmp_path / "halves")
    assert rows == other_rows and len(rows) == 2
    for name, array in arrays.items():
        np.testing.assert_array_equal(others[name], array, err_msg=name)
    for change in (
        dict(sampling="plain"),
        dict(tricks=(*recipe.tricks[:2], ClassWeights(GIVEN.names, (4.0, 3.0, 2.0, 1.5)))),
    ):
        with pytest.raises(Refused, match="belongs to another recipe"):
            train_and_evaluate(recipe.set(**change), tmp_path / "halves", Options(resume=True, **OPTIONS))
    said = (tmp_path / "whole" / "log.txt").read_text()
    assert "sampling balanced: every class is drawn equally often" in said
    assert f"class weights: 0.4 (good) to 1.6 ({'d' * 20}" in said and "unequal size" not in said


def targets(job):
    """(labels, target) of the first step, each over all devices."""
    ((*shards,),) = job.task.micro_batches(next(job.batches(0)), job.step_context())
    found = [(shard[4], job.task.preprocess(shard)) for shard in shards]
    job.journal.close()
    return np.concatenate([labels for labels, _ in found]), np.concatenate([y.asnumpy() for _, (_, y) in found])


def test_a_target_has_its_class_s_weight_on_one_device_and_on_two(recipe, tmp_path):
    """48 / (4 n_k): 0.3, 6, 3 and 6."""
    recipe, found = recipe.add(ClassWeights()), []
    for count in (1, 2):
        options = Options(**{**OPTIONS, "contexts": [mx.cpu(k) for k in range(count)]})
        labels, target = targets(prepare(recipe, tmp_path / str(count), options))
        np.testing.assert_allclose(target, np.eye(4)[labels] * [0.3, 6, 3, 6], rtol=1e-6)
        found.append(target)
    np.testing.assert_array_equal(*found)
    start = json.loads((tmp_path / "1" / "events.jsonl").read_text().splitlines()[0])
    names = list(CLASSES)
    assert start["class_counts"] == CLASSES and start["class_weights"] == dict(zip(names, (0.3, 6.0, 3.0, 6.0)))


def test_validation_has_no_weights(recipe, tmp_path):
    """The same network has the same scores, whatever its training weights."""
    found = []
    for k, tricks in enumerate([(), (ClassWeights(),)]):
        job = prepare(recipe.set(tricks=tricks), tmp_path / str(k), Options(**OPTIONS))
        found.append(job.task.evaluate(job.net, job.task.val.epoch()))
        job.journal.close()
    assert found[0] == found[1] and found[0].images == 12


def test_a_plan_and_a_training_tell_the_same_of_the_classes(recipe, tmp_path, capsys, caplog):
    line = f"training images of a class: 2 (a, b) to 40 (good): good 40, a, b 2, 猫 <b> 4, {'d' * 35} ... {'d' * 20} 2"
    assert train.main(words(recipe, "--plan")) == 0
    told = capsys.readouterr()
    assert line in told.err and "2 (a, b) to 40 (good) training images" in caplog.text
    assert json.loads(told.out)["sampling"] == "plain", told.out[:300]
    job = prepare(recipe, tmp_path / "run", Options(**OPTIONS))
    job.journal.close()
    assert line in capsys.readouterr().out
    warned = [json.loads(text) for text in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [e["message"] for e in warned if "unequal size, 2 (a, b) to 40 (good)" in e.get("message", "")] != []
    absent = words(recipe, "--plan", "--rec-train", str(tmp_path / "none.rec"))
    assert train.main(absent) in (0, 2) and "training images of a class" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "lines, says",
    [
        (None, "there is no such file; give balanced, or one with lines NAME,WEIGHT"),
        ("good,1\na, b,1\n猫 <b>,2\n", r"no weight for 1 of 4 classes \(dddd"),
        ("good,1\na, b,1\n猫 <b>,2\nd,3\n", "there is no class 'd' in the training images"),
        ("good,1\ngood,1\n", "names the class 'good' twice"),
        ("good,x\n", "line 1 is 'good,x'"),
    ],
)
def test_a_file_of_weights_is_refused_before_any_work(recipe, tmp_path, capsys, lines, says):
    if lines is not None:
        (tmp_path / "weights.csv").write_text(lines)
    given = ["--class-weights", str(tmp_path / "weights.csv"), "--save-dir", str(tmp_path / "run")]
    assert train.main(words(recipe, *given)) == 2
    said = capsys.readouterr().err
    assert said.startswith("refused: ") and len(said.splitlines()) == 1
    with pytest.raises(Refused, match=says):
        raise Refused(said)
    assert not (tmp_path / "run").exists()


def test_flags_make_the_recipe(recipe, tmp_path, capsys):
    (tmp_path / "weights.json").write_text(json.dumps(dict.fromkeys(CLASSES, 2.0)))
    planned = []
    for given in (
        ["--class-weights", "balanced"],
        ["--set", "class_weights=on"],
        ["--class-weights", str(tmp_path / "weights.json"), "--sampling", "balanced", "--mixup"],
    ):
        assert train.main(words(recipe, "--plan", *given)) == 0
        planned.append(Recipe.from_json(json.loads(capsys.readouterr().out)))
    assert planned[0] == planned[1] and ClassWeights() in planned[0].tricks and planned[0].sampling == "plain"
    assert ClassWeights(tuple(CLASSES), (2.0,) * 4) in planned[2].tricks and planned[2].sampling == "balanced"
    with pytest.raises(SystemExit):
        tag.main(["--class-weights", "balanced"])
    assert "there is no flag --class-weights" in capsys.readouterr().err


def test_balanced_sampling_takes_an_image_of_every_class(recipe, tmp_path):
    folder = tmp_path / "gap"
    folder.mkdir()
    gap = recipe.set(train=(write(folder / "train", (10, 0, 20, 3)),))
    with pytest.raises(Refused, match=r"equally often, and 1 of 4 classes have no training image \(a, b\): add some"):
        Classification(gap.set(sampling="balanced"), [mx.cpu()], 1)
    task = Classification(gap.add(ClassWeights()), [mx.cpu()], 1)
    assert task.recorded["class_weights"]["a, b"] == 0
    assert "class weights: 0.55 (猫 <b>) to 3.67" in task.told[1]  # 33 / (3 x 20) and 33 / (3 x 3)


def test_steps_of_a_weighted_recipe_are_measured_on_drawn_pictures(recipe):
    drawn = Classification.drawn(recipe.set(sampling="balanced").add(GIVEN))
    assert (drawn.sampling, drawn.tricks) == ("plain", ())
