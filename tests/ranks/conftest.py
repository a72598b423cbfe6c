"""Programs on several ranks. Each rank takes one thread: CI has two cores."""

import functools
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import cv2
import numpy as np
import pytest

from gluon_tricks.cli import train
from gluon_tricks.cli.launch import main
from gluon_tricks.ranks import launcher

ROOT = pathlib.Path(__file__).resolve().parents[2]
NO_STATISTICS = ("--set", "net.use_global_stats=true")  # of the batch, so that it does not matter how it is split


@pytest.fixture(scope="session")
def launch(missing):
    """launch(ranks, logs, words...) runs gluon-tricks launch to its end, in this process, or (plain) horovodrun alone.

    Returns stdout, stderr and exit code. That this Horovod can start ranks is looked at once.
    """
    if importlib.util.find_spec("horovod") is None:
        missing("Horovod is not installed: make venv builds it where there is a C++ compiler")

    horovodrun, start = functools.cache(launcher.horovodrun), launcher.Launch

    def run(ranks, logs, *words, flags=(), plain=False):
        if plain:
            words = [horovodrun(), "--gloo", "-np", str(ranks), sys.executable, *map(str, words)]
            return subprocess.run(
                words, capture_output=True, text=True, cwd=ROOT, timeout=300,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(ROOT)
            patch.setenv("OMP_NUM_THREADS", "1")
            patch.setattr(launcher, "horovodrun", horovodrun)
            patch.setattr(launcher, "Launch", functools.partial(start, out=out, err=err))
            code = main(command(ranks, logs, *words, flags=flags)[2:])
        return subprocess.CompletedProcess(words, code, *(one.buffer.getvalue().decode() for one in (out, err)))

    return run


def command(ranks, logs, *words, flags=()):
    front = [sys.executable, "scripts/launch.py", "-np", str(ranks), "--logs", str(logs), *flags, "--"]
    return front + [str(word) for word in words]


def training(records, save_dir, *more, norm=NO_STATISTICS):
    """The words of a small training on `tiny_records`: 2 epochs of 4 steps of 12 images."""
    words = ["scripts/train_imagenet.py", "--rec-train", records / "train.rec", "--rec-val", records / "val.rec"]
    words += ["--model", "cifar_resnet20_v1", "--input-size", "32", "--num-epochs", "2", "--lr", "0.01", "--last-gamma"]
    words += [*norm, "-j", "1", "--log-interval", "1", "--picture-epochs", "0"]
    return [*words, "--save-dir", save_dir, *more]


def alone(*words):
    """The words of a training in this process, which knows of no ranks, run to their end: it must end well."""
    assert train.main([str(word) for word in words[1:]]) == 0


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
