"""The rows of the paper's tables: each differs from its base in what it names, and in nothing else."""

import dataclasses

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.paper.scales import SCALES, get_scale, scales_of
from gluon_tricks.recipes.registry import TABLES, get_recipe, get_table
from gluon_tricks.recipes.tables.rows import Row, Table, ladder, variants
from gluon_tricks.tricks import (
    Cosine,
    Distillation,
    LabelSmoothing,
    LinearScaling,
    Mixup,
    NoBiasDecay,
    StepDecay,
    Warmup,
    ZeroGamma,
)

COSINE = {"step_decay": None, "cosine": Cosine()}
MIXUP = {"mixup": Mixup(alpha=0.2, off_epochs=0, per="batch", partner="reversed"), "epochs": 200}
SMOOTH = {"label_smoothing": LabelSmoothing(eps=0.1, form="paper")}
# table -> row -> what its recipe has that the one it builds on has not, and None for what only that one has.
DIFFERENCES = {
    "table4": {
        "linear_scaling": {},
        "warmup": {"warmup": Warmup(epochs=5)},
        "zero_gamma": {"zero_gamma": ZeroGamma()},
        "no_bias_decay": {"no_bias_decay": NoBiasDecay()},
        "fp16": {"dtype": "float16"},
    },
    "table5": {"v1": {}, **{row: {"model": f"resnet50_{row}"} for row in ("v1b", "v1c", "v1d")}},
    "table6": {
        "efficient": {},
        "cosine": COSINE,
        "smooth": SMOOTH,
        "distill": {"distillation": Distillation("table6/resnet152_v1d/smooth", 20, "paper")},
        "mixup": MIXUP,
        "distill_mixup": {"distillation": Distillation("table6/resnet152_v1d/mixup", 20, "paper")},
    },
    "table7": {"efficient": {}, "best": {**COSINE, **SMOOTH, **MIXUP}},
}


def changed(one, other):
    """Fields and tricks in which two recipes differ: name -> what the first has."""
    fields = {f.name: getattr(one, f.name) for f in dataclasses.fields(one) if f.name not in ("name", "tricks")}
    mine, theirs = ({trick.label(): trick for trick in recipe.tricks} for recipe in (one, other))
    return {
        **{name: value for name, value in fields.items() if value != getattr(other, name)},
        **{label: mine.get(label) for label in mine.keys() | theirs.keys() if mine.get(label) != theirs.get(label)},
    }


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_row_differs_from_its_base_in_what_it_names(name):
    table = TABLES[name]
    assert [row.key for row in table.rows] == list(DIFFERENCES[name])
    for column in table.columns:
        for row in table.rows:
            base = table.recipe(column, row.base) if row.base else table.columns[column]
            assert changed(table.recipe(column, row.key), base) == DIFFERENCES[name][row.key], (column, row.key)


def test_what_the_tables_start_from():
    """Section 2.1, and section 3 with everything of it."""
    base, efficient = get_recipe("baseline").resolved(), get_recipe("efficient").resolved()
    assert (base.batch_size, base.epochs, base.momentum, base.wd, base.optimizer) == (256, 120, 0.9, 1e-4, "nag")
    assert (base.dtype, base.base_lr(), base.input_size) == ("float32", 0.1, 224)
    assert base.tricks == (LinearScaling(), StepDecay((30, 60, 90), 0.1))
    everything = {"warmup": Warmup(5), "zero_gamma": ZeroGamma(), "no_bias_decay": NoBiasDecay()}
    assert changed(efficient, base) == {"batch_size": 1024, "dtype": "float16", **everything}
    assert efficient.base_lr() == 0.4


def test_efficient_training_of_table_3():
    """Batch 1024, 16 bit, warm-up, no bias decay; zero gamma where there are residual blocks."""
    common = {"batch_size": 1024, "dtype": "float16", "warmup": Warmup(5), "no_bias_decay": NoBiasDecay()}
    zero_gammas = {"resnet50_v1": {"zero_gamma": ZeroGamma()}, "inceptionv3": {}, "mobilenet1.0": {}}
    for column, zero_gamma in zero_gammas.items():
        one, other = (get_recipe(f"table3/{column}/{row}") for row in ("baseline", "efficient"))
        assert changed(other, one) == common | zero_gamma
        assert (one.base_lr(), other.base_lr()) == (0.1, 0.4)
    assert get_recipe("table3/inceptionv3/baseline").input_size == 299


def test_the_last_rows_of_table_6_stand_on_label_smoothing():
    labels = {
        row: {t.label() for t in get_recipe(f"table6/resnet50_v1d/{row}").tricks} for row in DIFFERENCES["table6"]
    }
    assert labels["distill"] - labels["smooth"] == {"distillation"}
    assert labels["mixup"] - labels["smooth"] == {"mixup"} and labels["smooth"] < labels["mixup"]
    assert labels["distill_mixup"] - labels["mixup"] == {"distillation"}


def test_the_teacher_is_resnet_152_d_and_sees_mixup_where_its_student_does():
    for row, mixed in (("distill", False), ("distill_mixup", True)):
        (trick,) = [t for t in get_recipe(f"table6/inceptionv3/{row}").tricks if t.label() == "distillation"]
        teacher = get_recipe(trick.teacher)
        assert trick.temperature == 20 and trick.form == "paper"
        assert teacher.model == "resnet152_v1d"
        labels = {t.label() for t in teacher.tricks}
        assert {"cosine", "label_smoothing"} < labels and ("mixup" in labels) == mixed


def test_every_name_gives_its_recipe():
    names = [name for table in TABLES.values() for name in table.names()]
    assert len(names) == len(set(names)) == 3 * 2 + 2 * 5 + 4 + 4 * 6 + 2 + 1 + 7 + 7
    assert all(get_recipe(name).name == name for name in names)


@pytest.mark.parametrize(
    "name, text",
    [
        ("table6/resnet50_v1d/mixupp", "no row 'mixupp' in table6: did you mean mixup"),
        ("table6/resnet50/mixup", "no column 'resnet50' in table6: did you mean resnet50_v1d"),
        ("table66/resnet50_v1d/mixup", "no table 'table66': did you mean table6"),
        ("efficent", "no recipe 'efficent': did you mean efficient"),
    ],
)
def test_unknown_names_list_near_ones(name, text):
    with pytest.raises(Refused, match=text):
        get_recipe(name)


def test_ladder_stacks_and_variants_do_not():
    rows = (Row("a", "A", set=dict(epochs=7)), Row("b", "B", add=(Cosine(),)), Row("c", "C", base="a"))
    base = get_recipe("baseline")
    stacked = Table("t", "", {"x": base}, ladder(*rows))
    beside = Table("t", "", {"x": base}, variants(*rows))
    assert [row.base for row in stacked.rows] == ["", "a", "a"]
    assert stacked.recipe("x", "b").epochs == 7 and beside.recipe("x", "b").epochs == 120
    assert beside.recipe("x", "c").epochs == 7


def test_a_small_scale_shrinks_every_number_of_epochs_alike():
    recipe = get_scale("imagenette").recipe(get_table("table4"), "1024", "warmup")
    assert (recipe.model, recipe.epochs, recipe.batch_size, recipe.input_size) == ("resnet18_v1", 6, 256, 64)
    assert recipe.tricks == (LinearScaling(64), StepDecay((1.5, 3.0, 4.5)), Warmup(0.25))
    assert recipe.base_lr() == pytest.approx(0.4)  # the paper's for batch 1024


def test_inception_learns_from_the_teacher_of_the_others():
    recipe = get_recipe("table6/inceptionv3/distill")
    (trick,) = [trick for trick in recipe.tricks if trick.label() == "distillation"]
    assert recipe.input_size == 299 and recipe.teacher_size == get_recipe(trick.teacher).resolved().input_size == 224


def test_inception_has_no_small_proxy():
    assert SCALES["smoke"].recipe(get_table("table6"), "inceptionv3", "cosine") is None


def test_the_scales_of_the_paper_change_nothing():
    """But that they take no other classes than the paper's."""
    for table in TABLES.values():
        for name in table.names():
            recipe, at_scale = get_recipe(name), list(scales_of(table).values())[-1].recipe(table, *name.split("/")[1:])
            classes = table.classes if table.task == "classification" else recipe.classes
            assert at_scale == recipe.set(classes=classes).resolved()
