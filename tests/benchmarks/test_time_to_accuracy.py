"""Seconds to an accuracy: when it counts as reached, and what trains."""

import json
import math

import mxnet as mx
import pytest

from benchmarks import time_to_accuracy, torch_loop
from benchmarks.main import main
from gluon_tricks.core.errors import Refused
from gluon_tricks.machine.devices import choose_precision
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.report.told import read_events, read_metrics
from gluon_tricks.tricks import DataDependentInit, Ema, Resizing, Sam


def rows(*tops):
    """Epochs of 10 s."""
    return [{"seconds": 10.0 * k, "top1": top} for k, top in enumerate(tops, start=1)]


def test_the_first_epoch_that_is_there_counts():
    assert time_to_accuracy.seconds_to(rows(0.5, 0.75, 0.7, 0.8), 0.75) == 20
    assert math.isinf(time_to_accuracy.seconds_to(rows(0.5, 0.749), 0.75))


def test_ratios_are_of_pairs_of_seeds_and_only_where_all_got_there():
    """10/20, 30/40 and 20/50: the median is 0.50. PyTorch never got there once: it has no ratio."""
    found = {
        "fast": [rows(0.8), rows(0.1, 0.1, 0.75), rows(0.1, 0.75)],
        "paper": [rows(0.1, 0.8), rows(0, 0, 0, 0.8), rows(0, 0, 0, 0, 0.9)],
        "PyTorch, paper": [rows(0.75), rows(0.7), rows(0.75)],
    }
    seconds = {side: [time_to_accuracy.seconds_to(of_seed, 0.75) for of_seed in runs] for side, runs in found.items()}
    lines = time_to_accuracy.lines_of(seconds, found, 0.75, "fast")
    assert lines == [
        "75.0% top-1: fast 10 s, 30 s, 20 s; best 80.00%",
        "75.0% top-1: paper 20 s, 40 s, 50 s; best 90.00%",
        "75.0% top-1: PyTorch, paper 10 s, never, 10 s; best 75.00%",
        "75.0% top-1: fast in 0.50 of paper's time",
    ]


def test_bad_input_is_refused_before_any_training(tiny_records, capsys, tmp_path):
    for words, said in (
        ([], "--photos is missing"),
        (["--photos", str(tmp_path), "--top1", "75"], "--top1 75: it must lie in (0, 1]"),
        (["--photos", str(tmp_path / "none")], "there is no such folder"),
        (["--photos", str(tiny_records), "--against", "faster_rcnn_voc"], "this command trains classifiers"),
    ):
        words = ["time_to_accuracy", "--runs", str(tmp_path / "runs"), "--recipe", "imagenette", *words]
        assert main(words) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(Refused, match="timm has no caffenet"):
        torch_loop.network_name(Recipe(model="caffenet"))
    assert torch_loop.network_name(get_recipe("imagenette").set(input_size=224)) == "resnet18d"
    for later in (
        *(dict(train_size=160), dict(aug_repeats=2), dict(auto_augment="trivial"), dict(tricks=(Resizing(),))),
        *(dict(optimizer="adam", lr=1e-3), dict(tricks=(Ema(),)), dict(tricks=(Sam(),)), dict(crop="pad")),
        *(dict(augment="flip"), dict(sampling="balanced"), dict(net={"blur": True}), dict(accumulate=2)),
    ):
        with pytest.raises(
            Refused, match=r"has what the PyTorch loop has not \(.+\): leave it out of the recipe of --"
        ):
            torch_loop.network_name(Recipe(input_size=224, epochs=3, **later))


@pytest.mark.slow
def test_all_three_train_and_what_is_done_is_not_done_again(tiny_records, tmp_path, capfd):
    pytest.importorskip("torch")
    recipe = Recipe(
        name="tiny", model="resnet18_v1b", data="records", input_size=32, min_area=0.5, epochs=2, batch_size=8, lr=0.01
    )
    other, recipe = (
        recipe.set(name="other", epochs=1, dtype="float16"),
        recipe.add(DataDependentInit(filters="kmeans", images=8)),
    )
    (tmp_path / "tiny.json").write_text(json.dumps(recipe.to_json()))
    (tmp_path / "other.json").write_text(json.dumps(other.to_json()))
    words = ["time_to_accuracy", "--photos", str(tiny_records), "--seeds", "1", "--top1", "0.01"]
    words += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out.json")]
    words += ["--recipe", str(tmp_path / "tiny.json"), "--against", str(tmp_path / "other.json")]
    assert main(words) == 0
    told = json.loads((tmp_path / "runs" / "rows.json").read_text())["rows"]
    assert [len(of_seed) for runs in told.values() for of_seed in runs] == [2, 1, 1]
    assert all(row["seconds"] > 0 and 0 <= row["top1"] <= 1 for runs in told.values() for row in runs[0])
    found = json.loads((tmp_path / "out.json").read_text())["seconds"]
    (begun,) = (event for event in read_events(tmp_path / "runs" / "tiny-0") if event["event"] == "start")
    assert 0 < begun["initialised_from"]["seconds"] < found["tiny"][0]
    rate = read_metrics(tmp_path / "runs" / "tiny-0")[0]["images_per_second"]
    first = begun["initialised_from"]["seconds"] + begun["steps_per_epoch"] * recipe.batch_size / rate
    assert told["tiny"][0][0]["seconds"] == pytest.approx(first)
    written = json.loads((tmp_path / "runs" / "torch-other-0.recipe.json").read_text())
    has = choose_precision("float16", [mx.cpu()])[0] == "bfloat16"  # PyTorch too computes as ours does
    assert written["dtype"] == ("float16" if has else "float32")
    capfd.readouterr()
    assert main(words) == 0
    assert json.loads((tmp_path / "out.json").read_text())["seconds"] == found
    assert "epoch 1" not in capfd.readouterr().out

    for file, changed in (("tiny", recipe.set(lr=0.02)), ("other", other.set(lr=0.02))):
        before = (tmp_path / f"{file}.json").read_text()
        (tmp_path / f"{file}.json").write_text(json.dumps(changed.to_json()))
        assert main(words) == 2
        assert "of another recipe" in capfd.readouterr().err
        (tmp_path / f"{file}.json").write_text(before)
    found = tmp_path / "runs" / "torch-other-0.images.json"
    found.write_text(found.read_text().replace("a", "b", 1))
    assert main(words) == 2
    assert f"torch-other-0.json is of another recipe or of other images ({found.name}): move" in capfd.readouterr().err
