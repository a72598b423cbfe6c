"""A training that loses a rank each time it is started: lost_ranks.py WORDS...

The first time rank 1 is frozen in step 6, then rank 1 is killed in an evaluation, then rank 0 while it writes a
checkpoint. The fourth time nothing happens.
"""

import itertools
import os
import signal
import sys

from gluon_tricks.cli import train
from gluon_tricks.networks import checkpoint
from gluon_tricks.ranks import launcher
from gluon_tricks.tasks.classification import task
from gluon_tricks.training import loop


def send(number):
    os.kill(os.getpid(), number)


def frozen_in_step(last):
    step, count = loop.train_step, itertools.count(1)
    loop.train_step = lambda *a: step(*a) if next(count) != last else send(signal.SIGSTOP)


def killed_in_evaluation():
    """With the first batch under way."""
    evaluate = task.evaluate

    def some(batches):
        yield next(batches)
        send(signal.SIGKILL)

    task.evaluate = lambda net, batches, *more: evaluate(net, some(batches), *more)


def killed_in_writing():
    """With half of the checkpoint on the disk."""
    write_atomically = checkpoint.write_atomically

    def half(path, write):
        def begin(temporary):
            write(temporary)
            os.truncate(temporary, temporary.stat().st_size // 2)
            if path.name == "step-000000008.safetensors":
                send(signal.SIGKILL)
            write(temporary)

        write_atomically(path, begin)

    checkpoint.write_atomically = half


if __name__ == "__main__":
    rank, start = int(os.environ["HOROVOD_RANK"]), int(os.environ.get(launcher.RESTARTED, "restart 0").split()[1])
    if (rank, start) == (1, 0):
        frozen_in_step(6)
    elif (rank, start) == (1, 1):
        killed_in_evaluation()
    elif (rank, start) == (0, 2):
        killed_in_writing()
    sys.exit(train.main(sys.argv[1:]))
