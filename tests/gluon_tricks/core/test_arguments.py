"""Numbers on the command line: each command in this process, no further than its flags."""

import importlib

import pytest

NEEDED = {
    "launch": ["-np", "2", "x.py"],
    "predict": ["net", "photo"],
    "export": ["net", "out"],
    "reproduce": ["table6"],
}
NEEDED["pack"] = ["folder", "prefix"]


def words_for(command, flags):
    return [*flags.split(), *NEEDED.get(command, [])]


@pytest.mark.parametrize(
    "command, flags, says",
    [
        ("train", "-j 0", "0, but it takes 1 to 1024"),
        ("train", "-j 1000000", "1000000, but it takes 1 to 1024"),
        ("train", "--log-interval 0", "0, but it takes 1 to"),
        ("train", "--save-frequency -1", "-1, but it takes 0 to"),
        ("train", "--keep -1", "-1, but it takes 1 to"),
        ("train", f"--num-gpus {'9' * 5000}", "... 9999"),
        ("train", "--batch-size 1e400", "'1e400' is not a whole number"),
        ("train", "--val-split 20%", "'20%' is not a number"),
        ("detect", "--lr fast", "'fast' is not a number"),
        ("segment", "--crop-size 48px", "'48px' is not a whole number"),
        ("detect", "-j 4096", "4096, but it takes 1 to 1024"),
        ("segment", "--num-gpus -1", "-1, but it takes 0 to 1024"),
        ("evaluate", "--batch-size 0", "0, but it takes 1 to 1048576"),
        ("evaluate", "--crop-ratio nan", "nan, but it takes 0 to 1"),
        ("evaluate", "--classes 1000000000", "1000000000, but it takes 1 to 1048576"),
        ("evaluate", "--calibration-batches x", "'x' is not a whole number"),
        ("export", "--input-size 3000000", "3000000, but it takes 1 to 4096"),
        ("export", "--crop-ratio inf", "inf, but it takes 0 to 1"),
        ("pack", "--jobs 0", "0, but it takes 1 to 1024"),
        ("pack", "--resize 0", "0, but it takes 1 to 65500"),
        ("pack", "--seed -1", "-1, but it takes 0 to"),
        ("predict", "--threshold nan", "nan, but it takes 0 to 1"),
        ("reproduce", "--seeds 1000000000", "1000000000, but it takes 1 to 1000"),
        ("launch", "--stuck-after nan", "nan, but it takes 0.001 to"),
        ("launch", "--ssh-port 70000", "70000, but it takes 1 to 65535"),
        ("launch", "--max-restarts -1", "-1, but it takes 0 to"),
    ],
)
def test_a_number_out_of_its_bounds_is_one_short_sentence(command, flags, says, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"gluon_tricks.cli.{command}").main(words_for(command, flags))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and says in said
    assert said.startswith("refused: argument ") and said.count("\n") == 1 and len(said) <= 2020


def test_a_flag_of_a_megabyte_is_not_repeated(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("gluon_tricks.cli.predict").main(["--" + "x" * 1_000_000, "net", "photo"])
    assert len(capsys.readouterr().err) < 300
