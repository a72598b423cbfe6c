"""A training that a test can hold in its sixth step: held.py FOLDER WORDS...

A rank that finds FOLDER/hold there calls it FOLDER/held, and waits until that is gone. FOLDER is on a host's own disk.
"""

import itertools
import pathlib
import sys
import time

from gluon_tricks.cli import train
from gluon_tricks.training import loop


def hold_in(folder):
    step, count = loop.train_step, itertools.count(1)

    def held(*arguments):
        if next(count) == 6 and (folder / "hold").exists():
            (folder / "hold").rename(folder / "held")
            while (folder / "held").exists():
                time.sleep(0.05)
        return step(*arguments)

    loop.train_step = held


if __name__ == "__main__":
    hold_in(pathlib.Path(sys.argv[1]))
    sys.exit(train.main(sys.argv[2:]))
