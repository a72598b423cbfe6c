"""A run's folder may be anybody's: whatever is wrong with its files is one sentence, and no name leaves its place."""

import json
import os

import numpy as np
import pytest
import safetensors.numpy

from gluon_tricks.cli import report
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.report.comparison import require_comparable
from gluon_tricks.report.run import read_run
from gluon_tricks.report.single import write_report
from gluon_tricks.tasks.findings import FILE, Found, read_found, save_found
from tests.faults.mutate import ODD as ODD_VALUES
from tests.faults.mutate import of_bytes

from .conftest import ODD, TASKS, long_names

NAMES = [*long_names(11), "background"]


@pytest.mark.parametrize("task", TASKS)
def test_damaged_files_of_a_run(task, made, tmp_path):
    """Of mutations of each file a page is made, or the run is refused in one sentence."""
    one, refused = made(task, NAMES), 0
    for name in (FILE, "metrics.csv", "events.jsonl", "steps.csv", "recipe.json"):
        content = (one.folder / name).read_bytes()
        for what, damaged in of_bytes(content, generator(5, f"{task} {name}"), 30 if name == FILE else 6):
            (one.folder / name).write_bytes(damaged)
            try:
                write_report(read_run(one.folder), tmp_path / "page.html", one.images)
            except Refused as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 1000, what
        (one.folder / name).write_bytes(content)
    assert refused > 10


def test_events_of_any_kind(made, tmp_path):
    """Whatever JSON allows in the place of what a run tells of itself."""
    one = made("classifier", NAMES)
    keys = ("time", "step", "what", "steps_per_epoch", "contexts", "ranks", "versions", "machine", "cores", "base_lr")
    for odd in ODD_VALUES:
        events = [{"event": kind, **dict.fromkeys((*keys, "scores"), odd)} for kind in ("start", "resume", "rollback")]
        events += [{"event": "final_scores", "scores": odd}, {"event": "warning", "message": odd}, odd, {"event": odd}]
        (one.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        write_report(read_run(one.folder), tmp_path / "page.html", None)
        assert (tmp_path / "page.html").read_text(encoding="utf-8").rstrip().endswith("</html>"), odd


@pytest.mark.parametrize("task", TASKS)
def test_numbers_that_no_evaluation_gives(task, made):
    """Each array with another type, another shape, out of its bounds, and left out."""
    one = made(task, NAMES)
    fields = one.run.task.report.fields
    for name, field in fields.items():
        array = np.asarray(one.arrays[name])
        bad = [array.astype("float64" if array.dtype != np.float64 else "float32"), array[None], None]
        if field.least is not None:
            lower = array.copy()
            lower[(0,) * array.ndim] = field.least - 1 if array.dtype.kind != "u" else 0
            bad.append(lower)
        if field.most is not None and array.dtype.kind == "f":
            higher = array.copy()
            higher[(0,) * array.ndim] = np.inf
            bad.append(higher)
        if field.most == "K":
            higher = array.copy()
            higher[0] = len(NAMES)
            bad.append(higher)
        for wrong in bad:
            arrays = {key: value for key, value in one.arrays.items() if key != name}
            arrays |= {} if wrong is None else {name: wrong}
            save_found(one.folder, Found(NAMES, "d", arrays))
            with pytest.raises(Refused, match=rf"is damaged \({name} (is|has)"):
                read_found(one.folder, fields)


def test_files_that_are_none(made, tmp_path):
    one = made("classifier", NAMES)
    fields, arrays = one.run.task.report.fields, {"image": np.zeros(2, np.int32)}
    for content in (b"", b"x", safetensors.numpy.save(arrays), b"\xff" * 100, json.dumps({}).encode()):
        (one.folder / FILE).write_bytes(content)
        with pytest.raises(Refused, match="validation.safetensors is damaged .*gluon-tricks report RUN --evaluate"):
            read_found(one.folder, fields)
    for names in ("x", [], [1], None):
        header = {"gluon_tricks": json.dumps({"names": names, "digest": "d"})}
        (one.folder / FILE).write_bytes(safetensors.numpy.save(arrays, header))
        with pytest.raises(Refused, match="is damaged"):
            read_found(one.folder, fields)
    (one.folder / FILE).unlink()
    (one.folder / FILE).mkdir()
    with pytest.raises(Refused, match="it is a folder, not a file"):
        read_run(one.folder)


def test_names_are_text_on_the_page(made, tmp_path):
    """Names of classes, photos, folders and machines, whatever they hold, neither end a tag nor begin a script."""
    names = [*ODD, "\u202egpj", "z"]
    for task in TASKS:
        one = made(task, names, name=f"{task} <b> & 猫")
        write_report(one.run, tmp_path / "page.html", one.images)
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "<b>bold" not in page and "<i>m" not in page and "<b>x" not in page and "\u202e" not in page
        assert "&lt;b&gt;bold&lt;/b&gt;" in page and page.count("<script>") == 1 and "<script>alert" not in page


def test_other_images_are_not_shown(made, tmp_path):
    one = made("classifier", NAMES)
    one.images.digest = "e" * 64
    write_report(one.run, tmp_path / "page.html", one.images)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "other ones than it was evaluated on. So there are no pictures" in page and "data:image/jpeg" not in page


def refused(capsys, *words):
    assert report.main([*map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_is_no_run(made, tmp_path, capsys):
    assert "is no run: it has no recipe.json" in refused(capsys, tmp_path / "none")
    one = made("classifier", NAMES)
    (one.folder / "metrics.csv").write_text("epoch,train_loss\n")
    assert "has no finished epoch yet" in refused(capsys, one.folder)
    (one.folder / "metrics.csv").write_text("epoch,train_loss\n1,2\n")
    assert "metrics.csv is damaged: it has no column lr" in refused(capsys, one.folder)
    (one.folder / "metrics.csv").write_text("epoch\n1,2\n")
    said = refused(capsys, one.folder)
    assert "metrics.csv is damaged" in said and "run again" not in said  # which a report does not
    for stray in ('epoch,"train_loss\n' + "1,2\n" * 40_000, "epoch\0\n1,2\n", '"' + "0" * 200_000):
        (one.folder / "metrics.csv").write_text(stray)
        assert "metrics.csv is damaged" in refused(capsys, one.folder)
    (one.folder / "metrics.csv").unlink()
    os.mkfifo(one.folder / "metrics.csv")
    assert "metrics.csv cannot be read: it is a pipe" in refused(capsys, one.folder)


def test_runs_that_cannot_be_compared(made, tmp_path, capsys):
    one, tagged = made("classifier", NAMES, name="one"), made("tagger", NAMES, name="tagged")
    fewer, other = made("classifier", NAMES[:-1], name="fewer"), made("classifier", [*NAMES[:-1], "x"], name="other")
    assert "is a classifier's run and" in refused(capsys, one.folder, tagged.folder)
    assert "has 12 classes and" in refused(capsys, one.folder, fewer.folder)
    assert "(the first difference: background and x)" in refused(capsys, one.folder, other.folder)
    assert "is named twice" in refused(capsys, one.folder, one.folder)
    assert "there is no such folder" in refused(capsys, one.folder, "--out", tmp_path / "no" / "page.html")
    assert "has a file of its own under that name" in refused(capsys, one.folder, "--out", one.folder / "recipe.json")
    require_comparable([one.run, made("classifier", NAMES, name="two").run])
