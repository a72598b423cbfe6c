"""The flags of gluon-tricks reproduce, and what of them would fail only after hours."""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import shutil

from gluon_tricks.cli.train_cells import require_jobs
from gluon_tricks.core.arguments import MOST_THREADS, Parser, whole
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import require_name, require_writable
from gluon_tricks.core.reading import expanded
from gluon_tricks.networks.load import SOURCE
from gluon_tricks.paper import figures
from gluon_tricks.paper.scales import SCALES, TRANSFER_SCALES
from gluon_tricks.recipes.registry import TABLES


def parse(description: str, argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(description)
    parser.add_argument(
        "what", metavar="TABLE|FIGURE", help=", ".join({**dict.fromkeys(sorted(TABLES)), **figures.FIGURES})
    )
    scales = f"{', '.join(SCALES)} (imagenet); of most others {', '.join(TRANSFER_SCALES)} (paper)"
    parser.add_argument("--scale", help=scales)
    parser.add_argument("--columns", default="", metavar="NAME,NAME", help="such as resnet50_v1d (all columns)")
    parser.add_argument("--rows", default="", metavar="ROW,ROW", help="such as cosine,mixup (all rows)")
    seeds = "seeds 0 to N-1 of every row (1, table6: as the paper; shown: all)"
    parser.add_argument("--seeds", type=whole(1, 1000), metavar="N", help=seeds)
    photos = "train.rec and val.rec, or shards of them, or class folders"
    parser.add_argument("--data", type=expanded, metavar="PATH", help=f"{photos}; tables 8 and 9: VOC, ADE20K")
    parser.add_argument("--base-data", type=expanded, metavar="PATH", help=f"of their base networks: {photos}")
    parser.add_argument(
        "--runs",
        type=expanded,
        default=pathlib.Path("runs/tables"),
        metavar="DIR",
        help="folder of the runs (runs/tables)",
    )
    parser.add_argument(
        "--network", action="append", default=[], metavar="[NAME=]SRC",
        help=f"{SOURCE}: for transfer_learning one that is trained on the other classes, for magic_figure1 and "
        "magic_figure2 one more to show, for magic_table3 what a row starts from, such as krizhevsky=caffenet.params; "
        "repeatable",
    )  # fmt: skip
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--plan", action="store_true", help="run nothing, say what would be run and for how long")
    mode.add_argument("--show", action="store_true", help="run nothing, show what there is")
    parser.add_argument("--csv", type=expanded, metavar="FILE", help="write the CSV there too")
    parser.add_argument("--png", type=expanded, metavar="FILE", help="draw the differences there, or its own curves")
    parser.add_argument("--launch", default="", metavar="WORDS", help='before a training: "horovodrun -np 8" (none)')
    parser.add_argument("--jobs", type=whole(1, MOST_THREADS), metavar="N", help="cells at a time (measured)")
    parser.add_argument("--measure", action="store_true", help="measure anew what was measured before")
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> list[str]:
    """Refuses what would fail only after the cells have been run; returns the words of --launch."""
    _refuse_beside_mode(args)
    _refuse_of_training(args)
    _refuse_of_tables(args)
    for flag in ("csv", "png"):
        if getattr(args, flag):
            require_writable(getattr(args, flag), f"--{flag}")
    require_name(args.runs, "--runs")
    if os.path.isfile(args.runs):
        raise Refused(f"--runs {args.runs}: it is a file; name the folder of the runs")
    try:
        if not args.show:
            args.runs.mkdir(parents=True, exist_ok=True)
        launcher = shlex.split(args.launch)
    except OSError as error:
        raise Refused(f"--runs {args.runs}: no folder can be made there ({error.strerror})") from None
    except ValueError as error:
        raise Refused(f"--launch {args.launch}: {error}") from None
    if launcher and not shutil.which(launcher[0]):
        raise Refused(f"--launch {args.launch}: there is no program {launcher[0]}")
    require_jobs(args.jobs, bool(launcher))
    return launcher


def _refuse_beside_mode(args: argparse.Namespace) -> None:
    """Refuses the flags that --plan and --show would not heed."""
    modes = {
        "plan": (("csv", "png"), "--plan shows no table"),
        "show": (("jobs", "measure", "launch"), "--show trains and measures nothing"),
    }  # mode -> flags, and why they change nothing
    for mode, (flags, why) in modes.items():
        for flag in flags:
            if getattr(args, mode) and getattr(args, flag):
                raise Refused(f"--{flag}: {why}; leave it out")


def _refuse_of_tables(args: argparse.Namespace) -> None:
    """Refuses the flags that a figure would not heed."""
    for flag in ("columns", "rows", "csv", "png") if args.what in figures.FIGURES else ():
        if getattr(args, flag):
            raise Refused(f"--{flag} is for tables, and {args.what} is a figure")


def _refuse_of_training(args: argparse.Namespace) -> None:
    """Refuses the flags that a figure which is drawn without a training would not heed."""
    if args.what not in figures.UNTRAINED:
        return
    images = ("data",) if args.what in figures.DIAGRAMS else ()
    for flag in ("seeds", "jobs", "measure", "launch", *images):
        if getattr(args, flag):
            what = "images" if flag == "data" else "a training"
            raise Refused(f"--{flag}: {args.what} is drawn without {what}; leave it out")
