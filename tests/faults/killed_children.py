"""Trains in child processes that are killed one after the other: killed_children.py SEED PHASES RUN WORDS...

Each letter of PHASES kills one child: at a random moment of a step (s), of an evaluation (e) or of the writing of a
checkpoint (c), or soon after. A child waits at the door of each phase for its parent's word, so that a parent that a
busy machine keeps from running is not overtaken. The last child is left alone. Every checkpoint must be whole at any
time.
"""

import os
import pathlib
import random
import signal
import sys
import time

from gluon_tricks.cli import train
from gluon_tricks.networks import checkpoint
from gluon_tricks.tasks.classification import task
from gluon_tricks.training import loop

DURATION = {"s": 0.1, "e": 0.1, "c": 0.01}  # seconds, roughly


def child(words, tells, hears):
    """Never returns; asks the parent before each phase."""

    def telling(function, phase):
        def told(*arguments):
            os.write(tells, phase)
            os.read(hears, 1)
            return function(*arguments)

        return told

    loop.train_step = telling(loop.train_step, b"s")
    task.evaluate = telling(task.evaluate, b"e")
    checkpoint.write_atomically = telling(checkpoint.write_atomically, b"c")
    os._exit(train.main(words))


def start(words):
    """Returns the child's number, where its phases are read and where each is allowed."""
    (phases, tells), (hears, allows) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(phases)
        os.close(allows)  # the parent's death ends the waiting
        child(words, tells, hears)
    os.close(tells)
    os.close(hears)
    return pid, phases, allows


def run_until(phase, count, phases, allows):
    """Lets the child go on into its count-th phase of this kind; returns whether it came so far."""
    while count and (seen := os.read(phases, 1)):
        os.write(allows, seen)
        count -= seen == phase.encode()
    return count == 0


def kill_in(phase, chance, words):
    """Kills a child in the first, second or third phase of a kind; returns whether it came so far."""
    pid, *pipes = start(words)
    came = run_until(phase, chance.randint(1, 3 if phase == "s" else 2 if phase == "c" else 1), *pipes)
    time.sleep(chance.random() * DURATION[phase])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for pipe in pipes:
        os.close(pipe)
    return came


def main(seed, phases, run, words):
    chance = random.Random(int(seed))
    for phase in phases:
        assert kill_in(phase, chance, words), f"the training was over before it could be killed in {phase}"
        for path in checkpoint.list_checkpoints(pathlib.Path(run) / "checkpoints"):
            checkpoint.read_checkpoint(path)
    pid, *pipes = start(words)
    run_until("end", -1, *pipes)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4], sys.argv[4:]))
