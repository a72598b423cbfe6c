"""The script as a user runs it: what it prints, and what it refuses. (tests/faults: what goes wrong in mid-run)"""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from gluon_tricks.cli import train
from gluon_tricks.recipes.recipe import Recipe

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "scripts" / "train_imagenet.py")


def command(tiny_records, run, *more):
    return [
        *(sys.executable, SCRIPT, "--rec-train", str(tiny_records / "train.rec")),
        *("--rec-val", str(tiny_records / "val.rec"), "--save-dir", str(run), "--model", "resnet18_v1"),
        *("--input-size", "32", "--batch-size", "8", "--num-epochs", "2", "--lr", "0.01", *more),
    ]


def run(words, **kwargs):
    environment = {**os.environ, **kwargs.pop("env", {})}
    return subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment, **kwargs)


def test_a_log_file_gets_plain_lines_and_nothing_else(tiny_records, tmp_path):
    done = run(command(tiny_records, tmp_path / "run", "--log-interval", "6", "--dtype", "float16"))
    assert done.returncode == 0 and done.stderr == ""
    shapes = [
        r"the images differ from those that resnet18_v1 usually takes: a side of 32 px in place of 224",
        r"float16 was asked for; .* (bfloat16|float32) is used",
        r"resnet18_v1 on 48 images of 4 classes at 32 px: 2 epochs of 6 steps, batch 8, (bfloat16|float32), cpu\(0\)",
        r"training images of each class: 12",
        r"batch normalisation sees 8 images at a time, and its statistics take 16 or more: .*",
        r"epoch 1/2  step 6/6  loss \d+\.\d{3}  lr 0\.0100  [\d.]+ images/s  \d+:\d\d left",
        r"epoch 1/2: top-1 \d+\.\d\d%, val loss .*",
        r"epoch 2/2  step 6/6  loss .*",
        r"epoch 2/2: top-1 .*",
        r"resnet18_v1 has \d+\.\d\d% top-1 on 20 held-out images after 2 epochs, in \d:\d\d; .*/run",
    ]
    lines = done.stdout.splitlines()
    assert len(lines) == len(shapes), done.stdout
    for line, shape in zip(lines, shapes):
        assert re.fullmatch(shape, line), line


def test_a_recipes_precision_is_no_line_of_its_own(tiny_records, tmp_path):
    """Nobody asked for float16 by a flag: what is used is said with the rest, once."""
    words = command(tiny_records, tmp_path / "run", "--num-gpus", "0", "--picture-epochs", "0")[2:]
    model = ["--model", "cifar_resnet20_v1", "--num-epochs", "1", "-j", "1"]
    (tmp_path / "recipe.json").write_text(json.dumps(Recipe(dtype="float16").to_json()))
    done = run([sys.executable, SCRIPT, *words, *model, "--recipe", str(tmp_path / "recipe.json")])
    assert done.returncode == 0, done.stderr
    assert re.search(r"batch 8, (bfloat16|float32) in place of float16, cpu\(0\)$", done.stdout.splitlines()[0])
    assert done.stdout.count("float16 in place of") + done.stdout.count("float32 in place of") == 1
    assert "asked for" not in done.stdout


def test_a_refusal_exits_with_2_and_one_line(tmp_path):
    done = run([sys.executable, SCRIPT, "--no-such-flag"], cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert "there is no flag --no-such-flag: --help lists them" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        (["--rec-train", "nowhere.rec", "--rec-val", "nowhere.rec"], "there is no nowhere.rec"),
        (["--mode", "symbolic"], "hybrid is its successor"),
        (["--num-gpus", "99"], "that MXNet can use"),
        (["--recipe", "shapes", "--model", "resnet18_v1e"], "did you mean resnet18_v1"),
    ],
)
def test_refusals_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    """In this process: exit code 2, one line, nothing written."""
    monkeypatch.chdir(tmp_path)
    assert train.main(words) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("refused: ") and says in line and said.out == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        ("--mixup --mixup-alpha -0.2", "mixup: alpha must be 0, or 0.0001 and more"),
        ("--set mixup.alpha=-1", "mixup: alpha must be 0, or 0.0001 and more"),
        ("--mixup --mixup-alpha inf", "mixup: alpha must be finite"),
        ("--label-smoothing 1", "label_smoothing: eps must lie in [0, 1)"),
        ("--label-smoothing -0.1", "label_smoothing: eps must lie in [0, 1)"),
        ("--teacher run --temperature 0", "distillation: temperature must be positive"),
        ("--teacher run --hard-weight 2", "distillation: hard_weight must lie in [0, 1]"),
        ("--teacher run --set distillation.form=hard", "distillation: form must be 'paper' or 'gluoncv'"),
        ("--teacher nowhere", "there is no run or file nowhere"),
        ("--recipe table6/resnet50_v1d/distill", "the teacher table6/resnet152_v1d/smooth is a recipe and no run yet"),
        ("--recipe table6/resnet50_v1d/mixpu", "there is no row 'mixpu' in table6: did you mean mixup"),
        ("--set mixpu.alpha=1", "there is no recipe field or trick 'mixpu': did you mean mixup"),
        ("--set epoch=3", "there is no recipe field or trick 'epoch': did you mean epochs"),
    ],
)
def test_numbers_and_names_without_sense(words, says, tmp_path, monkeypatch, capsys):
    """In this process: one sentence, exit code 2, nothing written."""
    monkeypatch.chdir(tmp_path)
    recipe = [] if "--recipe" in words else ["--recipe", "shapes", "--set", "data=few_shapes"]
    assert train.main([*recipe, *words.split(), "--num-gpus", "0", "--dtype", "float32"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("refused: ") and says in line
    assert not list(tmp_path.rglob("*.params"))
