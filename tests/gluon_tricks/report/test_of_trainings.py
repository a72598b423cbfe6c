"""Every task's training ends with its page; what is wrong with the page costs the page alone."""

import dataclasses
import errno
import re

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import report, train
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.data.builtin import scenes
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.report.run import read_run
from gluon_tricks.tasks.findings import FILE
from gluon_tricks.tasks.segmentation.metrics import SegmentationScores
from gluon_tricks.training import loop
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate

TINY = {
    "classification": Recipe(
        model="cifar_resnet20_v1", data="records", input_size=32, min_area=0.5, epochs=1, batch_size=24, lr=0.01
    ),
    "multi_label": MultiLabelRecipe(
        model="cifar_resnet20_v1", data="few_scenes", input_size=24, side=(32, 32), crop_ratio=0.75, epochs=1,
        batch_size=4, lr=0.01, test_crops=3,
    ),
    "detection": DetectionRecipe(
        model="mobilenet0.25", dataset="few_scenes", short=96, long=128, roi="small", epochs=1, batch_size=2, lr=1e-3
    ),
    "segmentation": SegmentationRecipe(
        model="mobilenet0.25", dataset="few_scenes", crop=48, base_size=96, epochs=1, batch_size=2,
        final_scales="several",
    ),
}  # fmt: skip
QUICK = Options(contexts=[mx.cpu()], threads=1, picture_epochs=0)
FAULTS = {
    "classification": OSError(errno.ENOSPC, "No space left on device"),
    "multi_label": RuntimeError("Font <b> is gone\nsecond line"),
    "detection": MemoryError(),
    "segmentation": CannotWrite("report.html cannot be written"),
}
PARTS = {  # of the page
    "classification": ("classes", "confusions", "matrix", "mistakes"),
    "multi_label": ("classes", "curves", "mistakes"),
    "detection": ("classes", "curves", "boxes"),
    "segmentation": ("classes", "matrix", "masks"),
}
WARNED = dict.fromkeys(("multi_label", "segmentation"), ("warnings",))  # their norms see 2 images


@pytest.fixture(scope="module", params=TINY)
def trained(request, tiny_records, tmp_path_factory):
    """The name of a task, a run of it, and the scores that the training gave."""
    recipe, folder = TINY[request.param], tmp_path_factory.mktemp("runs") / "run"
    if request.param == "classification":
        recipe = recipe.set(**{split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(scenes.DATA_SETS, "few_scenes", (4, 3))
        yield request.param, folder, train_and_evaluate(recipe, folder, QUICK)


@pytest.fixture(autouse=True, scope="module")
def small_regions():
    from gluon_tricks.tasks.detection.settings import ROI_SETTINGS

    with pytest.MonkeyPatch.context() as patch:
        counts = dict(candidates=200, candidates_in_prediction=200, proposals=32, proposals_in_prediction=12)
        sizes = dict(roi_size=3, roi_samples=8, channels=64)
        patch.setitem(ROI_SETTINGS, "small", dataclasses.replace(ROI_SETTINGS["small"], **counts, **sizes))
        yield


def test_a_training_leaves_its_page(trained):
    task, folder, scores = trained
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"The scores are on {20 if task == 'classification' else 3} validation images." in page
    ids = re.findall(r'<section id="(\w+)"', page)
    assert ids == [*WARNED.get(task, ()), "training", *PARTS[task], "changed", "how"]
    assert read_run(folder).begun()["what"] in page
    if task != "multi_label":  # whose tags may all be right by half
        assert page.count("data:image/jpeg;base64,") >= 1
    assert f"{100 * scores.row()[scores.in_tables[0]]:.2f}%" in page


def test_what_is_kept_is_what_was_scored(trained):
    """The scores of the run, from what its file has of single images."""
    task, folder, scores = trained
    found = read_run(folder).found.arrays
    if task == "classification":
        assert (found["guess"] == found["truth"]).mean() == scores.top1 and len(found["image"]) == scores.images == 20
        assert found["truth"].tolist() == [k % 4 for k in range(20)] and found["image"].tolist() == [*range(20)]
        assert ((found["guess"] != found["truth"]) | (found["confidence"] == found["of_truth"])).all()
    elif task == "segmentation":
        again = SegmentationScores.of(found["matrix"], scores.images)
        assert (again.pix_acc, again.miou) == (scores.pix_acc, scores.miou)
        assert found["right"].sum() == np.trace(found["matrix"]) and found["pixels"].sum() == found["matrix"].sum()
    else:
        assert np.nanmean(found["average_precision"]) == pytest.approx(scores.map_area, abs=1e-6)
        assert np.nanmean(found["curves"][:, 1:]) == pytest.approx(scores.map_area, abs=0.02)


def test_the_command_makes_the_same_page(trained, capsys):
    """From the folder alone; only the moment of its events is the run's own."""
    task, folder, _ = trained
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert report.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_bytes() == before


def test_a_run_of_before_is_evaluated_once(trained, capsys, tmp_path):
    """Without the file there are curves and a hint; with --evaluate the classes are back."""
    task, folder, scores = trained
    kept = (folder / FILE).read_bytes()
    (folder / FILE).unlink()
    out = str(tmp_path / "page.html")
    assert report.main([str(folder), "--out", out]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "--evaluate" in page and 'id="matrix"' not in page and "<svg" in page
    assert report.main([str(folder), "--out", out, "-j", "1"]) == 2
    assert "--num-gpus and --num-data-workers go with --evaluate" in capsys.readouterr().err
    (folder / FILE).write_bytes(b"x")  # as a copy that was cut short
    assert report.main([str(folder), "--out", out]) == 2
    assert f"{FILE} is damaged" in capsys.readouterr().err
    assert report.main([str(folder), "--evaluate", "--out", out, "--num-gpus", "0", "-j", "1"]) == 0
    assert read_run(folder).found is not None
    capsys.readouterr()
    page = (tmp_path / "page.html").read_text()
    assert re.findall(r'<section id="(\w+)"', page) == [
        *WARNED.get(task, ()),
        "training",
        *PARTS[task],
        "changed",
        "how",
    ]
    (folder / FILE).write_bytes(kept)


def test_a_fault_of_the_page_costs_the_page_alone(trained, monkeypatch, capsys):
    """The run that is finished once more, as --resume does it, ends well and says what happened in one line."""
    task, folder, scores = trained

    def fails(*args):
        raise FAULTS[task]

    (folder / "report.html").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_report", fails)
        again = train_and_evaluate(read_run(folder).recipe, folder, dataclasses.replace(QUICK, resume=True))
    assert again.row() == scores.row() and (folder / "final.params").is_file()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "could not be made" in line]
    assert line.startswith("the run is complete, but report.html could not be made (")
    assert line.endswith("gluon-tricks report RUN makes it again")
    assert not (folder / "report.html").exists()
    assert report.main([str(folder)]) == 0 and "could not be made" not in (folder / "report.html").read_text()


def test_the_exit_code_is_that_of_a_run_that_ended_well(tiny_records, tmp_path, monkeypatch, capsys):
    """Whatever fails: keeping what was found, the curves, the page, and then even the log."""

    def fails(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    def full(journal, line):
        raise CannotWrite("the log cannot be written")

    for name in ("save_found", "draw_curves", "write_report"):
        monkeypatch.setattr(loop, name, fails)
    words = ["--rec-train", tiny_records / "train.rec", "--rec-val", tiny_records / "val.rec", "--num-gpus", "0"]
    words += ["--model", "cifar_resnet20_v1", "--input-size", "32", "--num-epochs", "1", "--batch-size", "24"]
    words += ["--picture-epochs", "0", "-j", "1", "--save-dir", tmp_path / "run"]
    assert train.main([*map(str, words)]) == 0
    said = capsys.readouterr().out
    assert said.count("No space left on device") == 3 and "everything about it is in" in said
    assert (tmp_path / "run" / "final.params").is_file()
    monkeypatch.setattr("gluon_tricks.training.journal.Journal.warn", full)
    assert train.main(["--resume", "auto", "--save-dir", str(tmp_path / "run"), "--num-gpus", "0", "-j", "1"]) == 0
    assert "report.html could not be made" in capsys.readouterr().out
