"""The flags of benchmark.py: each benchmark takes those it heeds, and refuses the others by name."""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from benchmarks import scaling_words
from gluon_tricks.core.arguments import MOST_THREADS, Parser, real, whole
from gluon_tricks.core.errors import require_known
from gluon_tricks.core.reading import expanded

Measured = tuple[dict[str, Any], list[str]]  # contestant -> what every round gave; the lines to print

FLAGS: dict[str, dict[str, Any]] = {
    "rec": dict(metavar="REC", help="the file of records to read (the built-in shapes)"),
    "photos": dict(type=expanded, metavar="FOLDER"),
    "input_size": dict(type=whole(1, 4096), metavar="PX", help="side of the images"),
    "batch_size": dict(type=whole(1, 1 << 16), metavar="N", help="images of a step"),
    "threads": dict(type=whole(1, MOST_THREADS), metavar="N", help="threads of the loaders"),
    "model": dict(metavar="NAME", help="the network"),
    "scale": dict(help="small (images of 300 and 240 px) or paper"),
    "dtype": dict(choices=("float32", "bfloat16"), help="float32 or bfloat16"),
    "steps": dict(type=whole(1, 100_000), metavar="N", help="steps in a round"),
    "rounds": dict(type=whole(1, 1000), metavar="N", help="rounds, in each of which every contestant has a turn"),
    "ranks": dict(type=whole(2, 64), metavar="N", help="number of ranks compared with one"),
    "accumulate": dict(type=whole(1, 1024), metavar="K", help="batches for one update"),
    "bucket": dict(type=real(0.001, 1 << 20), metavar="MIB", help="size of one message, MiB"),
    "link": dict(
        type=real(0.01, 100), metavar="GBIT",
        help="half of the ranks each behind a link of so many Gbit/s (as root on Linux)",
    ),
    "predict": dict(
        nargs="+", metavar="WORD=VALUE",
        help="nothing is measured; the efficiency to expect, such as ranks=512 images_per_second=1200; words: "
        f"{', '.join(scaling_words.WORDS)}",
    ),
    "recipe": dict(metavar="NAME", help="the fast one"),
    "against": dict(metavar="NAME", help="the paper's, PyTorch's too"),
    "top1": dict(type=float, metavar="SHARE", help="to be reached"),
    "seeds": dict(type=whole(1, 100), metavar="N", help="trainings of each, in turns"),
    "runs": dict(type=expanded, metavar="FOLDER", help="of the trainings: done ones are not done again"),
}  # fmt: skip
_ONE_OF = ("rec", "photos")


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One of the things that benchmark.py measures.

    Args:
        what: is measured, a line of --help.
        run: measures it.
        defaults: the flags it takes, and their values where they are not given.
        numbers: what --out calls them.
        help: of flags, where it is not that of FLAGS.
    """

    what: str
    run: Callable[[Namespace], Measured]
    defaults: Mapping[str, Any]
    numbers: str = "images_per_second"
    help: Mapping[str, str] = dataclasses.field(default_factory=dict)


def parse(description: str, benchmarks: Mapping[str, Benchmark], words: Sequence[str] | None) -> Namespace:
    """The name of a benchmark, args.what, and its flags. Mistakes and --help end the process, as argparse has it."""
    what, *rest = [*(sys.argv[1:] if words is None else words)] or [""]
    if not what or what.startswith("-"):
        _tell(description, benchmarks, what)
    of = benchmarks[require_known(what, list(benchmarks), "benchmark")]
    parser = Parser(f"{of.what}\n\n{description}")
    parser.prog += f" {what}"
    source = parser.add_mutually_exclusive_group() if {*_ONE_OF} <= of.defaults.keys() else parser
    for name, default in of.defaults.items():
        settings = {**FLAGS[name], **({"help": of.help[name]} if name in of.help else {})}
        settings["help"] += f" ({default})" if default is not None else ""
        (source if name in _ONE_OF else parser).add_argument(f"--{name.replace('_', '-')}", default=default, **settings)
    parser.add_argument("--out", type=expanded, metavar="FILE", help="write every round as JSON")
    args = parser.parse_args(rest)
    args.what = what
    return args


def _tell(description: str, benchmarks: Mapping[str, Benchmark], word: str) -> NoReturn:
    """--help, or that a benchmark has to be named before its flags."""
    width = max(map(len, benchmarks))
    lines = [description, *(f"  {name:{width}}  {of.what}" for name, of in benchmarks.items())]
    parser = Parser("\n".join([*lines, "", "WHAT --help lists the flags of one."]), usage="%(prog)s [-h] WHAT ...")
    parser.parse_args([word] if word in ("-h", "--help") else [])
    first = f"{word} comes first" if word else "nothing is named"
    parser.error(f"{first}: name what is measured before its flags, one of {', '.join(benchmarks)}")
