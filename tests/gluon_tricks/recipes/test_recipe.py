"""Recipes: to JSON and back, changed by settings, refused where they make no sense."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.recipes.registry import get_recipe, list_recipes
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.tricks import TRICKS, CutMix, Distillation, LabelSmoothing, Mixup, MixupOrCutMix, Trick, Warmup


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_survives_json(name):
    recipe = get_recipe(name)
    assert type(recipe).from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_recipes_of_every_task_by_name(tmp_path):
    assert {"shapes", "faster_rcnn_voc", "fcn_ade20k_gluoncv"} <= {*list_recipes()}
    assert "fcn_masks" in list_recipes(SegmentationRecipe) and "fcn_masks" not in list_recipes(Recipe)
    assert get_recipe("faster_rcnn_scenes").set(epochs=2).short == 200
    (tmp_path / "mine").write_text(json.dumps(DetectionRecipe(seed=7).to_json()))  # a file needs no ending
    assert get_recipe(str(tmp_path / "mine")) == DetectionRecipe(seed=7)


def test_a_misspelt_trick_is_not_left_out():
    with pytest.raises(Refused, match="no trick 'mixupp': did you mean mixup"):
        get_recipe("shapes").without("mixupp")


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
    assert apply_setting(recipe, "mixup=on") == recipe  # its alpha was set before


@pytest.mark.parametrize("present, other", [(MixupOrCutMix(), "mixup"), (Mixup(), "cut_mix"), (CutMix(), "mixup")])
def test_a_number_of_another_mixing_does_not_take_it_away(present, other):
    recipe, label = Recipe(tricks=(present,)), present.label()
    says = f"--set {other}.alpha: the recipe has {label}: set {label}.NAME, or {other}=on before it, which takes its"
    with pytest.raises(Refused, match=says):
        apply_setting(recipe, f"{other}.alpha=0.1")
    changed = apply_setting(apply_setting(recipe, f"{other}=on"), f"{other}.alpha=0.1")
    assert [(trick.label(), trick.alpha) for trick in changed.tricks] == [(other, 0.1)]


@pytest.mark.parametrize(
    "setting, words",
    [
        ("mixpu=on", "no recipe field or trick 'mixpu': did you mean mixup"),
        ("mixup.alhpa=1", "no number 'alhpa' in the trick mixup: did you mean alpha"),
        ("mixup.alpha=-1", "alpha must be 0, or 0.0001 and more"),
        ("label_smoothing.eps=1", r"eps must lie in \[0, 1\)"),
        ("teacher_size=0", "teacher_size is 0"),
        ("epoch=3", "did you mean .*epochs"),
        ("epochs=0", "epochs is 0: it takes 1 or more"),
        ("epochs=2.5", "epochs must be int, but got 2.5"),
        ("epochs=true", "epochs must be int, but got True"),
        ("lr=fast", "lr must be float"),
        ("lr=Infinity", "lr must be finite, but got inf"),
        ("label_smoothing.eps=1e-320", "eps is 1e-320: it takes 0, or 1e-30 or more"),
        ("lr=5e-324", "lr is 5e-324: it takes 0, or 1e-30 or more"),
        ("mixup.alpha=1e-9", "alpha must be 0, or 0.0001 and more"),
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


def test_what_changes_whole_images_is_not_decoded_smaller():
    reduced = Recipe(decode="reduced", auto_augment="trivial")  # which changes the crop
    with pytest.raises(Refused, match="decode is reduced and auto_augment autoaugment, which .*: leave one out"):
        reduced.set(auto_augment="autoaugment")
    stored = {**reduced.to_json(), "auto_augment": "autoaugment"}  # a run of when it was passed over
    assert Recipe.from_json(stored) == reduced.set(auto_augment="autoaugment", decode="whole")


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
    with pytest.raises(Refused, match=r"no recipe 'zzz/1': a cell is TABLE/COLUMN/ROW, the file of a run"):
        get_recipe("zzz/1")


def test_two_tricks_of_a_kind_are_refused():
    with pytest.raises(Refused, match="two do the same work"):
        Recipe(tricks=(Mixup(0.1), Mixup(0.2)))


RECIPES = (Recipe, DetectionRecipe, SegmentationRecipe)
HUGE, LONG = 10**4000, "k" * 50_000_000


@pytest.mark.parametrize(
    "text, says",
    [
        ('{"crop_ratio": 1e-5, "input_size": 224}', "resized to 2.24e.07 px, and 8192 are the most"),
        ('{"input_size": 3000000}', "input_size is 3000000: it takes 4096 or less"),
        ('{"input_size": 4096, "batch_size": 1000000}', "a batch would have 1.68e.13 pixels"),
        ('{"seed": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"lr": 1e400}', "'1e400' is too large"),
        ('{"self": 1}', "there is no recipe field 'self'"),
        ('{"cls": 1}', "there is no recipe field 'cls'"),
        ('{"' + "k" * 4_000_000 + '": 1}', "there is no recipe field 'kkk"),
        ('{"' + LONG + '": 1}', "it has 50 MB, and 4.19 MB are the most"),
        ('{"epochs": 1, "epochs": 2}', "the key 'epochs' twice"),
        ('{"net": {"classes": NaN}}', "NaN is no number of JSON"),
        ('{"net": {"a": {"b": {"c": {"d": {"e": 1}}}}}}', "lists or objects within each other"),
        ('{"net": {"width": 1e300}}', "net.width is 1e.300: it takes 1000000 or less"),
        ('{"net": {"names": ["' + "n" * 5000 + '"]}}', "net.names has 5000 letters: it takes at most 4096"),
        ('{"tricks": [{"trick": "mixup", "alpha": 1e300}]}', "mixup: alpha is 1e.300: it takes 9.007199e.15 or less"),
        ('{"tricks": [{"trick": "mixup", "alpha": 1e6}]}', "mixup: alpha is 1000000.0: it takes 1000 or less"),
        ('{"tricks": [{"trick": "step_decay", "epochs": [3, 1e9]}]}', "step_decay: epochs is 10+.0: it takes 1000000"),
        ('{"task": "segmentation", "crop": 100000}', "crop is 100000: it takes 4096 or less"),
        ('{"task": "segmentation", "mask_values": [0, 70000]}', "mask_values is 70000: it takes 65535 or less"),
        ('{"task": "detection", "short": 0}', "short is 0: it takes 1 or more"),
        ('{"task": "detection", "class_names": ' + str(["c"] * 20000).replace("'", '"') + "}", "at most 10000"),
        ("[" * 100000, "deeper than 64"),
    ],
)  # fmt: skip
def test_a_hostile_recipe_file_is_one_short_sentence(text, says, tmp_path):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(Refused, match=says) as error:
        read_recipe(tmp_path / "recipe.json")
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    "kind, field",
    [(kind, f) for kind in RECIPES for f in dataclasses.fields(kind) if f.type != "bool"],
    ids=lambda part: part.name if isinstance(part, dataclasses.Field) else part.__name__,
)
def test_no_field_takes_a_number_without_end(kind, field):
    """Every number of every recipe has an upper bound, and no text is longer than a path."""
    kinds = {"int": HUGE, "float": 1e300, "tuple[int": (HUGE,), "tuple[float": (1e300,) * 3, "str": "x" * 5000}
    value = next((value for name, value in kinds.items() if field.type.startswith(name)), None)
    if value is None:
        texts = ("train_splits", "val_splits", "class_names", "train", "val", "freeze", "only_classes")
        assert field.name in ("net", "lr_mult", "tricks", "photos", *texts)
        value = {"net": {"x": HUGE}, "lr_mult": {"x": HUGE}, "tricks": ("x",)}.get(field.name, ("x" * 5000,))
    with pytest.raises(Refused) as error:
        kind().set(**{field.name: value})
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.label())
def test_no_trick_takes_a_number_without_end(trick):
    for field in dataclasses.fields(trick):
        value = {"float": 1e15, "int": 10**15, "tuple[float": [1e15]}.get(field.type.split(",")[0].split(" ")[0])
        if value is not None:
            given = {"trick": trick.label(), field.name: value}
            given.update({"teacher": "run"} if trick.label() == "distillation" else {})
            with pytest.raises(Refused, match=field.name):
                Recipe.from_json({"tricks": [given]})


def test_a_trick_of_a_program_is_for_its_own_loop(tmp_path):
    """Its types may be classes, as they are without `annotations` of __future__; a run could not be read back."""

    @dataclasses.dataclass(frozen=True)
    class Halve(Trick):
        by: float = 0.5

        def base_lr(self, lr, batch_size):
            return lr * self.by

    Halve.__dataclass_fields__["by"].type = float
    recipe = Recipe(tricks=(Halve(),))
    assert recipe.base_lr() == 0.05 and recipe.schedule(10)[0](0) == 0.05
    with pytest.raises(Refused, match="halve: by must be float, but got 'x'"):
        Recipe(tricks=(Halve("x"),))
    with pytest.raises(Refused, match="not be read back .*no trick 'halve'.*: a trick of your own goes into TRICKS"):
        train_and_evaluate(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_and_names_in_capitals_are_as_json_has_them():
    recipe = Recipe(batch_size=np.int64(12), lr=np.float32(0.5), model="ResNet18_v1")
    recipe = recipe.add(Mixup(alpha=np.float64(0.25)))
    assert [type(value) for value in (recipe.batch_size, recipe.lr, recipe.tricks[0].alpha)] == [int, float, float]
    assert recipe.model == "resnet18_v1" and Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_paths_and_lists_are_as_json_has_them():
    a, b = pathlib.Path("a"), pathlib.Path("b/c.rec")
    recipe = Recipe(data=a, pretrained=a).set(train=[b], val=(a, "x")).add(Distillation(teacher=b))
    assert (recipe.data, recipe.pretrained, recipe.train, recipe.val) == ("a", "a", ("b/c.rec",), ("a", "x"))
    assert recipe.tricks[-1].teacher == "b/c.rec" and Recipe(shallow=a).shallow == "a"
    photos = dict(folder=a, val_split=None, at_most=9, classes=[], digests=[])
    assert Recipe(photos=photos).photos["folder"] == "a"
    detection = DetectionRecipe(base_params=b, data=a)
    assert (detection.base_params, detection.data) == ("b/c.rec", "a")
    for made in (recipe, detection):
        assert type(made).from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: Recipe().add("mixup"), r"add takes tricks such as Mixup\(alpha=0.2\), but got 'mixup'"),
        (lambda: Recipe().add(Mixup), "add takes tricks such as .*, but got the class Mixup"),
        (lambda: Recipe().add([Mixup()]), "add takes tricks such as"),
        (lambda: Recipe().without(Mixup), "the label of a trick takes a text such as 'mixup', but got the class Mixup"),
        (lambda: Recipe().set(tricks=("mixup",)), r"tricks must be tuple\[Trick, ...\], but got \('mixup',\)"),
        (lambda: Recipe(mean=[[1, 2], [3]]), r"mean must be tuple\[float, .*, but got \(\[1, 2\], \[3\]\)"),
        (lambda: Recipe().schedule("a"), "the plan: steps_per_epoch must be int, but got 'a'"),
        (lambda: list_recipes("detection"), "list_recipes takes a kind of recipe, such as .*, but got 'detection'"),
    ],
)
@pytest.mark.filterwarnings("error")  # which numpy gives for lists of differing lengths
def test_what_is_no_trick_and_no_kind_is_refused(call, says):
    with pytest.raises(Refused, match=says):
        call()


def test_a_recipe_is_in_a_file_that_a_path_names(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(Recipe(epochs=3).to_json()))
    assert get_recipe(path) == Recipe(epochs=3) == get_recipe(str(path))
    with pytest.raises(Refused, match="a recipe has a name such as 'imagenette', or is in a file, but got 3"):
        get_recipe(3)
