"""The command gluon-tricks: which commands it has, and the module of each."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from gluon_tricks import __version__
from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.errors import Refused, require_known

COMMANDS = {  # name of the module in gluon_tricks.cli -> what it is for
    "train": "train a classifier: on ImageNet, on your own images, or on built-in shapes",
    "detect": "train Faster-RCNN on a base network: on Pascal VOC, on your own boxes, or on built-in scenes",
    "segment": "train FCN on a base network: on ADE20K, on your own masks, or on built-in scenes",
    "tag": "train a classifier of several classes an image: on VOC, on your own images, or on built-in scenes",
    "pack": "pack images into RecordIO files, or check packed files",
    "evaluate": "the scores of a trained network on its validation images",
    "report": "the page of a run: curves, classes, mistakes; or of several runs, side by side",
    "predict": "what a trained network sees in photos: classes, boxes or masks, as pictures and JSON",
    "look": "a trained classifier seen from inside: filters, deconvolution views, occlusion, invariance",
    "export": "export a network to ONNX or to MXNet's symbol",
    "convert": "convert parameters between our names and those of GluonCV, timm and torchvision",
    "models": "list the networks with their parameters, multiply-adds and published accuracy",
    "reproduce": "run and show the tables and figures of the paper",
    "launch": "start a training as several ranks with Horovod, on this machine or on several",
    "doctor": "examine this machine and environment for what would hinder a training",
    "benchmark": "measure speed against GluonCV and MXNet's own loader (in the repository)",
}


def find(words: Sequence[str], program: str = "") -> tuple[ModuleType, list[str]]:
    """The module of the command that the words begin with, and the words that are left for its main(argv).

    --help, --version and mistakes end the process.

    Args:
        words: of the command line, such as ["train", "--lr", "0.1"].
        program: what the person typed before them: --help of the command then names both. "": it named itself.
    """
    name = _name(words)
    if program:
        sys.argv[0] = f"{program} {name}"  # argparse calls a program by that
    return importlib.import_module(f"gluon_tricks.cli.{name}"), [*words[1:]]


def _name(words: Sequence[str]) -> str:
    width = max(map(len, COMMANDS)) + 3
    lines = "\n".join(f"    {name:{width}}{what}" for name, what in COMMANDS.items())
    parser = Parser(
        f"Bag of tricks for image classification with convolutional neural networks.\n\n{lines}\n\n"
        "gluon-tricks COMMAND --help lists the flags of a command.",
        prog="gluon-tricks",
        usage="gluon-tricks COMMAND [FLAGS]",
    )
    parser.add_argument("--version", action="version", version=f"gluon-tricks {__version__}", help="show the version")
    parser.add_argument("command", metavar="COMMAND", nargs="?", help="one of the above")
    name = parser.parse_args(words[:1]).command
    if name is None:
        parser.error(f"name a command: {', '.join(COMMANDS)}; --help says what they are for")
    try:
        return require_known(name, [*COMMANDS], "command")
    except Refused as refused:
        parser.error(str(refused))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs gluon-tricks within this process; returns its exit code."""
    command, words = find(sys.argv[1:] if argv is None else argv)
    return command.main(words)
