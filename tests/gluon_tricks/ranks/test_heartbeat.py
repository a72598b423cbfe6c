"""Which rank hangs, as the ranks' heartbeats tell."""

import os
import signal
import subprocess
import sys

import cv2
import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.core import moves
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.records import Records
from gluon_tricks.data.split import split_by_content
from gluon_tricks.initialise.data import initialise_from_data
from gluon_tricks.ranks import distributed, heartbeat
from gluon_tricks.ranks.heartbeat import RankMonitor
from model_zoo.download import Download


def test_who_stands_still():
    """By the clock: ranks 0 and 2 wait (1), rank 1 does not (0) and is where it was."""
    now = [0.0]
    lives = RankMonitor(lambda: now[0])

    def hear(*beats):
        for rank, (step, made, waits) in enumerate(beats):
            assert lives.hear(rank, f"gluon_tricks heartbeat: {step} {made} {waits}\n")

    assert not lives.hear(0, "epoch 1/2\n")
    hear((0, 0, 0), (0, 0, 0), (0, 0, 0))
    now[0] = 20.0
    hear((7, 7, 0), (0, 0, 0), (7, 7, 0))  # after a long start rank 1 has not been heard of since
    assert lives.stuck(10) == ""
    now[0] = 0.0
    lives = RankMonitor(lambda: now[0])
    hear((7, 7, 0), (7, 7, 0), (7, 7, 0))
    now[0] = 9.0
    hear((8, 8, 1), (7, 7, 0), (8, 8, 1))
    assert lives.stuck(10) == ""
    now[0] = 11.0
    hear((8, 8, 1), (7, 7, 0), (8, 8, 1))
    assert lives.stuck(10) == "rank 1 has not moved for 10 s; the step it last reported: 7"
    now[0] = 15.0
    hear((8, 8, 1), (8, 9, 0), (8, 8, 1))  # it moves after all
    assert lives.stuck(10) == ""
    now[0] = 30.0
    hear((9, 9, 1), (9, 10, 1))  # rank 2 is silent
    assert lives.stuck(10) == "rank 2 has not moved for 10 s; the step it last reported: 8"
    now[0] = 41.0
    hear((9, 9, 1), (9, 10, 1), (9, 9, 1))  # all wait for each other; rank 2 has just moved
    assert lives.stuck(10) == ""
    now[0] = 52.0
    hear((9, 9, 1), (9, 10, 1), (9, 9, 1))
    assert lives.stuck(10).count("has not moved for 10 s; the step it last reported: 9") == 3


def test_who_is_silent_and_whether_there_is_a_step():
    now = [0.0]
    lives = RankMonitor(lambda: now[0])
    assert not lives.has_begun() and lives.silent(10) == {}
    for time, beats in ((0, {0: "0 0 0", 1: "0 0 0"}), (5, {0: "0 0 1", 1: "0 0 0"}), (30, {0: "0 0 1"})):
        now[0] = time
        for rank, words in beats.items():
            lives.hear(rank, f"gluon_tricks heartbeat: {words}")
    assert lives.silent(10) == {1: (25.0, "0")} and lives.silent(25) == {} and not lives.has_begun()
    lives.hear(1, "gluon_tricks heartbeat: 1 1 0")
    assert lives.silent(10) == {} and lives.has_begun()


UNHEARD = """
import signal, sys, time
from gluon_tricks.ranks import heartbeat
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
{start}
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    {say}
    time.sleep(0.1)
    if asked: break
time.sleep(0.5)
try:
    print("this is not to end it", flush=True)
except BrokenPipeError:
    sys.exit(20 + len(asked))
sys.exit(10 + len(asked))
"""


@pytest.mark.parametrize(
    "start, say",
    [
        ("heartbeat.start()", "pass"),
        ("", "exec('with heartbeat.heard_or_not(): print(1, flush=True)')"),
    ],
)
def test_a_rank_that_nobody_hears_asks_itself_to_stop_once(start, say):
    """By its heartbeat, or by what it says; with a launcher it is heard."""
    environment = {**os.environ, heartbeat.VARIABLE: "0.1"}
    rank = subprocess.Popen(
        [sys.executable, "-c", UNHEARD.format(start=start, say=say)], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = ""
    while "ready" not in said:  # which a heartbeat, another thread's, may stand beside in its line
        said = rank.stdout.readline()
        assert said, "it has ended"
    rank.stdout.close()
    rank.stdin.write("\n")
    rank.stdin.close()
    assert rank.wait(timeout=60) == 11, "10 + how often it was asked, 20 + that if what it says finds nobody"


def test_where_nobody_can_ask_it_to_stop_an_output_that_is_closed_is_an_error(monkeypatch):
    """As in a program of one's own, which SIGTERM would kill."""
    monkeypatch.setattr(heartbeat.signal, "getsignal", lambda number: signal.SIG_DFL)
    with pytest.raises(BrokenPipeError), heartbeat.heard_or_not():
        raise BrokenPipeError


def split_photos(folder):
    """12 files."""
    for name in ("a/{}.png", "b/{}.png"):
        for k in range(6):
            path = folder / name.format(k)
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), np.full((4, 4, 3), 20 * k + 5 * len(name), np.uint8))
    split_by_content(class_folders(folder), 0.5)


def initialise(folder):
    """60 images in three parts, through two layers twice and once more for the scale of each."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=3), nn.Dense(2))
    net.initialize()
    images = np.random.default_rng(0).standard_normal((60, 3, 8, 8)).astype(np.float32)
    initialise_from_data(net, mx.nd.array(images), filters="kmeans", between=False)


def read_one_batch(folder, records):
    """40 images in tasks of 8."""
    loader = RecordLoader(Records(records / "train.rec"), size=8, batch_size=40, train=True, prefetch=1)
    next(iter(loader.epoch()))


def download(folder):
    """A teacher of 1 MiB, in pieces of 256 KiB."""
    (folder / "there").write_bytes(bytes(1 << 20))
    Download((folder / "there").as_uri(), folder / "here", (), 1 << 20, False).run()


@pytest.mark.parametrize("work, least", [(split_photos, 12), (initialise, 12), (read_one_batch, 5), (download, 4)])
def test_what_a_rank_does_alone_shows_that_it_moves(work, least, tmp_path, tiny_records):
    """However long the others wait for it."""
    before = moves.moves()
    work(tmp_path, *[tiny_records] * (work is read_one_batch))
    assert moves.moves() - before >= least


@pytest.mark.parametrize("seconds", ["x", "nan", "-1", "0", ""])
def test_an_interval_that_is_no_number(seconds, monkeypatch):
    monkeypatch.setenv(heartbeat.VARIABLE, seconds)
    with pytest.raises(Refused, match="it takes a number of seconds"):
        heartbeat.start()


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"HOROVOD_SIZE": "x"}, "HOROVOD_SIZE is 'x', no number"),
        ({"HOROVOD_SIZE": "-1"}, "HOROVOD_SIZE is '-1', no number"),
        ({"HOROVOD_SIZE": "2", "HOROVOD_RANK": "x"}, "HOROVOD_RANK is 'x', no number"),
        ({"HOROVOD_SIZE": "2", "HOROVOD_RANK": "2"}, "HOROVOD_RANK is 2 of 2 ranks"),
    ],
)
def test_numbers_of_a_launcher_that_are_none(variables, said, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused, match=said):
        distributed.start()
