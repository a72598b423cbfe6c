"""Temporary folders of processes that were killed."""

import os
import subprocess
import sys

from gluon_tricks.core.scratch import scratch_folder

PROGRAM = """
import pathlib, sys
from gluon_tricks.core.scratch import scratch_folder
with scratch_folder(pathlib.Path(sys.argv[1]), "data-v1") as folder:
    (folder / "half").write_text("x")
    print(folder.name, flush=True)
    sys.stdin.read()
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def aged(path):
    os.utime(path, (1, 1))


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    left = other.stdout.readline().strip()
    for name in ("data-v1", "data-v1.mine", "data-v1.notes123x", "data-v1.original/train.rec", "other-v1.abcdefgh"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data-v1.linklink").symlink_to(tmp_path / "data-v1")
    users = names(tmp_path)
    users.remove(left)
    for name in (left, *users):
        aged(tmp_path / name)
    with scratch_folder(tmp_path, "data-v1") as mine:
        assert names(tmp_path) == sorted([*users, left, mine.name])  # it is at work
    other.kill()
    other.communicate()
    assert (tmp_path / left / "half").exists()
    with scratch_folder(tmp_path, "data-v1") as mine:
        assert names(tmp_path) == sorted([*users, mine.name])
    assert names(tmp_path) == users


def test_those_of_older_versions_are_known_by_what_is_in_them(tmp_path):
    (tmp_path / "data-v1.ab12cd_9" / "data-v1").mkdir(parents=True)
    (tmp_path / "data-v1.original").mkdir()
    (tmp_path / "data-v1.original" / "train.rec").touch()
    for path in tmp_path.iterdir():
        aged(path)
    with scratch_folder(tmp_path, "data-v1"):
        pass
    assert names(tmp_path) == ["data-v1.original"]


def test_one_that_was_made_a_moment_ago_stays(tmp_path):
    (tmp_path / "data-v1.abcd_123").mkdir()
    with scratch_folder(tmp_path, "data-v1"):
        pass
    assert names(tmp_path) == ["data-v1.abcd_123"]
