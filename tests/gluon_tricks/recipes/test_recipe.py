"""Recipes: to JSON and back, changed by settings, refused where they make no sense."""

import json

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe, apply_setting, read_recipe
from gluon_tricks.recipes.registry import get_recipe, list_recipes
from gluon_tricks.tricks import LabelSmoothing, Mixup, Warmup


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_survives_json(name):
    recipe = get_recipe(name)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_settings():
    recipe = Recipe(tricks=(Warmup(5),))
    for setting in (
        "epochs=7",
        "lr=0.3",
        "warmup.epochs=2",
        "mixup.alpha=0.4",
        "label_smoothing=on",
        "net.final_drop=0.5",
    ):
        recipe = apply_setting(recipe, setting)
    assert (recipe.epochs, recipe.lr, recipe.net) == (7, 0.3, {"final_drop": 0.5})
    assert recipe.tricks == (Warmup(2), Mixup(0.4), LabelSmoothing(0.1))
    assert apply_setting(recipe, "mixup=off").tricks == (Warmup(2), LabelSmoothing(0.1))


@pytest.mark.parametrize(
    "setting, words",
    [
        ("mixpu=on", "no recipe field or trick 'mixpu': did you mean mixup"),
        ("mixup.alhpa=1", "no number 'alhpa' in the trick mixup: did you mean alpha"),
        ("mixup.alpha=-1", "alpha must be 0 or more"),
        ("label_smoothing.eps=1", r"eps must lie in \[0, 1\)"),
        ("teacher_size=0", "teacher_size is 0"),
        ("epoch=3", "did you mean .*epochs"),
        ("epochs=0", "epochs is 0: it takes 1 or more"),
        ("epochs=2.5", "epochs must be int, but got 2.5"),
        ("epochs=true", "epochs must be int, but got True"),
        ("lr=fast", "lr must be float"),
        ("lr=Infinity", "lr must be finite, but got inf"),
        ("mixup.alpha=NaN", "mixup: alpha must be finite, but got nan"),
        ("warmup.epochs=Infinity", "warmup: epochs must be finite, but got inf"),
        ("net.final_drop=NaN", "net.final_drop must be finite, but got nan"),
        ("mixupp.alpha=0.4", "no recipe field or trick 'mixupp': did you mean mixup"),
        ("dtype=float8", "choose one of float32, float16, bfloat16"),
        ("mixup=1", "mixup is a trick: set it on or off"),
        ("epochs", "takes key=value"),
        ("seed=-1", "seed is -1"),
        ("start_epoch=120", r"start_epoch is 120: it must lie in \[0, epochs\)"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(setting, words):
    with pytest.raises(Refused, match=words):
        apply_setting(Recipe(), setting)


def test_a_recipe_file_names_only_known_tricks(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"tricks": [{"trick": "os.system", "alpha": "rm"}]}))
    with pytest.raises(Refused, match="no trick 'os.system': there are linear_scaling, "):
        read_recipe(path)
    path.write_text("{")
    with pytest.raises(Refused, match="cannot be read as a recipe"):
        read_recipe(path)


def test_unknown_recipe_lists_near_ones():
    with pytest.raises(Refused, match="did you mean shapes"):
        get_recipe("shape")


def test_two_tricks_of_a_kind_are_refused():
    with pytest.raises(Refused, match="two do the same work"):
        Recipe(tricks=(Mixup(0.1), Mixup(0.2)))
