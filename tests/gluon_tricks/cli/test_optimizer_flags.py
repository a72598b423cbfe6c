"""--optimizer, --ema, --clip-grad and --sam: what they make of a recipe."""

import json

import pytest

from gluon_tricks.cli import command_line
from gluon_tricks.cli.detect import main as detect
from gluon_tricks.cli.train import main as train
from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import ClipGradients, DecoupledDecay, Ema, Sam, TrustRatio

CHANGED = (ClipGradients, DecoupledDecay, Ema, Sam, TrustRatio)


def meant(*words, begun=None):
    args = command_line.parse(["--recipe", "shapes", *words])
    recipe, _ = command_line.recipe_from_flags(args, 1, begun)
    return recipe, tuple(trick for trick in recipe.tricks if isinstance(trick, CHANGED))


@pytest.mark.parametrize(
    ("name", "optimizer", "tricks"),
    [
        ("adam", "adam", ()),
        ("adamw", "adam", (DecoupledDecay(),)),
        ("lars", "sgd", (TrustRatio(),)),
        ("lamb", "adam", (DecoupledDecay(), TrustRatio())),
    ],
)
def test_optimisers(name, optimizer, tricks):
    recipe, found = meant("--optimizer", name, "--lr", "0.01")
    assert (recipe.optimizer, found, recipe.lr) == (optimizer, tricks, 0.01)
    assert recipe.optimizer_and_numbers()[0] == name


FROM = {"nag": Recipe(), "lars": Recipe(optimizer="sgd", tricks=(TrustRatio(),)), "adam": Recipe(optimizer="adam")}
FROM["lamb"] = FROM["adam"].add(DecoupledDecay(), Ema(), TrustRatio())


@pytest.mark.parametrize(
    "old, name",
    [
        *(("nag", name) for name in ("adam", "adamw", "lars", "lamb")),
        ("lars", "sgd"),
        ("lars", "lamb"),
        ("adam", "nag"),
    ],
)
def test_an_optimiser_of_another_kind_asks_for_a_rate(old, name, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(FROM[old].to_json()))
    words = ["--recipe", str(tmp_path / "recipe.json"), "--optimizer", name]
    says = f"--optimizer {name} takes another learning rate than the recipe's {old}: give --lr"
    with pytest.raises(Refused, match=says):
        meant(*words)
    assert meant(*words, "--set", "lr=0.5")[0].lr == meant(*words, "--lr", "0.5")[0].lr == 0.5


@pytest.mark.parametrize("name", ["adam", "nag"])
def test_an_optimiser_without_a_name_is_another(name, tmp_path):
    """LAMB without its decay is no Adam."""
    (tmp_path / "recipe.json").write_text(json.dumps(FROM["lamb"].without("decoupled_decay").to_json()))
    words = ["--recipe", str(tmp_path / "recipe.json"), "--optimizer", name]
    with pytest.raises(Refused, match="than the recipe's adam with trust_ratio: give --lr"):
        meant(*words)
    recipe, found = meant(*words, "--lr", "0.1")
    assert recipe.optimizer == name and not any(isinstance(trick, TrustRatio) for trick in found)


@pytest.mark.parametrize("old, name", [("nag", "sgd"), ("adam", "adamw"), ("lamb", "lamb")])
def test_one_of_the_same_kind_takes_the_recipes_rate(old, name, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(FROM[old].to_json()))
    assert meant("--recipe", str(tmp_path / "recipe.json"), "--optimizer", name)[0].lr is None


@pytest.mark.parametrize(
    "old, name, tricks",
    [
        ("lamb", "lamb", (DecoupledDecay(), Ema(), TrustRatio())),
        ("lamb", "adamw", (DecoupledDecay(), Ema())),
        ("lars", "lamb", (DecoupledDecay(), TrustRatio())),  # trust_ratio comes after what it is to follow
    ],
)
def test_tricks_are_replaced_in_their_place(old, name, tricks, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(FROM[old].to_json()))
    recipe, found = meant("--recipe", str(tmp_path / "recipe.json"), "--optimizer", name, "--lr", "0.1")
    assert found == tricks and recipe.optimizer_and_numbers()[0] == name


def test_a_run_that_goes_on_keeps_its_numbers():
    begun, _ = meant("--optimizer", "adamw", "--lr", "0.01", "--set", "decoupled_decay.beta2=0.99", "--ema", "0.99")
    args = command_line.parse(["--optimizer", "adamw", "--ema"])
    recipe, _ = command_line.recipe_from_flags(args, 1, begun)
    assert DecoupledDecay(0.99) in recipe.tricks and recipe.lr == 0.01
    assert Ema(0.9999) in recipe.tricks  # which the checkpoint will refuse
    args = command_line.parse(["--optimizer", "sgd", "--lr", "0.1"])
    recipe, _ = command_line.recipe_from_flags(args, 1, begun)
    assert recipe.optimizer == "sgd" and DecoupledDecay not in map(type, recipe.tricks)


def test_the_others():
    assert meant("--ema")[1] == (Ema(0.9999),)
    assert meant("--ema", "0.99", "--set", "ema.keep=better")[1] == (Ema(0.99, keep="better"),)
    assert meant("--clip-grad", "2", "--sam")[1] == (ClipGradients(2.0), Sam(0.05))
    assert meant("--sam", "0.2")[1] == (Sam(0.2),)
    with pytest.raises(Refused, match=r"ema: decay must lie in \[0, 1\)"):
        meant("--ema", "1")


def test_plan_refuses_what_does_not_go_together(capsys):
    words = ["--recipe", "shapes", "--set", "trust_ratio=on", "--plan"]
    assert train(words) == 2
    assert "trust_ratio is for SGD with momentum" in capsys.readouterr().err


def test_detectors_have_them_too(capsys):
    assert detect(["--ema", "--optimizer", "adamw", "--lr", "1e-3", "--clip-grad", "10", "--plan"]) == 0
    told = capsys.readouterr().out
    assert '"optimizer": "adam"' in told
    for label in ("ema", "decoupled_decay", "clip_gradients"):
        assert f'"trick": "{label}"' in told
