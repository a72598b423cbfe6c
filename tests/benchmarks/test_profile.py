"""The profile of a step: which operators, how often, in which order."""

import json

from benchmarks import profile
from benchmarks.main import main


def test_operators_are_listed_by_their_time_and_small_ones_together():
    """Of 100 ms 60, 39.9 and twice 0.05: shares of 60, 39.9 and 0.1 %."""
    found = {"A": [39.9, 2], "B": [60.0, 4.5], "c": [0.05, 3], "d": [0.05, 1]}
    lines = profile._lines(found, "what")
    assert lines[0] == "what"
    cells = [line.replace("|", " ").split() for line in lines[3:]]
    assert cells == [
        ["B", "60.00", "4.5", "60.0%"],
        ["A", "39.90", "2", "39.9%"],
        ["others", "0.10", "4"],
        ["all", "100.00", "100.0%"],
    ]


def test_images_of_another_size(capfd):
    assert main("profile --model cifar_resnet20_v1 --input-size 40 --batch-size 2 --steps 1".split()) == 0
    assert capfd.readouterr().out.startswith("training cifar_resnet20_v1 at 40 px, batch 2, float32: ")
    assert main("profile --model alexnet --input-size 20 --batch-size 2 --steps 1".split()) == 2
    assert "alexnet takes images of at least" in capfd.readouterr().err


def test_a_step_of_a_network_is_profiled(tmp_path, capfd):
    """cifar_resnet20_v1 has 21 convolutions in its layers and shortcuts, each with one forward and one backward."""
    out = tmp_path / "profile.json"
    assert (
        main(["profile", "--model", "cifar_resnet20_v1", "--batch-size", "4", "--steps", "2", "--out", str(out)]) == 0
    )
    found = json.loads(out.read_text())["milliseconds_and_calls_of_a_step"]
    assert found["Convolution"][1] == found["_backward_Convolution"][1] == 21
    assert found["nag_mom_update"][1] > 21
    assert "operator" in capfd.readouterr().out
