"""Programs on several ranks. Each rank takes one thread: CI has two cores."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from gluon_tricks.ranks import launcher

ROOT = pathlib.Path(__file__).resolve().parents[2]
NO_STATISTICS = ("--set", "net.use_global_stats=true")  # of the batch, so that it does not matter how it is split


@pytest.fixture(scope="session")
def launch(missing):
    """launch(ranks, logs, words...) runs scripts/launch.py to its end, or (plain) horovodrun without it.

    Returns stdout, stderr and exit code.
    """
    if importlib.util.find_spec("horovod") is None:
        missing("Horovod is not installed: make venv builds it where there is a C++ compiler")

    def run(ranks, logs, *words, flags=(), plain=False, **more):
        horovodrun = [launcher.horovodrun(), "--gloo", "-np", str(ranks), sys.executable, *map(str, words)]
        done = subprocess.run(
            horovodrun if plain else command(ranks, logs, *words, flags=flags),
            capture_output=True, text=True, cwd=ROOT, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", **more},
        )  # fmt: skip
        return done

    return run


def command(ranks, logs, *words, flags=()):
    front = [sys.executable, "scripts/launch.py", "-np", str(ranks), "--logs", str(logs), *flags, "--"]
    return front + [str(word) for word in words]


def training(records, save_dir, *more, norm=NO_STATISTICS):
    """The words of a small training on `tiny_records`: 2 epochs of 4 steps of 12 images."""
    words = ["scripts/train_imagenet.py", "--rec-train", records / "train.rec", "--rec-val", records / "val.rec"]
    words += ["--model", "cifar_resnet20_v1", "--input-size", "32", "--num-epochs", "2", "--lr", "0.01", "--last-gamma"]
    return [*words, *norm, "-j", "1", "--log-interval", "1", "--save-dir", save_dir, *more]


def alone(*words):
    """A script as one process that knows of no ranks, run to its end: it must end well."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, cwd=ROOT, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def rank_process(word, rank):
    """The process id of a rank whose command line has a word."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            variables, words = ((path / name).read_bytes().split(b"\0") for name in ("environ", "cmdline"))
        except OSError:  # ended meanwhile
            continue
        if str(word).encode() in words and f"HOROVOD_RANK={rank}".encode() in variables:
            return int(path.name)
    raise AssertionError(f"there is no rank {rank} of {word}")


def make_masks(folder, train, val):
    """Images of noise with a grey square, and masks of two classes, in the layout that `masks` reads."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for k in range(count):
            image, mask = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8), np.zeros((48, 64), np.uint8)
            image[8:30, 4 * k + 4 : 4 * k + 30], mask[8:30, 4 * k + 4 : 4 * k + 30] = 128, 1
            for kind, array in (("images", image), ("masks", mask)):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / kind / split / f"{k}.png"), array)
    return folder
