"""The recipes of the ILSVRC winners and of cvjena's models, to the letter of their documents; two steps of each."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import main as command
from gluon_tricks.recipes.named import cvjena, ilsvrc
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_step
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import LinearDecay, Plateau

COMMON = dict(optimizer="sgd", momentum=0.9, dtype="float32", min_area=0.08, data="imagenet")
ALEXNET = dict(
    epochs=90, batch_size=128, lr=0.01, wd=5e-4, init="gaussian", init_sd=0.01, mean_of="pixels", crop="square",
    side=(256, 256), augment="alexnet", input_size=227, crop_ratio=227 / 256, std=(1, 1, 1),
    tricks=(Plateau(by=0.1, drops=3),),
)  # fmt: skip
VGG = dict(
    epochs=74, batch_size=256, lr=0.01, wd=5e-4, init="paper", mean_of="channels", crop="side", side=(256, 256),
    augment="alexnet", input_size=224, crop_ratio=0.875, std=(1, 1, 1), tricks=(Plateau(by=0.1, drops=3),),
)  # fmt: skip
RESNET = {**VGG, "epochs": 120, "lr": 0.1, "wd": 1e-4, "init": "kaiming", "mean_of": "pixels", "side": (256, 480)}
CVJENA = dict(
    epochs=64, batch_size=256, init="gluoncv", mean_of="", mean=(0, 0, 0), std=(1, 1, 1), crop="side", side=(256, 256),
    augment="none", rollback_lr=1.0, tricks=(LinearDecay(),), input_size=224, crop_ratio=0.875,
)  # fmt: skip
WANTED = {
    "alexnet_2012": ("alexnet_2012", ALEXNET),
    "zfnet": ("zfnet", {**ALEXNET, "epochs": 70, "augment": "flip", "input_size": 224, "crop_ratio": 0.875}),
    **{f"vgg{depth}": (f"vgg{depth}", VGG) for depth in (11, 16, 19)},
    **{f"vgg{depth}_jittered": (f"vgg{depth}", {**VGG, "side": (256, 512)}) for depth in (16, 19)},
    **{f"resnet{depth}_2015": (f"resnet{depth}_v1", RESNET) for depth in (18, 34, 50, 101, 152)},
    "cvjena/alexnet": ("cvjena_alexnet", {**CVJENA, "lr": 0.05, "input_size": 227, "crop_ratio": 227 / 256}),
    "cvjena/vgg19": ("cvjena_vgg19", {**CVJENA, "lr": 0.01}),
    "cvjena/resnet10": ("cvjena_resnet10", {**CVJENA, "lr": 0.1}),
    "cvjena/resnet50": ("cvjena_resnet50", {**CVJENA, "lr": 0.1}),
}
TASKS = {"train": "classification", "detect": "detection", "segment": "segmentation", "tag": "multi_label"}
DEEP = ("resnet101_2015", "resnet152_2015", "resnet34_2015", "vgg19", "vgg19_jittered", "cvjena/vgg19", "vgg11")


def test_all_are_there():
    assert {recipe.name for recipe in (*ilsvrc.RECIPES, *cvjena.RECIPES)} == WANTED.keys()


@pytest.mark.parametrize("name", WANTED)
def test_to_the_letter(name):
    recipe, (model, fields) = get_recipe(name).resolved(), WANTED[name]
    seen = {field: getattr(recipe, field) for field in ("model", *COMMON, *fields)}
    assert seen == {"model": model, **COMMON, **fields}


def test_120_epochs_are_the_papers_600000_steps():
    recipe = get_recipe("resnet50_2015")
    assert round(recipe.epochs * 1_281_167 / recipe.batch_size, -4) == 600_000


def test_cvjenas_rate_falls_linearly_to_nothing_from_the_first_step():
    lr_at, plan = get_recipe("cvjena/alexnet").schedule(10)
    np.testing.assert_allclose([lr_at(0), lr_at(320), lr_at(639)], [0.05, 0.025, 0.05 / 640])
    assert plan.steps == 640


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in WANTED])
def test_two_steps_at_a_small_size(name, tmp_path):
    """On pictures of the built-in data: everything of the recipe but its size, batch and length."""
    recipe = get_recipe(name)
    side = 63 if "alexnet" in name or name == "zfnet" else 48
    small = dict(data="few_shapes", input_size=side, crop_ratio=side / 72, batch_size=2, epochs=1)
    job = prepare(recipe.set(side=(72, 80), **small), tmp_path / "run", Options(contexts=[mx.cpu()], threads=1))
    with job.journal:
        learnt = {name: p for name, p in job.net.collect_params().items() if p.grad_req != "null"}
        before = {name: p.data().asnumpy() for name, p in learnt.items()}
        for _, batch in zip(range(2), job.batches(0)):
            (sums,) = train_step(job, batch)  # of the loss, and of what the training score counts
            assert np.isfinite(sums.asnumpy()).all()
            job.progress.step += 1
        after = {name: p.data().asnumpy() for name, p in learnt.items()}
    moved = [name for name in before if not np.array_equal(before[name], after[name])]
    assert all(np.isfinite(array).all() for array in after.values()) and len(moved) > 0.9 * len(before)
    if recipe.mean_of:
        assert job.recipe.mean != (123.68, 116.779, 103.939)
    assert (tmp_path / "run" / "mean_image.json").exists() == (recipe.mean_of == "pixels")


@pytest.mark.parametrize("name", WANTED)
def test_plan_prints_a_recipe_that_is_read_back(name, capsys, tmp_path):
    assert command.main(["train", "--recipe", name, "--plan"]) == 0
    printed, said = capsys.readouterr()
    (tmp_path / "recipe.json").write_text(printed)
    recipe = get_recipe(name)
    assert get_recipe(str(tmp_path / "recipe.json")).resolved() == recipe.resolved()
    told = said.splitlines()[-1]
    assert told.startswith(f"{recipe.epochs} epochs of batches of {recipe.batch_size}; learning rate {recipe.lr:g} in ")
    assert told.endswith("validation error stops improving, which may also end the run") == recipe.open_ended


def test_plan_tells_every_rate_of_a_stepped_schedule(capsys):
    line = "train --recipe baseline --plan --set mean_of=channels --batch-size 128 --num-gpus 4"
    assert command.main(line.split()) == 0
    printed, said = capsys.readouterr()
    told = json.loads(printed)
    assert (told["batch_size"], told["mean"], told["mean_of"]) == (512, None, "channels")
    assert said.splitlines()[-1] == (
        "120 epochs of batches of 512; learning rate 0.2 in epoch 1, 0.02 in epoch 31, 0.002 in epoch 61, 0.0002 in "
        "epoch 91"
    )


@pytest.mark.parametrize(
    "line, text",
    [
        ("train --plan --resume auto", "--plan is for a new run: what a run was started with is in RUN/recipe.json"),
        ("train --plan --recipe alexnet_2013", "alexnet_2013"),
        ("detect --plan --set short=2000", "short 2000 and long"),
    ],
)
def test_plan_refuses_in_a_sentence(line, text, capsys):
    assert command.main(line.split()) == 2
    printed, said = capsys.readouterr()
    assert printed == "" and said.startswith("refused: ") and text in said and len(said.splitlines()) == 1


def test_every_kind_of_recipe_has_a_plan(capsys):
    for task in TASKS:
        assert command.main([task, "--plan"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["task"] == TASKS[task]
