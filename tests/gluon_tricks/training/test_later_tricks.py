"""The refinements that came after the paper, in whole runs: they learn, go on bit for bit, and need no graph."""

import json
import pathlib
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.machine.devices import cpu_has_bfloat16
from gluon_tricks.networks.of_recipe import initialised_network
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.trained import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import (
    TRICKS,
    CutMix,
    Distillation,
    LabelSmoothing,
    MixupOrCutMix,
    RandomErasing,
    SigmoidLoss,
    StochasticDepth,
)

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "train_imagenet.py"
LATER = [
    (CutMix(),),
    (CutMix(per="image", partner="permuted"),),
    (MixupOrCutMix(mixup_alpha=0.5),),
    (RandomErasing(0.7),),
    (RandomErasing(0.7, fill="noise"),),
    (SigmoidLoss(), LabelSmoothing()),
    (StochasticDepth(0.5),),
    (StochasticDepth(0.5, "batch"), CutMix()),
    (MixupOrCutMix(), RandomErasing(), SigmoidLoss(0.2)),
]
BY_IMAGE = [*LATER[:5], (StochasticDepth(0.5),)]


def recipe_of(tiny_records, tricks, **fields):
    train, val = (str(tiny_records / f"{split}.rec") for split in ("train", "val"))
    values = dict(
        model="cifar_resnet20_v1", data="records", train=(train,), val=(val,), input_size=32, min_area=0.5,
        batch_size=16, epochs=2, lr=0.02, tricks=tricks,
    )  # fmt: skip
    return Recipe(**{**values, **fields})


def final(run):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(run / "final.params")).items()}


@pytest.mark.parametrize("tricks", LATER, ids=lambda tricks: "+".join(trick.label() for trick in tricks))
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tricks, tiny_records, tmp_path):
    """After two of four steps; where tricks are together there is an epoch more."""
    recipe = recipe_of(tiny_records, tricks, batch_size=12, epochs=min(len(tricks), 2))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    train_and_evaluate(recipe, tmp_path / "whole", Options(contexts=[mx.cpu()], picture_epochs=0))
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], should_stop=lambda: next(asked)))
    scores = train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], resume=True, picture_epochs=0))
    assert np.isfinite(scores.loss)
    whole, gone_on = final(tmp_path / "whole"), final(tmp_path / "run")
    assert whole.keys() == gone_on.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(gone_on[name], array)


@pytest.mark.parametrize("tricks", BY_IMAGE, ids=lambda tricks: "+".join(trick.label() for trick in tricks))
def test_two_devices_see_what_one_does(tricks, tiny_records, tmp_path):
    """In groups of eight, which a device or two take: the same rectangles in the same images, the same partners."""
    found = []
    for devices in (1, 2):
        run, contexts = tmp_path / str(devices), [mx.cpu(k) for k in range(devices)]
        recipe = recipe_of(tiny_records, tricks, bn_batch=8, epochs=1, mode="imperative" if devices == 1 else "hybrid")
        train_and_evaluate(recipe, run, Options(contexts=contexts, picture_epochs=0))
        found.append((run / "steps.csv").read_text().split())
    assert len(found[0]) == len(found[1]) > 2
    for one, two in zip(found[0][1:], found[1][1:]):
        assert float(one.split(",")[1]) == pytest.approx(float(two.split(",")[1]), rel=2e-3)


def test_what_a_run_leaves_is_the_plain_network(tiny_records, tmp_path):
    """Dropped branches are of training alone: neither the graph nor the network that is read back has them."""
    recipe = recipe_of(tiny_records, (StochasticDepth(0.5),), epochs=1)
    train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], picture_epochs=0))
    assert "Dropout" not in (tmp_path / "run" / "final-symbol.json").read_text()
    assert "DropPath" in str(initialised_network(recipe.set(classes=10), [mx.cpu()]))
    assert "DropPath" not in str(load_network(tmp_path / "run"))


def test_frozen_blocks_drop_nothing(tiny_records, tmp_path):
    """Of stages 1 and 2; those of stage 3 go on."""
    recipe = recipe_of(tiny_records, (StochasticDepth(0.5),), freeze=("stem", "stage1", "stage2"))
    job = prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    with job.journal:
        rates = [[block.drop_path._rate for block in getattr(job.net, f"stage{k}")] for k in (1, 2, 3)]
    assert rates[:2] == [[0, 0, 0]] * 2 and rates[2] == pytest.approx([0.5 * block / 9 for block in (7, 8, 9)])


def test_networks_without_residual_branches_are_refused(tiny_records, tmp_path):
    recipe = recipe_of(tiny_records, (StochasticDepth(),), model="cifar_plain20")
    says = (
        "stochastic_depth is for networks that take drop_path, drop_path_per, the residual ones, and cifar_plain20 "
        "does not: leave stochastic_depth out"
    )
    with pytest.raises(Refused, match=says):
        prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    with pytest.raises(Refused, match="stochastic_depth is for training classifiers"):
        SegmentationRecipe(tricks=(StochasticDepth(),))


def test_a_teacher_sees_the_images_that_were_cut_and_erased(tiny_records, tmp_path):
    """With a teacher that is the student from the start, the soft part is 0 only if both see the same images."""
    recipe = recipe_of(tiny_records, (), epochs=1)
    train_and_evaluate(recipe, tmp_path / "teacher", Options(contexts=[mx.cpu()], picture_epochs=0))
    tricks = (RandomErasing(0.7), CutMix(), Distillation(str(tmp_path / "teacher"), 4.0, "gluoncv", hard_weight=0.0))
    start = dict(pretrained=str(tmp_path / "teacher" / "final.params"), net={"use_global_stats": True})
    student = recipe.set(tricks=tricks, lr=0.0, **start)
    train_and_evaluate(student, tmp_path / "student", Options(contexts=[mx.cpu()], picture_epochs=0))
    losses = [float(line.split(",")[1]) for line in (tmp_path / "student" / "steps.csv").read_text().split()[1:]]
    assert len(losses) == 3 and max(map(abs, losses)) < 1e-4


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU does not multiply bfloat16")
def test_bfloat16(tiny_records, tmp_path):
    """In a process of its own, as AMP changes MXNet for good; it learns as float32 does here, up to its rounding."""
    tricks, losses = (MixupOrCutMix(), RandomErasing(0.7, fill="noise"), SigmoidLoss(over="sum")), []
    for dtype in ("float32", "bfloat16"):
        recipe = recipe_of(tiny_records, (*tricks, StochasticDepth(0.5)), epochs=1, dtype=dtype)
        run = tmp_path / dtype
        if dtype == "float32":
            train_and_evaluate(recipe, run, Options(contexts=[mx.cpu()], picture_epochs=0))
        else:
            (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
            words = [SCRIPT, "--recipe", tmp_path / "recipe.json", "--save-dir", run, "--num-gpus", 0, "--dtype", dtype]
            done = subprocess.run([sys.executable, *map(str, words), "--picture-epochs", "0"], capture_output=True)
            assert done.returncode == 0, done.stdout + done.stderr
        losses.append([float(line.split(",")[1]) for line in (run / "steps.csv").read_text().split()[1:]])
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.1)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.label())
def test_every_trick_goes_through_a_recipe_file(trick):
    needed = {"distillation": {"teacher": "run"}}.get(trick.label(), {})
    recipe = Recipe(tricks=(trick(**needed),))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
