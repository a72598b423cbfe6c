"""--optimizer, --ema, --clip-grad and --sam: what they make of a recipe."""

import pytest

from gluon_tricks.cli import command_line
from gluon_tricks.cli.detect import main as detect
from gluon_tricks.cli.train import main as train
from gluon_tricks.core.errors import Refused
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


@pytest.mark.parametrize("name", ["adamw", "lars", "lamb"])
def test_another_rate_is_asked_for(name):
    with pytest.raises(
        Refused, match=f"--optimizer {name} takes another learning rate than the recipe's nag: give --lr"
    ):
        meant("--optimizer", name)
    assert meant("--optimizer", name, "--set", "lr=0.5")[0].lr == 0.5


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
