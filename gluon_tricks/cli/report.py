"""The page of a run, as its training made it: curves, each class, what is confused, mistakes as pictures, the recipe.

    %(prog)s runs/imagenette-3                    makes runs/imagenette-3/report.html again
    %(prog)s runs/imagenette-3 --evaluate         looks at the validation images once more first
    %(prog)s runs/a runs/b runs/c --out FILE      the runs side by side (comparison.html)

A page is one file, which needs neither a network nor the run's folder. Pictures come from the run's validation images,
if they are still there. A run of a version before 0.8 kept no account of single images: with --evaluate its network
looks at them, in float32. Runs are compared that do the same task on the same classes. Exit code: 0 done, 1 a file
cannot be written, 2 refused.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import tqdm

from gluon_tricks.core.arguments import MOST_GPUS, MOST_THREADS, Parser, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, require_writable
from gluon_tricks.core.reading import expanded
from gluon_tricks.data.records import BadRecord
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.report.comparison import require_comparable, write_comparison
from gluon_tricks.report.run import Run, read_run
from gluon_tricks.report.single import NAME, write_report
from gluon_tricks.tasks.findings import Found, save_found
from gluon_tricks.tasks.protocol import ScoringOptions
from gluon_tricks.trained.load import open_network

COMPARISON = pathlib.Path("comparison.html")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("runs", nargs="+", type=expanded, metavar="RUN", help="the folder of a run; several: compare")
    parser.add_argument(
        "--out", type=expanded, metavar="FILE", help=f"the page (RUN/{NAME}; of several runs {COMPARISON})"
    )
    parser.add_argument("--evaluate", action="store_true", help="have the network look at its validation images again")
    parser.add_argument(
        "--num-gpus", type=whole(0, MOST_GPUS), metavar="N", help="for --evaluate (all usable GPUs, else the CPU)"
    )
    parser.add_argument(
        "-j", "--num-data-workers", type=whole(1, MOST_THREADS), metavar="N", help="threads of the loader (all cores)"
    )
    return parser.parse_args(argv)


def read_runs(folders: Sequence[pathlib.Path], found: bool = True) -> list[Run]:
    """The runs, which can stand side by side. Args: found: as of read_run. Raises Refused: they cannot, or are none."""
    runs = [read_run(folder, found) for folder in folders]
    require_comparable(runs)
    return runs


def evaluate(run: Run, gpus: int | None, threads: int | None) -> None:
    """Has a run's network look at its validation images, and keeps what it finds. Raises Refused: they are missing."""
    contexts, found = choose_contexts(gpus), {}
    trained = open_network(run.folder, ctx=contexts)
    validation = run.task.open_validation(str(run.folder), contexts, ScoringOptions(threads=threads), trained)
    loader = validation.loader
    batches = tqdm.tqdm(loader.epoch(), total=loader.steps_per_epoch, unit="batch", disable=None)
    try:
        print(f"{run.folder}: {validation.score(batches, 'float32', found)}")
    except BadRecord as error:
        raise Refused(str(error)) from None
    names = getattr(run.recipe, "class_names", ()) or loader.records.classes  # not of every kind
    names = names or [f"class {k}" for k in range(run.recipe.classes)]
    save_found(run.folder, Found(names, loader.records.digest, found))


def validation_images(run: Run) -> tuple[Any | None, str]:
    """The images that a run is evaluated on; or None and the reason."""
    try:
        return run.task.validation_images(run.recipe), ""
    except (Refused, CannotWrite, OSError) as error:
        return None, f"The validation images cannot be found: {error}."


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    if not args.evaluate and (args.num_gpus, args.num_data_workers) != (None, None):
        raise Refused("--num-gpus and --num-data-workers go with --evaluate: give that too, or leave them out")
    several = len(args.runs) > 1
    out = args.out or (COMPARISON if several else args.runs[0] / NAME)
    runs = read_runs(args.runs, found=not args.evaluate)
    require_writable(out, "--out")
    if args.evaluate:
        for run in runs:
            evaluate(run, args.num_gpus, args.num_data_workers)
        runs = read_runs(args.runs)  # and compared: the classes' names are known only now
    if several:
        write_comparison(runs, out)
    else:
        write_report(runs[0], out, *validation_images(runs[0]), named=args.out is not None)
    print(out)
    return 0
