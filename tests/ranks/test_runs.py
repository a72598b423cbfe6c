"""Trainings on several ranks: what they leave, and what a frozen or killed rank costs (nothing but time)."""

import csv
import json
import pathlib
import re

import numpy as np
import pytest

from gluon_tricks.networks.checkpoint import list_checkpoints, read_checkpoint
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.trained.load import load_network

from .conftest import alone, training


@pytest.fixture(scope="module")
def balance(tmp_path_factory):
    """Flags by which classes are drawn equally often and count differently."""
    path = tmp_path_factory.mktemp("weights") / "weights.csv"
    path.write_text("red,1\ngreen,2\nblue,3\ngrey,4\n")
    return "--sampling", "balanced", "--class-weights", str(path)


@pytest.fixture(scope="module")
def two(launch, tiny_records, balance, tmp_path_factory):
    """(what it said, folder) of an undisturbed run of two ranks, with pictures; in the folder are run and logs."""
    folder = tmp_path_factory.mktemp("two")
    words = training(tiny_records, folder / "run", "--batch-size", "6", "--picture-epochs", "1", *balance)
    done = launch(2, folder / "logs", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def values(run):
    return {name: parameter.data().asnumpy() for name, parameter in parameters_by_name(load_network(run)).items()}


def test_a_run_of_two_ranks(two, tiny_records, balance, tmp_path):
    """Rank 0 alone writes and prints; each rank has its log; the result is that of one process."""
    said, folder = two
    assert "2 epochs of 4 steps, batch 12, float32, cpu(0) on 2 ranks" in said
    assert said.count("on 20 held-out images") == 1
    assert (folder / "logs" / "rank.0.log").read_text() == said
    assert not (folder / "logs" / "rank.1.log").exists()  # it had nothing to say
    assert len([*(folder / "run" / "pictures").iterdir()]) == 2
    assert "class weights: 0.4 (red) to 1.6 (grey), 1 in the mean over the images drawn" in said
    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *balance))
    others = values(tmp_path / "one")
    for name, value in values(folder / "run").items():
        np.testing.assert_allclose(others[name], value, atol=1e-5, err_msg=name)


def test_two_ranks_whose_norms_see_what_one_process_s_do(launch, tiny_records, tmp_path):
    """Groups of 3 of 12 images: four rounds of one process, two of each rank. BN magnifies roundings: a low rate."""
    words = ("--set", "bn_batch=3", "--lr", "0.001", "--num-epochs", "1")
    done = launch(2, tmp_path / "logs", *training(tiny_records, tmp_path / "two", "--batch-size", "6", *words, norm=()))
    assert done.returncode == 0, done.stderr
    assert "cpu(0) on 2 ranks; batch normalisation over 3 images" in done.stdout
    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *words, norm=()))
    others = values(tmp_path / "one")
    for name, value in values(tmp_path / "two").items():
        np.testing.assert_allclose(others[name], value, atol=2e-5, err_msg=name)


def test_two_ranks_with_a_frozen_part_and_a_plateau(launch, tiny_records, tmp_path):
    """What is frozen stays as it was on both, rates of parts are those of one process, and both end at once.

    An error can improve by no 99 %: the rate falls after the second epoch, and the third is the last of five.
    """
    words = ["--freeze", "stage*", "--freeze", "stem", "--lr-mult", "head.bias=3", "--num-epochs", "5"]
    words += ["--set", "plateau.improvement=0.99", "--set", "plateau.patience=1", "--set", "plateau.drops=1"]
    done = launch(2, tmp_path / "logs", *training(tiny_records, tmp_path / "two", "--batch-size", "6", *words, norm=()))
    assert done.returncode == 0, done.stderr
    assert "rate is 0.1 times the schedule's" in done.stdout and "the run ends after epoch 3 of 5" in done.stdout
    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *words, norm=()))
    others = values(tmp_path / "one")
    for name, value in values(tmp_path / "two").items():
        tolerance = 0 if name.startswith(("stem", "stage")) else 1e-5
        np.testing.assert_allclose(others[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_two_ranks_with_images_of_two_sizes_in_copies_and_a_policy(launch, tiny_records, tmp_path):
    """Epochs of 16 and 24 px, every image twice in a batch, changed anew: the same as of one process."""
    words = ["--resizing", "16", "--train-size", "24", "--aug-repeats", "2", "--auto-augment", "rand"]
    done = launch(2, tmp_path / "logs", *training(tiny_records, tmp_path / "two", "--batch-size", "6", *words))
    assert done.returncode == 0, done.stderr
    assert "training images of 16 px from epoch 1 on, 24 px from epoch 2 on; validation at 32 px" in done.stdout
    alone(*training(tiny_records, tmp_path / "one", "--batch-size", "12", *words))
    others = values(tmp_path / "one")
    for name, value in values(tmp_path / "two").items():
        np.testing.assert_allclose(others[name], value, atol=1e-5, err_msg=name)


def outcome(run):
    """Arrays of the last checkpoint, rows of metrics.csv."""
    with open(run / "metrics.csv") as file:
        rows = [{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)]
    return read_checkpoint(list_checkpoints(run / "checkpoints")[-1])[0], rows


def test_lost_ranks_cost_nothing_but_time(two, launch, tiny_records, balance, tmp_path):
    """Frozen in a step, killed in an evaluation and in a write: each is named and an event, the end is bit for bit."""
    run, script = tmp_path / "run", pathlib.Path(__file__).with_name("lost_ranks.py")
    words = training(tiny_records, run, "--batch-size", "6", "--save-steps", "3", *balance)[1:]
    done = launch(2, tmp_path / "logs", script, *words, flags=("--stuck-after", "30", "--max-restarts", "3"))
    assert done.returncode == 0, done.stderr
    frozen = "rank 1 has not moved for 30 s; the step it last reported: "
    losses = [frozen, "rank 1 ended by SIGKILL; the logs", "rank 0 ended by SIGKILL; the logs"]
    places = [done.stderr.index(words) for words in losses]
    assert places == sorted(places)
    told = [line for line in done.stdout.splitlines() if line.startswith(("starting it again", "going on from"))]
    assert told == [
        line
        for restart, step in ((1, 4), (2, 6), (3, 6))
        for line in (
            f"starting it again ({restart} of 3) with 2 ranks",
            f"going on from step-00000000{step}.safetensors, after step {step} of 8",
        )
    ]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    reasons = [event["reason"] for event in events if event["event"] == "restart"]
    assert reasons[0].startswith("restart 1 of 3, rank 1 has not moved for 30 s")
    assert reasons[1:] == ["restart 2 of 3, rank 1 ended by SIGKILL", "restart 3 of 3, rank 0 ended by SIGKILL"]
    (arrays, rows), (others, other_rows) = outcome(two[1] / "run"), outcome(run)
    assert arrays.keys() == others.keys() and rows == other_rows and len(rows) == 2
    for name, array in arrays.items():
        np.testing.assert_array_equal(others[name], array, err_msg=name)
    assert not list((run / "checkpoints").glob(".*"))  # what the third start left half written


def test_the_rank_that_hangs_is_named_alone(launch, tiny_records, tmp_path):
    """In Python, with its heartbeat: rank 0 waits for its part of the loss meanwhile, and is innocent."""
    wrapper = tmp_path / "hanging.py"
    words = [str(word) for word in training(tiny_records, tmp_path / "run", "--batch-size", "6")]
    wrapper.write_text(
        "import itertools, os, sys, time\n"
        "from gluon_tricks.training import loop\n"
        "from gluon_tricks.cli import train\n"
        "step, count = loop.train_step, itertools.count(1)\n"
        "last = 6 if os.environ['HOROVOD_RANK'] == '1' else None\n"
        "loop.train_step = lambda *a: step(*a) if next(count) != last else time.sleep(10**6)\n"
        f"sys.exit(train.main({words[1:]!r}))\n"
    )
    done = launch(2, tmp_path / "logs", wrapper, flags=("--stuck-after", "30"))
    assert done.returncode == 1
    assert re.fullmatch(
        "rank 1 has not moved for 30 s; the step it last reported: [345]; the logs .*", done.stderr.splitlines()[0]
    ), done.stderr


def test_ranks_that_differ_are_refused(launch, tiny_records, tmp_path):
    """A rank with another seed is named; nothing is trained."""
    wrapper = tmp_path / "odd.py"
    words = [str(word) for word in training(tiny_records, tmp_path / "run", "--batch-size", "6")]
    wrapper.write_text(
        "import os, runpy, sys\n"
        f"sys.argv = {words!r} + ['--seed', os.environ['HOROVOD_RANK']]\n"
        "sys.path.insert(0, 'scripts')\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = launch(2, tmp_path / "logs", wrapper)
    assert done.returncode == 2
    assert "refused: of 2 ranks, 1 have another recipe" in done.stderr
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_sync_bn_trains_and_leaves_an_ordinary_network(launch, tiny_records, tmp_path):
    words = training(tiny_records, tmp_path / "run", "--batch-size", "6", "--num-epochs", "1", norm=("--sync-bn",))
    done = launch(2, tmp_path / "logs", *words, plain=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("on 20 held-out images") == 1
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["net"]["norm_layer"] == "SyncBatchNorm"
    assert "gluon_tricks" not in (tmp_path / "run" / "final-symbol.json").read_text()
    assert type(load_network(tmp_path / "run").stem[1]).__name__ == "BatchNorm"
