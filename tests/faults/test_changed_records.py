"""Records that change under a loader, or did since they were packed; shards that are not there."""

import errno
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.check import check
from gluon_tricks.data.records import BadRecord, Records


@pytest.fixture
def rec(tiny_records, tmp_path):
    """48 images: 12 batches of 4, labels 0 to 3 twelve times each, whose sum is 72."""
    for path in tiny_records.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path / "train.rec"


@pytest.mark.parametrize("case", ["cut", "empty", "grow", "overwrite"])
def test_a_file_that_is_written_to_while_it_is_read_stops_the_loader(child, rec, case):
    size = rec.stat().st_size
    changed = {"cut": f"has {size // 2}", "empty": "has 0", "grow": f"has {size + 4000}"}
    how = f"it had {size} bytes and {changed[case]}" if case in changed else f"it still has {size} bytes"
    done = child("changed_records.py", rec, "epoch", case)
    assert done.returncode == 0, done.stderr
    assert f"{rec} was written to while it was in use ({how})" in done.stdout
    batches = int(re.match(r"(\d+) batches of 12, then: ", done.stdout)[1])
    assert 3 < batches < 7  # what was read ahead before the change is still good


@pytest.mark.parametrize("case", ["replace", "remove"])
def test_a_file_whose_name_goes_to_another_is_read_to_its_end(child, rec, case):
    done = child("changed_records.py", rec, "epoch", case)
    assert (done.returncode, done.stdout) == (0, "all 12 batches of 12, the labels' sum is 72\n"), done.stderr


@pytest.mark.parametrize("beside", [True, False])  # the labels are read from .labels, or from the records
@pytest.mark.parametrize("case", ["cut", "empty"])
def test_labels_of_a_file_that_is_cut(child, rec, case, beside):
    assert rec.with_suffix(".labels").exists()
    if not beside:
        rec.with_suffix(".labels").unlink()
    done = child("changed_records.py", rec, "labels", case)
    assert done.returncode == 0, done.stderr
    assert f"{rec} was written to while it was in use" in done.stdout


def test_training_ends_with_the_name_of_the_file(rec, tmp_path):
    flags = "--model cifar_resnet20_v1 --input-size 32 --num-epochs 1000 --batch-size 16 --lr 0.01 --log-interval 1"
    script = pathlib.Path(__file__).parents[2] / "scripts" / "train_imagenet.py"
    places = f"--rec-train {rec} --rec-val {rec.with_name('val.rec')} --save-dir {tmp_path / 'run'}"
    words = [sys.executable, str(script), *flags.split(), *places.split()]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        metrics, deadline = tmp_path / "run" / "metrics.csv", time.monotonic() + 60
        while not metrics.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        os.truncate(rec, rec.stat().st_size // 2)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1, said
    assert f"stopped: {rec} was written to while it was in use" in said


def refusal(*paths) -> str:
    with pytest.raises(Refused) as caught:
        Records(paths)
    return str(caught.value)


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_file_that_has_grown_since_it_was_packed_is_refused(rec, with_manifest):
    size = rec.stat().st_size
    with open(rec, "ab") as file:
        file.write(rec.read_bytes()[:400])
    if with_manifest:
        assert f"{rec} has grown since it was packed: it has {size + 400} bytes where its manifest says {size}" in (
            refusal(rec)
        )
    else:
        rec.with_suffix(".json").unlink()
        says = refusal(rec)
        assert "is truncated, or the .rec has grown since it was made" in says
        assert f"it lists 48 records up to byte {size} of {size + 400}" in says and "--index" in says


def test_a_missing_shard_is_named(rec):
    gone = rec.with_name("train-2.rec")
    assert f"there is no {gone}: " in refusal(rec, gone)
    shutil.copy(rec, gone)
    assert f"there is no {gone.with_suffix('.idx')} beside train-2.rec" in refusal(rec, gone)


def test_a_file_that_may_not_be_read_is_named(rec, monkeypatch):
    """As the superuser, who runs tests in many a container, may read everything, the system is asked in vain."""
    records = Records(rec)

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(BadRecord, match=r"train.rec cannot be read \(Input/output error\)"):
        records.read(0)


def test_other_bytes_than_were_packed_are_a_problem_of_check(rec):
    data = bytearray(rec.read_bytes())
    data[1000] ^= 1
    assert check(Records(rec), jobs=1).problems == []
    rec.write_bytes(data)
    assert any(f"{rec} does not have the sha256 in its manifest" in text for text in check(Records(rec)).problems)
