"""What is read of a run's folder, and what a page makes of it."""

import json

import numpy as np
import pytest

from gluon_tricks.cli import report
from gluon_tricks.core import commit as commits
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.report.curves import run_curves
from gluon_tricks.report.run import read_run
from gluon_tricks.report.single import duration, write_report
from gluon_tricks.tasks.classification.report import ClassifierReport
from gluon_tricks.tasks.findings import Found, save_found

from .conftest import long_names, write_run

NAMES = long_names(5)


def test_times_and_places(made):
    """6:00:00 alone, then 8:00:00 to 8:01:10; step 5 and 7 of 10 an epoch."""
    run = made("classifier", NAMES, epochs=2).run
    assert run.seconds() == (70.0, 2)
    assert run.places("resume") == [0.5] and run.places("rollback") == [0.7]
    assert run.ended().isoformat() == "2026-11-27T08:01:10+00:00"
    curves = run_curves(run)
    assert curves.count("resumed") == curves.count("taken back to here") == 3  # of each chart's legend


def test_one_epoch_is_a_point(made):
    """Points, an epoch's tick, and the loss of the steps as a line; no line of a single point."""
    curves = run_curves(made("classifier", NAMES).run)
    assert curves.count("<circle") >= 2 and ">1</text>" in curves
    assert curves.count('opacity=".45"') == 1
    longer = run_curves(made("classifier", NAMES, name="longer", epochs=300).run)
    assert longer.count("<circle") < 60  # of 300 epochs not every one


def test_the_final_scores_count(made):
    """What is scored at the end in another way stands in the place of the last epoch's."""
    one = made("tagger", NAMES)
    told = {"event": "final_scores", "scores": {"mAP over the test crops (area)": 0.875, "odd": "x", "more": 0.5}}
    with open(one.folder / "events.jsonl", "a") as file:
        print(json.dumps(told), file=file)
    final = read_run(one.folder).final()
    assert read_run(one.folder).besides() == {"more": 0.5}
    assert final["val_map"] == 0.875 and final["val_map07"] == 0.501
    with open(one.folder / "events.jsonl", "a") as file:  # to more epochs, and not to their end
        print(json.dumps({"event": "resume", "step": 4}), file=file)
    assert read_run(one.folder).final()["val_map"] != 0.875 and read_run(one.folder).besides() == {}


def test_warnings_are_shown_once_and_before_all_else(made):
    one = made("classifier", NAMES)
    write_report(one.run, one.folder / "report.html", None)
    assert "Warnings" not in (one.folder / "report.html").read_text()
    told = ["class <b>cat</b> has 3 images", "class <b>cat</b> has 3 images", *(f"photo {k}" for k in range(60)), 7]
    with open(one.folder / "events.jsonl", "a") as file:
        file.writelines(json.dumps({"event": "warning", "message": message}) + "\n" for message in told)
    write_report(read_run(one.folder), one.folder / "report.html", None)
    page = (one.folder / "report.html").read_text()
    assert page.count("<li>class &lt;b&gt;cat&lt;/b&gt; has 3 images</li>") == 1
    assert "<li>photo 48</li><li>and 11 more, in log.txt</li></ul>" in page and "photo 49" not in page
    assert page.index('<section id="warnings">') < page.index('<section id="training">')


def test_what_was_changed(tmp_path):
    """Against the recipe of that name; what the data decides, and preprocessing that is the network's own, is none."""
    base = get_recipe("imagenette")
    recipe = base.set(epochs=3, classes=10, lr=0.3).without("mixup").resolved()
    run = read_run(write_run(tmp_path / "named", recipe, NAMES, None))
    against, changes = run.changes()
    assert against == "the recipe imagenette"
    assert changes["epochs"] == (base.epochs, 3) and changes["lr"] == (base.lr, 0.3)
    assert set(changes) <= {"epochs", "lr", "tricks"}
    own = Recipe(name="mine", model="resnet18_v1", classes=5, momentum=0.5).resolved()
    against, changes = read_run(write_run(tmp_path / "own", own, NAMES, None)).changes()
    assert (against, changes) == ("the defaults", {"model": (Recipe().model, "resnet18_v1"), "momentum": (0.9, 0.5)})


def test_a_share_has_its_interval(made, tmp_path):
    """Wilson's, of 60.1 % of 4000."""
    one = made("classifier", NAMES, score=0.6)
    write_report(one.run, tmp_path / "page.html", one.images)
    assert "<b>60.10%</b><span>top-1</span><span>95% interval: 58.6 to 61.6</span>" in (
        tmp_path / "page.html"
    ).read_text(encoding="utf-8")


def test_side_by_side(made, tmp_path, capsys):
    """Two runs on the same images: the gain of the second, what differs, and the class that differs most first."""
    one, two = made("classifier", NAMES, name="a/run"), made("classifier", NAMES, name="b/run", epochs=2)
    arrays = dict(two.arrays, guess=np.where(two.arrays["truth"] == 3, 3, two.arrays["guess"]).astype(np.int32))
    changed = write_run(tmp_path / "c" / "run", two.recipe.set(lr=0.25, momentum=0.5), NAMES, arrays, epochs=2)
    out = tmp_path / "page.html"
    assert report.main([str(one.folder), str(two.folder), str(changed), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    page = out.read_text(encoding="utf-8")
    gained = 100 * ((arrays["guess"] == arrays["truth"]).mean() - (one.arrays["guess"] == one.arrays["truth"]).mean())
    assert "a/run" in page and "b/run" in page  # whose folders have one name
    assert f"c/run has {gained:+.2f} points top-1 against a/run (95% interval +" in page
    assert "b/run has +0.00 points top-1 against a/run" in page
    settings = page.split('id="recipes"')[1].split("</section>")[0]
    assert "momentum" in settings and "0.25" in settings and "weight" not in settings
    classes = page.split('id="classes"')[1]
    assert classes.index(NAMES[3].split()[0] + " ") < classes.index(NAMES[0].split()[0] + " ")


def test_a_class_without_images_has_no_score(made):
    """None of three images is of the last class, which one is taken for."""
    run = made("classifier", NAMES)
    truth, guess = np.array([0, 0, 1], np.int32), np.array([0, len(NAMES) - 1, 0], np.int32)
    arrays = {key: values[:3] for key, values in run.arrays.items()} | {"truth": truth, "guess": guess}
    called, scores = ClassifierReport(Found(NAMES, "d", arrays), None).per_class()
    assert called == "F1" and scores[:2].tolist() == [0.5, 0] and np.isnan(scores[2:]).all()


def test_runs_of_before_are_compared_once_their_classes_are_known(made, tmp_path, monkeypatch, capsys):
    """A recipe of a classifier has no names: evaluation finds them."""
    runs = {"one": made("classifier", ["ant", "bee"], "one"), "two": made("classifier", ["ant", "wasp"], "two")}
    for run in runs.values():
        (run.folder / "validation.safetensors").unlink()

    def evaluate(run, gpus, threads):
        save_found(run.folder, Found(runs[run.folder.name].run.found.names, "d" * 64, runs[run.folder.name].arrays))

    monkeypatch.setattr(report, "evaluate", evaluate)
    words, out = [str(run.folder) for run in runs.values()], tmp_path / "page.html"
    assert report.main([*words, "--evaluate", "--out", str(out)]) == 2
    assert "have other classes (the first difference: bee and wasp)" in capsys.readouterr().err and not out.exists()


def test_times_in_words():
    assert [duration(s) for s in (0.4, 12.3, 200, 3720)] == ["0 s", "12 s", "3 min 20 s", "1 h 02 min"]
    assert [duration(s) for s in (59.7, 119.7, 3599.7)] == ["59 s", "1 min 59 s", "59 min 59 s"]


@pytest.mark.parametrize("kind", ["loose", "packed", "detached", "worktree", "none", "damaged"])
def test_the_commit_that_is_checked_out(kind, tmp_path):
    """As Git writes it down, in each of its ways."""
    sha, git = "0123456789" * 4, tmp_path / ".git"
    place = tmp_path / "main" / "worktrees" / "w" if kind == "worktree" else git
    if kind != "none":
        place.mkdir(parents=True)
        (place / "HEAD").write_text(sha if kind == "detached" else "ref: refs/heads/a/b\n")
    top = tmp_path / "main" if kind == "worktree" else git
    if kind == "worktree":
        git.write_text(f"gitdir: {place}\n")
        (place / "commondir").write_text("../..\n")
    if kind in ("loose", "worktree", "damaged"):
        (top / "refs/heads/a").mkdir(parents=True)
        (top / "refs/heads/a/b").write_text("no commit" if kind == "damaged" else f"{sha}\n")
    if kind == "packed":
        (git / "packed-refs").write_text(f"# pack-refs\n{'f' * 40} refs/heads/b\n{sha} refs/heads/a/b\n")
    try:
        found = commits._checked_out(git)
    except OSError:
        found = "none"
    assert found == {"none": "none", "damaged": ""}.get(kind, sha)
