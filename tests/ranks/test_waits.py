"""A step waits for nothing but the loss of the step before last."""

import json
import pathlib

from .conftest import make_masks

PROGRAM = pathlib.Path(__file__).with_name("waits.py")


def test_a_step_waits_once(launch, tiny_records, tmp_path):
    """On two ranks: the first two steps wait for nothing, every later one reads one message."""
    masks = make_masks(tmp_path / "masks", train=8, val=2)
    done = launch(2, tmp_path / "logs", PROGRAM, tmp_path, tiny_records, masks)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        waits = json.loads((tmp_path / f"waits{rank}.json").read_text())
        assert waits["classification"] == [[], [], *[["asnumpy"]] * 6]
        assert waits["segmentation"] == [[], [], *[["asnumpy"]] * 2]
