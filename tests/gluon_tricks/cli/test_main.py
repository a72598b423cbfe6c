"""gluon-tricks: every command is there, named as it was typed, and mistakes are one sentence."""

import collections.abc
import os
import pathlib
import subprocess
import sys

import pytest

import gluon_tricks
from gluon_tricks.cli import main
from gluon_tricks.cli.flags import SCRIPTS as SCRIPTS_OF_TRAIN
from gluon_tricks.core.commands import words_of
from gluon_tricks.core.errors import Refused

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Under these names people have them in their scripts.
SCRIPTS = {
    "benchmark": "benchmark", "convert_weights": "convert", "doctor": "doctor", "evaluate": "evaluate",
    "export_model": "export", "launch": "launch", "pack_records": "pack", "predict": "predict",
    "reproduce": "reproduce", "train_faster_rcnn": "detect", "train_fcn": "segment", "train_imagenet": "train",
    "train_horovod": "train", "train_cifar10": "train", "train_mixup_cifar10": "train", "train_multi_label": "tag",
    "report": "report", "visualize": "look",
}  # fmt: skip


def help_of(words, capsys):
    with pytest.raises(SystemExit) as end:
        main.main(words)
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", main.COMMANDS)
def test_a_command_is_called_as_it_was_typed(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/an/environment/bin/gluon-tricks", name])
    module, words = main.find([name, "--help"], "gluon-tricks")
    with pytest.raises(SystemExit):
        module.main(words)
    out = capsys.readouterr().out
    assert out.startswith(f"usage: gluon-tricks {name} [") and "%" not in out.replace("100 %", "")
    assert f"    {name} " in help_of(["--help"], capsys) and len(main.COMMANDS[name]) < 100


@pytest.mark.parametrize(
    "wrong, code, says",
    [
        (MemoryError("8 GB"), 1, "stopped: the memory does not suffice (8 GB)"),
        (Refused("no"), 2, "refused: no"),
        (OSError(28, "No space left on device", "a.json"), 1, "stopped: a.json: No"),
    ],
)
@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_ends_with_a_sentence(name, wrong, code, says, capsys):
    """Whatever goes wrong in it; here it is its words that cannot be had."""

    class Words(collections.abc.Sequence):
        def __getitem__(self, place):
            raise wrong

        def __len__(self):
            raise wrong

    assert main.find([name])[0].main(Words()) == code
    out, err = capsys.readouterr()
    assert not out and err.startswith(says) and err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *([name, "--help"] for name in main.COMMANDS)], ids=" ".join
)
def test_help_that_cannot_be_written(words, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as end:
            main.main(words)
    assert end.value.code == 1
    assert capsys.readouterr().err == "stopped: the standard output cannot be written: No space left on device\n"


def test_help_whose_reader_has_ended(monkeypatch, capsys):
    """As gluon-tricks --help | head: nothing more is to be said."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        with pytest.raises(SystemExit) as end:
            main.main(["--help"])
    assert end.value.code == 1 and capsys.readouterr().err == ""


def test_every_script_starts_its_command(monkeypatch):
    """With the same words as gluon-tricks, and called by its own name."""
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} == {*SCRIPTS, "interrupt"}
    assert {*SCRIPTS.values(), "models"} == {*main.COMMANDS}
    for script, command in SCRIPTS.items():
        flags = f', "--script", "{script}"' if script in SCRIPTS_OF_TRAIN[1:] else ""
        assert f'interrupt.main("{command}"{flags})\n' in (ROOT / "scripts" / f"{script}.py").read_text()


def run(*words, cwd, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)


def test_a_script_from_another_folder(tmp_path):
    done = run(sys.executable, ROOT / "scripts" / "pack_records.py", "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: pack_records.py [")
    assert "\n    pack_records.py FOLDER OUT_PREFIX --list FILE " in done.stdout


@pytest.mark.parametrize(
    "words, says",
    [
        (["trian"], "there is no command 'trian': did you mean train?"),
        (["evalute"], "there is no command 'evalute': did you mean evaluate?"),
        (["xylophone"], "there is no command 'xylophone': there are train, detect, "),
        (["--verison"], "there is no flag --verison: did you mean --version?"),
        ([], "name a command: train, detect, segment, "),
    ],
)
def test_mistakes(words, says, capsys):
    with pytest.raises(SystemExit) as end:
        main.main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and line.startswith(f"refused: {says}")


def test_version(capsys):
    assert help_of(["--version"], capsys) == f"gluon-tricks {gluon_tricks.__version__}\n"


def test_help_needs_no_mxnet(tmp_path):
    (tmp_path / "mxnet.py").write_text("raise ImportError('no MXNet here')")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    program, command = words_of("train")[:2], words_of("train")
    assert run(*program, "--help", cwd=tmp_path, PYTHONPATH=path).returncode == 0
    done = run(*command, "--help", cwd=tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("refused: no MXNet here: pip install ")


def test_a_file_of_the_folder_does_not_stand_for_the_package(tmp_path):
    """words_of, by which cells and ranks start: neither the working folder nor the package's comes first."""
    for name in ("gluon_tricks", "queue", "flags"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the folder was imported')")
    done = run(*words_of("models"), "alexnet_2012", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 network"
