"""Reproduce a table of the paper: run what is missing of it, then show it with the paper's numbers beside ours.

    scripts/reproduce.py table6                                     on ImageNet, the paper's setting
    scripts/reproduce.py table6 --scale imagenette --data PHOTOS    a proxy, minutes a cell on two cores
    scripts/reproduce.py table5 --show                              only what there is

A cell is a run directory: done ones are kept, interrupted ones go on. Exit codes: 0 done, 1 a cell failed, 2 refused,
75 interrupted (the same command goes on).
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys

from gluon_tricks import cells, comparison
from gluon_tricks.data.pack import pack
from gluon_tricks.data.sources import class_folders
from gluon_tricks.recipes import TABLES, get_table
from gluon_tricks.runtime import Refused
from gluon_tricks.scales import SCALES, get_scale
from gluon_tricks.table import known


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--scale", default="imagenet", help=f"{', '.join(SCALES)} (imagenet)")
    parser.add_argument("--columns", default="", metavar="NAME,NAME", help="only these columns, such as resnet50_v1d")
    parser.add_argument("--rows", default="", metavar="ROW,ROW", help="only these rows")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N-1 of every row (1)")
    parser.add_argument("--data", type=pathlib.Path, metavar="PATH", help="train.rec and val.rec, or class folders")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/tables"), help="where the runs lie")
    parser.add_argument("--show", action="store_true", help="run nothing, show what there is")
    parser.add_argument("--csv", type=pathlib.Path, metavar="FILE", help="also write every run as a line of this file")
    parser.add_argument("--launch", default="", metavar="WORDS", help='before the training: "horovodrun -np 8"')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        return _reproduce(args)
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        return cells.INTERRUPTED


def _reproduce(args: argparse.Namespace) -> int:
    table, scale = get_table(args.table), get_scale(args.scale)
    columns = [known(column, list(table.columns), "column", table.name) for column in args.columns.split(",") if column]
    rows = [known(row, [r.key for r in table.rows], "row", table.name) for row in args.rows.split(",") if row]
    if args.seeds < 1:
        raise Refused(f"--seeds {args.seeds}: give 1 or more")
    train, val = _records(args.data, args.runs / scale.name / "data")
    runs = cells.Runs(args.runs, scale, train, val)
    failed = 0
    if not args.show:
        todo = cells.missing(runs.cells(table.name, columns, rows, args.seeds))
        words = cells.trainer(pathlib.Path(__file__).with_name("train_imagenet.py"), shlex.split(args.launch))
        for k, cell in enumerate(todo, start=1):
            print(f"--- {k} of {len(todo)}: {cell.name}, seed {cell.recipe.seed}", flush=True)
            failed += not cells.run(cell, words, lambda line: print(line, flush=True))
    text = comparison.markdown(table.name, runs, args.seeds, columns, rows)
    print(text)
    if args.csv:
        args.csv.write_text(comparison.as_csv(table.name, runs, args.seeds, columns, rows), encoding="utf-8")
    return 1 if failed else 0


def _records(data: pathlib.Path | None, cache: pathlib.Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation records of --data; class folders are packed once."""
    if data is None:
        return (), ()
    for folder in (data, cache):
        if all((folder / f"{split}.rec").is_file() for split in ("train", "val")):
            return tuple((str((folder / f"{split}.rec").absolute()),) for split in ("train", "val"))
    for split in ("train", "val"):
        if not (data / split).is_dir():
            raise Refused(f"--data {data}: it has neither {split}.rec nor a folder {split} of class folders")
    train = class_folders(data / "train")
    pack(train, cache / "train")
    pack(class_folders(data / "val", train.classes), cache / "val")
    return _records(cache, cache)


if __name__ == "__main__":
    sys.exit(main())
