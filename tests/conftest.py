"""Shared by all tests: where the real data lies, and what a missing piece means."""

import gluon_tricks  # isort: skip  # noqa: F401  first: it prepares the process for `import mxnet`, as everywhere

import ctypes
import dataclasses
import gc
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core import foreign
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.machine import devices
from gluon_tricks.networks.of_recipe import initialised_network
from gluon_tricks.tasks.detection.settings import ROI_SETTINGS
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.final_network import save_final
from model_zoo import repository

from .local_hub import LocalHub

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in a shell's background, and so in every program started here
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process that a test starts compiles the packages anew
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # where nothing listens: no test asks the real hub
os.environ["HF_HOME"] = "/nonexistent"  # nor what the machine's user has downloaded
foreign.import_gluoncv()  # for the tests that say `import gluoncv`, wherever torch is installed too

ROOT = pathlib.Path(__file__).resolve().parents[1]


# What starts many processes or trains for long, longest first: begun last, one of these would be waited for alone.
LONG = (
    *("hosts/", "ranks/", "scripts/test_reproduce", "gluon_tricks/test_every_family", "faults/test_hostile_networks"),
    *("faults/test_kills", "faults/test_memory", "faults/", "gluon_tricks/tasks/test_transfer"),
    *("gluon_tricks/machine/test_precision", "gluon_tricks/machine/test_devices", "gluon_tricks/training/"),
    *("gluon_tricks/report/", "gluon_tricks/paper/test_speeds", "gluon_tricks/paper/test_side_by_side"),
    *("gluon_tricks/tasks/test_detector", "gluon_tricks/tasks/test_segmenter"),
    *("benchmarks/", "gluon_tricks/networks/", "gluon_tricks/trained/", "gluon_tricks/data/test_shapes"),
    *(
        "model_zoo/test_equals_",
        "model_zoo/test_every_network",
        "gluon_tricks/initialise/test_every_network",
        "model_zoo/test_export",
        "model_zoo/test_catalogue",
    ),
    *("model_zoo/test_published_weights", "model_zoo/test_inference"),
    *("scripts/test_interrupt", "scripts/test_install", "scripts/test_export_", "scripts/test_every_source"),
    *("docs/test_serving", "scripts/test_train_imagenet", "scripts/test_visualize"),
    *("scripts/test_predict", "scripts/test_evaluate", "scripts/test_submission"),
)


def pytest_collection_modifyitems(items):
    """Marks the long files as slow, and puts them first.

    `--dist loadfile --no-loadscope-reorder` hands files out in this order; `make test-fast` leaves what is slow out.
    """

    def place(item):
        path = item.path.relative_to(ROOT / "tests").as_posix()
        return next((k for k, start in enumerate(LONG) if path.startswith(start)), len(LONG))

    for item in items:
        if place(item) < len(LONG):
            item.add_marker("slow")
    items.sort(key=place)


def pytest_collection_finish():
    """What has been imported and collected stays to the end: Python's collector need not go through it every time."""
    gc.collect()
    gc.freeze()


ALONE = "GLUON_TRICKS_TEST_ALONE"  # of the environment: in the process that own_process has started


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is marked own_process(why) in a process of its own, so that it can spoil no other."""
    if pyfuncitem.get_closest_marker("own_process") is None or ALONE in os.environ:
        return None
    words = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    environment = {**os.environ, ALONE: "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, f"by itself it ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return True


GROWN = 1 << 29  # bytes that a process may grow by before what is no longer used is looked for


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def memory_is_given_back(least=[float("inf")]):  # noqa: B006
    """Networks are in cycles of references, few objects with much memory: Python's collector is late for them.

    And the allocator keeps what it is given back. A worker would grow to 10 GB.
    """
    yield
    least[0] = min(least[0], resident())
    if resident() > least[0] + GROWN:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        least[0] = resident()


def unavailable(reason: str):
    """Skips the test with its reason; under CI a missing piece is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def stays_in_its_precision():
    """A test that switches its process to bfloat16, which cannot be undone, fails, and not those after it."""
    before = devices._precision_of_process[0]
    yield
    switched = devices._precision_of_process[0] == "bfloat16" != before
    assert not switched, "this test has switched the process to bfloat16: train in float32, or in a process of its own"


@pytest.fixture(autouse=True)
def leaves_no_journal_open():
    """A test that leaves a run open fails, and not those after it, whose warnings that run would tell too."""
    yield
    log = logging.getLogger("gluon_tricks")
    left, log.handlers = log.handlers, []
    assert not left, "this test or a fixture of it has left a run open: job.journal.close()"


@pytest.fixture
def few_regions(monkeypatch, fewer_regions):
    """Detectors with roi="small" propose, pool and score a tenth of its regions: most of their time goes there."""
    fewer_regions(monkeypatch)


@pytest.fixture(scope="session")
def fewer_regions():
    """fewer_regions(patch): what few_regions does, for a fixture of a wider scope."""
    counts = dict(candidates=200, candidates_in_prediction=200, proposals=32, proposals_in_prediction=12)
    sizes = dict(roi_size=3, roi_samples=8, channels=64)

    def fewer(patch):
        patch.setitem(ROI_SETTINGS, "small", dataclasses.replace(ROI_SETTINGS["small"], **counts, **sizes))

    return fewer


@pytest.fixture(scope="session")
def untrained_run():
    """untrained_run(recipe, folder): the folder of a finished run, whose network's outputs differ everywhere."""

    def write(recipe, folder):
        mx.random.seed(5)
        recipe = recipe.resolved()
        if recipe.based:
            net = task_of(recipe).on_trained_base(recipe, [mx.cpu()])
            for parameter in net.collect_params(".*weight").values():  # else what 20 layers give is no more than 1e-24
                parameter.initialize(mx.init.MSRAPrelu("in", 0), mx.cpu(), force_reinit=True)
            net(mx.nd.zeros((1, 3, 96, 96)))
        else:
            net = initialised_network(recipe, [mx.cpu()])
        save_final(net, folder, recipe)
        (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))

    return write


@pytest.fixture
def local_hub(tmp_path, monkeypatch):
    """A Hugging Face hub of this machine that HF_ENDPOINT leads to, and an empty cache: see LocalHub."""
    with LocalHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf home"))
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        monkeypatch.setattr(repository, "_WAITS", (0.01, 0.01))
        yield hub


@pytest.fixture(scope="session")
def missing():
    """missing(reason): what a fixture calls when a piece is not there."""
    return unavailable


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real photos and published weights: GLUON_TRICKS_DATA, else ../shared/data."""
    folder = pathlib.Path(os.environ.get("GLUON_TRICKS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        unavailable(f"no test data at {folder}: set GLUON_TRICKS_DATA to the folder that holds imagenette160")
    return folder


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory) -> pathlib.Path:
    """A folder with train.rec (48 images) and val.rec (20) of 4 classes, each a colour with noise, 40x48 px."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("val", 20)):
        with RecordWriter(folder / split, ["red", "green", "blue", "grey"]) as writer:
            for k in range(count):
                image = rng.integers(0, 60, (40, 48, 3)).astype(np.uint8)
                image[:, :, (2 - k % 4) if k % 4 < 3 else slice(None)] += 150
                writer.add(k % 4, k, cv2.imencode(".jpg", image)[1].tobytes())
    return folder
