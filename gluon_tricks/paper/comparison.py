"""A table of the paper with ours beside it: what was measured, over which seeds, and what of it exceeds the noise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from gluon_tricks.core.wording import plural
from gluon_tricks.paper import cvjena, degradation, paired
from gluon_tricks.paper.cells import Cell, Runs
from gluon_tricks.paper.line import Line, mean_of
from gluon_tricks.paper.paired import Effect
from gluon_tricks.recipes.registry import get_table
from gluon_tricks.recipes.tables import base_networks, magic_table3, table2, table3, table7
from gluon_tricks.recipes.tables.rows import IMAGENET_IMAGES, Row
from gluon_tricks.report.told import sessions
from model_zoo import get_model
from model_zoo.summary import PAPER, human, summarise

LEGEND = (
    "Scores in percent on the validation images after the last epoch; ours: mean ± standard deviation "
    "(seeds). Differences are of the first score, to the row that a row builds on (else the one above), "
    f"{paired.LEGEND}"
)


def _scores(lines: Sequence[Line], effects: Mapping[str, Effect], names: tuple[str, str]) -> list[dict[str, str]]:
    return [
        {
            "Row": line.label,
            "Paper": " / ".join(map(_paper, line.paper, line.spread)),
            f"Ours, {names[0]}": line.ours(0),
            f"Ours, {names[1]}": line.ours(1) if line.has_second_score() else "",
            "Paper's difference": _number(line.paper_difference(), "+.2f") if line.above else "",
            **paired.shown(effects, line.key, "Our difference"),
        }
        for line in lines
    ]


def _paper(score: float, spread: float) -> str:
    return _number(score) + ("" if np.isnan(spread) else f" ± {spread:.2f}")


def _number(value: float | None, digits: str = ".2f") -> str:
    """The paper's number, "-" where it has none."""
    return "-" if value is None or np.isnan(value) else format(value, digits)


def _speed(line: Line) -> dict[str, str]:
    """Table 3: what an epoch takes on the devices that the runs name, and would take with ImageNet's images."""
    done, needed = [cell for cell in line.cells if cell.is_done()], ("cores", "steps_per_epoch")
    told = [(cell, event) for cell in done for event in sessions(cell.events(), *needed)]
    runs = {cell.folder: cell for cell, _ in told}.values()
    rates = [row["images_per_second"] for cell in runs for row in cell.metrics()]
    minutes = 1 / np.median(rates) / 60 if rates else None  # an image
    images = next((event["steps_per_epoch"] * cell.recipe.batch_size for cell, event in told), None)
    pixels = f" at {line.cells[0].recipe.sides[0]} px" if line.cells else ""
    return {
        "Paper, min/epoch": _number(table3.PAPER_MINUTES.get(line.key, {}).get(line.column), ".1f"),
        "Ours, on": " and ".join(sorted({_devices(event) for _, event in told})),
        "Ours, images/s": f"{1 / minutes / 60:.0f}" if minutes else "",
        "Ours, min/epoch": f"{minutes * images:.1f}" if minutes else "",
        f"Projected, min/epoch of ImageNet{pixels}": f"{minutes * IMAGENET_IMAGES[0]:.0f}" if minutes else "",
    }


def _devices(event: Mapping[str, Any]) -> str:
    """What a run says that it began or went on with."""
    contexts, ranks = event["contexts"], event["ranks"]
    if contexts[0].startswith("gpu"):
        return plural(len(contexts) * ranks, "GPU")
    cores = plural(event["cores"], "core")
    return cores if ranks == 1 else f"{plural(ranks, 'rank')} of {cores}"


def _cost(number: int, line: Line) -> dict[str, str]:
    """Tables 1 and 5: size and cost of the networks that were trained; with 1000 classes if none was."""
    printed = get_table(f"table{number}").row(line.key).label  # without what stands for a precision
    theirs = {label: numbers for label, _, *numbers in PAPER[number]}.get(printed)  # a user's own row has none
    given = any(parameters for *_, parameters, _ in PAPER[number])
    total = None
    if line.cells:
        recipe = line.cells[0].recipe
        trained = [stored.classes for cell in line.cells if (stored := cell.stored())]
        classes = next(filter(None, trained), recipe.classes or 1000)
        total = summarise(get_model(recipe.model, classes=classes), recipe.input_size).total
    return {
        **({"Paper, parameters": f"{theirs[0]} M" if theirs else "-"} if given else {}),
        "Paper, FLOPs": f"{theirs[1]} G" if theirs else "-",
        "Ours, parameters": human(total.parameters) if total else "",
        "Ours, multiply-adds": human(total.multiply_adds) if total else "",
    }


def _reference(line: Line) -> dict[str, str]:
    """Table 2: what the implementations that the networks come from are cited with."""
    return {"Reference": " / ".join(_number(score) for score in table2.REFERENCE[line.column])}


def _test_server(line: Line) -> dict[str, str]:
    """Table 7: labels of the test images are not public; only the server of Places365 can score them."""
    return {
        "Paper, test server": " / ".join(_number(score) for score in table7.PAPER_TEST.get(line.key, (None, None))),
        "Ours, test server": "scored by its server alone: gluon-tricks evaluate --submission",
    }


def _base(line: Line) -> dict[str, str]:
    """Tables 8 and 9: how good the base network is as a classifier."""
    ours = line.base()
    return {
        "Paper, top-1 of the base": _number(base_networks.TOP1.get(line.key)),
        "Ours, top-1 of the base": "" if ours is None else f"{ours:.2f}",
    }


def _multi_scale(line: Line) -> dict[str, str]:
    """Table 9: the scores at several scales, of runs that have them, besides the base."""
    found = [cell.final_scores() for cell in line.cells]
    texts = {}
    for name in ("pixAcc, multi-scale", "mIoU, multi-scale"):
        values = [100 * scores[name] for scores in found if name in scores]
        texts[f"Ours, {name}"] = mean_of(values) if values else "-"
    return {**texts, **_base(line)}


def _pretraining(line: Line) -> dict[str, str]:
    """Table 3 of data-dependent initialisation: what the networks were trained by before, and for how long."""
    told = magic_table3.PRETRAINING[line.key]
    return {"Supervision": told.supervision, "Paper, pretraining": told.time}


_SCALES = (
    "pixAcc and mIoU are of whole images at one scale; multi-scale: of the mean over six scales and mirror images, as "
    "GluonCV's test script has it (-: the run has none, and evaluate --multi-scale finds them). The paper does not say "
    "which its numbers are."
)


def _correlations(lines: Sequence[Line], names: tuple[str, str]) -> str:
    """Whether a better base network gives a better detector or segmenter: Spearman's rank correlation over the rows."""
    said, done = [], [line for line in lines if line.base() is not None]
    for k, name in enumerate(names):
        paper = [(base_networks.TOP1.get(line.key, np.nan), line.paper[k]) for line in lines]
        ours = [(line.base(), np.mean(list(line.top(k).values()) or [np.nan])) for line in done]
        said.append(f"{name}: paper {_spearman(paper)}, ours {_spearman(ours)}")
    return f"Rank correlation (Spearman) of the base's top-1 with {'; '.join(said)}."


def _spearman(pairs: Sequence[tuple[float, float]]) -> str:
    """In words; of fewer than three pairs it would be 1 or -1 by chance."""
    whole = [pair for pair in pairs if not np.isnan(pair).any()]
    if len(whole) < 3:
        return "- (it has none)" if len(pairs) >= 3 and not whole else "- (three rows at least)"
    if np.ptp(whole, axis=0).min() == 0:
        return "- (all are equal)"
    return f"{scipy.stats.spearmanr(*zip(*whole)).correlation:+.2f} ({plural(len(whole), 'row')})"


# Tables whose rows are not the two scores but their errors: what each shows, and what stands above the table.
_SHOWN: Mapping[str, Callable[[Sequence[Line], Mapping[str, Effect]], list[dict[str, str]]]] = {
    "degradation": degradation.errors,
    "cvjena_table1": cvjena.errors_beside_originals,
    "cvjena_figure1": cvjena.errors,
    "cvjena_bn": cvjena.errors,
}
_LEGENDS = {
    "degradation": degradation.LEGEND,
    **dict.fromkeys(("cvjena_table1", "cvjena_figure1", "cvjena_bn"), cvjena.LEGEND),
}

_MORE: Mapping[str, Callable[[Line], dict[str, str]]] = {
    "table1": functools.partial(_cost, 1),
    "table2": _reference,
    "table3": _speed,
    "table5": functools.partial(_cost, 5),
    "table7": _test_server,
    "table8": _base,
    "table9": _multi_scale,
    "magic_table3": _pretraining,
}


@dataclasses.dataclass(frozen=True)
class Section:
    """A column of the paper's table as a table of its own: heading -> texts in every row; a note stands below.

    effects: row -> its difference of the first score, tested together with those of the column's other rows.
    """

    title: str
    lines: tuple[Line, ...]
    rows: tuple[dict[str, str], ...]
    note: str = ""
    effects: Mapping[str, Effect] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of the paper with ours beside it."""

    name: str
    scale: str
    title: str
    scores: tuple[str, str]
    sections: tuple[Section, ...]
    legend: str = LEGEND

    @property
    def of_errors(self) -> bool:
        """Whether what is shown are the errors of the scores."""
        return self.name in _SHOWN


def compare(
    table_name: str, runs: Runs, seeds: int, columns: Sequence[str] = (), rows: Sequence[str] = ()
) -> Comparison:
    """What there is of a table.

    Args:
        seeds: 0 to seeds - 1 are looked for.
        columns, rows: only these; () for all.
    """
    table = get_table(table_name)
    sections = []
    for column in columns or table.columns:
        lines = lines_of(table_name, column, runs, seeds)
        effects = paired.tested({line.key: line.pairs() for line in lines})  # whatever of them is shown
        more = _MORE.get(table_name, lambda line: {})
        shown = _SHOWN.get(table_name, functools.partial(_scores, names=table.scores))
        asked = [pair for pair in zip(lines, shown(lines, effects)) if not rows or pair[0].key in rows]
        lines, texts = [line for line, _ in asked], [{**told, **more(line)} for line, told in asked]
        if lines:
            notes = [
                paired.note(effects.values()),
                _correlations(lines, table.scores) if table.based else "",
                _SCALES if table_name == "table9" else "",
            ]
            note = " ".join(filter(None, notes))
            sections.append(Section(_column_title(column, lines), tuple(lines), tuple(texts), note, effects))
    proxy = f" ({runs.scale.title})" if runs.scale.title else ""
    title, legend = f"{table.name}: {table.title}{proxy}", _LEGENDS.get(table_name, LEGEND)
    return Comparison(table_name, runs.scale.name, title, table.scores, tuple(sections), legend)


def lines_of(table_name: str, column: str, runs: Runs, seeds: int) -> list[Line]:
    """All rows of a column: a difference may be to one that is not shown."""
    table, lines = get_table(table_name), {}
    for row in table.shown(column):
        cells = [runs.cell(f"{table_name}/{column}/{row.key}", seed) for seed in range(seeds)]
        above = lines.get(row.base) or (list(lines.values())[-1] if lines else None)
        there = tuple(cell for cell in cells if cell is not None)
        spread = row.spread.get(column, (np.nan, np.nan))
        paper = row.paper.get(column, (np.nan, np.nan))
        given = row.gain.get(column, np.nan)
        without = row.weights if row.weights not in runs.networks else ""
        lines[row.key] = Line(row.key, _label(row, there), column, paper, spread, there, above, given, without)
    return list(lines.values())


def _label(row: Row, cells: Sequence[Cell]) -> str:
    """The row's name, and what stands for its precision where the machine has not what it names."""
    found = {cell.precision() for cell in cells} - {"", row.set.get("dtype")}
    return f"{row.label} ({', '.join(sorted(found))} in its place)" if "dtype" in row.set and found else row.label


def _column_title(column: str, lines: Sequence[Line]) -> str:
    """The column, what stands for it where it is a proxy, and what it was computed in."""
    recipes = [cell.recipe for line in lines for cell in line.cells]
    models = dict.fromkeys(f"{r.model} at {r.sides[0]} px" for r in recipes)
    batches = dict.fromkeys(f"batch {r.batch_size}" for r in recipes)
    computed = sorted(set().union(*(line.precisions() for line in lines)))
    return f"{column}: {', '.join([*models, *batches, *computed])}" if models else f"{column}: no proxy at this scale"
