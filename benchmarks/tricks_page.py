"""docs/tricks.md: each refinement with what it changes, what it costs, what it gave, and when not to use it.

    python -m benchmarks.tricks_page            write it
    python -m benchmarks.tricks_page --check    exit with 2 if it is not what would be written

Made from the docstrings of gluon_tricks/tricks, the rows of the tables, and the records in results/: what the trainings
gave (results/tables) and how long the steps take (results/benchmark-tricks.json, by `benchmark.py tricks`).
"""

from __future__ import annotations

import csv
import inspect
import json
import math
import pathlib
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence

from benchmarks.tricks import ratios
from gluon_tricks.core.files import write_text
from gluon_tricks.recipes.registry import TABLES
from gluon_tricks.recipes.tables.rows import Row, Table
from gluon_tricks.tricks import TRICKS, Trick

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS, TARGET = ROOT / "results", ROOT / "docs" / "tricks.md"
_SHOWN = ("table4", "table6", "modern")  # tables of classifiers whose rows are refinements
_SECTIONS = ("Args", "Attributes", "Source", "Differs", "Avoid where")
_FLAGS = {  # of gluon-tricks train, as docs/training.md has them
    "linear_scaling": "on, unless `--lr` is given",
    "warmup": "`--warmup-epochs 5`",
    "zero_gamma": "`--last-gamma`",
    "no_bias_decay": "`--no-wd`",
    "data_dependent_init": "`--init data:gaussian`",
    "cosine": "`--lr-mode cosine`",
    "step_decay": "`--lr-mode step`",
    "linear_decay": "`--lr-mode linear`",
    "poly_decay": "`--lr-mode poly`",
    "plateau": "`--lr-mode plateau`",
    "label_smoothing": "`--label-smoothing`",
    "distillation": "`--teacher RUN`",
    "mixup": "`--mixup`",
    "class_weights": "`--class-weights balanced`",
    "cut_mix": "`--cutmix`",
    "mixup_or_cut_mix": "`--mixup --cutmix`",
    "random_erasing": "`--random-erasing`",
    "sigmoid_loss": "`--bce`",
    "stochastic_depth": "`--drop-path 0.1`",
    "ema": "`--ema`",
    "clip_gradients": "`--clip-grad 1`",
    "decoupled_decay": "`--optimizer adamw`",
    "trust_ratio": "`--optimizer lars`, `lamb`",
    "sam": "`--sam`",
    "resizing": "`--resizing 128`",
}
_HEAD = """# Refinements, one by one

Made by `python -m benchmarks.tricks_page`; change the docstrings of `gluon_tricks/tricks/`, not this page.

Each stands alone: `--set NAME=on` adds it to any recipe, `--set NAME=off` takes it out, `--set NAME.NUMBER=VALUE`
changes a number of it. **Published** is the difference of top-1 that its source or the paper's tables give, in points.
**Here** is ours on a proxy (small networks on 9469 ImageNet photos of 10 classes), the mean of paired seeds with a
95 % interval; one that contains 0 says nothing. [paper.md](paper.md) has the tables, and which differences remain when
all of them are counted. **Step** is how many times as long a step of ResNet-18-D at 64 px takes with it on two cores,
the median of rounds in turns with a plain one; of a tenth more or less it says nothing.
"""


def doc_of(trick: type[Trick]) -> dict[str, str]:
    """The parts of its docstring: "" is what it changes."""
    parts, name = {"": []}, ""
    for line in inspect.cleandoc(trick.__doc__).splitlines():
        found = re.match(rf"({'|'.join(_SECTIONS)}):\s*(.*)", line)
        if found:
            name = found[1]
            parts[name] = [found[2]]
        else:
            parts[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in parts.items()}


def rows_of(trick: type[Trick]) -> Iterator[tuple[Table, str, Row]]:
    """The rows of tables that add it and nothing else (of mixup longer training with it), column by column."""
    for table in (TABLES[name] for name in _SHOWN if name in TABLES):
        for column in table.columns:
            for row in table.shown(column):
                added = (*row.add, *row.also.get(column, ()))
                if [type(one) for one in added] == [trick] and row.set.keys() <= {"epochs"}:
                    yield table, column, row


def published(table: Table, column: str, row: Row) -> float:
    """The published difference in points; nan: there is none."""
    if column in row.gain and not math.isnan(row.gain[column]):
        return row.gain[column]
    base = table.row(row.base).paper.get(column) if row.base else None
    return row.paper[column][0] - base[0] if base and column in row.paper else math.nan


def ours(table: Table, column: str, row: Row) -> str:
    """Our difference at every scale that has a record, in words; "": none has."""
    found = []
    for path in sorted((RESULTS / "tables").glob(f"*/{table.name}.csv")):
        with open(path, newline="") as lines:
            for line in csv.DictReader(lines):
                same = (line["column"], line["row"], line["seed"]) == (column, row.key, "0")
                if same and line["mean_difference"] and line["low_95"]:
                    numbers = [float(line[name]) for name in ("mean_difference", "low_95", "high_95")]
                    found.append("{:+.2f} ({:+.2f} to {:+.2f}), ".format(*numbers) + f"scale {line['scale']}")
    return "; ".join(found)


def costs() -> dict[str, float]:
    """Trick -> the time of a step with it to that of one without, where it was measured."""
    path = RESULTS / "benchmark-tricks.json"
    return ratios(json.loads(path.read_text())["images_per_second"]) if path.is_file() else {}


def page() -> str:
    """The whole page."""
    measured = costs()
    index = ["| refinement | flag | published | here | step |", "|---|---|---|---|---|"]
    parts = []
    for trick in TRICKS:
        label, doc = trick.label(), doc_of(trick)
        places = [(f"{table.name}, {column}", published(table, column, row), ours(table, column, row))
                  for table, column, row in rows_of(trick)]  # fmt: skip
        best = next(((given, own) for _, given, own in places if own), (places[0][1], "") if places else (math.nan, ""))
        step = f"{measured[label]:.2f}x" if label in measured else ""
        given = "" if math.isnan(best[0]) else f"{best[0]:+.2f}"
        index.append(
            f"| [{label}](#{label}) | {_FLAGS.get(label, f'`--set {label}=on`')} | {given} | {best[1]} | {step} |"
        )
        parts.append(_section(label, doc, places, step))
    return "\n".join([_HEAD, *index, "", *parts])


def _section(label: str, doc: dict[str, str], places: list[tuple[str, float, str]], step: str) -> str:
    lines = [f"## {label}", "", "```", doc[""], "```", ""]
    lines += ["```", f"Args:\n    {doc['Args']}", "```", ""] if "Args" in doc else []
    lines += [f"- **{name}:** {_flowing(doc[name])}" for name in ("Source", "Differs") if name in doc]
    for place, given, own in places:
        told = [f"published {given:+.2f}"] if not math.isnan(given) else []
        told += [f"here {own}"] if own else []
        lines += [f"- **{place}:** {'; '.join(told)}."] if told else []
    lines += [f"- **A step** takes {step.removesuffix('x')} times as long."] if step else []
    lines += [f"- **Avoid where** {_flowing(doc['Avoid where'])}"] if "Avoid where" in doc else []
    return "\n".join([*(part for line in lines for part in _wrapped(line)), ""])


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 120, subsequent_indent="  ") if line.startswith("- ") else [line]


def _flowing(text: str) -> str:
    return " ".join(text.split())


def main(argv: Sequence[str] | None = None) -> int:
    check = "--check" in (sys.argv[1:] if argv is None else argv)
    if not check:
        write_text(TARGET, page())
    elif TARGET.read_text() != page():
        print(f"{TARGET} is not what would be written: python -m benchmarks.tricks_page", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
