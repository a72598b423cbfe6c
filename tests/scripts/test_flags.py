"""What all commands share: --help, and what a mistake on the command line leads to."""

import importlib
import re

import pytest

from gluon_tricks.cli import main
from gluon_tricks.core.arguments import Parser

COMMANDS = [*(f"gluon_tricks.cli.{name}" for name in main.COMMANDS), "model_zoo.summary"]


class Parsing(Exception):
    pass


@pytest.fixture(params=COMMANDS)
def parser(request, monkeypatch):
    """The parser that a command reads its flags with."""

    def stop(self, *args):
        raise Parsing(self)

    with monkeypatch.context() as patched, pytest.raises(Parsing) as caught:
        patched.setattr(Parser, "parse_args", stop)
        importlib.import_module(request.param).main([])
    return caught.value.args[0]


def test_every_flag_says_what_it_is_and_its_default(parser):
    for action in parser._actions:
        assert action.help, action.dest
        if action.default not in (None, False, True, "", [], (), "==SUPPRESS=="):
            shown = action.help % vars(action)
            assert re.search(rf"\b{re.escape(str(action.default))}\b", shown), (action.dest, shown)


def test_a_mistyped_flag_is_one_sentence(parser, capsys):
    """The last letter of the flag's name doubled and two letters swapped: the flag itself is suggested."""
    flags = [a.option_strings[-1] for a in parser._actions if a.option_strings and len(a.option_strings[-1]) > 5]
    for flag in flags:
        mistyped = flag[:3] + flag[4] + flag[3] + flag[5:] if flag[3] != flag[4] else flag + flag[-1]
        with pytest.raises(SystemExit) as exit_:
            parser.parse_args([mistyped, "5"])
        assert exit_.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"refused: there is no flag {mistyped}: did you mean ") and flag in line


@pytest.mark.parametrize(
    "words, says",
    [
        ("--num_epochs 3", "there is no flag --num_epochs: did you mean --num-epochs?"),
        ("-lr 0.1", "there is no flag -lr: did you mean --lr?"),
        ("--xylophone", "there is no flag --xylophone: --help lists them"),
        ("--batch 32", "--batch is the beginning of several flags: --batch-norm, --batch-size"),
        ("--dtype float61", "argument --dtype: invalid choice: 'float61'"),
        ("shapes", "'shapes' belongs to no flag"),
    ],
)
def test_mistakes_of_a_command_line(words, says, capsys):
    from gluon_tricks.cli import train

    with pytest.raises(SystemExit) as exit_:
        train.main(words.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2 and line.startswith("refused: ") and says in line


def test_what_is_taken_as_before():
    """Unique beginnings, -j4, a negative number, and whatever comes after --."""
    from gluon_tricks.cli import command_line, launch

    got = command_line.parse("--num-epoch 3 -j4 --mixup-alpha -0.2 --use-pretrained".split())
    assert (got.epochs, got.num_data_workers, got.mixup_alpha, got.use_pretrained) == (3, 4, -0.2, "true")
    words = ["-np", "2", "--horovodrun", "--network-interfaces eth1", "--", "scripts/train_fcn.py", "--no-such-flag"]
    got = launch.parse(words)
    assert (got.ranks, got.horovodrun) == (2, "--network-interfaces eth1") and got.command[1] == "--no-such-flag"


def test_a_mistyped_flag_goes_before_what_is_missing_because_of_it(capsys):
    from gluon_tricks.cli import predict

    with pytest.raises(SystemExit):
        predict.main(["photo.jpg", "--parms", "runs/x"])
    assert capsys.readouterr().err == "refused: there is no flag --parms: did you mean --params?\n"
