"""Opening very many records: seconds and memory of a fresh process that may have 1024 files open.

The shards are empty inside (sparse files), but for what opening looks at: sizes, heads, indices, manifests and labels.
A training of so many images does the same before its first step: it opens them, counts the classes, and shuffles.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from gluon_tricks.core.files import write_text
from gluon_tricks.data import handles, label_table
from gluon_tricks.data.class_counts import ClassCounts
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.manifest import classes_of, to_text
from gluon_tricks.data.recordio import MARK, PART
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import class_labels, of_one_class
from gluon_tricks.data.shards import shard_name

_RECORD = 8192  # bytes of each, so that no sparse file is larger than a file system allows
_LIMIT = 1024  # of open files
# Images, classes and files: ImageNet's training images as one file and as shards, and all of ImageNet (21k).
CASES = {
    "ImageNet-1k, 1 file": (1_281_167, 1000, 1),
    "ImageNet-1k, 1000 shards": (1_281_167, 1000, 1000),
    "ImageNet-21k, 1000 shards": (14_197_122, 21_841, 1000),
}


def run(rounds: int) -> tuple[dict[str, list[Any]], list[str]]:
    """Each case in a process of its own, so many times; what was measured, and a line on each."""
    results, lines = {}, []
    for case, (images, classes, files) in CASES.items():
        with tempfile.TemporaryDirectory(prefix="gluon_tricks_records_") as folder:
            make(pathlib.Path(folder), images, classes, files)
            results[case] = [_apart(folder) for _ in range(rounds)]
        of = {key: statistics.median(one[key] for one in results[case]) for key in results[case][0]}
        lines.append(
            f"{case}: opened in {of['open_seconds']:.2f} s, classes counted in {of['count_seconds']:.2f} s, an epoch "
            f"shuffled in {of['shuffle_seconds']:.2f} s; {of['megabytes']:.0f} MB ({of['megabytes_before']:.0f} "
            f"before); {of['rec_kilobytes']:.0f} kB read of the .rec, {of['open_files']:.0f} files open at most"
        )
    return results, lines


def make(folder: pathlib.Path, images: int, classes: int, files: int) -> None:
    """Shards train-00000-of-01000 and so on of one label each, in random order, and train.json."""
    names = [f"n{k:08d}" for k in range(classes)]
    labels = np.random.default_rng(0).integers(0, classes, images)
    for k, part in enumerate(np.array_split(np.arange(images), files)):
        rec = folder / shard_name("train", k, files)
        _make_shard(rec, part.tolist(), labels[part], names)
    write_text(folder / "train.json", to_text({"format": 1, "count": images, "classes": names}).decode())


def _make_shard(rec: pathlib.Path, ids: list[int], labels: np.ndarray, names: list[str]) -> None:
    count, sha256 = len(ids), f"{ids[0]:064x}"  # nothing reads the whole file to compare it
    head = PART.pack(MARK, _RECORD - PART.size)
    with open(rec, "wb") as file:
        for i in {0, *np.linspace(0, count - 1, 16).astype(int).tolist()}:
            file.seek(i * _RECORD)
            file.write(head)
        file.truncate(count * _RECORD)
    listing = "".join(f"{id}\t{i * _RECORD}\n" for i, id in enumerate(ids))
    write_text(rec.with_suffix(".idx"), listing)
    rec.with_suffix(".labels").write_bytes(label_table.to_bytes(labels, sha256))
    manifest = {
        "format": 1,
        "count": count,
        "rec": {"bytes": count * _RECORD, "sha256": sha256},
        "idx": {"bytes": len(listing), "sha256": hashlib.sha256(listing.encode()).hexdigest()},
        "classes_of": classes_of("train.json", names),
    }
    write_text(rec.with_suffix(".json"), to_text(manifest).decode())


def _apart(folder: str) -> dict[str, float]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    words = [sys.executable, "-m", __name__, folder]
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (_LIMIT, hard))
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=limit)
    return json.loads(done.stdout)


def open_and_measure(folder: str) -> dict[str, float]:
    """In this process, for rank 3 of 8. MB are of the whole process at most, and before anything was opened."""
    read, pread = [0], os.pread

    def counting(descriptor: int, length: int, start: int) -> bytes:
        read[0] += length
        return pread(descriptor, length, start)

    os.pread = counting
    before, started = _peak_megabytes(), time.perf_counter()
    records = Records(f"{folder}/train-*.rec")
    opened = time.perf_counter()
    class_labels(records, len(records.classes))
    of_one_class(records)
    ClassCounts.of(records, len(records.classes)).line()
    counted = time.perf_counter()
    loader = RecordLoader(records, size=224, batch_size=32, train=True, rank=3, ranks=8)
    order = loader._order(0)
    shuffled = time.perf_counter()
    assert len(order) == len(records)
    return {
        "open_seconds": opened - started,
        "count_seconds": counted - opened,
        "shuffle_seconds": shuffled - counted,
        "megabytes": _peak_megabytes(),
        "megabytes_before": before,
        "rec_kilobytes": read[0] / 1000,
        "open_files": len(handles.HANDLES),
    }


def _peak_megabytes() -> float:
    """The most memory that the process has had so far; getrusage has that of the parent before it, too."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(open_and_measure(sys.argv[1])))
