"""What the doctor says of machines and environments that are not here."""

import pathlib
import re

import cv2
import numpy as np
import pytest

from gluon_tricks.data.check import check
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.machine import checks, doctor
from gluon_tricks.machine.checks import OK, PROBLEM, WARNING
from gluon_tricks.machine.devices import Gpu

GB = 10**9
V100, H100 = Gpu(0, (7, 0)), Gpu(1, (9, 0))
RUNS = pathlib.Path("/runs")


def expect(finding, level, words=""):
    assert finding.level == level, finding
    assert re.search(words, str(finding)), finding
    assert bool(finding.remedy) == (level != OK)


def test_a_line_holds_level_what_and_remedy():
    assert str(checks.Finding(WARNING, "hot", "cool it")) == "warning  hot; cool it"
    assert str(checks.Finding(OK, "cool")) == "ok       cool"


@pytest.mark.parametrize(
    "version, level", [((3, 8), PROBLEM), ((3, 9), OK), ((3, 12), OK), ((3, 13), PROBLEM), ((2, 10), PROBLEM)]
)
def test_python(version, level):
    expect(checks.check_python(version), level)


@pytest.mark.parametrize(
    "version, level",
    [("1.23.5", OK), ("1.26.4", OK), ("1.19.5", WARNING), ("2.0.0", PROBLEM), ("2.3.1rc1", PROBLEM)],
)
def test_numpy(version, level):
    expect(checks.check_numpy(version), level, re.escape(version))


def test_mxnet():
    expect(checks.check_mxnet("1.9.1", "", ["mxnet"]), OK)
    expect(checks.check_mxnet("1.8.0", "", ["mxnet"]), WARNING, "only 1.9.1")
    expect(checks.check_mxnet("1.9.1", "", ["mxnet", "mxnet-cu117"]), WARNING, "overwrite .* mxnet mxnet-cu117")
    expect(checks.check_mxnet("", "No module named 'mxnet'", []), PROBLEM, "no MXNet package .* pip install")
    error = "OSError: libcuda.so.1: cannot open shared object file"
    expect(checks.check_mxnet("", error, ["mxnet-cu117"]), PROBLEM, "libcuda.so.1.*driver")


def test_opencv():
    expect(checks.check_opencv("4.11.0", ""), OK)
    expect(checks.check_opencv("", "libGL.so.1: cannot open shared object file"), PROBLEM, "install_opencv.sh")
    expect(checks.check_opencv("", "No module named 'cv2'"), PROBLEM, "pip install 'opencv-python")


@pytest.mark.parametrize(
    "found, cuda_build, level, words",
    [
        ([], False, OK, "no GPU"),
        ([V100], True, OK, "compute capability 7.0"),
        ([], True, WARNING, "nvidia-smi"),
        ([V100], False, WARNING, "cu117"),
        ([V100, H100], True, WARNING, "GPU 1 .*9.0.* cannot be used.*the others"),
        ([H100], True, PROBLEM, "9.0.* cannot be used.*5.0 to 8.9"),
        ([H100], False, WARNING, "cannot be used"),
    ],
)
def test_gpus_against_the_build(found, cuda_build, level, words):
    expect(checks.check_gpus(found, cuda_build), level, words)


def test_an_unusable_gpu_is_no_reason_for_the_cuda_build():
    assert "cu117" not in str(checks.check_gpus([H100], cuda_build=False))


def test_cuda_libraries():
    expect(checks.check_cuda_libraries(False, [], imported=True), OK, "not needed")
    expect(checks.check_cuda_libraries(True, [], imported=True), OK, "cuDNN, NCCL")
    expect(checks.check_cuda_libraries(True, ["libnccl.so.2"], imported=True), WARNING, "libnccl.so.2")
    expect(checks.check_cuda_libraries(True, ["libcudnn.so.8"], imported=False), PROBLEM, "libcudnn.so.8.*cu117")


def test_no_horovod_is_a_warning_with_its_remedy():
    refusal = "there is no horovodrun beside this Python: scripts/install_horovod.sh of the repository builds it"
    finding = checks.check_horovod(refusal)
    assert finding.level == WARNING and finding.what.endswith(refusal)
    expect(checks.check_horovod(""), OK)


def test_horovods_controllers():
    expect(checks.check_horovod("", ["Gloo"]), OK, "with MXNet and Gloo: ranks are started by gluon-tricks launch$")
    expect(checks.check_horovod("", ["Gloo", "MPI"]), OK, "MXNet and Gloo, MPI: .* launch, mpirun and srun$")


def test_cpu():
    expect(checks.check_cpu(1, False), OK, "1 core for .*no bfloat16")
    expect(checks.check_cpu(8, True), OK, "8 cores for .*multiplies bfloat16")


def test_disk():
    expect(checks.check_disk(RUNS, 2 * GB, True), OK, "/runs: 2 GB free$")
    expect(checks.check_disk(RUNS, 2 * GB - 1, True), WARNING)
    expect(checks.check_disk(RUNS, 2 * 10**8, True), WARNING, "make room")
    expect(checks.check_disk(RUNS, 2 * 10**8 - 1, True), PROBLEM, "make room")
    expect(checks.check_disk(RUNS, 900 * GB, False), PROBLEM, "/runs cannot be written")
    expect(checks.check_disk(RUNS, 900 * GB, True, needed=901 * GB), WARNING, "900 GB free, and .* needs 901 GB")


def test_memory():
    levels = [checks.check_memory(int(size * GB)).level for size in (4, 3.9, 1, 0.9)]
    assert levels == [OK, WARNING, WARNING, PROBLEM]


@pytest.mark.parametrize(
    "soft, hard, files, level, words",
    [
        (256, 4096, 0, OK, "256 files"),
        (256, 4096, 1, WARNING, "ulimit -n 257"),
        (256, 256, 1, WARNING, "administrator.*256"),
        (1024, -1, 1000, PROBLEM, "ulimit -n 1256"),
        (-1, -1, 10**6, OK, "any number"),
    ],
)
def test_descriptors(soft, hard, files, level, words):
    expect(checks.check_descriptors(soft, hard, files), level, words)


def test_loader():
    expect(checks.check_loader("a.rec", 200.0, 2), OK, "200 images/s.* 2 threads")
    expect(checks.check_loader("a.rec", 199.0, 2), WARNING, "--resize")


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path):
    assert f"{tmp_path}: " in doctor.examine_disk(tmp_path / "runs" / "1").what
    (tmp_path / "file").touch()
    assert doctor.examine_disk(tmp_path / "file" / "run").level == PROBLEM


def test_sound_records_are_counted_and_timed(tiny_records, monkeypatch):
    monkeypatch.setattr(doctor, "loader_speed", lambda records: 10.0 * len(records))
    whole, speed = doctor.examine_records(str(tiny_records / "train.rec"))
    expect(whole, OK, "train.rec: 48 images, 4 classes")
    assert "480 images/s" in speed.what


def test_sound_records_of_several_labels_are_no_problem(tmp_path):
    image = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    with RecordWriter(tmp_path / "one", ["a", "b"]) as writer:
        writer.add((1, 0), 0, image)
        writer.add((1, 1), 1, image)
    (whole,) = doctor.examine_records(str(tmp_path / "one.rec"))
    expect(whole, OK, "one.rec: 2 images, 2 classes")


def test_the_loaders_speed_is_that_of_whole_batches(tiny_records, monkeypatch):
    clock = iter([100.0, 100.5, 101.0, 101.5, 102.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    # 48 images are one batch: the second ends 1 s after the start, the third 1.5 s
    assert doctor.loader_speed(Records(tiny_records / "train.rec"), seconds=1.2, size=32) == 3 * 48 / 1.5


def test_bad_records_are_problems(tmp_path):
    image = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    with RecordWriter(tmp_path / "one", ["a", "b"]) as writer:
        writer.add(0, 0, image)
        writer.add(0, 1, b"no image")
    found = list(doctor.examine_records(str(tmp_path / "one.rec")))
    assert [finding.level for finding in found] == [PROBLEM, PROBLEM]
    assert "1 of 2 images" in found[0].what and "(a)" in found[1].what
    (missing,) = doctor.examine_records(str(tmp_path / "none.rec"))
    assert missing.level == PROBLEM and "there is no" in missing.what


def test_a_few_undecodable_images_are_a_warning(tmp_path):
    image = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    with RecordWriter(tmp_path / "most", ["a", "b"]) as writer:
        for k in range(200):
            writer.add(k % 2, k, image + bytes([k]) if k else b"no image")

    (finding,) = checks.check_report("most.rec", check(Records(tmp_path / "most.rec")))
    expect(finding, WARNING, "cannot be decoded .*: 1 image")
