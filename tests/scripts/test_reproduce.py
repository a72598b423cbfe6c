"""The script as a user runs it: cells at the smoke scale, killed and resumed, and what it refuses before any work."""

import collections
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from gluon_tricks.cli import reproduce as script
from gluon_tricks.core.commands import words_of
from gluon_tricks.data.builtin import scenes, shapes
from gluon_tricks.data.packed import packed_photos
from gluon_tricks.data.records import Records
from gluon_tricks.paper import run_cells
from gluon_tricks.recipes.recipe import Recipe

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """As of all tests: so no command measures by itself whether cells are faster side by side."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


SCENES = {"few_scenes": (8, 4)}


def with_pictures(folder, monkeypatch, train):
    """Fewer built-in pictures, in this process and in that of each cell: some shapes and 8 scenes to train on.

    Returns the program that has them: its words are those of gluon-tricks.
    """
    few = {"few_shapes": (train, 20)}
    program = folder / "few_pictures.py"
    program.write_text(
        "import sys\n"
        "import gluon_tricks_command\n"
        "from gluon_tricks.data.builtin import scenes, shapes\n"
        f"shapes.DATA_SETS.update({few})\n"
        f"scenes.DATA_SETS.update({SCENES})\n"
        "if sys.argv[1] == 'reproduce':\n"
        "    from gluon_tricks.paper import run_cells\n"
        "    run_cells.words_of = lambda command: [sys.executable, __file__, command]\n"
        "gluon_tricks_command.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(folder / "cache"))
    monkeypatch.setattr(run_cells, "words_of", lambda command: [sys.executable, str(program), command])
    for module, counts in ((shapes, few), (scenes, SCENES)):
        for name, count in counts.items():
            monkeypatch.setitem(module.DATA_SETS, name, count)
    return program


@pytest.fixture
def few_pictures(tmp_path, monkeypatch):
    """64 shapes to train on: one step an epoch."""
    return with_pictures(tmp_path, monkeypatch, 64)


@pytest.fixture
def three_steps(tmp_path, monkeypatch):
    """192 shapes to train on, three steps an epoch: what is stopped after its first checkpoint is in mid-run."""
    return with_pictures(tmp_path, monkeypatch, 192)


def test_a_cell_is_run_once_and_shown(few_pictures, tmp_path, capsys):
    words = ["table5", "--scale", "smoke", "--rows", "v1b", "--runs", str(tmp_path)]
    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert "--- 1 of 1: table5/resnet50/v1b, seed 0" in out
    assert "a test of the machinery on a few images" in out
    row = next(line for line in out.splitlines() if line.startswith("| ResNet-50-B"))
    assert "76.66 / 93.28" in row and "(1)" in row
    assert {p.suffix for p in (tmp_path / "smoke").glob("table5.*")} == {".md", ".csv", ".html"}
    assert out.endswith(f"the whole table is in {tmp_path}/smoke/table5.html (with curves), .md and .csv\n")
    assert "to train: 1 cell, 1 epoch in all\n" in out
    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert "--- 1 of" not in out and row in out
    written = (tmp_path / "smoke" / "table5.md").read_text()
    assert row in written and written.count("not run") == 3  # all of the table, whatever was asked for
    assert (
        script.main([*words, "--seeds", "2"]) == 0
        and "--- 1 of 1: table5/resnet50/v1b, seed 1" in capsys.readouterr().out
    )
    assert script.main([*words, "--show"]) == 0  # all seeds that there are
    assert re.search(r"ResNet-50-B \|.* \(2\)", capsys.readouterr().out)


@pytest.fixture
def photos(tmp_path):
    """Class folders with 64 images for training and 12 for validation, of 3 colours."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 64), ("val", 12)):
        for k in range(count):
            folder = tmp_path / "photos" / split / ("red", "green", "blue")[k % 3]
            folder.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 60, (40, 40, 3)).astype(np.uint8)
            image[:, :, 2 - k % 3] += 150
            cv2.imwrite(str(folder / f"{k}.jpg"), image)
    return tmp_path / "photos"


def killed_in_its_first_cell(words, cell):
    """Runs the script and kills the training of the first cell after its first epoch; returns (exit code, output)."""
    process = subprocess.Popen([*words_of("reproduce"), *words], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((cell / "checkpoints").glob("step-*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    (child,) = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    out = process.communicate(timeout=120)[0]
    return process.returncode, out


MIXUP, DISTILLED = "| + mixup w/o distill", "| + distill w/ mixup"


def shown(out, label):
    return [text.strip() for text in next(line for line in out.splitlines() if line.startswith(label)).split("|")[1:-1]]


def test_rows_with_a_teacher_from_class_folders_to_the_table(photos, tmp_path, capsys):
    """Teacher before student; a killed cell is shown as failed and goes on by the same command; --show runs nothing."""
    words = ["table6", "--columns", "resnet50_v1d", "--rows", "mixup,distill_mixup", "--scale", "smoke"]
    words += ["--data", str(photos), "--runs", str(tmp_path / "runs"), "--csv", str(tmp_path / "out.csv")]
    folder = tmp_path / "runs" / "smoke"
    code, out = killed_in_its_first_cell(words, folder / "table6-resnet50_v1d-mixup" / "seed0")
    assert code == 1
    assert re.findall("^--- (.*)", out, re.MULTILINE) == [
        "1 of 3: table6/resnet50_v1d/mixup, seed 0",
        "2 of 3: table6/resnet152_v1d/mixup, seed 0, which other cells need first",
        "3 of 3: table6/resnet50_v1d/distill_mixup, seed 0",
    ]
    assert shown(out, MIXUP)[2:4] == ["failed: killed by SIGKILL; the same command goes on", ""]
    assert re.fullmatch(r"\d+\.\d\d \(1\)", shown(out, DISTILLED)[2])
    assert "killed by SIGKILL" in (folder / "table6.html").read_text()

    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert re.findall("^--- (.*)", out, re.MULTILINE) == ["1 of 1: table6/resnet50_v1d/mixup, seed 0"]
    assert "going on from step-000000001.safetensors, after step 1 of 2" in out  # 64 images are one batch
    assert shown(out, DISTILLED)[4] == "+0.32"  # 79.33 - 79.01
    ours, gain = float(shown(out, MIXUP)[2].split()[0]), float(shown(out, DISTILLED)[5].split()[0])
    assert float(shown(out, DISTILLED)[2].split()[0]) - ours == pytest.approx(gain, abs=0.011)
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(row["row"], row["seed"], row["state"]) for row in rows] == [
        ("mixup", "0", "done"),
        ("distill_mixup", "0", "done"),
    ]
    assert (folder / "table6.html").read_text().count("data:image/png;base64,") == 2  # curves, and the difference
    assert (folder / "table6.png").read_bytes()[:4] == b"\x89PNG"

    assert script.main([*words, "--show"]) == 0
    again = capsys.readouterr().out
    assert "---" not in again.replace("| -", "").replace("--", "") and again in out


def test_a_transfer_from_its_base_network_to_the_table(few_pictures, photos, tmp_path, capsys):
    """Table 9 trains the missing base network first and says so; its top-1 stands beside the scores."""
    words = ["table9", "--rows", "standard", "--scale", "smoke", "--base-data", str(photos)]
    words += ["--runs", str(tmp_path / "runs"), "--csv", str(tmp_path / "out.csv")]
    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert re.findall("^--- (.*)", out, re.MULTILINE) == [
        "1 of 2: base/resnet50_v1b/standard, seed 0, which other cells need first",
        "2 of 2: table9/ade20k/standard, seed 0",
    ]
    line = shown(out, "| B-standard")
    assert line[1] == "78.08 / 37.05" and re.fullmatch(r"\d+\.\d\d \(1\)", line[2]) and line[-2] == "76.14"
    (row,) = csv.DictReader((tmp_path / "out.csv").open())
    assert (row["paper_pixAcc"], row["state"]) == ("78.08", "done") and f"{float(row['base_top1']):.2f}" == line[-1]
    assert "pixAcc: paper - (three rows at least), ours - (three rows at least)" in out

    words[0] = "table8"  # with the same base network
    assert script.main(words) == 0
    out = capsys.readouterr().out
    assert re.findall("^--- (.*)", out, re.MULTILINE) == ["1 of 1: table8/voc/standard, seed 0"]
    line = shown(out, "| B-standard")
    assert line[1] == "77.54 / -" and re.fullmatch(r"\d+\.\d\d \(1\)", line[2]) and line[-2] == "76.14"


def test_what_one_process_cannot_train_is_refused_before_the_first_cell(tmp_path, capsys, monkeypatch):
    """Table 9 has batch normalisation over ranks: two devices take two of them. A launcher starts those itself."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    gpus = [mx.gpu(0), mx.gpu(1)]
    monkeypatch.setattr("gluon_tricks.cli.train_cells.choose_contexts", lambda count, **rest: gpus)
    words = ["table9", "--scale", "smoke", "--rows", "standard", "--runs", str(tmp_path / "runs")]
    assert script.main(words) == 2
    said = capsys.readouterr()
    assert "table9/ade20k/standard: SyncBatchNorm is over ranks and this one has 2 devices" in said.err
    assert (
        said.err.endswith('start a rank for each, or use one (--launch "horovodrun -np N")\n') and "---" not in said.out
    )
    assert script.main([*words, "--launch", "true"]) == 1  # which trains nothing


def test_a_figure_runs_what_it_is_drawn_from(few_pictures, tmp_path, capsys):
    words = ["figure4", "--scale", "smoke", "--runs", str(tmp_path)]
    assert script.main([*words, "--plan"]) == 0
    assert "2 cells, about" in capsys.readouterr().out and not list(tmp_path.glob("smoke/table6*"))
    assert script.main(words) == 0
    out = capsys.readouterr().out.splitlines()
    started = [line for line in out if line.startswith("---")]
    assert [line.split(",")[0].split("/")[-1] for line in started] == ["cosine", "smooth"]
    assert out[-2:] == [str(tmp_path / "smoke" / f"figure4{panel}.png") for panel in "ab"]
    assert cv2.imread(out[-1]).std() > 10
    assert script.main(words) == 0 and "---" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "what, rows", [("figure4", []), ("table6", ["--rows", "cosine,smooth", "--columns", "resnet50_v1d"])]
)
def test_a_long_training_is_announced(what, rows, photos, tmp_path, capsys, monkeypatch):
    """How many cells and epochs, and how long, before the first cell: tables and figures alike."""
    monkeypatch.setattr(
        script.estimate, "plan", lambda todo, *rest: ["a line a cell", f"{len(todo)} cells, about 38.2 minutes"]
    )
    monkeypatch.setattr(run_cells, "run", lambda cell, words, say, *rest: say("training") or False)
    words = [what, *rows, "--scale", "imagenette", "--data", str(photos), "--runs", str(tmp_path / "runs")]
    assert script.main(words) == 1
    out = capsys.readouterr().out
    told = out[: out.index("--- 1 of 2")].splitlines()
    assert told[-2:] == [
        "to train: 2 cells, 12 epochs in all; measuring how long that takes on this machine",
        "2 cells, about 38.2 minutes",
    ]


def test_a_plan_of_a_network_that_cannot_be_measured_ends_well(photos, tmp_path, capsys, monkeypatch):
    """Nor does a training: both say why."""

    def fails(*rest):
        raise RuntimeError("the contestant died: Traceback\nMemoryError")

    monkeypatch.setattr("gluon_tricks.paper.speeds.measured", fails)
    monkeypatch.setattr(run_cells, "run", lambda cell, words, say, *rest: say("training") or False)
    words = ["table6", "--rows", "cosine", "--columns", "resnet50_v1d", "--scale", "imagenette", "--jobs", "1"]
    words += ["--data", str(photos), "--runs", str(tmp_path / "runs"), "--measure"]
    assert script.main([*words, "--plan"]) == 0
    told = capsys.readouterr()
    assert "cannot be measured: MemoryError" in told.err and "resnet18_v1d could not be measured on this" in told.out
    assert script.main(words) == 1
    told = capsys.readouterr()
    assert "cannot be measured: MemoryError" in told.err and "1 cell, whose time is not known (" in told.out


def test_a_record_that_will_be_replaced_is_announced(photos, tmp_path, capsys, monkeypatch):
    """Figure 4 is drawn from networks: of what is done the scores alone have been kept."""

    def keeps_its_scores(cell, *words):
        cell.folder.mkdir(parents=True, exist_ok=True)
        (cell.folder / "recipe.json").write_text(json.dumps({**cell.recipe.to_json(), "classes": 2}))
        (cell.folder / "metrics.csv").write_text("epoch,val_top1\n" + "1,0.5\n" * cell.recipe.epochs)
        return True

    monkeypatch.setattr(script.estimate, "plan", lambda todo, *rest: ["about 38.2 minutes"])
    monkeypatch.setattr(run_cells, "run", keeps_its_scores)
    words = ["figure4", "--scale", "imagenette", "--data", str(photos), "--runs", str(tmp_path / "runs")]
    script.main(words)
    assert "anew" not in capsys.readouterr().out
    for more in (["--plan"], []):
        script.main([*words, *more])
        out = capsys.readouterr().out.partition("--- ")[0]
        assert out.count(", is done, but its network, ") == out.count("it is trained anew, and its record is repl") == 2


def test_photos_are_packed_once_and_again_when_they_change(photos, tmp_path):
    def packed(folder=photos, **kwargs):
        return packed_photos(folder, tmp_path / "data", "--data", **kwargs)

    assert packed(packing=False) == ((), ())
    first = packed()
    times = [pathlib.Path(paths[0]).stat().st_mtime_ns for paths in first]
    assert packed() == first == packed(packing=False)
    assert [pathlib.Path(paths[0]).stat().st_mtime_ns for paths in first] == times
    assert packed(pathlib.Path(first[0][0]).parent) == first  # a folder of records is what it is
    (photos / "val" / "red" / "0.jpg").unlink()
    assert packed(packing=False) == ((), ())
    (_,), (val,) = packed()
    assert val != first[1][0] and len(Records([val])) == 11 and len(Records([first[1][0]])) == 12


@pytest.mark.parametrize(
    "words, says",
    [
        (["table6", "--scale", "imagenet", "--data"], "table6 at the scale imagenet has 1000 classes and "),
        (["figure4", "--scale", "imagenet", "--data"], "table6 at the scale imagenet has 1000 classes and "),
        (["table8", "--scale", "paper", "--base-data"], "base at the scale imagenet has 1000 classes and "),
    ],
)
def test_photos_of_other_classes_than_the_tables_are_not_packed(words, says, photos, tmp_path, capsys):
    assert script.main([*words, str(photos), "--runs", str(tmp_path / "runs")]) == 2
    said = f"{says}{photos} has 3: name the paper's images with {words[-1]}, or choose"
    assert said in capsys.readouterr().err and not [*tmp_path.rglob("*.rec")]


def test_the_plan_measures_each_kind_of_network(tmp_path, capsys, monkeypatch):
    """MobileNet has no residual blocks, and so no zero gamma. The second time it measures nothing."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    words = ["table6", "--columns", "mobilenet1.0", "--rows", "efficient,mixup", "--scale", "smoke", "--plan"]
    assert script.main([*words, "--runs", str(tmp_path)]) == 0
    said = capsys.readouterr()
    kind = r"mobilenet0.25 at 32 px, batch 64, b?float(16|32)"
    assert re.match(rf"measuring {kind} \(1 of 1, at most 30 s\)\n", said.err)
    lines = said.out.splitlines()
    assert re.fullmatch(r"table3/mobilenet1.0/efficient, seed 0: 1 epoch of 640 images, about .*", lines[0])
    assert re.fullmatch(r"table6/mobilenet1.0/mixup, seed 0: 2 epochs of 640 images, about .*", lines[1])
    assert re.fullmatch(r"2 cells, about .* of training on this machine \(.*\)", lines[2])
    assert script.main([*words, "--runs", str(tmp_path)]) == 0
    again = capsys.readouterr()
    assert again.out == said.out
    assert re.fullmatch(rf"{kind}: measured before, on \d{{4}}-\d\d-\d\d.* \(--measure measures anew\)\n", again.err)


def test_the_plan_of_table_6_has_the_papers_four_runs(tmp_path, capsys, monkeypatch):
    """Six rows of ResNet-50-D four times, one once, and the two teachers; the estimate is of all of them."""
    monkeypatch.setattr(script.estimate, "_rates", lambda recipes, *rest: collections.defaultdict(lambda: 100.0))
    words = ["table6", "--columns", "resnet50_v1d", "--plan", "--runs", str(tmp_path)]
    assert script.main(words) == 0
    *lines, total, said, unknown = capsys.readouterr().out.splitlines()
    assert unknown.startswith("what a number of seeds could tell is not known")
    assert len(lines) == 6 * 4 + 1 + 2 and total.startswith("27 cells, about ")
    assert said == "resnet50_v1d is trained 4 times, as the paper's was: --seeds 1 for once"
    assert script.main([*words, "--seeds", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("9 cells, about ")


def test_the_plan_of_table_2_is_that_of_three_networks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script.estimate, "_rates", lambda recipes, *rest: collections.defaultdict(lambda: 100.0))
    assert script.main(["table2", "--plan", "--runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[:-1]] == [
        f"table3/{network}/baseline" for network in ("resnet50_v1", "inceptionv3", "mobilenet1.0")
    ]
    # 120 (1281167 / 100 + 50000 / 300) / 3600
    assert all(line.endswith("120 epochs of 1281167 images, about 432.6 hours") for line in lines[:-1])


def test_show_runs_nothing(tmp_path, capsys):
    assert script.main(["table4", "--show", "--scale", "smoke", "--runs", str(tmp_path), "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("not run") == 10 and "---" not in out.replace("| -", "").replace("--", "")
    assert f"nothing of table4 has been run at the scale smoke in {tmp_path}\n" in out
    assert not list(tmp_path.iterdir())  # nor does it write


def test_a_look_changes_nothing(tmp_path, capsys):
    """Of runs that are there it says so where another scale was asked for; --csv is written, as it was named."""
    runs = tmp_path / "tables"
    shutil.copytree(pathlib.Path(__file__).parents[2] / "results/tables/imagenette", runs / "imagenette")
    before = sorted((path, path.stat().st_mtime_ns) for path in runs.rglob("*"))
    words = ["table6", "--show", "--runs", str(runs)]
    assert script.main([*words, "--scale", "imagenette", "--csv", str(tmp_path / "t.csv")]) == 0
    assert shown(capsys.readouterr().out, "| + cosine decay")[1:5] == [
        "77.73 ± 0.13 / 93.82 ± 0.08",
        "73.31 ± 0.55 (3)",
        "96.79 ± 0.08 (3)",
        "+0.47",
    ]
    assert (tmp_path / "t.csv").is_file()
    assert script.main(words) == 0
    assert "nothing of table6 has been run at the scale imagenet" in (out := capsys.readouterr().out)
    assert out.endswith("runs of other scales are there: --scale imagenette\n")
    assert sorted((path, path.stat().st_mtime_ns) for path in runs.rglob("*")) == before


@pytest.mark.parametrize(
    "what, says",
    [("magic_figure1", "begins anew"), ("magic_figure2", "begins anew"), ("figure3", "goes on where it stopped")],
)
def test_an_interruption_says_what_the_same_command_does(what, says, tmp_path, capsys, monkeypatch):
    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "_reproduce", interrupted)
    assert script.main([what, "--scale", "smoke", "--runs", str(tmp_path)]) == 75
    assert capsys.readouterr().err == f"interrupted: the same command {says}\n"


@pytest.mark.parametrize(
    "words, says",
    [
        (["tabel6"], "no table or figure 'tabel6': did you mean table6"),
        (["table1"], "table1 is trained on ImageNet, and there is no train.rec and val.rec in"),
        (["table2", "--columns", "resnet50"], "no column 'resnet50' in table2: did you mean resnet50_v1"),
        (["figure5"], "no table or figure 'figure5': did you mean figure4"),
        (["table7"], "packed from its lists with gluon-tricks pack --places365: name their folder with --data"),
        (["table5", "--scale", "imagenette"], "name their folder with --data"),
        (["magic_table2", "--scale", "small"], "a part of it: name their folder with --data"),
        (["magic_table2", "--network", "wang=x"], "--network wang=x: nothing of magic_table2 starts from a trained"),
        (["magic_table3", "--network", "x"], "--network x: give NAME=SRC, such as krizhevsky=caffenet.params"),
        (["magic_table3", "--network", "wong=x"], "no network 'wong' in magic_table3: did you mean wang"),
        (["magic_table3", "--network", "wang=none"], "--network wang=none: there is no run or file none"),
        (["magic_table3", "--network", "wang=caffenet"], "wang=caffenet: no parameters of caffenet were published"),
        (["magic_table3", "--network", "wang=vgg16"], "wang=vgg16: --model caffenet contradicts vgg16"),
        (["magic_table1", "--base-data", "x"], "magic_table1 has no base networks; name its images with --data"),
        (["table5", "--scale", "imagenette", "--plan"], "name their folder with --data"),
        (["table5"], "there is no train.rec and val.rec in ~/.mxnet/datasets/imagenet/rec"),
        (["table6", "--columns", "resnet152_v1d"], "no column 'resnet152_v1d' in table6: did you mean resnet50_v1d"),
        (["table6", "--rows", "mixupp"], "no row 'mixupp' in table6: did you mean mixup"),
        (["table6", "--columns", "resnet"], "no column 'resnet' in table6"),
        (["table6", "--scale", "imagenete"], "no scale 'imagenete': did you mean imagenet"),
        (["table6", "--data", "/nowhere"], "--data /nowhere: there is no such folder"),
        (["table6", "--data", "/"], "--data /: it has neither train.rec (or its shards) nor a folder train"),
        (["table6", "--data", "/", "--rows", "mixupp"], "no row 'mixupp' in table6: did you mean mixup"),
        (["table6", "--data", "/", "--network", "x"], "--network x: nothing of table6 starts from a trained network"),
        (["table8"], "table8 at the scale paper is trained on Pascal VOC"),
        (
            ["table9", "--scale", "small", "--data", "x"],
            "--data x: there is no such folder",
        ),
        (["table8", "--scale", "imagenette"], "no scale 'imagenette': there are smoke, small, paper"),
        (["table6", "--base-data", "x"], "--base-data x: table6 has no base networks"),
        (
            ["figure3", "--scale", "smoke", "--show"],
            "gluon-tricks reproduce table6 --rows efficient --scale smoke first",
        ),
        (["figure3"], "table6 is trained on ImageNet"),
        (["figure3", "--rows", "cosine"], "--rows is for tables, and figure3 is a figure"),
        (["figure3", "--png", "x.png"], "--png is for tables, and figure3 is a figure"),
        (["table6", "--show", "--csv", "/tmp"], "--csv /tmp: it is a folder"),
        (["table6", "--show", "--png", "/tmp"], "--png /tmp: it is a folder"),
        (["table6", "--launch", "nosuchprogram -np 2"], "there is no program nosuchprogram"),
        (["table6", "--launch", '"'], '--launch ": No closing quotation'),
        (["table6", "--show", "--csv", "/nowhere/x.csv"], "--csv /nowhere/x.csv: there is no such folder"),
        (["table6", "--show", "--jobs", "1"], "--jobs: --show trains and measures nothing; leave it out"),
        (["table6", "--show", "--launch", "true"], "--launch: --show trains and measures nothing; leave it out"),
        (["table6", "--plan", "--csv", "t.csv"], "--csv: --plan shows no table; leave it out"),
        (["table6", "--plan", "--png", "t.png"], "--png: --plan shows no table; leave it out"),
        (["figure3", "--show", "--measure"], "--measure: --show trains and measures nothing; leave it out"),
        (["table6", "--jobs", "1000"], "and each cell takes one: give 1 to "),
        (["figure1", "--data", "/nowhere"], "--data: figure1 is drawn without images; leave it out"),
        (["figure2", "--seeds", "3"], "--seeds: figure2 is drawn without a training; leave it out"),
        (["magic_figure1", "--jobs", "2"], "--jobs: magic_figure1 is drawn without a training; leave it out"),
        (["magic_figure2", "--measure"], "--measure: magic_figure2 is drawn without a training; leave it out"),
        (
            ["table6", "--columns", "inceptionv3", "--scale", "imagenette", "--plan"],
            "column inceptionv3 of table6 has no proxy at the scale imagenette: choose another",
        ),
        (
            ["magic_table3", "--scale", "small", "--rows", "wang", "--plan"],
            "row wang of magic_table3 starts from weights: give --network wang=SRC",
        ),
        (
            ["table6", "--columns", "mobilenet1.0", "--rows", "long"],
            "column mobilenet1.0 of table6 has none of what was asked for: it has cosine, ",
        ),
        (
            ["table6", "--columns", "mobilenet1.0,inceptionv3", "--rows", "efficient,long", "--scale", "imagenet"],
            "row long of table6 is in none of these columns: it is in resnet50_v1d",
        ),
    ],
)
def test_refusals(words, says, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert script.main([*words, "--runs", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, says",
    [
        (["transfer_learning", "--network", "nowhere"], "--network nowhere: there is no run or file nowhere"),
        (["transfer_learning", "--network", "broken.params"], "--network broken.params: "),
        (["magic_figure1", "--network", "nowhere"], "--network nowhere: there is no run or file nowhere"),
        (["magic_figure2", "--network", "broken.params"], "--network broken.params: "),
        (["magic_table3", "--network", "wang=broken.params"], "--network wang=broken.params: "),
        (["figure3", "--rows", "x"], "--rows is for tables, and figure3 is a figure"),
        (["figure4", "--columns", "x"], "--columns is for tables, and figure4 is a figure"),
        (["magic_figure1", "--rows", "x"], "--rows is for tables, and magic_figure1 is a figure"),
        (["table6", "--columns", "inceptionv3"], "column inceptionv3 of table6 has no proxy at the scale "),
        (["transfer_learning"], "transfer_learning at the scale small takes images of the classes n03394916, "),
        (["magic_table3", "--rows", "wang"], "row wang of magic_table3 starts from weights: give --network wang=SRC"),
    ],
)
def test_what_needs_no_images_is_refused_before_packing(words, says, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.params").write_bytes(b"no parameters")
    scale = "small" if words[0] in ("transfer_learning", "magic_figure2", "magic_table3") else "imagenette"
    assert script.main([*words, "--scale", scale, "--data", str(photos), "--runs", "runs"]) == 2
    assert says in capsys.readouterr().err and not [*tmp_path.rglob("*.rec")]


@pytest.mark.parametrize(
    "source, start",
    [
        ("run/../a.params", "HERE/a.params"),
        ("net.pth#state_dict_ema", "HERE/net.pth#state_dict_ema"),
        ("run", "HERE/run/final.params"),
        ("hf-hub:me/caffenet", "hf-hub:me/caffenet@COMMIT"),
    ],
)
def test_a_row_starts_from_any_form_of_a_trained_network(source, start, tmp_path, monkeypatch, local_hub):
    monkeypatch.chdir(tmp_path)
    local_hub.files = {("me/caffenet", "model.safetensors"): safetensors.numpy.save({"a": np.zeros(1)})}
    for name in ("a.params", "net.pth", "run/final.params"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(Recipe(model="caffenet").to_json()))
    found = script._networks(script.parse("", ["magic_table3", "--plan", "--network", f"wang={source}"]))
    commit = local_hub.commit("me/caffenet") if "COMMIT" in start else ""
    assert found == {"wang": start.replace("HERE", str(tmp_path)).replace("COMMIT", commit)}


def test_a_file_holds_no_runs(capsys):
    assert script.main(["table6", "--show", "--runs", __file__]) == 2
    assert "it is a file; name the folder of the runs" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["0", "-1", "2.5", "2000", "two"])
def test_numbers_of_cells_that_are_none(jobs, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["table6", "--jobs", jobs])
    assert capsys.readouterr().err.startswith("refused: argument --jobs: ")


def test_cells_side_by_side_have_a_core_each_and_no_gpus_or_ranks(tmp_path, monkeypatch, capsys):
    words = ["table6", "--scale", "smoke", "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr("gluon_tricks.cli.train_cells.usable_cores", lambda: 3)
    assert script.main([*words, "--jobs", "4"]) == 2
    said = "refused: --jobs 4: this process may use 3 cores, and each cell takes one: give 1 to 3\n"
    assert capsys.readouterr().err == said
    assert script.main([*words, "--jobs", "2", "--launch", "true"]) == 2
    assert "--jobs 2: with --launch each cell takes several processes by itself" in capsys.readouterr().err
    monkeypatch.setattr("gluon_tricks.cli.train_cells.choose_contexts", lambda count, **rest: [mx.gpu(0)])
    assert script.main([*words, "--jobs", "2", "--plan"]) == 2
    assert "the cells would share the GPUs of this machine; give --jobs 1" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*"))


PAIR = ["table6", "--columns", "resnet50_v1d", "--rows", "mixup,distill_mixup,cosine", "--scale", "smoke"]
two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cells at a time take two cores")


def finals(folder):
    return {path.parts[-3]: path.read_bytes() for path in folder.glob("smoke/*/seed0/final.params")}


@pytest.fixture
def one_after_the_other(three_steps, tmp_path):
    """The networks of PAIR and their teacher, trained one after the other with one thread: folder -> bytes.

    In one process, which may be switched to 16 bits, and so not in this one.
    """
    folder, program = tmp_path / "alone", tmp_path / "alone.py"
    program.write_text(
        "from gluon_tricks.cli import reproduce, train\n"
        "from gluon_tricks.data.builtin import shapes\n"
        "from gluon_tricks.paper import run_cells\n"
        f"shapes.DATA_SETS.update({shapes.DATA_SETS})\n"
        "run_cells.run = lambda cell, *rest: train.main(run_cells.words_for(cell, [])) == 0\n"
        f"raise SystemExit(reproduce.main({[*PAIR, '--runs', str(folder), '--jobs', '1']}))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and not list(folder.rglob("*.log")), done.stderr
    return finals(folder)


def stopped(words, folder, number):
    """Runs a command, sends it a signal when a run in the folder has a checkpoint; returns (exit code, out, err)."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(words, start_new_session=True, **pipes) as process:
        deadline = time.monotonic() + 300
        while not list(folder.glob("smoke/*/seed0/checkpoints/step-*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "ps -eo args" in listed and str(folder) not in listed  # no training is left
    return process.returncode, out, err


@two_cores
def test_side_by_side_stopped_and_gone_on_with_it_is_the_same(one_after_the_other, three_steps, tmp_path, capsys):
    """Two at a time, stopped when one has a checkpoint: exit code 75, no process left; the same command goes on to the
    same networks, bit for bit, as one after the other."""
    runs = tmp_path / "runs"
    words = [*PAIR, "--runs", str(runs), "--jobs", "2"]
    code, out, err = stopped([sys.executable, str(three_steps), "reproduce", *words], runs, signal.SIGINT)
    assert code == 75 and err.endswith("interrupted: the same command goes on where it stopped\n")
    assert "--- 2 of 4: " in out and "training" in out[out.index("stopping ") :] and "failed" not in out

    assert script.main(words) == 0, capsys.readouterr().out
    assert finals(runs) == one_after_the_other and len(one_after_the_other) == 4
    logs = {path.parts[-2]: path.read_text() for path in runs.rglob("seed0.log")}
    assert logs.keys() == one_after_the_other.keys()
    student = logs["table6-resnet50_v1d-distill_mixup"].splitlines()
    assert "--resume auto" in student[0] and "everything about it is in" in student[-1]
    assert any("going on from step-" in log for log in logs.values())


@two_cores
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_stops_all_cells(number, three_steps, tmp_path):
    rows = ["table6", "--columns", "resnet50_v1d", "--rows", "mixup,distill_mixup", "--scale", "smoke"]
    runs = tmp_path / "runs"
    words = [sys.executable, str(three_steps), "reproduce", *rows, "--runs", str(runs), "--jobs", "2"]
    code, out, err = stopped(words, runs, number)
    assert code == 75 and err.endswith("interrupted: the same command goes on where it stopped\n")
    assert "stopping 2 trainings: each writes a checkpoint" in out and "failed" not in out
