"""Reproduce a table or figure of the paper: run what is missing of it, then show it with the paper's numbers beside.

    %(prog)s table6                                      on ImageNet, the paper's setting
    %(prog)s table6 --scale imagenette --data PHOTOS     a proxy, minutes a cell on two cores
    %(prog)s table6 --plan                               what would be run, and roughly how long it would take
    %(prog)s table6 --scale long --data PHOTOS --jobs 4  four cells at a time, of one thread each
    %(prog)s table5 --show                               only what there is
    %(prog)s table8 --data VOCdevkit                     its base networks are trained first, where they are missing
    %(prog)s degradation --scale small --data cifar-10-batches-bin    plain and residual networks on CIFAR-10
    %(prog)s transfer_learning --scale small --data PHOTOS    a linear classifier on features against training all
    %(prog)s magic_table1 --data VOCdevkit               of data-dependent initialisation, as magic_table2 and 3 are
    %(prog)s figure1                                     drawn from the networks, as figure2 is
    %(prog)s figure3 --scale imagenette --data PHOTOS    drawn from runs, as figure4 is: trained where missing
    %(prog)s magic_figure3 --scale small --data PHOTOS   curves of runs and a table of their ends, as magic_figure4

A cell is a run directory: done ones are kept, interrupted ones go on. After a training the whole table is also written
as Markdown, CSV and HTML beside the runs; --show writes no table. At the paper's scale the ResNet of table 6 is trained
four times, as the paper's was, unless --seeds says otherwise.

--jobs N trains N cells at a time, each in a process of one thread on a core of its own; what each prints goes to
seedK.log beside its run. Without --jobs a measurement of half a minute decides, where there are cores and cells for it.
Its results, and those of --plan, which takes half a minute a network at most, are kept for the next time in
~/.cache/gluon_tricks/speeds ($GLUON_TRICKS_CACHE). Ctrl-C, SIGTERM and SIGUSR1 stop all cells, each with a checkpoint.
Exit codes: 0 done, 1 a cell failed or a disk is full, 2 refused, 75 interrupted (the same command goes on).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import pathlib
import signal
import sys
from collections.abc import Iterator, Sequence

from gluon_tricks.cli.reproduce_flags import check, parse
from gluon_tricks.cli.train_cells import at_a_time, require_data, require_parts, told_speeds, train_cells
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import RESUMABLE, Refused, require_known
from gluon_tricks.core.files import (
    no_empty_folders,
    require_folder,
    write_atomically,
    write_text,
    writing,
)
from gluon_tricks.core.reading import expanded, why_unseen
from gluon_tricks.data.packed import packed_photos
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import require_apart
from gluon_tricks.networks.load import model_of, starting_point
from gluon_tricks.networks.source import is_there
from gluon_tricks.paper import cells, estimate, figures, pictures, power, tables
from gluon_tricks.paper.comparison import Comparison, compare
from gluon_tricks.paper.data_needed import require_classes
from gluon_tricks.paper.scales import get_scale, scales_of
from gluon_tricks.recipes.registry import TABLES, get_table
from gluon_tricks.recipes.tables.rows import Table
from model_zoo import formats, published

_FORMS = {
    ".md": tables.markdown,
    ".csv": tables.as_csv,
    ".html": tables.page,
}  # ending -> what a table is as such a file


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(__doc__, argv)
    try:
        with no_empty_folders(args.runs), _stopped_by_a_scheduler():
            return _reproduce(args)
    except KeyboardInterrupt:
        goes_on = "begins anew" if args.what in figures.UNTRAINED else "goes on where it stopped"
        print(f"interrupted: the same command {goes_on}", file=sys.stderr)
        return RESUMABLE


@contextlib.contextmanager
def _stopped_by_a_scheduler() -> Iterator[None]:
    """Takes SIGUSR1, by which a scheduler warns, for what SIGTERM is here."""
    handler, before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    if callable(handler):
        signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _reproduce(args: argparse.Namespace) -> int:
    require_known(args.what, [*TABLES, *figures.FIGURES], "table or figure")
    launcher = check(args)
    runs = _without_images(args)
    if args.what in TABLES:  # before photos are packed
        table = get_table(args.what)
        columns = _names(args.columns, [column for column in table.columns if table.shown(column)], "column", table)
        rows = _names(args.rows, [row.key for row in table.rows], "row", table)
        for column, row in [(name, "") for name in columns] + [("", name) for name in rows]:
            if not runs.cells(table.name, [column] if column else columns, [row] if row else rows, 1):
                _refuse_no_cell(args, table, runs, column, row, columns)
    runs = _with_images(runs, args)
    if not args.plan and not (args.show and args.what not in figures.FIGURES):
        require_folder(runs.root / runs.scale.name, "--runs", *_written(args.what))
    if args.what not in TABLES:
        return _figure(args, runs, launcher)
    wanted = runs.cells(table.name, columns, rows, args.seeds)
    if args.plan:
        told = power.plan(table.name, runs, args.seeds, columns, rows)
        return _plan(args, cells.missing(wanted), runs, table, [*_repeated(args, runs, table, columns, rows), *told])
    failed = 0 if args.show else train_cells(cells.missing(wanted), runs, table, launcher, args.jobs, args.measure)
    _show(table, runs, args, columns, rows)
    if not args.show:
        _write(table, runs, max((cell.recipe.seed + 1 for cell in wanted), default=1))
    return 1 if failed else 0


def _refuse_no_cell(
    args: argparse.Namespace, table: Table, runs: cells.Runs, column: str, row: str, columns: Sequence[str]
) -> None:
    """Says why nothing of a column or row that was asked for can be run; what is only shown is shown as not run.

    Args:
        columns: that were asked for; (): all.
    """
    asked = f"column {column}" if column else f"row {row}"
    rows = [row] if row else args.rows.split(",")
    of_row = [name for name in table.columns if row in [shown.key for shown in table.shown(name)]]
    if row and columns and not {*of_row} & {*columns}:
        raise Refused(f"{asked} of {table.name} is in none of these columns: it is in {', '.join(of_row)}")
    keys = {shown.key for shown in table.shown(column)} if column else {row}
    if args.rows and not keys & {*rows}:
        raise Refused(f"{asked} of {table.name} has none of what was asked for: it has {', '.join(sorted(keys))}")
    weights = [found.weights for found in table.rows if found.key in rows and found.weights not in ("", *runs.networks)]
    if weights and not args.show:
        raise Refused(f"{asked} of {table.name} starts from weights: give --network {weights[0]}=SRC")
    if not args.show:
        raise Refused(f"{asked} of {table.name} has no proxy at the scale {runs.scale.name}: choose another")


def _written(what: str) -> list[str]:
    """The files that a table or figure is written to."""
    if what in figures.FIGURES:
        return [f"{what}{panel}.png" for panel in figures.FIGURES[what]]
    return [f"{what}{suffix}" for suffix in (*_FORMS, ".png")]


def _figure(args: argparse.Namespace, runs: cells.Runs, launcher: Sequence[str]) -> int:
    """Draws a figure, after the cells of table 6 that it is drawn from."""
    table = get_table(_table_of(args.what))
    rows = figures.ROWS.get(args.what, ())
    wanted = runs.cells(table.name, ["resnet50_v1d"], rows, args.seeds or 1) if rows else []
    todo = cells.missing(wanted, networks=args.what == "figure4")
    if args.plan:
        return _plan(args, todo, runs, table)
    if not args.show and train_cells(todo, runs, table, launcher, args.jobs, args.measure):
        return 1
    more = {"networks": args.network} if args.network else {}
    for path in figures.draw(args.what, runs, args.seeds or max(runs.seeds(wanted), 1), **more):
        print(path)
    return 0


def _plan(
    args: argparse.Namespace, todo: Sequence[cells.Cell], runs: cells.Runs, table: Table, said: Sequence[str] = ()
) -> int:
    if todo and runs.scale.title:  # of the paper's own images the numbers are known
        require_data(todo, runs, table)
    require_parts(todo)
    speeds = told_speeds(args.measure)
    jobs = 1 if args.launch else at_a_time(todo, runs, args.jobs, speeds)
    told = estimate.replaced(todo, runs.begun(table.name))
    print(*estimate.plan(todo, jobs, speeds), *told, *said, sep="\n")
    return 0


def _repeated(
    args: argparse.Namespace, runs: cells.Runs, table: Table, columns: Sequence[str], rows: Sequence[str]
) -> list[str]:
    """A line for each column that is trained more often than once because the paper's was."""
    lines = []
    for column in () if args.seeds else columns or table.columns:
        asked = [row for row in table.shown(column) if not rows or row.key in rows]
        times = max((runs.repeats(table.name, column, row) for row in asked), default=1)
        if times > 1:
            lines.append(f"{column} is trained {times} times, as the paper's was: --seeds 1 for once")
    return lines


def _table_of(what: str) -> str:
    """The table itself, or the one whose cells a figure is drawn from."""
    return what if what in TABLES else figures.TABLE_OF.get(what, "table6")


def _without_images(args: argparse.Namespace) -> cells.Runs:
    """Where the runs lie and what they start from; photos are not packed yet."""
    scales = scales_of(get_table(_table_of(args.what)))
    scale = get_scale(args.scale or list(scales)[-1], scales)
    if not scale.bases and args.base_data:
        raise Refused(f"--base-data {args.base_data}: {args.what} has no base networks; name its images with --data")
    return cells.Runs(args.runs, scale, networks=_networks(args))


def _with_images(runs: cells.Runs, args: argparse.Namespace) -> cells.Runs:
    """The same on the images that are named, packed unless they are only shown."""
    folder, bases = args.what in TABLES and get_table(args.what).reads_folder, runs.scale.bases
    flag, photos = ("--base-data", args.base_data) if bases else ("--data", None if folder else args.data)
    train, val = (), ()
    if photos:
        scale, table = bases or runs.scale, get_table("base" if bases else _table_of(args.what))
        look = {}
        if args.what in TABLES or args.what in figures.ROWS:  # others have no cells to train
            look["look"] = functools.partial(require_classes, table, scale, flag=flag)
        train, val = packed_photos(photos, args.runs / scale.name / "data", flag, packing=not args.show, **look)
    data = str(args.data.absolute()) if args.data and folder else ""
    if data and not args.show and not os.path.isdir(data):  # before runs on another folder are looked at
        raise Refused(f"--data {args.data}: there is no such folder{why_unseen(data)}")
    if train and not args.show:
        require_apart(Records(train), Records(val))
    digests = [Records(files).digest if files else "" for files in (train, val)]
    return cells.Runs(runs.root, runs.scale, train, val, data, *digests, runs.networks)


def _networks(args: argparse.Namespace) -> dict[str, str]:
    """Name -> trained network that rows start from; "": the one that all start from (Runs.networks)."""
    if args.what in ("magic_figure1", "magic_figure2"):  # which draw them
        for given in args.network:
            _start(args, given, given, "caffenet")
        return {}
    table = get_table(args.what) if args.what in TABLES else None
    names = table.weights if table else []
    recipes = table.columns.values() if table else ()
    alone = next((recipe.model for recipe in recipes if getattr(recipe, "pretrained", "")), "")
    found = {}
    for given in args.network:
        name, equals, source = given.partition("=")
        if not names and not alone:
            raise Refused(f"--network {given}: nothing of {args.what} starts from a trained network; leave it out")
        if names and not equals:
            raise Refused(f"--network {given}: give NAME=SRC, such as {names[-1]}=caffenet.params")
        if names:
            require_known(name, names, "network", args.what)
        elif found:
            raise Refused(f"--network {given}: {args.what} starts from one network; give it once")
        if names:
            found[name] = _start(args, given, source, "caffenet", named=True)
        else:
            _start(args, given, given, alone)
            found[""] = given
    return found


def _start(args: argparse.Namespace, given: str, source: str, model: str, named: bool = False) -> str:
    """A SRC of --network as recipes have it. A file is read, unless nothing is run.

    Args:
        given: to --network.
        model: the network, where SRC does not say it; `named`: whatever it says.
    """
    try:
        model = model if named else model_of(source) or model
        start = starting_point(os.path.abspath(expanded(source)) if is_there(source) else source, model)
        if published.is_tag(start) or start == "true":
            published.lookup(model)  # which refuses one of which there is none
        if is_there(start) and not (args.plan or args.show):
            formats.read(start)
    except Refused as error:
        raise Refused(f"--network {given}: {error}") from None
    return start


def _names(text: str, names: list[str], what: str, table: Table) -> list[str]:
    return [require_known(name, names, what, table.name) for name in text.split(",") if name]


def _show(table: Table, runs: cells.Runs, args: argparse.Namespace, columns: list[str], rows: list[str]) -> None:
    """Prints what was asked for; writes nothing but --csv and --png."""
    there = runs.seeds(runs.cells(table.name, (), (), 1))
    asked = compare(table.name, runs, args.seeds or max(there, 1), columns, rows)
    print(tables.markdown(asked))
    if args.csv:
        write_text(args.csv, tables.as_csv(asked), named=True)
    if args.png:
        _write_picture(asked, args.png)
    if not there:
        others = [name for name in scales_of(table) if name != runs.scale.name]
        others = [name for name in others if any((runs.root / name).glob("*/seed*/recipe.json"))]
        elsewhere = f"; runs of other scales are there: --scale {' or '.join(others)}" if others else ""
        print(f"nothing of {table.name} has been run at the scale {runs.scale.name} in {runs.root}{elsewhere}")


def _write_picture(asked: Comparison, path: pathlib.Path) -> None:
    png = pictures.whole(asked)
    if png is None:
        print(f"--png {path}: not written, as there is no difference to draw yet")
    else:
        write_atomically(path, lambda temporary: temporary.write_bytes(png), named=True)


def _write(table: Table, runs: cells.Runs, seeds: int) -> None:
    """Writes the whole table beside the runs, and says where."""
    whole = compare(table.name, runs, max(seeds, runs.seeds(runs.cells(table.name, (), (), 1))))
    folder = runs.root / runs.scale.name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for suffix, form in _FORMS.items():
        write_text(folder / f"{table.name}{suffix}", form(whole))
    png = pictures.whole(whole)
    if png:
        write_atomically(folder / f"{table.name}.png", lambda temporary: temporary.write_bytes(png))
    drawn = ", its picture in .png too" if png else ""
    print(f"the whole table is in {folder / table.name}.html (with curves), .md and .csv{drawn}")
