"""The rows of the paper's tables: each differs from its base in what it names, and in nothing else."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.paper.scales import SCALES, OwnScale, family_of, get_scale, scales_of
from gluon_tricks.recipes.registry import TABLES, get_recipe, get_table
from gluon_tricks.recipes.tables.rows import Row, Table, ladder, variants
from gluon_tricks.tricks import Cosine, DataDependentInit, LinearScaling, StepDecay, Warmup
from gluon_tricks.tricks.base import StepContext

STANDARD = {  # section 2.1, as `seen` sees it
    **{"batch_size": 256, "dtype": "float32", "epochs": 120, "optimizer": "nag", "momentum": 0.9, "wd": 1e-4},
    **{"base lr": 0.1, "lr": (1, 1, 0.01), "net": {}, "decayed": {"weight", "bias", "gamma", "beta"}},
    **{"target": (1, 0), "alpha": None, "teacher": None, "soft": 0},
}
WARMUP = {"lr": (0.0002, 1, 0.01)}
COSINE = {"lr": (0.0002, 1, 0.5)}  # after the warm-up
SMOOTH = {"target": (0.9, 0.01)}  # 0.1 over the 10 others
MIXUP = {"alpha": 0.2, "epochs": 200}
ZERO_GAMMA, NO_BIAS_DECAY = {"net": {"last_gamma": True}}, {"decayed": {"weight"}}
SOFT = 52.3  # 20^2 (3/4 ln 3/2 + 1/4 ln 1/2)
# table -> row -> what a run of its recipe does that one of its base does not do.
DIFFERENCES = {
    "table4": {
        "linear_scaling": {},
        "warmup": WARMUP,
        "zero_gamma": ZERO_GAMMA,
        "no_bias_decay": NO_BIAS_DECAY,
        "fp16": {"dtype": "float16"},
    },
    "table5": {"v1": {}, **{row: {"model": f"resnet50_{row}"} for row in ("v1b", "v1c", "v1d")}},
    "table6": {
        "efficient": {},
        "cosine": COSINE,
        "smooth": SMOOTH,
        "distill": {"teacher": "table6/resnet152_v1d/smooth", "soft": SOFT},
        "mixup": MIXUP,
        "distill_mixup": {"teacher": "table6/resnet152_v1d/mixup", "soft": SOFT},
        "long": {"epochs": 200},
    },
    "table7": {"efficient": {}, "best": {**COSINE, **SMOOTH, **MIXUP}},
}


def seen(recipe):
    """Its fields but for name and tricks, and what its tricks do in a run of 1000 steps an epoch.

    lr: in parts of the base lr in the first step, at the end of epoch 5 and halfway from there to the end. decayed:
    the parameters that weight decay moves. target: of the true class of 11 and of another, without mixup. alpha: of
    the Beta distribution that has the variance of mixup's lambda. soft: the loss of logits (0, 0) where all others
    are 0 and the teacher's are (20 ln 3, 0).
    """
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe) if f.name not in ("name", "tricks")}
    lr_at, plan = recipe.schedule(1000)
    at = (0, 4999, 5000 + 500 * (recipe.epochs - 5))
    target, alpha = targets(recipe, plan)
    teachers = []

    def load_network(name):
        teachers.append(name)
        return mx.gluon.nn.HybridLambda(lambda F, images: F.concat(20 * np.log(3) + 0 * images, 0 * images))

    zero = mx.nd.zeros((1, 1))
    soft = recipe.loss(lambda images, logits, target: 0 * logits[:, 0], load_network)(zero, mx.nd.zeros((1, 2)), zero)
    return {
        **fields,
        **{"base lr": recipe.base_lr(), "lr": tuple(round(lr_at(step) / recipe.base_lr(), 6) for step in at)},
        **{"net": recipe.net_kwargs(), "decayed": decayed(recipe), "target": target, "alpha": alpha},
        **{"teacher": teachers[0] if teachers else None, "soft": round(float(soft.asscalar()), 1)},
    }


def decayed(recipe):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(1, in_units=1), mx.gluon.nn.BatchNorm(in_channels=1))
    for trick in recipe.tricks:
        trick.after_initialize(net)
    trained = {name: p for name, p in net.collect_params().items() if p.grad_req != "null"}
    return {name.split("_")[-1] for name, parameter in trained.items() if parameter.wd_mult}


def targets(recipe, plan):
    """(the true class's, another's) and mixup's alpha, of two images of 0s and 1s and the classes 0 and 1 of 11."""
    lams = []
    for step in range(100):
        images, target = mx.nd.array([[0], [1]]), mx.nd.one_hot(mx.nd.arange(2), 11)
        for trick in recipe.tricks:
            images, target = trick.batch(images, target, StepContext(seed=0, step=step, plan=plan))
        lams.append(images[1, 0].asscalar())  # lam * 1 + (1 - lam) * 0
        if len(lams) == 1:
            off, on = target[1, 5].asscalar(), (target[1, 1] - target[1, 5]).asscalar() / lams[0]
            true = (round(float(on + off), 4), round(float(off), 4))
            if lams[0] == 1:
                return true, None
    return true, round((0.25 / np.var(lams) - 1) / 2, 1)  # var = 1 / (4 (2 alpha + 1))


def changed(one, other):
    """What `seen` sees in which two recipes differ: name -> of the first."""
    one, other = seen(one), seen(other)
    return {name: value for name, value in one.items() if value != other[name]}


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
    assert {name: seen(base)[name] for name in STANDARD} == STANDARD and base.input_size == 224
    # Epochs 30, 60 and 90 of 120, at 1000 steps an epoch: one step before each, and the step itself.
    steps = (29_999, 30_000, 59_999, 60_000, 89_999, 90_000)
    lrs = [base.schedule(1000)[0](step) for step in steps]
    assert lrs == pytest.approx([0.1, 0.01, 0.01, 0.001, 0.001, 0.0001])
    large = {"batch_size": 1024, "base lr": 0.4, "dtype": "float16"}
    assert changed(efficient, base) == {**large, **WARMUP, **ZERO_GAMMA, **NO_BIAS_DECAY}


def test_efficient_training_of_table_3():
    """Batch 1024, 16 bit, warm-up, no bias decay; zero gamma where there are residual blocks."""
    common = {"batch_size": 1024, "base lr": 0.4, "dtype": "float16", **WARMUP, **NO_BIAS_DECAY}
    for column, zero_gamma in {"resnet50_v1": ZERO_GAMMA, "inceptionv3": {}, "mobilenet1.0": {}}.items():
        one, other = (get_recipe(f"table3/{column}/{row}") for row in ("baseline", "efficient"))
        assert changed(other, one) == common | zero_gamma
    assert get_recipe("table3/inceptionv3/baseline").input_size == 299


def test_table_1_has_the_baseline_and_all_tricks():
    """The newer networks differ from section 2's ResNet-50 in nothing but the network; the last is table 6's last."""
    rows = [row.key for row in TABLES["table1"].rows]
    for key in rows[1:-1]:
        assert [*changed(get_recipe(f"table1/imagenet/{key}"), get_recipe("baseline"))] == ["model"]
    assert changed(get_recipe("table1/imagenet/resnet50"), get_recipe("baseline")) == {}
    assert changed(get_recipe("table1/imagenet/tricks"), get_recipe("table6/resnet50_v1d/distill_mixup")) == {}
    assert [TABLES["table1"].row(key).paper["imagenet"][0] for key in rows] == [75.3, 77.8, 76.71, 78.9, 77.42, 79.29]


def test_200_epochs_without_mixup_are_told_of_one_network():
    """Their gain is over label smoothing, which mixup's row builds on too."""
    table = TABLES["table6"]
    shown = {column: [row.key for row in table.shown(column)] for column in table.columns}
    assert {column for column, keys in shown.items() if "long" in keys} == {"resnet50_v1d"}
    assert table.row("long").gain == {"resnet50_v1d": 0.15} and table.row("long").base == "smooth"


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


def test_faster_rcnns_warm_up_is_detectrons():
    """Section 6.1: 500 steps of VOC's 4137 an epoch from a third of 0.001; GluonCV has none."""
    lr_at, plan = get_recipe("table8/voc/standard").schedule(4137)
    assert plan.warmup_steps == 500 and plan.steps_per_epoch == 16_551 // 4
    assert [lr_at(step) for step in (0, 249, 499, 500)] == pytest.approx([1.004e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])
    assert get_recipe("faster_rcnn_voc_gluoncv").schedule(4137)[0](0) == 1e-3
    differences = get_recipe("faster_rcnn_voc_gluoncv").differences(get_recipe("faster_rcnn_voc"), "cells")
    assert differences == {"tricks": (["warmup", "step_decay"], ["step_decay"])}


def test_the_two_steps_of_fcn():
    """A weight of 2, of the mean loss a gradient of 0.3: [31] moves it 0.01 (0.3 + 1e-4 x 2), GluonCV by half 0.3."""
    steps = {}
    for name in ("fcn_ade20k", "fcn_ade20k_gluoncv"):
        recipe, weight = get_recipe(name), mx.nd.array([2.0])
        assert (recipe.optimizer, recipe.batch_size) == ("sgd", 16)
        optimizer = mx.optimizer.SGD(learning_rate=recipe.base_lr(), wd=recipe.wd, momentum=recipe.momentum)
        optimizer.update(0, weight, mx.nd.array([0.3]), optimizer.create_state(0, weight))
        steps[name] = 2 - weight.asscalar()
    assert steps["fcn_ade20k"] == pytest.approx(0.003002, rel=1e-3)
    assert steps["fcn_ade20k_gluoncv"] == pytest.approx(0.01 * (0.15 + 1e-4 * 2), rel=1e-3)
    assert get_recipe("fcn_ade20k_gluoncv").aux_weight == 1 and get_recipe("fcn_ade20k").aux_weight == 0.5
    assert get_recipe("table9/ade20k/standard").lr == 0.01  # the paper's is the default


def test_caffes_recipes():
    """Rates at Caffe's iterations; an epoch has 5004 steps of 256 images, or 40,036 of 32."""
    caffenet, googlenet = get_recipe("caffenet"), get_recipe("googlenet_quick")
    lr_at, plan = caffenet.schedule(5004)
    assert plan.steps == pytest.approx(450_000, rel=1e-3)
    for step, rate in ((99_999, 1e-2), (100_081, 1e-3), (200_161, 1e-4), (300_241, 1e-5), (400_321, 1e-6)):
        assert lr_at(step) == pytest.approx(rate)
    lr_at, plan = googlenet.schedule(40_036)
    assert plan.steps == pytest.approx(2_400_000, rel=1e-2)
    assert lr_at(0) == 0.01 and lr_at(plan.steps * 3 // 4) == pytest.approx(0.005, rel=1e-4)  # (1 - 3/4)^0.5
    assert (caffenet.wd, googlenet.wd, caffenet.momentum, caffenet.optimizer) == (5e-4, 2e-4, 0.9, "sgd")


def test_rows_of_the_figures_of_the_initialisation():
    reference = get_recipe("magic_figure3/caffenet/reference")
    assert reference.schedule(5004)[1].steps == pytest.approx(320_000, rel=1e-2)
    assert reference.init == "gluoncv"  # what the layers bring, Caffe's numbers
    kmeans = DataDependentInit(filters="kmeans", last_zero=True)
    added = {
        "msra": (),
        "random": (DataDependentInit(last_zero=True),),
        "kmeans": (kmeans,),
        "kmeans_no_lrn": (kmeans,),
    }
    for row, tricks in added.items():
        recipe = get_recipe(f"magic_figure3/caffenet/{row}")
        changed = {"msra": dict(init="kaiming_conv"), "kmeans_no_lrn": dict(model="caffenet_no_lrn")}.get(row, {})
        assert recipe == reference.set(name=recipe.name, **changed).add(*tricks)
    three, single = (get_recipe(f"magic_figure4/googlenet/{row}") for row in ("kmeans", "kmeans_single"))
    assert (three.model, single.model, three.aux_weight) == ("googlenet_2014_aux", "googlenet_2014", 0.3)
    assert single == three.set(name=single.name, model="googlenet_2014")
    assert get_table("magic_figure4").row("kmeans_single").paper["googlenet"][1] == pytest.approx(89.15)


def test_every_name_gives_its_recipe():
    names = [name for table in TABLES.values() for name in table.names()]
    paper = [name for name in names if not get_table(name.split("/")[0]).family]
    assert len(paper) == 3 * 2 + 2 * 5 + 4 + 4 * 7 + 2 + 1 + 7 + 7 + 6 + 3 + 2 * 14 and len(names) == len(set(names))
    assert all(get_recipe(name).name == name for name in names)


@pytest.mark.parametrize(
    "name, text",
    [
        ("table6/resnet50_v1d/mixupp", "no row 'mixupp' in table6: did you mean mixup"),
        ("table6/resnet50/mixup", "no column 'resnet50' in table6: did you mean resnet50_v1d"),
        ("table66/resnet50_v1d/mixup", "no recipe 'table66/resnet50_v1d/mixup': did you mean table6/resnet50_v1d/mix"),
        ("./runs/shapes-1", r"no recipe './runs/shapes-1': a cell is .*, the file of a run RUN/recipe\.json"),
        ("runs/shapes-1", r"no recipe 'runs/shapes-1': a cell is .*, the file of a run RUN/recipe\.json"),
        ("runs/tables/x", r"no recipe 'runs/tables/x': a cell is .*, the file of a run RUN/recipe\.json"),
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


def test_a_longer_proxy_is_the_short_one_for_five_times_as_long():
    """A quarter of the paper's epochs for its twentieth, 30 and 50 of mixup; beside that nothing but table 5's nets."""
    short, long = SCALES["imagenette"], SCALES["long"]
    for name in (
        "table4/256/fp16",
        "table6/resnet50_v1d/smooth",
        "table6/mobilenet1.0/mixup",
        "table6/resnet152_v1d/mixup",
    ):
        table, *rest = name.split("/")
        one, other = (scale.recipe(get_table(table), *rest) for scale in (short, long))
        assert (one.epochs, other.epochs) == ((10, 50) if "mixup" in name else (6, 30))
        assert {*one.differences(other, "cells")} - {"epochs"} <= {
            f"{trick}.epochs" for trick in ("warmup", "step_decay")
        }
    warmup, decay = long.recipe(get_table("table4"), "256", "warmup").tricks[-1], StepDecay((7.5, 15.0, 22.5))
    assert warmup == Warmup(1.25) and decay in long.recipe(get_table("table4"), "256", "warmup").tricks
    assert long.title.endswith("a quarter of the paper's epochs") and long.needs(get_table("table5")) == short.needs(
        get_table("table5")
    )


def test_the_longer_proxy_has_bottlenecks_in_table_5_so_that_all_four_differ():
    for scale, depth in (("smoke", 18), ("imagenette", 18), ("long", 26)):
        models = [
            SCALES[scale].recipe(get_table("table5"), "resnet50", row).model for row in ("v1", "v1b", "v1c", "v1d")
        ]
        assert models == [f"resnet{depth}_{row}" for row in ("v1", "v1b", "v1c", "v1d")]
    assert SCALES["long"].recipe(get_table("table6"), "resnet50_v1d", "cosine").model == "resnet18_v1d"


def test_inception_learns_from_the_teacher_of_the_others():
    recipe = get_recipe("table6/inceptionv3/distill")
    (trick,) = [trick for trick in recipe.tricks if trick.label() == "distillation"]
    assert recipe.input_size == 299 and recipe.teacher_size == get_recipe(trick.teacher).resolved().input_size == 224


def test_inception_has_no_small_proxy():
    assert SCALES["smoke"].recipe(get_table("table6"), "inceptionv3", "cosine") is None


def test_the_scales_of_the_paper_change_nothing():
    """But that they take no other classes than the paper's, and fix what a batch normalisation saw on its 8 devices."""
    for table in TABLES.values():
        for name in table.names():
            recipe, at_scale = get_recipe(name), list(scales_of(table).values())[-1].recipe(table, *name.split("/")[1:])
            seen = {256: 32, 1024: 128, 2048: 256}.get(recipe.batch_size)  # sections 2.1 and 3; timm's in the same way
            fields = dict(classes=table.classes, bn_batch=seen) if family_of(table) == "imagenet" else {}
            assert at_scale == recipe.set(**fields).resolved()


def test_a_scale_of_another_document_changes_what_it_says_of_a_table_and_of_a_column():
    table = dataclasses.replace(get_table("table6"), family="made_up")
    own = OwnScale("small", "short", {"table6": dict(lr=0.2), "table6/mobilenet1.0": dict(lr=0.3)}, epochs=0.1)
    recipes = [own.recipe(table, column, "cosine") for column in ("resnet50_v1d", "mobilenet1.0")]
    assert [(recipe.lr, recipe.epochs) for recipe in recipes] == [(0.2, 12), (0.3, 12)]
    (warmup,) = [trick for trick in recipes[0].tricks if trick.label() == "warmup"]
    assert warmup.epochs == pytest.approx(0.5)
    assert (
        OwnScale("paper").recipe(table, "resnet50_v1d", "cosine") == get_recipe("table6/resnet50_v1d/cosine").resolved()
    )
    assert family_of(table) == "made_up" and family_of(get_table("table8")) == "transfer"
