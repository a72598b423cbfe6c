"""Every command in a fenced block of README.md and docs/*.md is one that its own parser takes."""

import importlib
import pathlib
import re
import shlex

import pytest

from gluon_tricks.core import arguments

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {  # script -> the word of gluon-tricks for the same
    "train_imagenet": "train",
    "train_horovod": "train",
    "train_cifar10": "train",
    "train_mixup_cifar10": "train",
    "train_faster_rcnn": "detect",
    "train_fcn": "segment",
    "train_multi_label": "tag",
    "pack_records": "pack",
    "evaluate": "evaluate",
    "report": "report",
    "predict": "predict",
    "visualize": "look",
    "export_model": "export",
    "convert_weights": "convert",
    "reproduce": "reproduce",
    "launch": "launch",
    "doctor": "doctor",
    "benchmark": "benchmark",
}


def module_of(command):
    """The module whose main(argv) it is."""
    return importlib.import_module(f"gluon_tricks.cli.{COMMANDS.get(command, command)}")


def command_lines(text):
    """The lines of fenced blocks that are no code of a language, continued lines joined."""
    for language, block in re.findall(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", text, re.MULTILINE | re.DOTALL):
        if language in ("", "sh", "bash", "shell", "console"):
            yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())


def parsed(line):
    """(module, words) of every command of ours in a line: that which launch.py starts is one by itself."""
    words = [word for word in shlex.split(line, comments=True) if word != "..."]
    for k, (before, word) in enumerate(zip(["", *words], words)):
        if re.fullmatch(r"scripts/\w+\.py", word) and (before == "--" or before.endswith(("python", "python3"))):
            yield module_of(word[len("scripts/") : -len(".py")]), words[k + 1 :]
        elif before == "-m" and word.startswith("model_zoo."):
            yield importlib.import_module(word), words[k + 1 :]
        elif before == "gluon-tricks":
            yield module_of(word), words[k + 1 :]


EXAMPLES = [
    pytest.param(*command, id=f"{page.name}: {line}")
    for page in PAGES
    for line in command_lines(page.read_text(encoding="utf-8"))
    if re.search(r"scripts/|gluon-tricks|-m model_zoo", line)
    for command in parsed(line)
]


class Parsed(BaseException):
    """The parser took the words: nothing is to be done with them."""


def parse(monkeypatch, module, words):
    """Runs a command up to the end of its parsing."""
    parse_args = arguments.Parser.parse_args

    def only_parse(self, args=None, namespace=None):
        raise Parsed(parse_args(self, args, namespace))

    monkeypatch.setattr(arguments.Parser, "parse_args", only_parse)
    module.main(words)


@pytest.mark.parametrize("module, words", EXAMPLES)
def test_its_parser_takes_it(module, words, monkeypatch):
    with pytest.raises(Parsed):
        parse(monkeypatch, module, words)


def test_there_are_many_and_of_every_command():
    said = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:scripts/|\b)(\w+)\.py\b", said)) | set(re.findall(r"gluon-tricks (\w+)", said))
    assert len(EXAMPLES) > 30
    assert [script for script, word in COMMANDS.items() if not {script, word} & named] == []


def test_a_wrong_flag_is_found(monkeypatch, capsys):
    (command,) = parsed("python scripts/evaluate.py --pretraned runs/a  # a run")
    with pytest.raises(SystemExit):
        parse(monkeypatch, *command)
    assert "there is no flag --pretraned" in capsys.readouterr().err


def test_a_launched_command_is_parsed_too():
    line = "python scripts/launch.py -np 2 -- scripts/train_imagenet.py --lr 0.1 ..."
    (_, launch), (_, train) = parsed(line)
    assert launch == ["-np", "2", "--", "scripts/train_imagenet.py", "--lr", "0.1"] and train == ["--lr", "0.1"]
    (_, launch), (_, train) = parsed("gluon-tricks launch -np 2 -- gluon-tricks train --lr 0.1  # both")
    assert launch == ["-np", "2", "--", "gluon-tricks", "train", "--lr", "0.1"] and train == ["--lr", "0.1"]
