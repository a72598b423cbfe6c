"""Changes records while a loader reads them: started by test_changed_records.py. Arguments: REC epoch|labels CASE.

In a process of its own, because one that reads a file through a memory map is ended if the file is cut.
"""

import os
import pathlib
import sys
import time

import numpy as np

from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import BadRecord, Records


def cut(rec):
    os.truncate(rec, rec.stat().st_size // 2)


def empty(rec):
    os.truncate(rec, 0)


def grow(rec):
    with open(rec, "ab") as file:
        file.write(rec.read_bytes()[:4000])


def overwrite(rec):
    """With other images in the same places, as a copy over the file does it."""
    data = bytearray(rec.read_bytes())
    images = Records(rec)
    for i in range(len(images)):
        end = images.place(i)[1] + len(images._files[0].record(i))
        data[end - 600 : end - 100] = bytes(500)
    with open(rec, "rb+") as file:
        file.write(data)


def replace(rec):
    """By name, as this project and rsync do it; other images under the same labels."""
    with RecordWriter(rec.with_suffix(""), Records(rec).classes, overwrite=True) as writer:
        for k in range(48):
            writer.add(k % 4, k, b"no image")


def remove(rec):
    for ending in (".rec", ".idx", ".json"):
        rec.with_suffix(ending).unlink()


CASES = {function.__name__: function for function in (cut, empty, grow, overwrite, replace, remove)}


def read_epoch(rec, change):
    """Prints how many batches came as they come from a file that is left alone, and what ended them."""
    undisturbed = [batch.images for batch in RecordLoader(Records(rec), size=16, batch_size=4, train=True).epoch()]
    records, good = Records(rec), 0
    time.sleep(0.05)  # longer than the steps in which a file system counts time
    try:
        for batch in RecordLoader(records, size=16, batch_size=4, train=True, threads=2, prefetch=1).epoch():
            if good == 3:
                change(rec)
            np.testing.assert_array_equal(batch.images, undisturbed[good])
            good += 1
        print(f"all {good} batches of {len(undisturbed)}, the labels' sum is {records.labels().sum():g}")
    except BadRecord as error:
        print(f"{good} batches of {len(undisturbed)}, then: {error}")


def read_labels(rec, change):
    records = Records(rec)
    time.sleep(0.05)
    change(rec)
    try:
        print(f"the labels' sum is {records.labels().sum():g}")
    except BadRecord as error:
        print(error)


if __name__ == "__main__":
    (read_labels if sys.argv[2] == "labels" else read_epoch)(pathlib.Path(sys.argv[1]), CASES[sys.argv[3]])
