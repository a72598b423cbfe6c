"""Shared by the tests of what goes wrong: child processes, which may be ended by what they read."""

import collections
import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="session")
def child():
    """child(script, *arguments): a script of this folder, run to its end: .stdout, .stderr and .returncode."""

    def run(script, *arguments, timeout=300):
        environment = {"PYTHONPATH": str(HERE.parents[1]), "PATH": "", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, str(HERE / script), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=environment)

    return run


@pytest.fixture(scope="session")
def judgements(child):
    """judgements(script, *arguments): kind of file -> how many damaged ones were "read" and "refused".

    The script prints two lines for each: what was done to which kind of file, and what came of it (mutate.judge).
    The test fails if the script was ended by one of them, or if one led to another error or to too much memory.
    """

    def count(script, *arguments):
        done = child(script, *arguments)
        lines = done.stdout.splitlines()
        assert done.returncode == 0, f"{lines[-1:]} ended with {done.returncode}: {done.stderr[-2000:]}"
        found = collections.defaultdict(collections.Counter)
        wrong = []
        for what, outcome in zip(lines[::2], lines[1::2]):
            found[json.loads(what)[0]][outcome.split(":")[0]] += 1
            wrong += [(what, outcome)] if outcome.startswith("wrong") else []
        assert not wrong, f"{len(wrong)} such as {wrong[:5]}"
        return found

    return count


@pytest.fixture
def mounted(missing):
    """mounted(folder, words...): a file system mounted there until the test ends."""
    folders = []

    def mount(folder, *words):
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *map(str, words), folder], capture_output=True, text=True)
        if done.returncode:
            missing(f"this user or system cannot mount what the test needs: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", folder], check=True)
