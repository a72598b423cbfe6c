"""A tagger through the loop of classifiers: trained, resumed, scored, asked, exported, refused."""

import csv
import dataclasses
import json
import shutil

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import convert, export, pack, tag
from gluon_tricks.cli import evaluate as evaluate_command
from gluon_tricks.cli import predict as predict_command
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.builtin import scenes
from gluon_tricks.data.decoding import decode
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.paper.cells import Cell
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.multi_label.images import find_images
from gluon_tricks.tasks.multi_label.metrics import OVER_CROPS
from gluon_tricks.tasks.protocol import ScoringOptions
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.trained.interface import evaluate, predict
from gluon_tricks.trained.load import load_network, open_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.tricks import TRICKS, ClassWeights, Distillation, LabelSmoothing, Resizing, SigmoidLoss, StepContext
from gluon_tricks.tricks.schedule import Plan
from model_zoo import get_model

TINY = MultiLabelRecipe(
    model="cifar_resnet20_v1", data="few_scenes", input_size=24, side=(32, 32), crop_ratio=0.75, epochs=2, batch_size=4,
    lr=0.01, test_crops=3,
)  # fmt: skip
QUICK = Options(contexts=[mx.cpu()], threads=1, picture_epochs=0)


@pytest.fixture(autouse=True, scope="module")
def few_scenes(tmp_path_factory):
    """Eight pictures to train on and five to validate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(scenes.DATA_SETS, "few_scenes", (8, 5))
        yield scenes.ensure(name="few_scenes")


@pytest.fixture(scope="module")
def run(tmp_path_factory, few_scenes):
    """A finished run with a picture."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train_and_evaluate(TINY, folder, dataclasses.replace(QUICK, picture_epochs=2))
    return folder


@pytest.mark.parametrize("form", ["converted", "exported"])
def test_a_file_of_no_run_is_a_taggers(form, run, few_scenes, tmp_path, capsys):
    """It gives each class a probability of its own: asked and scored as its run is."""
    if form == "converted":
        file, written = tmp_path / "net.safetensors", convert.main([str(run), str(tmp_path / "net.safetensors")])
    else:
        file, written = tmp_path / "net-0000.params", export.main([str(run), str(tmp_path / "net"), "--to", "symbol"])
    assert written == 0
    photo = decode(next((few_scenes / "images" / "validation").glob("*.jpg")).read_bytes(), cv2.IMREAD_COLOR)[..., ::-1]
    asked = [predict(source, photo, threshold=0.4)[0].values for source in (run, file)]
    assert [one["present"] for one in asked[0]["classes"]] == [one["present"] for one in asked[1]["classes"]]
    np.testing.assert_allclose(*[[one["score"] for one in found["classes"]] for found in asked], atol=1e-5)
    with pytest.raises(Refused, match="is a tagger"):
        predict(file, photo, crops="flip")

    scored = evaluate(run, test_crops=0, threads=1), evaluate(file, data=few_scenes, test_crops=0, threads=1)
    np.testing.assert_allclose(*[[*found.row().values()] for found in scored], rtol=1e-5)
    assert evaluate_command.main(["--pretrained", str(file)]) == 2
    assert "is no run, which would name its images: name some with --rec-val or --data" in capsys.readouterr().err


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def test_what_a_run_leaves(run):
    with open(run / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]][:5] == ["epoch", "train_loss", "val_loss", "val_map07", "val_map"] and len(rows) == 2
    assert (run / "pictures" / "epoch-0002.png").is_file() and (run / "final-symbol.json").is_file()
    stored = read_recipe(run / "recipe.json")
    assert (stored.classes, stored.class_names) == (10, tuple(scenes.CLASSES))
    epochs = [event for event in events(run) if event["event"] == "epoch"]
    assert len(epochs[0]["per_class_07"]) == 10
    (final,) = [event["scores"] for event in events(run) if event["event"] == "final_scores"]
    assert [*final] == [f"{OVER_CROPS} (VOC07, 11 points)", f"{OVER_CROPS} (area)"]
    assert events(run)[-1]["val_map"] == final[f"{OVER_CROPS} (area)"]  # of "done"
    wanted = dataclasses.replace(stored, name="x")
    assert Cell("x", wanted, run).scores() == tuple(final.values())  # in tables
    with pytest.raises(Refused, match="another recipe .test_crops"):
        Cell("x", wanted.set(test_crops=5), run).scores()


def test_it_is_scored_as_at_the_end(run):
    (final,) = [event["scores"] for event in events(run) if event["event"] == "final_scores"]
    for devices in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]):
        found = evaluate(run, batch_size=5, threads=1, ctx=devices)
        assert [found.map07, found.map_area] == pytest.approx([*final.values()], abs=1e-6)
    with open(run / "metrics.csv") as file:
        last = [*csv.DictReader(file)][-1]
    assert evaluate(run, test_crops=0, threads=1).loss == pytest.approx(float(last["val_loss"]), rel=1e-5)


def test_an_open_network_is_scored_as_it_is(run):
    """Its precision and its form are the caller's, unless one is asked for."""
    opened, options = open_network(run), ScoringOptions(threads=1)
    net, expected = opened.net, evaluate(run, threads=1)
    net.cast("float64")
    validation = task_of(TINY).open_validation(str(run), [mx.cpu()], options, opened)
    assert validation.score(validation.loader.epoch()).loss == pytest.approx(expected.loss, rel=1e-5)
    assert net.head.weight.dtype == "float64" and not net._active
    validation.score(validation.loader.epoch(), "float32")
    assert net.head.weight.dtype == "float32" and net._active


def test_an_open_network_is_scored_on_a_folder(run, few_scenes, tmp_path):
    assert convert.main([str(run), str(tmp_path / "net.safetensors")]) == 0
    net = load_network(tmp_path / "net.safetensors")
    scored = [evaluate(one, data=few_scenes, threads=1) for one in (net, tmp_path / "net.safetensors")]
    np.testing.assert_allclose(*[[*found.row().values()] for found in scored], rtol=1e-5)


def test_a_run_goes_on_bit_for_bit(run, tmp_path):
    train_and_evaluate(TINY.set(tricks=()), tmp_path / "whole", QUICK)
    train_and_evaluate(TINY.set(tricks=(), epochs=1), tmp_path / "parts", QUICK)
    train_and_evaluate(TINY.set(tricks=()), tmp_path / "parts", dataclasses.replace(QUICK, resume=True))
    whole, parts = (mx.nd.load(str(tmp_path / name / "final.params")) for name in ("whole", "parts"))
    assert all((whole[name].asnumpy() == parts[name].asnumpy()).all() for name in whole)


def test_the_mean_of_its_images_is_taken_off(tmp_path):
    """In training, in the scores at the end, and by whoever opens the run later."""
    scores = train_and_evaluate(TINY.set(mean_of="pixels", epochs=1, tricks=()), tmp_path / "run", QUICK)
    found = evaluate(tmp_path / "run", threads=1)
    assert [found.map07, found.map_area] == pytest.approx([scores.map07, scores.map_area], abs=1e-6)


def test_the_same_from_folder_and_records(run, few_scenes, tmp_path):
    """The records have the folder's images in another order."""
    names = tmp_path / "names.txt"
    names.write_text("\n".join(scenes.CLASSES))
    for split, listed in scenes.VOC_SPLITS.items():
        words = [str(few_scenes), str(tmp_path / split), "--voc", f"2007_{listed}", "--classes", str(names)]
        assert pack.main(words) == 0
    ours = evaluate(run, tmp_path / "val.rec", test_crops=0, threads=1)
    theirs = evaluate(run, test_crops=0, threads=1)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-6) and ours.map07 == pytest.approx(theirs.map07)
    words = ["--rec-train", str(tmp_path / "train.rec"), "--rec-val", str(tmp_path / "val.rec"), "--num-gpus", "0"]
    words += ["--model", "cifar_resnet20_v1", "--input-size", "24", "--set", "side=[32,32]", "--num-epochs", "1"]
    words += ["--batch-size", "4", "--picture-epochs", "0", "--test-crops", "0", "--save-dir", str(tmp_path / "r")]
    assert tag.main(words) == 0
    assert read_recipe(tmp_path / "r" / "recipe.json").class_names == tuple(scenes.CLASSES)
    shutil.copytree(few_scenes / "VOC2007", tmp_path / "own")
    words = ["--data", str(tmp_path / "own"), "--classes", str(names), "--train-splits", "trainval", *words[4:-2]]
    assert tag.main([*words, "--val-splits", "test", "--save-dir", str(tmp_path / "f")]) == 0
    assert evaluate(tmp_path / "f", data=tmp_path / "own", threads=1).images == 5


def test_what_it_says_of_a_photo(run, few_scenes, capsys):
    photo = next((few_scenes / "VOC2007" / "JPEGImages").iterdir())
    (found,) = predict(run, photo, threshold=0.0)
    values = found.values["classes"]
    assert len(values) == 10 and {value["name"] for value in values} == set(scenes.CLASSES)
    assert [value["score"] for value in values] == sorted((value["score"] for value in values), reverse=True)
    assert all(value["present"] for value in values) and found.words.endswith(" and 5 more")
    net, seen_as = load_network(run), load_network(run).preprocessing
    assert (seen_as.probabilities, seen_as.classes) == ("sigmoid", tuple(scenes.CLASSES))
    (sure,) = predict(run, photo, threshold=1.0)
    assert sure.words == "no class with a probability of 1 or more"
    assert not any(value["present"] for value in sure.values["classes"])
    with pytest.raises(Refused, match="multi-scale is for segmenters"):
        predict(run, photo, multi_scale=True)
    assert net.classes == 10


def test_an_export_is_asked_the_same(run, few_scenes, tmp_path):
    assert export.main([str(run), str(tmp_path / "x"), "--to", "symbol"]) == 0
    assert json.loads((tmp_path / "x-preprocessing.json").read_text())["probabilities"] == "sigmoid"
    photo = next((few_scenes / "VOC2007" / "JPEGImages").iterdir())
    ours, theirs = (predict(source, photo)[0] for source in (run, tmp_path / "x-0000.params"))
    assert ours.words == theirs.words
    for one, other in zip(ours.values["classes"], theirs.values["classes"]):
        assert one["name"] == other["name"] and one["score"] == pytest.approx(other["score"], rel=1e-5)


def test_the_commands(run, few_scenes, tmp_path, capsys):
    assert evaluate_command.main(["--pretrained", str(run), "--num-gpus", "0", "--json", str(tmp_path / "j")]) == 0
    said, told = capsys.readouterr().out, json.loads((tmp_path / "j").read_text())
    assert "on 5 images of few_scenes, by the mean logits of 3 random crops" in said and "\nmean " in said
    assert (told["task"], told["test_crops"], len(told["per_class_07"])) == ("multi_label", 3, 10)
    photo = next((few_scenes / "VOC2007" / "JPEGImages").iterdir())
    words = [str(photo), "--params", str(run), "--out", str(tmp_path / "p"), "--threshold", "0.01", "--num-gpus", "0"]
    assert predict_command.main(words) == 0
    assert decode((tmp_path / "p" / f"{photo.stem}.png").read_bytes(), 1).shape[2] == 3
    assert evaluate_command.main(["--pretrained", str(run), "--multi-scale", "--num-gpus", "0"]) == 2
    assert "--multi-scale does not apply" in capsys.readouterr().err


def test_it_starts_from_a_classifier_of_other_classes(run, tiny_records, tmp_path):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = Recipe(model="cifar_resnet20_v1", data="records", **files, input_size=24, epochs=1, batch_size=16, lr=0.01)
    train_and_evaluate(recipe, tmp_path / "base", QUICK)
    task = task_of(TINY)(TINY.set(pretrained=str(tmp_path / "base" / "final.params")), [mx.cpu()], 1)
    ours, theirs = task.network().features, load_network(tmp_path / "base").features
    pairs = zip(ours.collect_params().values(), theirs.collect_params().values())
    assert all((one.data().asnumpy() == other.data().asnumpy()).all() for one, other in pairs)
    back = recipe.set(pretrained=str(run / "final.params"))  # and the other way round
    assert task_of(back)(back, [mx.cpu()], 1).network().classes == 4
    assert convert.main([str(run), str(tmp_path / "tagger.safetensors")]) == 0
    for teacher in (run, tmp_path / "tagger.safetensors"):
        with pytest.raises(Refused, match="the teacher .* was trained on images of several classes each"):
            taught = recipe.add(Distillation(teacher=str(teacher)))
            task_of(taught)(taught, [mx.cpu()], 1).loss()


@pytest.mark.parametrize("kind", TRICKS)
def test_every_trick(kind):
    """It does one step of a tagger's training with a finite loss, or is refused by a sentence."""
    trick = kind(**{"distillation": {"teacher": "run"}, "data_dependent_init": {"images": 4}}.get(kind.label(), {}))
    if kind in (LabelSmoothing, Distillation, ClassWeights, SigmoidLoss):
        with pytest.raises(Refused, match=f"{kind.label()} takes images of one class each"):
            TINY.add(trick)
        return
    recipe = TINY.set(tricks=()).add(trick)
    if trick.net_kwargs():
        recipe = recipe.set(model="resnet18_v1d")  # the smallest that has the keyword
    task = task_of(recipe)(recipe, [mx.cpu()], 1)
    net, loss = task.network(), task.loss()
    (shards,) = task.micro_batches(next(task.train.epoch()), StepContext(0, 0, Plan(2, 2)))
    X, y = task.preprocess(shards[0])
    side = 16 if kind is Resizing else 24  # the whole 8 px next to 4/7 of 24
    assert X.shape == (4, 3, side, side) and y.shape == (4, 20)
    values = loss(X, task.forward(net, X), y).asnumpy()
    assert values.shape == (4,) and np.isfinite(values).all()
    assert recipe.schedule(2)[0](0) >= 0


def test_the_sample_of_an_initialisation():
    """The first images of the first epoch, whatever the batch."""
    one, other = (task_of(TINY)(TINY.set(batch_size=n), [mx.cpu()], 1).sample(4).asnumpy() for n in (4, 2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(data=""), "no images are named: give --data VOCdevkit"),
        (dict(data="recrods"), "there is no such folder, nor is it one of scenes, few_scenes, records"),
        (dict(data="records"), "name the files to train on with --rec-train"),
        (dict(classes=3), "has 10 classes and the recipe 3: give --set classes=10"),
        (dict(class_names=("a", "b")), "has the classes arrow, .* and the recipe a, b: leave class_names out"),
    ],
)
def test_images_that_are_not_there(changes, says):
    with pytest.raises(Refused, match=says):
        task_of(TINY)(TINY.set(**changes), [mx.cpu()], 1)


def test_validation_of_classes_in_another_order(tmp_path):
    for split, classes in (("train", "abcdefg"), ("val", "abcdegf")):
        with RecordWriter(tmp_path / split, [*classes]) as writer:
            writer.add((1,) * 7, 0, b"image")
    recipe = MultiLabelRecipe(data="records", train=(f"{tmp_path}/train.rec",), val=(f"{tmp_path}/val.rec",))
    with pytest.raises(Refused, match=r"training has 7 classes and validation 7, .* \(the first difference: f and g\)"):
        find_images(recipe)


def test_the_same_images_in_both(few_scenes):
    recipe = TINY.set(
        data=str(few_scenes / "VOC2007"),
        class_names=tuple(scenes.CLASSES),
        train_splits=("test",),
        val_splits=("test",),
    )
    for of_task in (task_of(recipe).find_data, lambda recipe: task_of(recipe)(recipe, [mx.cpu()], 1)):
        with pytest.raises(Refused, match="is trained on too"):
            of_task(recipe)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(class_names=("a", "a")), "give each class a name of its own"),
        (dict(class_names=("a", "b"), classes=3), "class_names has 2 names and classes is 3"),
        (dict(test_crops=-1), "test_crops"),
        (dict(test_crops=1000), "test_crops"),
        (dict(teacher_size=32), "teacher_size is of distillation"),
    ],
)
def test_recipes_that_are_none(changes, says):
    with pytest.raises(Refused, match=says):
        MultiLabelRecipe(**changes)


@pytest.mark.parametrize(
    "words, says",
    [
        (["--data", "x", "--rec-val", "v.rec"], "--data x and --rec-train or --rec-val name two sets of images"),
        (
            ["--data", "x", "--dataset", "scenes"],
            "--dataset scenes takes no folder, and --data names x: leave one of them out",
        ),
        (["--train-splits", "a"], "--train-splits goes with --data FOLDER"),
        (["--recipe", "shapes"], "shapes is a recipe of classification, and this command trains taggers: use gluon-tr"),
        (["--set", "label_smoothing=on"], "label_smoothing takes images of one class each"),
        (["--model", "caffenet", "--crop", "side", "--input-size", "999"], "input_size is 999 and side"),
    ],
)
def test_flags_that_do_not_fit(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tag.main([*words, "--num-gpus", "0"]) == 2
    assert says in capsys.readouterr().err


def test_the_documents_numbers():
    """80,000 steps of 10 images, lr 0.001 halved every 10,000, of VOC2007's 5011 images in crops of 227 from 256."""
    recipe = MultiLabelRecipe().resolved()
    steps = 5011 // recipe.batch_size
    lr_at, plan = recipe.schedule(steps)
    assert (recipe.model, recipe.input_size, recipe.crop, recipe.side) == ("caffenet", 227, "side", (256, 256))
    assert np.ceil(227 / recipe.crop_ratio - 1e-9) == 256 and plan.steps == 80_160 and recipe.test_crops == 10
    assert [lr_at(step) for step in (0, 10_019, 10_020, 80_159)] == [0.001, 0.001, 0.0005, 0.001 / 2**7]
    assert get_model("caffenet").preprocessing.input_size == 227


def test_a_named_recipe_goes_on_for_the_runs_epochs():
    parser = tag.flags.tag_parser("x", tag.own_flags)
    first = parser.parse_args("--recipe tags_scenes --num-epochs 11 --test-crops 3".split())
    begun, _ = tag.recipe_from_flags(first, 1)
    again, _ = tag.recipe_from_flags(parser.parse_args(["--recipe", "tags_scenes"]), 1, begun)
    assert (begun.epochs, begun.test_crops) == (11, 3) and again == begun


def test_a_cell_that_starts_from_weights_asks_for_them(tmp_path):
    parser = tag.flags.tag_parser("x", tag.own_flags)
    args = parser.parse_args(["--recipe", "magic_table3/classification/krizhevsky", "--data", str(tmp_path)])
    says = "starts from the weights krizhevsky: name them with --use-pretrained SRC, or use .* --network krizhevsky=SRC"
    with pytest.raises(Refused, match=says):
        tag.recipe_from_flags(args, 1)


def test_the_recipe_of_flags(tmp_path):
    args = tag.flags.tag_parser("x", tag.own_flags).parse_args(
        ["--data", str(tmp_path), "--init", "data:kmeans", "--batch-size", "5", "--optimizer", "adam", "--mixup"]
        if False
        else ["--data", str(tmp_path), "--init", "data:kmeans", "--batch-size", "5", "--mixup", "--test-crops", "4"]
    )
    recipe, notes = tag.recipe_from_flags(args, 2)
    assert (recipe.name, recipe.data, recipe.batch_size) == ("voc_classification", str(tmp_path), 10)
    assert (recipe.test_crops, [trick.label() for trick in recipe.tricks][1:]) == (4, ["data_dependent_init", "mixup"])
