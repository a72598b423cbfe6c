"""Runs of which a part is frozen or learns at another rate: what moves, what is kept, how they go on."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import command_line, detect, segment, train, transfer_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.builtin import scenes
from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.prepare import _parts, prepare
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import Mixup
from model_zoo import get_model

CIFAR = "cifar_resnet20_v1"
OUTPUTS = {
    "classification": "head",
    "detection": "rpn class_predictor box_predictor",
    "segmentation": "head aux_head",
    "multi_label": "head",
}
TASKS = tuple(OUTPUTS)


@pytest.fixture(autouse=True)
def four_scenes(monkeypatch, tmp_path_factory, few_regions):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (4, 2))


@pytest.fixture
def recipe(request, tiny_records):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return {
        "classification": Recipe(
            model=CIFAR, data="records", **files, input_size=32, epochs=2, batch_size=16, lr=0.01, tricks=(Mixup(),),
        ),
        "detection": DetectionRecipe(
            model="resnet18_v1b", dataset="few_scenes", short=96, long=128, roi="small", epochs=2, batch_size=2,
            lr=1e-3,
        ),
        "multi_label": MultiLabelRecipe(
            model=CIFAR, data="few_scenes", input_size=32, side=(40, 40), epochs=2, batch_size=2, test_crops=2,
        ),
        "segmentation": SegmentationRecipe(
            model="resnet18_v1b", dataset="few_scenes", crop=48, base_size=96, epochs=2, batch_size=2,
        ),
    }[request.param]  # fmt: skip


def arrays(net):
    return {name: parameter.list_data()[0].asnumpy() for name, parameter in parameters_by_name(net).items()}


def start_of(recipe):
    return arrays(task_of(recipe)(recipe, [mx.cpu()], 1).network())


@pytest.mark.parametrize("recipe", TASKS, indirect=True)
def test_only_the_output_moves_and_a_stopped_run_goes_on_bit_for_bit(recipe, tmp_path):
    """Every number of the features stays as it was, running statistics too, and has no state in checkpoints."""
    recipe, options = recipe.set(freeze=("features",)), dict(contexts=[mx.cpu()], threads=1, picture_epochs=0)
    before = start_of(recipe)
    train_and_evaluate(recipe, tmp_path / "whole", Options(**options))
    after = arrays(load_network(tmp_path / "whole"))
    moved = {name for name, array in after.items() if not np.array_equal(array, before[name])}
    outputs = {*OUTPUTS[recipe.task].split()}
    assert {name.split(".")[0] for name in moved} == outputs
    saved = read_checkpoint(list_checkpoints(tmp_path / "whole" / "checkpoints")[-1])[0]
    states = {name.split("/")[1].split(".")[0] for name in saved if name.startswith("optimizer/")}
    assert states == outputs

    steps = iter([False] * 4 + [True])
    with pytest.raises(Interrupted):
        train_and_evaluate(recipe, tmp_path / "run", Options(**options, should_stop=lambda: next(steps, True)))
    train_and_evaluate(recipe, tmp_path / "run", Options(**options, resume=True))
    for name, array in arrays(load_network(tmp_path / "run")).items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


@pytest.mark.parametrize("recipe", ["classification", "segmentation"], indirect=True)
def test_two_devices(recipe, tmp_path):
    """Statistics of a frozen norm are not averaged into others, and the devices' networks are one."""
    recipe = recipe.set(freeze=("features",), batch_size=4, epochs=1, net={})
    before = start_of(recipe)
    train_and_evaluate(recipe, tmp_path, Options(contexts=[mx.cpu(0), mx.cpu(1)], threads=1, picture_epochs=0))
    after = arrays(load_network(tmp_path))
    same = {name for name, array in after.items() if np.array_equal(array, before[name])}
    assert {name for name in after if name.startswith(("stem", "stage", "base"))} <= same != {*after}


@pytest.mark.parametrize("recipe", ["classification"], indirect=True)
def test_what_is_told_and_what_is_sent(recipe, tmp_path):
    """ResNet-20: 65 of 67 parameters (19 convolutions, of 3 with a shortcut's, and norms), all but 64 x 4 + 4."""
    job = prepare(
        recipe.set(freeze=("features",), lr_mult={"head.bias": 2.0}), tmp_path, Options(contexts=[mx.cpu()], threads=1)
    )
    job.journal.close()
    log = (tmp_path / "log.txt").read_text()
    names = [name for name in parameters_by_name(job.net) if "running" not in name]
    assert f"frozen: {len(names) - 2} of {len(names)} parameters, 0.27" in log
    assert "batch normalisations with running statistics, at random numbers: no trained network is named" in log
    assert "head.bias: learning rate times 2 (1 of" in log
    assert job.gradients.bytes == 4 * (64 * 4 + 4) and len(job.gradients.trained) == 2
    assert job.net.head.bias.lr_mult == 2.0


@pytest.mark.parametrize(("field", "random"), [("pretrained", False), ("shallow", False), ("name", True)])
def test_only_what_starts_from_no_trained_network_is_frozen_at_random_numbers(field, random):
    net = get_model(CIFAR, classes=4)
    net.initialize(mx.init.Zero())
    net(mx.nd.zeros((1, 3, 32, 32)))
    (told,) = _parts(net, Recipe(model=CIFAR, freeze=("features",), **{field: "runs/shallower"}))
    assert ("at random numbers" in told) == random


@pytest.mark.parametrize("recipe", ["segmentation"], indirect=True)
def test_rates_of_the_task_and_of_the_recipe_are_multiplied(recipe, tmp_path):
    """head_lr is 10: half of it is 5."""
    job = prepare(recipe.set(lr_mult={"output": 0.5, "base": 0.1}), tmp_path, Options(contexts=[mx.cpu()], threads=1))
    job.journal.close()
    parameters = parameters_by_name(job.net).items()
    rates = {(name.split(".")[0], parameter.lr_mult) for name, parameter in parameters if "running" not in name}
    assert rates == {("base", 0.1), ("head", 5.0), ("aux_head", 5.0)}


@pytest.mark.parametrize("recipe", TASKS, indirect=True)
def test_before_any_work(recipe, tmp_path):
    for change, says in (
        (dict(freeze=("stage9",)), "freeze 'stage9' names nothing of"),
        (dict(freeze=("features", "output")), "would learn"),
        (dict(lr_mult={"stage9": 2}), "lr_mult 'stage9' names nothing of"),
    ):
        with pytest.raises(Refused, match=says):
            train_and_evaluate(recipe.set(**change), tmp_path / "run", Options(contexts=[mx.cpu()], threads=1))
    assert not (tmp_path / "run" / "recipe.json").exists()


@pytest.mark.parametrize("factor", [0, -1.0, True, "2", [1.0]])
def test_factors_that_are_none(factor):
    with pytest.raises(Refused, match="lr_mult"):
        recipe_from_json({"lr_mult": {"head": factor}})


def test_older_recipes_freeze_nothing():
    for old in ({"epochs": 3}, {"task": "detection", "epochs": 3}):
        assert (recipe_from_json(old).freeze, recipe_from_json(old).lr_mult) == ((), {})


def test_the_flags_of_every_training():
    words = "--freeze features --freeze *.bias --lr-mult output=10 --lr-mult a=b=0.5".split()
    fields = dict(freeze=("features", "*.bias"), lr_mult={"output": 10.0, "a=b": 0.5})
    got, _ = command_line.recipe_from_flags(command_line.parse(["--recipe", "shapes", *words]), 1)
    assert {name: getattr(got, name) for name in fields} == fields
    recipes = {**detect.MEANT, "default": "scenes"}
    args = transfer_flags.parser("", **recipes, own_flags=detect.own_flags).parse_args(words)
    got, _ = transfer_flags.recipe_from_flags(args, 1, None, **recipes)
    assert {name: getattr(got, name) for name in fields} == fields
    later, _ = command_line.recipe_from_flags(command_line.parse([]), 1, Recipe(**fields))  # of a run that goes on
    assert later.freeze == fields["freeze"] and later.lr_mult == fields["lr_mult"]


@pytest.mark.parametrize("command, words", [(train, ["--recipe", "shapes"]), (segment, ["--dataset", "scenes"])])
@pytest.mark.parametrize("wrong", ["output", "output=", "=3", "output=fast"])
def test_flags_that_say_no_factor(command, words, wrong, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command.main([*words, "--lr-mult", wrong]) == 2
    assert f"--lr-mult takes PATTERN=FACTOR such as output=10, but got '{wrong}'" in capsys.readouterr().err
