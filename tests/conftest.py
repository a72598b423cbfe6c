"""Shared by all tests: where the real data lies, and what a missing piece means."""

import os
import pathlib

import pytest

import gluon_tricks  # noqa: F401  prepares the process for `import mxnet`

ROOT = pathlib.Path(__file__).resolve().parents[1]


def unavailable(reason: str):
    """Skips the test with its reason; under CI a missing piece is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real photos and published weights: GLUON_TRICKS_DATA, else ../shared/data."""
    folder = pathlib.Path(os.environ.get("GLUON_TRICKS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        unavailable(f"no test data at {folder}: set GLUON_TRICKS_DATA to the folder that holds imagenette160")
    return folder
