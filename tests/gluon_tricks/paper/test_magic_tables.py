"""The tables of data-dependent initialisation: what each row changes, their numbers, their scales, and their cells."""

import dataclasses
import json
import math

import mxnet as mx
import numpy as np
import pytest

from benchmarks.collect import collect
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.scales import scales_of
from gluon_tricks.recipes.registry import get_recipe, get_table
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks.multi_label.metrics import MultiLabelScores
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tricks import DataDependentInit, ExponentialDecay

SCALES = scales_of(get_table("magic_table1"))
NAN = math.nan


def starts(recipe):
    """(filters, within, between) of what sets its weights from images; None: nothing does."""
    found = [trick for trick in recipe.tricks if isinstance(trick, DataDependentInit)]
    assert all((trick.images, trick.rounds, trick.damping, trick.beta) == (160, 10, 0.25, 0) for trick in found)
    return (found[0].filters, found[0].within, found[0].between) if found else None


@pytest.mark.parametrize("training", ["sgd", "sgd_bn", "adam", "adam_bn"])
def test_the_rows_of_table_1_differ_in_what_scales_the_weights(training):
    rows = ("none", "within", "between", "both")
    found = {(row, kind): starts(get_recipe(f"magic_table1/{training}_{kind}/{row}")) for row in rows
             for kind in ("gaussian", "kmeans")}  # fmt: skip
    assert found == {
        ("none", "gaussian"): None,
        ("within", "gaussian"): ("gaussian", True, False),
        ("between", "gaussian"): ("gaussian", False, True),
        ("both", "gaussian"): ("gaussian", True, True),
        ("none", "kmeans"): ("kmeans", False, False),
        ("within", "kmeans"): ("kmeans", True, False),
        ("between", "kmeans"): ("kmeans", False, True),
        ("both", "kmeans"): ("kmeans", True, True),
    }
    for row in rows:  # and in nothing else
        one, first = (get_recipe(f"magic_table1/{training}_kmeans/{key}") for key in (row, "none"))
        assert {*one.differences(first, "cells")} <= {f"data_dependent_init.{part}" for part in ("within", "between")}


def test_the_columns_of_table_1_differ_in_what_trains():
    recipes = {column: recipe for column, recipe in get_table("magic_table1").columns.items() if "gaussian" in column}
    assert {
        column: (recipe.optimizer, recipe.lr, recipe.net.get("batch_norm", False)) for column, recipe in recipes.items()
    } == {
        "sgd_gaussian": ("sgd", 0.001, False),
        "sgd_bn_gaussian": ("sgd", 0.001, True),
        "adam_gaussian": ("adam", 0.0001, False),
        "adam_bn_gaussian": ("adam", 0.0001, True),
    }
    first = recipes["sgd_gaussian"]
    for recipe in recipes.values():
        assert {*recipe.differences(first, "cells")} <= {"net", "optimizer", "lr"}
    # Section 4: 80,000 steps of 10 images, the rate halved every 10,000. VOC2007 has 501 steps an epoch.
    lr_at, plan = first.schedule(501)
    assert plan.steps == 80_160 and first.batch_size == 10 and first.momentum == 0.9
    assert [lr_at(step) for step in (0, 10_019, 10_020, 79_999)] == pytest.approx([1e-3, 1e-3, 5e-4, 1e-3 / 2**7])
    assert (first.model, first.init, first.init_sd, first.test_crops) == ("caffenet", "plain", 0.01, 10)


def test_the_rows_of_table_2_in_both_columns():
    found = {}
    for row in get_table("magic_table2").rows:
        recipes = [get_recipe(f"magic_table2/{column}/{row.key}") for column in ("classification", "detection")]
        told = {(recipe.model, recipe.init, starts(recipe)) for recipe in recipes}
        assert len(told) == 1  # the same in both
        found[row.key] = told.pop()[1:]
    assert found == {
        "xavier": ("paper", None),
        "msra": ("kaiming_conv", None),
        "hand_tuned": ("gluoncv", None),  # what the layers of CaffeNet carry
        "gaussian": ("plain", ("gaussian", True, True)),
        "pca": ("plain", ("pca", True, True)),
        "kmeans": ("plain", ("kmeans", True, True)),
    }
    recipe = get_recipe("magic_table2/detection/kmeans")
    # Section 4: 150,000 steps of two images, a tenth of the rate after each 50,000; all layers learn.
    lr_at, plan = recipe.schedule(5011 // 2)
    assert plan.steps == 150_300 and recipe.frozen_stages == 0 and recipe.train_splits == ("2007_trainval",)
    assert [lr_at(step) for step in (0, 50_099, 50_100, 100_200)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])


def test_table_3_starts_from_what_others_trained():
    told = {}
    for row in get_table("magic_table3").rows:
        classification, detection = (
            get_recipe(f"magic_table3/{column}/{row.key}") for column in ("classification", "detection")
        )
        assert classification.pretrained == detection.base_params == row.weights
        assert starts(classification) == starts(detection)
        told[row.key] = (row.weights, starts(classification))
    between = ("gaussian", False, True)  # which keeps what the network computes
    assert told == {
        **{key: (key, None) for key in ("agrawal", "wang", "doersch", "krizhevsky")},
        "kmeans": ("", ("kmeans", True, True)),
        **{f"ours_{key}": (key, between) for key in ("agrawal", "wang", "doersch")},
    }


@pytest.mark.parametrize(
    "cell, percent",
    [
        *[("magic_table1/sgd_gaussian/none", 50.8), ("magic_table1/sgd_kmeans/within", 41.2)],
        *[("magic_table1/adam_kmeans/between", 57.2), ("magic_table1/adam_bn_kmeans/both", 59.8)],
        *[("magic_table1/sgd_bn_gaussian/within", NAN), ("magic_table1/adam_bn_kmeans/between", NAN)],
        *[("magic_table2/classification/msra", 43.3), ("magic_table2/detection/msra", 37.2)],
        *[("magic_table3/classification/krizhevsky", 78.2), ("magic_table3/detection/ours_doersch", 51.1)],
    ],
)
def test_numbers_of_the_document(cell, percent):
    table, column, row = cell.split("/")
    first, second = get_table(table).row(row).paper.get(column, (NAN, NAN))
    assert first == pytest.approx(percent, nan_ok=True) and math.isnan(second)


def test_the_two_scalings_with_batch_normalisation_are_shown_without_numbers(tmp_path):
    (section,) = compare("magic_table1", Runs(tmp_path, SCALES["paper"]), 1, ["sgd_bn_kmeans"]).sections
    assert [row["Paper"] for row in section.rows] == ["49.40 / -", "- / -", "- / -", "60.00 / -"]
    assert [row["Ours, mAP, 11 points"] for row in section.rows] == ["not run"] * 4


def test_equal_cells_of_the_tables_are_run_once(tmp_path):
    for scale in SCALES.values():
        runs = Runs(tmp_path, scale, data="" if scale.name == "smoke" else "/voc")
        for filters in ("gaussian", "kmeans"):
            first = runs.cell(f"magic_table1/sgd_{filters}/both", 1)
            assert runs.cell(f"magic_table2/classification/{filters}", 1) == first
            assert first.folder == tmp_path / scale.name / f"magic_table1-sgd_{filters}-both" / "seed1"
        assert runs.cell("magic_table3/detection/kmeans", 0) == runs.cell("magic_table2/detection/kmeans", 0)
        assert first.recipe.data == (runs.data or "few_scenes") and first.source is None
    names = {runs.cell(name, 0).name for table in ("magic_table1", "magic_table2") for name in get_table(table).names()}
    assert len(names) == 8 * 4 + 2 * 6 - 2


def test_a_row_is_run_where_its_weights_are_named(tmp_path):
    runs = Runs(tmp_path, SCALES["smoke"])
    assert runs.cell("magic_table3/classification/krizhevsky", 0) is None
    assert [cell.name for cell in runs.cells("magic_table3", (), (), 1)] == [
        "magic_table1/sgd_kmeans/both", "magic_table2/detection/kmeans",
    ]  # fmt: skip
    given = dataclasses.replace(runs, networks={"krizhevsky": "/here/caffenet.params"})
    classification, detection = (
        given.cell(f"magic_table3/{name}/krizhevsky", 0) for name in ("classification", "detection")
    )
    assert classification.recipe.pretrained == detection.recipe.base_params == "/here/caffenet.params"
    assert classification.folder.parent.name == "magic_table3-classification-krizhevsky"
    (section, _) = compare("magic_table3", given, 1).sections
    ours = {row["Row"]: row["Ours, mAP, 11 points"] for row in section.rows}
    assert ours["Krizhevsky et al. (2012)"] == "not run"
    assert ours["Ours + Wang & Gupta (2015)"] == "not run (needs --network wang=SRC)"
    assert section.rows[4]["Supervision"] == "initialization" and section.rows[4]["Paper, pretraining"] == "54 seconds"


@pytest.mark.parametrize("column, field", [("classification", "pretrained"), ("detection", "base_params")])
def test_a_row_of_another_network_is_another_run(column, field, leave, tmp_path):
    """Wherever its file lies now."""
    first, second, copy = (tmp_path / name for name in ("a.params", "b.params", "c.params"))
    for path, text in ((first, "1"), (second, "2"), (copy, "1")):
        path.write_text(text)
    runs = {path: Runs(tmp_path, SCALES["smoke"], networks={"krizhevsky": str(path)}) for path in (first, second, copy)}
    cells = {path: given.cell(f"magic_table3/{column}/krizhevsky", 0) for path, given in runs.items()}
    leave(runs[first], f"magic_table3/{column}/krizhevsky", 0.5)
    assert cells[first].is_done() and cells[copy].is_done()
    with pytest.raises(Refused, match=rf"seed0 holds a run of another recipe \({field}\): move it away"):
        cells[second].is_done()


def test_the_small_scale():
    recipe = SCALES["small"].recipe(get_table("magic_table1"), "adam_bn_kmeans", "both")
    assert (recipe.epochs, recipe.batch_size, recipe.input_size, recipe.side, recipe.lr) == (10, 10, 67, (76, 76), 1e-4)
    assert recipe.net == {"batch_norm": True, "hidden": 512}  # the column's, and the scale's
    assert ExponentialDecay(by=0.5, every=4.0) in recipe.tricks and starts(recipe) == ("kmeans", True, True)
    detection = SCALES["small"].recipe(get_table("magic_table2"), "detection", "pca")
    assert (detection.epochs, detection.short, detection.lr) == (10, 256, 1e-3) and starts(detection)[0] == "pca"
    assert [trick.epochs for trick in detection.tricks if trick.label() == "step_decay"] == [(5.0, 8.0)]


COLUMNS = [f"magic_table1/{column}/both" for column in get_table("magic_table1").columns if "gauss" in column]


def started(recipe):
    """The parameters of a run before its first step."""
    net = task_of(recipe)(recipe, [mx.cpu()], 1).network()
    return {name: p.data().asnumpy() for name, p in parameters_by_name(net).items()}


@pytest.mark.parametrize("name", [*COLUMNS, "magic_table1/sgd_kmeans/both", "magic_table2/detection/gaussian"])
def test_a_network_of_each_column_starts(name):
    """At the scale smoke: unscaled of the standard deviation 0.01, without biases; scaled by the images of its data."""
    table, *cell = name.split("/")
    recipe = SCALES["smoke"].recipe(get_table(table), *cell)
    recipe = recipe.add(DataDependentInit(filters=starts_of_smoke(recipe), images=8, rounds=2))
    scaled, plain = started(recipe), started(recipe.without("data_dependent_init"))
    (first,) = [name for name in scaled if name.endswith("stage1.0.weight")]
    assert plain[first].std() == pytest.approx(0.01, rel=0.05) and not plain[first.replace("weight", "bias")].any()
    assert all(np.isfinite(array).all() for array in scaled.values())
    assert np.abs(scaled[first] - plain[first]).max() > 1e-3


def starts_of_smoke(recipe):
    return next(trick.filters for trick in recipe.tricks if isinstance(trick, DataDependentInit))


def test_between_alone_changes_the_base_of_a_detector_by_a_factor_a_layer():
    """As section 4.3 has it for trained networks, whose filters stay what they are."""
    recipe = SCALES["smoke"].recipe(get_table("magic_table2"), "detection", "gaussian")
    plain = started(recipe.without("data_dependent_init"))
    scaled = started(recipe.add(DataDependentInit(within=False, images=8, rounds=2)))
    names = [name for name in plain if "stage" in name and name.endswith("weight")]
    factors = {name: np.linalg.norm(scaled[name]) / np.linalg.norm(plain[name]) for name in names}
    for name, factor in factors.items():
        np.testing.assert_allclose(scaled[name], factor * plain[name], rtol=1e-4, atol=1e-7)
    assert len(names) == 5 and max(factors.values()) > 1.5 * min(factors.values())


@pytest.mark.parametrize(
    "changes, text",
    [
        (dict(init="plain", base_params="run"), "init is plain, for a base that starts anew, and base_params run"),
        (dict(init="he"), "init is 'he': choose one of "),
        (
            dict(base_params="run", tricks=(DataDependentInit(),)),
            "base_params run and data_dependent_init, which sets all weights anew: leave one out",
        ),
    ],
)
def test_bases_that_start_twice_are_refused(changes, text):
    with pytest.raises(Refused, match=text):
        DetectionRecipe(**changes)


def test_fewer_images_than_a_base_starts_from():
    recipe = SCALES["smoke"].recipe(get_table("magic_table2"), "detection", "gaussian")
    recipe = recipe.add(DataDependentInit(images=1000))
    with pytest.raises(Refused, match="the network starts from 1000 images, and there are 4[0-9]: set images to fewer"):
        task_of(recipe)(recipe, [mx.cpu()], 1).network()


def test_records_are_collected_without_their_places(tmp_path):
    """Metrics, recipe and scores at the end of finished cells alone, and the table is shown from them."""
    runs = Runs(tmp_path / "runs", SCALES["smoke"])
    done, begun = (runs.cell("magic_table1/sgd_gaussian/none", seed) for seed in (0, 1))
    for cell in (done, begun):
        cell.folder.mkdir(parents=True)
        recipe = cell.recipe.set(train=("/home/me/train.rec",))
        (cell.folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
        (cell.folder / "metrics.csv").write_text("epoch,val_loss,val_map07,val_map\n1,0.5,0.25,0.125\n")
        scores = {MultiLabelScores.at_end["val_map07"]: 0.5, MultiLabelScores.at_end["val_map"]: 0.375}
        events = [{"event": "begin", "host": "mine"}, {"event": "final_scores", "scores": scores}]
        (cell.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (done.folder / "final.params").touch()
    failed = runs.cell("magic_table1/sgd_gaussian/within", 0)
    failed.folder.parent.mkdir()
    failed.failure.write_text("stopped: the loss of step 6 is nan\n")
    assert collect(tmp_path / "runs" / "smoke", tmp_path / "kept" / "smoke", "magic") == 1
    told = [path.read_text() for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert len(told) == 4 and not any("/home/me" in text or "mine" in text for text in told)
    from_records = Runs(tmp_path / "kept", SCALES["smoke"])
    again = from_records.cell("magic_table1/sgd_gaussian/within", 0)
    assert again.state() == "failed: stopped: the loss of step 6 is nan"
    kept = from_records.cell("magic_table1/sgd_gaussian/none", 0)
    assert kept.is_done() and kept.scores() == (0.5, 0.375) and kept.stored().train == ("train.rec",)


def test_a_difference_is_to_what_a_row_changes(tmp_path):
    """Scalings to none of it, networks that were rescaled to the same networks as they are: the document's numbers."""
    runs = {name: Runs(tmp_path, scales_of(get_table(name))["small"]) for name in ("magic_table1", "magic_table3")}
    told = {
        (row["Row"]): row["Paper's difference"]
        for row in compare("magic_table1", runs["magic_table1"], 1, ["sgd_kmeans"]).sections[0].rows
    }
    assert [*told.values()] == ["", "+0.00", "+14.50", "+15.40"]  # of 41.2: 41.2, 55.7, 56.6
    ours = [
        row["Paper's difference"]
        for row in compare("magic_table3", runs["magic_table3"], 1, ["classification"]).sections[0].rows
    ]
    assert ours[-3:] == ["+1.30", "+0.30", "+10.00"]  # 54.2 - 52.9, 63.1 - 62.8, 65.3 - 55.3
