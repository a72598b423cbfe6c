"""Cells: which runs a table needs, in which order, how far they are, and the table made of them."""

import collections
import csv
import dataclasses
import io
import json
import shutil
import sys

import cv2
import numpy as np
import pytest

from gluon_tricks.cli import train_cells
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.networks.moved import digests_of_networks
from gluon_tricks.paper import cells, data_needed, estimate, run_cells, tables
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.data_needed import digests_of_folder
from gluon_tricks.paper.magic_scales import MAGIC_SCALES
from gluon_tricks.paper.scales import TRANSFER_SCALES, get_scale, scales_of
from gluon_tricks.recipes.registry import TABLES
from gluon_tricks.recipes.tables.rows import Row

METRICS = ("epoch", "val_top1", "val_top5", "images_per_second")


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path, get_scale("imagenette"), ("train.rec",), ("val.rec",))


def leave(cell, top1, top5=0.9, epochs=None, columns=METRICS, **changes):
    """What a finished (or shorter) run leaves."""
    cell.folder.mkdir(parents=True)
    stored = json.loads(json.dumps(cell.recipe.to_json()))
    (cell.folder / "recipe.json").write_text(
        json.dumps({**stored, "dtype": "bfloat16", "classes": stored["classes"] or 10, **changes})
    )
    with open(cell.folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows((e + 1, top1, top5, 200.0) for e in range(cell.recipe.epochs if epochs is None else epochs))


def test_a_cell_knows_its_recipe_and_folder(runs):
    cell = runs.cell("table6/resnet50_v1d/smooth", 2)
    assert cell.folder == runs.root / "imagenette" / "table6-resnet50_v1d-smooth" / "seed2"
    assert (cell.recipe.model, cell.recipe.seed, cell.recipe.train) == ("resnet18_v1d", 2, ("train.rec",))
    assert cell.recipe.data == "records" and cell.state() == "not run"


def test_equal_recipes_of_two_tables_are_one_cell(runs):
    """ResNet-50-D of table 5 is the efficient row of table 6; table 4 ends in the efficient setting of table 3."""
    for one, other in (
        ("table6/resnet50_v1d/efficient", "table5/resnet50/v1d"),
        ("table4/1024/fp16", "table3/resnet50_v1/efficient"),
        ("table4/256/linear_scaling", "table3/resnet50_v1/baseline"),
    ):
        assert runs.cell(one, 0) == runs.cell(other, 0)


@pytest.fixture
def transfers(tmp_path):
    return Runs(tmp_path, get_scale("small", TRANSFER_SCALES), ("train.rec",), ("val.rec",), "/voc")


def test_a_transfer_starts_from_one_base_network_for_all_seeds(transfers):
    """Bases are cells of tables 5 and 6; one with a teacher needs that first."""
    cell = transfers.cell("table8/voc/distill", 2)
    base = Runs(transfers.root, get_scale("imagenette"), ("train.rec",), ("val.rec",)).cell(
        "table6/resnet50_v1d/distill", 0
    )
    assert cell.source == base and cell.recipe.base_params == str(base.folder)
    assert (cell.recipe.model, cell.recipe.seed, cell.recipe.data, cell.recipe.short) == (
        "resnet18_v1d",
        2,
        "/voc",
        300,
    )
    wanted = cells.missing(transfers.cells("table8", [], ["distill"], 2))
    assert [(c.name, c.recipe.seed) for c in wanted] == [
        ("table6/resnet152_v1d/smooth", 0),
        ("table6/resnet50_v1d/distill", 0),
        ("table8/voc/distill", 0),
        ("table8/voc/distill", 1),
    ]


def test_correlations_are_of_ranks(transfers):
    """Three rows whose order of bases is that of their scores but for one swap: 1 - 6 * 2 / (3 * 8) = 0.5."""
    for key, top1, score in (("standard", 0.3, 0.2), ("efficient", 0.5, 0.4), ("cosine", 0.6, 0.3)):
        cell = transfers.cell(f"table9/ade20k/{key}", 0)
        leave(cell, score, score / 2, columns=("epoch", "val_pix_acc", "val_miou", "images_per_second"))
        if not cell.source.folder.exists():
            leave(cell.source, top1)
    comparison = compare("table9", transfers, 1)
    assert "pixAcc: paper +0.07 (7 rows), ours +0.50 (3 rows)" in comparison.sections[0].note
    row = comparison.sections[0].rows[1]
    assert row["Ours, pixAcc"] == "40.00 (1)" and row["Ours, top-1 of the base"] == "50.00"
    assert "val_pix_acc" not in tables.page(comparison) and "validation pixAcc" in tables.page(comparison)


def test_both_scores_of_a_segmenter_are_shown_by_name(transfers):
    """One run tells those at several scales, 51 and 31 %; the other is of a version that did not compute them."""
    columns = ("epoch", "val_pix_acc", "val_miou", "images_per_second")
    for key in ("standard", "cosine"):
        cell = transfers.cell(f"table9/ade20k/{key}", 0)
        assert cell.recipe.final_scales == "several"
        leave(cell, 0.5, 0.3, columns=columns, **({} if key == "standard" else {"final_scales": "one"}))
        leave(cell.source, 0.6)
    scores = {"pixAcc, multi-scale": 0.51, "mIoU, multi-scale": 0.31}
    event = json.dumps({"event": "final_scores", "scores": scores})
    (transfers.cell("table9/ade20k/standard", 0).folder / "events.jsonl").write_text(event + "\n")
    section = compare("table9", transfers, 1).sections[0]
    rows = {row["Row"]: row for row in section.rows}
    names = ("Ours, pixAcc", "Ours, mIoU", "Ours, pixAcc, multi-scale", "Ours, mIoU, multi-scale")
    assert [rows["B-standard"][name] for name in names] == ["50.00 (1)", "30.00 (1)", "51.00 (1)", "31.00 (1)"]
    assert [rows["+ cosine"][name] for name in names] == ["50.00 (1)", "30.00 (1)", "-", "-"]
    assert "multi-scale: of the mean over six scales and mirror images" in section.note


def test_the_teacher_comes_first_and_once(runs):
    wanted = cells.missing(runs.cells("table6", ["resnet50_v1d", "mobilenet1.0"], ["distill"], 1))
    names = [cell.name for cell in wanted]
    assert names == [
        "table6/resnet152_v1d/smooth",
        "table6/resnet50_v1d/distill",
        "table6/mobilenet1.0/distill",
    ]
    (distillation,) = [t for t in wanted[1].recipe.tricks if t.label() == "distillation"]
    assert distillation.teacher == str(wanted[0].folder)
    (wanted[0].folder).mkdir(parents=True)
    (wanted[0].folder / "final.params").write_bytes(b"")
    assert [c.name for c in cells.missing(wanted[1:])] == names[1:]


def test_a_teacher_whose_network_has_gone_comes_first(transfers):
    """Of a base network's teacher too, of which the metrics alone are left: they teach nothing."""
    cell = transfers.cell("table8/voc/distill", 0)
    teacher, base = cell.source.source, cell.source
    leave(teacher, 0.5)
    assert teacher.is_done() and cells.missing([base]) == [teacher, base]
    assert cells.missing([cell]) == [teacher, base, cell]


def test_seeds_come_one_after_the_other(runs):
    wanted = runs.cells("table5", (), ("v1", "v1d"), 2)
    assert [(c.name.split("/")[2], c.recipe.seed) for c in wanted] == [("fp16", 0), ("v1d", 0), ("fp16", 1), ("v1d", 1)]


def test_the_papers_four_runs_are_four_at_its_scale(runs):
    """Of what it gives a spread of: six rows of ResNet-50-D, not the seventh, Inception and MobileNet once each."""
    at_its_scale = Runs(runs.root, get_scale("imagenet"), runs.train, runs.val).cells("table6", (), (), None)
    counted = collections.Counter(cell.name.split("/")[1] for cell in at_its_scale)
    assert counted == {"resnet50_v1d": 5 * 4 + 1, "resnet50": 4, "inceptionv3": 6, "mobilenet1.0": 6}
    assert [cell.recipe.seed for cell in at_its_scale if cell.name.endswith("v1d/mixup")] == [0, 1, 2, 3]
    assert {cell.recipe.seed for cell in runs.cells("table6", (), (), None)} == {0}
    assert {cell.recipe.seed for cell in runs.cells("table6", (), (), 3)} == {0, 1, 2}


def test_equal_cells_of_tables_1_and_2_are_those_of_the_others(runs):
    """So that what has been run for tables 3 and 6 is not run again."""
    names = {cell.name for table in ("table1", "table2") for cell in runs.cells(table, (), (), 1)}
    assert names == {"table3/resnet50_v1/baseline", "table3/mobilenet1.0/baseline", "table6/resnet50_v1d/distill_mixup"}
    at_its_scale = Runs(runs.root, get_scale("imagenet")).cells("table1", (), (), 1)
    assert [cell.name for cell in at_its_scale] == [
        "table3/resnet50_v1/baseline", *(f"table1/imagenet/{key}" for key in
        ("resnext50", "se_resnet50", "se_resnext50", "densenet201")), "table6/resnet50_v1d/distill_mixup",
    ]  # fmt: skip


def test_tables_1_and_2_are_shown_beside_the_papers_numbers(runs):
    leave(runs.cell("table3/resnet50_v1/baseline", 0), 0.5)
    leave(runs.cell("table6/resnet50_v1d/distill_mixup", 0), 0.6)
    (section,) = compare("table1", runs, 1).sections
    rows = {row["Row"]: row for row in section.rows}
    assert rows["ResNet-50 + tricks (bfloat16 in its place)"]["Paper, FLOPs"] == "4.3 G"
    assert rows["ResNet-50"]["Paper"] == "75.30 / 92.20" and rows["ResNet-50"]["Ours, top-1"] == "50.00 (1)"
    assert rows["ResNeXt-50"]["Paper"] == "77.80 / -" and rows["ResNeXt-50"]["Ours, top-1"] == "no proxy"
    assert rows["SE-ResNeXt-50"]["Paper, FLOPs"] == "4.3 G" and section.rows[-1]["Paper"] == "79.29 / 94.63"
    resnet, inception, mobilenet = (section.rows[0] for section in compare("table2", runs, 1).sections)
    assert (resnet["Paper"], resnet["Reference"], resnet["Ours, top-1"]) == (
        "75.87 / 92.70", "75.30 / 92.20", "50.00 (1)",
    )  # fmt: skip
    assert inception["Reference"] == "78.80 / 94.40" and mobilenet["Reference"] == "70.60 / -"


def test_the_paper_gives_the_gain_of_200_epochs_alone(runs):
    for row, top1 in (("smooth", 0.5), ("long", 0.53)):
        leave(runs.cell(f"table6/resnet50_v1d/{row}", 0), top1)
    (section,) = compare("table6", runs, 1, ["resnet50_v1d"]).sections
    long = section.rows[-1]
    assert (long["Paper"], long["Paper's difference"], long["Our difference"]) == ("- / -", "+0.15", "+3.00 ?")


def test_inception_has_no_cells_at_a_small_scale(runs):
    assert {cell.name.split("/")[1] for cell in runs.cells("table6", (), (), 1)} == {
        "resnet50", "resnet50_v1d", "mobilenet1.0",
    }  # fmt: skip


def test_states(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5, epochs=2)
    assert cell.state() == "2 of 6 epochs" and cell.scores() is None
    cell.failure.write_text("refused: there is no train.rec\n")
    assert cell.state() == "failed: refused: there is no train.rec"
    done = runs.cell("table5/resnet50/v1c", 0)
    leave(done, 0.5)
    assert done.state() == "done" and done.scores() == (0.5, 0.9)
    assert cells.missing([cell, done]) == [cell]


@pytest.mark.parametrize(
    "changes, text", [({"input_size": 32}, "input_size"), ({"tricks": []}, "tricks"), ({"seed": 9}, "seed")]
)
def test_a_run_of_another_recipe_is_refused(runs, changes, text):
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5, **changes)
    with pytest.raises(Refused, match=rf"seed0 holds a run of another recipe \({text}\)"):
        cell.is_done()


def test_a_run_of_an_older_version_may_lack_fields(runs):
    """It was trained by what is now their default."""
    cell = runs.cell("table6/resnet50_v1d/distill", 0)
    tricks = json.loads(json.dumps(cell.recipe.to_json()["tricks"]))
    assert tricks[-1].pop("form") == "paper"
    leave(cell, 0.5, tricks=tricks)
    assert cell.is_done()


def test_a_teacher_of_another_recipe_is_refused(runs):
    teacher = runs.cell("table6/resnet152_v1d/smooth", 0)
    leave(teacher, 0.5, tricks=[])
    (teacher.folder / "final.params").touch()
    with pytest.raises(Refused, match=r"table6-resnet152_v1d-smooth/seed0 holds a run of another recipe \(tricks\)"):
        cells.missing(runs.cells("table6", ["resnet50_v1d"], ["distill"], 1))


@pytest.mark.parametrize(
    "name, scales, place",
    [
        ("table8/voc/standard", TRANSFER_SCALES, "base_params"),
        ("table9/ade20k/standard", TRANSFER_SCALES, "base_params"),
        ("transfer_learning/new_classes/frozen_10", scales_of(TABLES["transfer_learning"]), "pretrained"),
        ("table6/resnet50_v1d/distill", scales_of(TABLES["table6"]), "distillation.teacher"),
    ],
)
def test_an_exchanged_source_is_noticed_under_a_finished_cell(name, scales, place, tmp_path):
    """What it tells that it began from, and what stands there now; what is gone is not compared."""
    scale = get_scale("imagenette" if "imagenette" in scales else "small", scales)
    cell = Runs(tmp_path, scale, ("train.rec",), ("val.rec",)).cell(name, 0)
    leave(cell, 0.5, columns=("epoch", "val_map", "val_miou", "images_per_second"), classes=cell.recipe.classes)
    cell.source.folder.mkdir(parents=True)
    file = cell.source.folder / "final.params"
    file.write_bytes(b"before")
    event = {"event": "start", "networks": digests_of_networks(cell.recipe)}
    (cell.folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    assert [*event["networks"]] == [place] and cell.is_done()
    file.write_bytes(b"another one")
    with pytest.raises(
        Refused, match=rf"holds a run of another recipe \({place} has other numbers now\): move it away"
    ):
        cell.is_done()
    file.unlink()
    assert cell.is_done()
    (said,) = estimate.replaced([cell.source], [cell, cell.source])
    assert said.startswith(f"{cell.name}, seed 0, is done, and began from {cell.source.name}, which is trained anew: ")
    assert not any("began from" in line for line in estimate.replaced([cell.source, cell], [cell, cell.source]))


def test_a_network_that_was_given_is_not_that_of_a_cell(tmp_path):
    """Whichever of both was trained first, the other one is asked for then."""
    scale = get_scale("small", scales_of(TABLES["transfer_learning"]))
    name = "transfer_learning/new_classes/frozen_10"
    own = Runs(tmp_path, scale, ("train.rec",), ("val.rec",)).cell(name, 0)
    given = dataclasses.replace(own, recipe=own.recipe.set(pretrained="/mine/best/final.params"), source=None)
    for trained, asked in ((given, own), (own, given)):
        shutil.rmtree(own.folder, ignore_errors=True)
        leave(trained, 0.5, classes=None)
        assert trained.is_done()
        with pytest.raises(Refused, match=r"seed0 holds a run of another recipe \(pretrained\): move it away"):
            asked.is_done()


def test_a_run_on_other_images_is_refused(runs):
    """Wherever they lay and lie; what a run does not tell, and what is not known when it is shown, is not compared."""
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5)
    asked = dataclasses.replace(runs, digest="of these").cell("table5/resnet50/v1b", 0)
    assert asked.is_done()
    for told in ("of these", "of those"):
        (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", "records": told}) + '\n{"eve')
        if told == "of these":
            assert asked.is_done()
    assert Runs(runs.root, runs.scale).cell("table5/resnet50/v1b", 0).is_done()
    with pytest.raises(Refused, match=r"seed0 holds a run of another recipe \(other images\): move it away"):
        asked.is_done()
    (cell.folder / "events.jsonl").write_text(json.dumps({"records": "of these", "val_records": "v"}) + "\n")
    asked = dataclasses.replace(runs, digest="of these", val_digest="w")
    with pytest.raises(Refused, match=r"seed0 holds a run of another recipe \(other validation images\): move it"):
        asked.cell("table5/resnet50/v1b", 0).is_done()
    assert dataclasses.replace(asked, val_digest="v").cell("table5/resnet50/v1b", 0).is_done()


def test_drawn_images_are_no_photos(tmp_path):
    drawn = Runs(tmp_path, get_scale("smoke")).cell("table5/resnet50/v1b", 0)
    leave(drawn, 0.5)
    assert drawn.is_done()
    (drawn.folder / "recipe.json").write_text(json.dumps(drawn.recipe.set(data="records").to_json()))
    with pytest.raises(Refused, match=r"another recipe \(data\)"):
        drawn.is_done()


def test_the_papers_scale_is_imagenets(tmp_path):
    """Ten classes are a proxy, and this scale's title says of none."""
    cell = Runs(tmp_path, get_scale("imagenet"), ("t.rec",), ("v.rec",)).cell("table6/resnet50_v1d/mixup", 0)
    assert cell.recipe.classes == 1000 and cell.recipe.rollbacks == 0
    leave(cell, 0.5, classes=10)
    with pytest.raises(Refused, match=r"another recipe \(classes\)"):
        cell.is_done()
    places = Runs(tmp_path, get_scale("imagenet")).cell("table7/resnet50_v1d/best", 0)
    assert places.recipe.classes == 365


@pytest.mark.parametrize(
    "event, done",
    [
        ({"contexts": ["gpu(0)"] * 8, "ranks": 1}, True),  # of version 0.5: 1024 / 8 is 128
        ({"contexts": ["gpu(0)"], "ranks": 8}, True),
        ({"contexts": ["gpu(0)"] * 4, "ranks": 1}, False),
        ({"contexts": ["gpu(0)"] * 4, "ranks": 1, "bn_batch": 128}, True),
        (None, True),  # only its metrics have been kept
        ({"contexts": 8, "ranks": 1}, True),  # as somebody has left it: it does not tell
        ({"contexts": ["gpu(0)"], "ranks": 0}, True),
        ({"contexts": ["gpu(0)"]}, True),
        ({"contexts": ["gpu(0)"], "ranks": 8, "bn_batch": [128]}, False),
    ],
)
def test_a_run_of_before_counts_by_what_its_norms_saw(event, done, tmp_path):
    cell = Runs(tmp_path, get_scale("imagenet"), ("t.rec",), ("v.rec",)).cell("table6/resnet50_v1d/mixup", 0)
    assert cell.recipe.bn_batch == 128
    leave(cell, 0.5, bn_batch=None, dtype="float16")
    if event:
        (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", **event}) + "\n")
    if done:
        assert cell.is_done()
        return
    with pytest.raises(Refused, match=r"another recipe \(bn_batch\)"):
        cell.is_done()


def test_a_proxys_images_are_refused_at_the_papers_scale(tmp_path, tiny_records):
    train, val = ((str(tiny_records / f"{split}.rec"),) for split in ("train", "val"))
    with pytest.raises(Refused, match="table6 at the scale imagenet has 1000 classes and .*train.rec has 4: name the"):
        Runs(tmp_path, get_scale("imagenet"), train, val).require_data("table6")
    Runs(tmp_path, get_scale("imagenette"), train, val).require_data("table6")


@pytest.mark.parametrize(
    "name, classes",
    [
        *[(name, 1000) for name in ("cvjena_table1", "cvjena_figure1", "cvjena_bn", "magic_figure3", "magic_figure4")],
        ("degradation", 10),
        ("transfer_learning", None),  # photos of one's own classes
    ],
)
def test_other_documents_images_have_the_classes_of_their_tables(name, classes, tmp_path, tiny_records):
    """Of recipes that leave them open."""
    train, val = ((str(tiny_records / f"{split}.rec"),) for split in ("train", "val"))
    for scale in scales_of(TABLES[name]).values():
        runs = Runs(tmp_path, scale, train, val)
        if scale.title and classes is None:  # a proxy takes some of the classes of its own images
            with pytest.raises(Refused, match=f"{name} at the scale {scale.name} takes images of the classes "):
                runs.require_data(name)
        elif scale.title or classes is None:
            runs.require_data(name)
        if scale.title or classes is None:
            continue
        with pytest.raises(Refused, match=f"{name} at the scale paper has {classes} classes and .*train.rec has 4: "):
            runs.require_data(name)


def test_places_are_no_imagenet(runs):
    """Their recipes are those of table 6 at small scales, and their images are not."""
    for row, other in (("efficient", "efficient"), ("best", "mixup")):
        ours, theirs = runs.cell(f"table7/resnet50_v1d/{row}", 0), runs.cell(f"table6/resnet50_v1d/{other}", 0)
        assert ours.folder != theirs.folder and ours.recipe.set(name="") == theirs.recipe.set(name="")


def test_a_cell_that_was_killed_before_its_last_checkpoint_is_not_done(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5)
    (cell.folder / "checkpoints").mkdir()
    assert not cell.is_done() and cell.state() == "6 of 6 epochs"
    (cell.folder / "final.params").touch()
    assert cell.is_done() and cells.missing([cell], networks=True) == []


def test_of_some_cells_only_the_metrics_have_been_kept(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5)
    assert cells.missing([cell]) == [] and cells.missing([cell], networks=True) == [cell]


def test_what_an_older_version_did_not_count(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5)
    (cell.folder / "metrics.csv").write_text("epoch,train_error,val_top1\n1,,0.5\n2,0.25,0.75\n")
    first, second = cell.metrics()
    assert str(first["train_error"]) == "nan" and first["val_top1"] == 0.5 and second["train_error"] == 0.25


def test_damaged_metrics_are_told(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    leave(cell, 0.5)
    for text in ("epoch,val_top1\n1\n", "epoch,val_top1\n1,a\n"):
        (cell.folder / "metrics.csv").write_text(text)
        with pytest.raises(Refused, match=r"metrics.csv is damaged .*: move .*seed0 away"):
            cell.metrics()


def test_how_many_seeds_there_are(runs):
    wanted = runs.cells("table5", (), (), 1)
    assert runs.seeds(wanted) == 0
    for seed in (0, 2):
        leave(runs.cell("table5/resnet50/v1b", seed), 0.5)
    runs.cell("table5/resnet50/v1b", 3).failure.touch()  # a file beside them
    assert runs.seeds(wanted) == 3


def test_a_seed_that_failed_and_other_precisions_are_told_of(runs):
    for seed, top1 in ((0, 0.5), (1, 0.6)):
        leave(runs.cell("table5/resnet50/v1b", seed), top1, dtype=("float32", "bfloat16")[seed])
    runs.cell("table5/resnet50/v1b", 2).failure.write_text("refused: no room")
    text = tables.markdown(compare("table5", runs, 3))
    shown = "55.00 ± 7.07 (2) in bfloat16 and float32; seed 2 failed: refused: no room"
    assert cells_of(text, "ResNet-50-B")[1] == shown and "at 64 px, batch 64, bfloat16, float32\n" in text
    leave(runs.cell("table5/resnet50/v1c", 0), 0.5, epochs=2)
    runs.cell("table5/resnet50/v1c", 1).folder.parent.mkdir(exist_ok=True)
    runs.cell("table5/resnet50/v1c", 1).failure.write_text("refused: no room")
    shown = "seed 0 2 of 6 epochs; seed 1 failed: refused: no room"
    assert cells_of(tables.markdown(compare("table5", runs, 3)), "ResNet-50-C")[1] == shown


def cells_of(markdown, label):
    """The texts of the row with that label."""
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in markdown.splitlines()]
    return next(row[1:] for row in rows if row[0] == label)


def test_the_shown_table(runs):
    """Differences by hand: v1b - v1 is 2, 2.2, 1.8 points: mean 2, std 0.2, t = 2 / (0.2 / sqrt(3)) = 17.32.

    Of two degrees of freedom p = 1 - t / sqrt(t^2 + 2), and the interval's half is 4.3027 x 0.2 / sqrt(3) = 0.497.
    Of two tests Holm's correction doubles the smaller p. Three seeds could tell 3.264 standard deviations.
    """
    for seed, (v1, v1b, v1c) in enumerate([(0.60, 0.62, 0.65), (0.61, 0.632, 0.60), (0.62, 0.638, 0.61)]):
        for row, top1 in (("v1", v1), ("v1b", v1b), ("v1c", v1c)):
            leave(runs.cell(f"table5/resnet50/{row}", seed), top1)
    text = tables.markdown(compare("table5", runs, 3))
    assert text.startswith("# table5: model tweaks (a proxy: small networks on small photos")
    assert "## resnet50: resnet18_v1 at 64 px, resnet18_v1b at 64 px" in text
    top5 = "90.00 ± 0.00 (3)"
    # ResNet-18 with 10 classes has 11,689,512 - 990 x 513 parameters; at 64 px its 1.81 G multiply-adds are a twelfth.
    cost = ["25 M", "3.8 G", "11.2 M", "148.1 M"]
    assert cells_of(text, "ResNet-50") == ["76.21 / 92.97", "61.00 ± 1.00 (3)", top5, *[""] * 5, *cost]
    # 62, 63.2, 63.8: mean 63, std 0.9165
    tests = ["+2.00 *", "+1.50 to +2.50", "0.003, 0.007", "0.65 (3 seeds)"]
    assert cells_of(text, "ResNet-50-B")[1:8] == ["63.00 ± 0.92 (3)", top5, "+0.45", *tests]
    # 3, -3.2, -2.8: mean -1, std 3.47, t = -0.499
    tests = ["-1.00 ~", "-9.62 to +7.62", "0.667, 0.667", "11.33 (3 seeds)"]
    assert cells_of(text, "ResNet-50-C")[1:8] == ["62.00 ± 2.65 (3)", top5, "+0.21", *tests]
    assert cells_of(text, "ResNet-50-D")[:8] == ["77.16 / 93.52", "not run", "", "+0.29", *[""] * 4]
    # The root of the mean of 0.04 and 12.04 is 2.458.
    said = (
        "(standard deviation 2.46 points), 3 seeds could tell 8.02 points, 5 seeds 4.13, 10 seeds 2.45, 20 seeds 1.62."
    )
    assert said in text
    alone = tables.markdown(compare("table5", runs, 3, rows=["v1b"]))  # the correction is over those that are not shown
    assert cells_of(alone, "ResNet-50-B")[1:8] == cells_of(text, "ResNet-50-B")[1:8]


def test_rows_are_compared_with_the_row_they_build_on(runs):
    for row, top1 in (("smooth", 0.70), ("distill", 0.74), ("mixup", 0.71)):
        leave(runs.cell(f"table6/resnet50_v1d/{row}", 0), top1)
    (section,) = compare("table6", runs, 1, ["resnet50_v1d"]).sections
    lines = {line.key: line for line in section.lines}
    assert lines["mixup"].pairs() == pytest.approx([1])  # against label smoothing, not against distillation
    assert lines["mixup"].paper_difference() == pytest.approx(0.64)  # 79.01 - 78.37
    assert lines["cosine"].pairs() == ()
    (alone,) = compare("table6", runs, 1, ["resnet50_v1d"], ["mixup"]).sections[0].lines
    assert alone.paired() == pytest.approx({0: 1}) and alone.above.key == "smooth"  # also where that row is not shown
    assert {row["Row"]: row["Paper"] for row in section.rows}["+ cosine decay"] == "77.73 ± 0.13 / 93.82 ± 0.08"


@pytest.mark.parametrize("name, mixup, both", [("table8", 81.10 - 80.71, 81.33 - 81.10), ("table9", -0.17, 0.25)])
def test_base_networks_are_compared_as_they_stack(name, mixup, both, transfers):
    """That with mixup stands on label smoothing, as in table 6; its recipe is that of its column."""
    (section,) = compare(name, transfers, 1).sections
    lines = {line.key: line for line in section.lines}
    assert lines["mixup"].above.key == "smooth" and lines["distill_mixup"].above.key == "mixup"
    differences = [lines[key].paper_difference() for key in ("mixup", "distill_mixup")]
    assert differences == pytest.approx([mixup, both])
    table = TABLES[name]
    (column,) = table.columns
    recipes = {row.key: table.recipe(column, row.key) for row in table.rows}
    assert {*recipes["mixup"].differences(recipes["smooth"], "cells")} == {"base_params"}


@pytest.fixture
def with_own_row(monkeypatch):
    """with_own_row(table): the table has one more row, "own", of which the paper has no numbers."""

    def add(name):
        table = TABLES[name]
        own = Row("own", "an own row", set=dict(wd=0.001), base=table.rows[0].key)
        monkeypatch.setitem(TABLES, name, dataclasses.replace(table, rows=(*table.rows, own)))
        cells._first_names.cache_clear()

    yield add
    cells._first_names.cache_clear()


@pytest.mark.parametrize("name", [name for name in TABLES if not TABLES[name].family])
def test_a_row_without_the_papers_numbers_is_shown(name, runs, transfers, with_own_row):
    with_own_row(name)
    columns = {"table8": ("epoch", "val_map07", "val_map", "x"), "table9": ("epoch", "val_pix_acc", "val_miou", "x")}
    where, columns = (transfers, columns[name]) if name in columns else (runs, METRICS)
    if where is transfers:
        leave(where.bases.cell(TABLES[name].rows[0].set["base_params"], 0), 0.3)
    column = next(iter(TABLES[name].columns))
    leave(where.cell(f"{name}/{column}/{TABLES[name].rows[0].key}", 0), 0.5, columns=columns)
    leave(where.cell(f"{name}/{column}/own", 0), 0.625, columns=columns)
    comparison = compare(name, where, 1, [column])
    row = comparison.sections[0].rows[-1]
    assert (row["Paper"], row["Paper's difference"]) == ("- / -", "-")
    assert row[f"Ours, {comparison.scores[0]}"] == "62.50 (1)" and row["Our difference"] == "+12.50 ?"
    assert "nan" not in tables.markdown(comparison) + tables.as_csv(comparison)


def test_a_score_that_is_no_number(runs):
    """Such as the mAP of a detector that found nothing."""
    leave(runs.cell("table5/resnet50/v1", 0), float("nan"))
    leave(runs.cell("table5/resnet50/v1b", 0), 0.5)
    text = tables.markdown(compare("table5", runs, 1))
    assert cells_of(text, "ResNet-50")[1] == "done, without a score" and cells_of(text, "ResNet-50-B")[4] == ""
    assert "nan" not in text


def test_another_precision_is_named_where_the_row_is_about_it(runs):
    assert [line.label for line in compare("table4", runs, 1, ["256"]).sections[0].lines][-1] == "+ FP16"
    leave(runs.cell("table4/256/fp16", 0), 0.5)
    labels = [line.label for line in compare("table4", runs, 1, ["256"]).sections[0].lines]
    assert labels[-1] == "+ FP16 (bfloat16 in its place)" and labels[0] == "Linear scaling"


def test_table_3_projects_an_epoch_of_imagenet(runs):
    """1,281,167 images at 200 images/s are 106.8 minutes; 150 steps of batch 64, 0.8."""
    cell = runs.cell("table3/resnet50_v1/baseline", 0)
    leave(cell, 0.5)
    start = {"event": "start", "steps_per_epoch": 150, "contexts": ["cpu(0)"], "ranks": 1, "cores": 2}
    (cell.folder / "events.jsonl").write_text('{"event": "warning"}\n' + json.dumps(start) + "\n")
    text = tables.markdown(compare("table3", runs, 1, ["resnet50_v1"]))
    assert "Projected, min/epoch of ImageNet at 64 px" in text
    assert cells_of(text, "Baseline, batch 256, FP32")[-5:] == ["13.3", "2 cores", "200", "0.8", "107"]
    assert cells_of(text, "Efficient, batch 1024, FP16")[-5:] == ["4.4", "", "", "", ""]
    resumed = {**start, "event": "resume", "contexts": [f"gpu({k})" for k in range(8)]}
    (cell.folder / "events.jsonl").write_text(f"{json.dumps(start)}\n{json.dumps(resumed)}\n")
    text = tables.markdown(compare("table3", runs, 1, ["resnet50_v1"]))
    assert cells_of(text, "Baseline, batch 256, FP32")[-4] == "2 cores and 8 GPUs"
    for odd in ({"contexts": 5}, {"contexts": []}, {"contexts": [1]}, {"ranks": None}, {"cores": "2"}, {"cores": []}):
        (cell.folder / "events.jsonl").write_text(json.dumps({**start, **odd}) + "\n")
        text = tables.markdown(compare("table3", runs, 1, ["resnet50_v1"]))
        assert cells_of(text, "Baseline, batch 256, FP32")[-4] == ""
    (cell.folder / "events.jsonl").unlink()  # speeds of a machine that nobody names
    text = tables.markdown(compare("table3", runs, 1, ["resnet50_v1"]))
    assert cells_of(text, "Baseline, batch 256, FP32")[-5:] == ["13.3", "", "", "", ""]


def test_table_7_has_the_test_servers_column(runs):
    leave(runs.cell("table7/resnet50_v1d/best", 0), 0.5)
    text = tables.markdown(compare("table7", runs, 1))
    ours = "scored by its server alone: gluon-tricks evaluate --submission"
    assert cells_of(text, "ResNet-50-D Efficient") == [
        *("56.34 / 86.87", "not run", "", "", "", "57.18 / 87.28", ours)
    ]  # fmt: skip
    assert cells_of(text, "ResNet-50-D Best")[-2:] == ["57.63 / 87.82", ours]


def test_csv_has_the_differences(runs):
    """Each run its own, and what is said of all of a row."""
    for seed, (v1, v1b) in enumerate([(0.60, 0.62), (0.61, 0.632), (0.62, 0.638)]):
        leave(runs.cell("table5/resnet50/v1", seed), v1)
        leave(runs.cell("table5/resnet50/v1b", seed), v1b)
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(compare("table5", runs, 3)))))
    names = ("paper_difference", "difference", "mean_difference", "low_95", "high_95", "p", "p_holm", "could_tell")
    assert {rows[0][name] for name in names} == {""}  # the first row has none
    found = [[float(row[name]) for name in names] for row in rows[3:6]]
    assert [of_run[1] for of_run in found] == pytest.approx([2, 2.2, 1.8])
    for paper, _, *tests in found:
        assert [paper, *tests] == pytest.approx([0.45, 2, 1.5032, 2.4968, 0.003317, 0.003317, 0.6528], rel=1e-3)
    assert [rows[6][name] for name in names] == [rows[6]["paper_difference"], *[""] * 7]  # not run


def test_csv_has_a_line_per_run(runs):
    leave(runs.cell("table5/resnet50/v1", 0), 0.625)
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(compare("table5", runs, 2)))))
    assert len(rows) == 4 * 2
    assert rows[0]["top1"] == "62.5" and rows[0]["state"] == "done" and rows[0]["paper_top1"] == "76.21"
    assert rows[1]["top1"] == "" and rows[1]["state"] == "not run"


def test_the_page_stands_alone_and_has_curves_where_something_was_run(runs):
    assert "<img" not in tables.page(compare("table5", runs, 1))
    cell = runs.cell("table5/resnet50/v1", 0)
    leave(cell, 0.625)
    page = tables.page(compare("table5", runs, 1))
    assert page.count("<img") == 1 and "data:image/png;base64,iVBOR" in page
    runs.cell("table5/resnet50/v1b", 0).folder.parent.mkdir()
    runs.cell("table5/resnet50/v1b", 0).failure.write_text("refused: <script>")
    assert "failed: refused: &lt;script&gt;" in tables.page(compare("table5", runs, 1))


TRAINING = """
import csv, json, pathlib, sys
print("hello", *sys.argv[1:])
recipe, folder = json.loads(pathlib.Path(sys.argv[2]).read_text()), pathlib.Path(sys.argv[4])
folder.mkdir()
(folder / "recipe.json").write_text(json.dumps(recipe))
with open(folder / "metrics.csv", "w", newline="") as file:
    rows = [[k + 1, 0.5, 0.9] for k in range(recipe["epochs"])]
    csv.writer(file).writerows([["epoch", "val_top1", "val_top5"], *rows])
"""


def test_running_a_cell(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    said = []
    assert run_cells.run(cell, [sys.executable, "-c", TRAINING], said.append)
    recipe = f"{cell.folder}.json"
    assert said == [f"hello --recipe {recipe} --save-dir {cell.folder} --resume auto"]
    with open(recipe) as file:
        assert json.load(file)["name"] == "table5/resnet50/v1b"
    assert cell.state() == "done"


def test_a_launcher_that_trains_nothing_has_failed(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    assert not run_cells.run(cell, ["true"], lambda line: None)
    assert cell.state() == "failed: the training ended without a result (not run): see what true starts"


def test_a_failed_cell_says_why(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    script = "import sys; print('a'); print('refused: no data', file=sys.stderr); sys.exit(2)"
    assert not run_cells.run(cell, [sys.executable, "-c", script], lambda line: None)
    assert cell.state() == "failed: refused: no data"


def test_a_full_disk_is_no_interruption(runs):
    """The training leaves a checkpoint and the exit code of one that was asked to stop."""
    cell = runs.cell("table5/resnet50/v1b", 0)
    script = "import sys; print('stopped: x cannot be written: No space left on device'); sys.exit(75)"
    assert not run_cells.run(cell, [sys.executable, "-c", script], lambda line: None)
    assert cell.state() == "failed: stopped: x cannot be written: No space left on device"


def test_a_killed_cell_does_not_blame_its_last_line(runs):
    cell = runs.cell("table5/resnet50/v1b", 0)
    script = "import os; print('epoch 1/6: top-1 50.00%', flush=True); os.kill(os.getpid(), 9)"
    assert not run_cells.run(cell, [sys.executable, "-c", script], lambda line: None)
    assert cell.state() == "failed: killed by SIGKILL; the same command goes on"


def test_a_student_of_a_failed_teacher_is_not_trained(runs):
    cell = runs.cell("table6/resnet50_v1d/distill", 0)
    cell.source.folder.parent.mkdir(parents=True)
    cell.source.failure.write_text("killed by SIGKILL\n")
    (cell.source.folder / "checkpoints").mkdir(parents=True)  # a teacher half trained is none
    assert not run_cells.run(cell, ["no such command"], lambda line: None)
    says = "failed: its teacher table6/resnet152_v1d/smooth has no result (failed: killed by SIGKILL)"
    assert cell.state() == says


def test_an_interruption_is_passed_on_once_and_waited_for(runs, tmp_path):
    script = """
import signal, sys, time
def stop(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as the training does: a second one ends it
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""
    said = []

    def say(line):
        said.append(line)
        if line == "ready":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells.run(runs.cell("table5/resnet50/v1b", 0), [sys.executable, "-c", script], say)
    assert said == ["ready", "saved"]


def test_data_that_is_not_here_is_told_before_the_first_cell(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for scale, table, says in (
        ("imagenet", "table6", "table6 is trained on ImageNet, and there is no train.rec and val.rec in ~/.mxnet"),
        ("imagenet", "table7", "trained on Places365-Standard, .*: name their folder with --data"),
        ("imagenette", "table7", "table7 at the scale imagenette is trained on small photos in class folders"),
    ):
        with pytest.raises(Refused, match=says):
            Runs(tmp_path, get_scale(scale)).require_data(table)
    Runs(tmp_path, get_scale("smoke")).require_data("table7")
    with RecordWriter(tmp_path / "places", [f"place {k}" for k in range(365)]) as writer:
        writer.add(0, 0, b"an image")
    places = (str(tmp_path / "places.rec"),)
    Runs(tmp_path, get_scale("imagenet"), places, places).require_data("table7")


def test_images_of_base_networks_are_required_by_whichever_is_missing(tmp_path, monkeypatch):
    """Also where that is only one with a teacher, which has been trained."""
    monkeypatch.setenv("HOME", str(tmp_path))
    runs = Runs(tmp_path, get_scale("paper", TRANSFER_SCALES))
    base = runs.cell("table8/voc/distill", 0).source
    assert base.source and not base.recipe.reads_folder
    with pytest.raises(Refused, match="for the base networks, table6 is trained on ImageNet, .* with --base-data"):
        train_cells.require_data([base], dataclasses.replace(runs, data="/voc"), TABLES["table8"])


@pytest.mark.parametrize("code", ["exit(75)", "exit(143)", "exit(138)", "import os; os.kill(os.getpid(), 10)"])
def test_an_interrupted_cell_interrupts(runs, code):
    """With a checkpoint, or before it had begun; 10 is SIGUSR1."""
    with pytest.raises(KeyboardInterrupt):
        run_cells.run(runs.cell("table5/resnet50/v1b", 0), [sys.executable, "-c", code], print)


def _voc(folder, test):
    """A VOCdevkit of one training image, and of validation images whose files have so many bytes more."""
    kit = folder / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (kit / name).mkdir(parents=True, exist_ok=True)
    jpeg = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    thing = f"<annotation><object><name>cat</name><difficult>0</difficult>{box}</object></annotation>"
    for name, more in (("a", 0), ("b", test)):
        (kit / f"JPEGImages/{name}.jpg").write_bytes(jpeg + bytes(more))
        (kit / f"Annotations/{name}.xml").write_text(thing)
    for split, name in (("trainval", "a"), ("test", "b")):
        (kit / f"ImageSets/Main/{split}.txt").write_text(f"{name}\n")


def _masks(folder, test):
    for split, more in (("train", 0), ("val", 1 + test)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
            pixels = np.zeros((30, 40, 3) if kind == "images" else (30, 40), np.uint8)
            pixels[:9] = 1
            png = cv2.imencode(".png", pixels)[1].tobytes()
            (folder / kind / split / "a.png").write_bytes(png + bytes(more))


@pytest.mark.parametrize(
    "name, make, file, splits",
    [
        ("table8/voc/standard", _voc, "VOC2007/ImageSets/Main/{}.txt", ("trainval", "test")),
        ("table9/ade20k/standard", _masks, "images/{}/a.png", ("train", "val")),
    ],
)
def test_a_folder_that_each_cell_would_be_refused_for_is_told_before_the_bases(name, make, file, splits, tmp_path):
    """Its validation image is trained on too."""
    make(tmp_path / "images", 0)
    shutil.copy(*(tmp_path / "images" / file.format(split) for split in splits))
    runs = Runs(tmp_path, get_scale("small", TRANSFER_SCALES), ("t.rec",), ("v.rec",), str(tmp_path / "images"))
    with pytest.raises(Refused, match="1 of the 1 validation images are trained on too"):
        train_cells.require_data([runs.cell(name, 0)], runs, TABLES[name.split("/")[0]])


@pytest.mark.parametrize(
    "name, make, scales, columns",
    [
        ("table8/voc/standard", _voc, TRANSFER_SCALES, ("epoch", "val_map", "val_map_area")),
        ("table9/ade20k/standard", _masks, TRANSFER_SCALES, ("epoch", "val_pix_acc", "val_miou")),
        ("magic_table1/sgd_gaussian/none", _voc, MAGIC_SCALES, ("epoch", "val_map", "val_map_area")),
    ],
)
def test_a_run_on_other_images_of_a_folder_is_refused(name, make, scales, columns, tmp_path, monkeypatch):
    """Of detectors, segmenters and taggers; images that have gone are not compared."""
    folder = tmp_path / "images"
    make(folder, 0)
    cell = Runs(tmp_path, get_scale("small", scales), ("t.rec",), ("v.rec",), str(folder)).cell(name, 0)
    leave(cell, 0.5, columns=(*columns, "images_per_second"))
    told = dict(zip(("records", "val_records"), digests_of_folder(cell.recipe)))
    assert all(told.values())
    (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", **told}) + "\n")
    assert cell.is_done()
    make(folder, 3)
    monkeypatch.setattr(data_needed, "_digests", {})
    with pytest.raises(Refused, match=r"seed0 holds a run of another recipe \(other validation images\): move it"):
        cell.is_done()
    shutil.rmtree(folder)
    assert cell.is_done()


def test_a_copy_of_a_folder_beside_it_has_the_same_images(tmp_path):
    """By their digests, where the run tells them; another folder is another one else, if it is there."""
    for name in ("images", "copied"):
        _voc(tmp_path / name, 0)
    runs = Runs(tmp_path, get_scale("small", MAGIC_SCALES), data=str(tmp_path / "images"))
    cell = runs.cell("magic_table1/sgd_gaussian/none", 0)
    leave(cell, 0.5, columns=("epoch", "val_map", "val_map_area", "images_per_second"))
    told = dict(zip(("records", "val_records"), digests_of_folder(cell.recipe)))
    asked = {
        name: dataclasses.replace(runs, data=str(tmp_path / name)).cell(cell.name, 0) for name in ("copied", "nowhere")
    }
    assert asked["nowhere"].is_done()
    with pytest.raises(Refused, match=r"another recipe \(data\)"):
        asked["copied"].is_done()
    (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", **told}) + "\n")
    assert asked["copied"].is_done() and asked["nowhere"].is_done()
