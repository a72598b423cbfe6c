"""Runs side by side: their scores and curves, what differs in their recipes, the classes that differ most."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import first_difference, plural, printable, some
from gluon_tricks.page.bars import FEW, bar
from gluon_tricks.page.skeleton import Section, page, table, text
from gluon_tricks.report.curves import joint_curves
from gluon_tricks.report.run import Run
from gluon_tricks.report.single import duration, intervals_of, score_words, what_of
from gluon_tricks.tasks.findings import TaskReport


def require_comparable(runs: Sequence[Run]) -> None:
    """Refuses runs of different tasks or classes, and one that is named twice."""
    first = runs[0]
    for run in runs[1:]:
        if not run.same_kind(first):
            raise Refused(
                f"{first.folder} is a {first.task.noun}'s run and {run.folder} a {run.task.noun}'s: compare runs of "
                "one task"
            )
        theirs, ours = _classes(run), _classes(first)
        if len(theirs) != len(ours):
            raise Refused(
                f"{first.folder} has {plural(len(ours), 'class')} and {run.folder} {plural(len(theirs), 'class')}: "
                "compare runs of the same classes"
            )
        if all((*ours, *theirs)) and (odd := first_difference(ours, theirs)):
            raise Refused(
                f"{first.folder} and {run.folder} have other classes ({printable(odd, 500)}): compare runs of the same "
                "classes"
            )
    places = [run.folder.resolve() for run in runs]
    twice = [str(run.folder) for k, run in enumerate(runs) if places[k] in places[:k]]
    if twice:
        raise Refused(f"{some(twice)} is named twice: name each run once")


def _classes(run: Run) -> Sequence[str]:
    """The classes' names; of a run that does not tell them as many empty ones."""
    if run.found is not None:
        return run.found.names
    return getattr(run.recipe, "class_names", ()) or [""] * (run.recipe.classes or 0)  # not of every kind


def write_comparison(runs: Sequence[Run], path: pathlib.Path) -> None:
    """Writes the page. Raises CannotWrite.

    Args:
        runs: that require_comparable has let pass.
        path: which a person has named.
    """
    names = _names(runs)
    sections = [
        Section("scores", "Scores", _scores(runs, names)),
        Section("curves", "Curves", joint_curves(runs, names)),
        Section("recipes", "What differs in the recipes", _differences(runs, names)),
        Section("classes", "The classes that differ most", _per_class(runs, names)),
    ]
    whats = list(dict.fromkeys(map(what_of, runs)))
    head = f'<h1>{plural(len(runs), "run")} side by side</h1>\n<p class="soft">{"; ".join(map(text, whats[:6]))}</p>'
    write_text(path, page(f"{plural(len(runs), 'run')} side by side", head, sections), named=True)


def _names(runs: Sequence[Run]) -> list[str]:
    """What the runs are called: their folders' names, with so many of the folders above that all differ."""
    parts, depth = [run.folder.absolute().parts for run in runs], 1
    while len({own[-depth:] for own in parts}) < len(parts) and depth < max(map(len, parts)):
        depth += 1
    return [printable("/".join(own[-depth:]).lstrip("/"), 80) for own in parts]


def _scores(runs: Sequence[Run], names: Sequence[str]) -> str:
    """A row for each run; of two that looked at the same images what the later one gains over the first."""
    labels = dict(sorted(runs[0].scores.labels.items(), key=lambda item: item[0] == "val_loss"))
    intervals, finals = [intervals_of(run) for run in runs], [run.final() for run in runs]
    rows = []
    for run, name, final, known in zip(runs, names, finals, intervals):
        cells = [text(name)]
        for column in labels:
            low, high = (f"{100 * end:.2f}" for end in known.get(column, (0, 0)))
            beside = f'<br><span class="soft">{low} to {high}</span>' if column in known else ""
            cells.append(score_words(column, final[column]) + beside)
        rows.append([*cells, f"{len(run.rows)}", text(duration(run.seconds()[0]))])
    heads = ["run", *map(text, labels.values()), "epochs", "time"]
    words = "<p>Below a score its 95% interval, where one is known.</p>" if any(intervals) else ""
    return words + table(heads, rows, range(1, len(heads))) + _gains(runs, names)


def _gains(runs: Sequence[Run], names: Sequence[str]) -> str:
    first, said = runs[0], []
    for run, name in zip(runs[1:], names[1:]):
        gains = _report(run).gains(_report(first)) if run.found and first.found else {}
        if run.found and first.found and run.found.digest != first.found.digest:
            said.append(f"<p>{text(name)} was evaluated on other images than {text(names[0])}.</p>")
            continue
        for column, (value, low, high) in gains.items():
            said.append(
                f"<p>On the same images {text(name)} has {100 * value:+.2f} points {text(first.scores.labels[column])} "
                f"against {text(names[0])} (95% interval {100 * low:+.2f} to {100 * high:+.2f}).</p>"
            )
    return "".join(said)


def _report(run: Run) -> TaskReport:
    return run.task.report(run.found, None)


def _differences(runs: Sequence[Run], names: Sequence[str]) -> str:
    """A row for each setting in which not all recipes agree."""
    differing: dict[str, None] = {}
    for run in runs[1:]:
        differing.update(dict.fromkeys(run.recipe.differences(runs[0].recipe, "")))
    told = [run.recipe.deciding("") for run in runs]
    own = [name for name in dict.fromkeys(key for values in told for key in values) if "." in name]
    differing.update({name: None for name in own if len({json.dumps(values.get(name)) for values in told}) > 1})
    differing.pop("name", None)
    if not differing:
        return "<p>Nothing: the runs have one recipe.</p>"
    rows = [
        [
            text(name),
            *(text(json.dumps(values[name], ensure_ascii=False), 120) if name in values else "–" for values in told),
        ]
        for name in differing
    ]
    return table(["setting", *map(text, names)], rows)


def _per_class(runs: Sequence[Run], names: Sequence[str]) -> str:
    missing = [name for run, name in zip(runs, names) if run.found is None]
    if missing:
        return (
            f"<p>{text(some(missing))} kept no account of single images: gluon-tricks report RUN RUN "
            "<code>--evaluate</code> looks at them once.</p>"
        )
    label, classes = _report(runs[0]).per_class()[0], _report(runs[0]).names
    values = np.array([_report(run).per_class()[1] for run in runs], np.float64)  # (runs, K)
    known = np.flatnonzero(np.isfinite(values).all(axis=0))
    spread = np.ptp(values[:, known], axis=0) if len(known) else np.zeros(0)
    order = known[np.argsort(-spread, kind="stable")][:FEW]
    rows = [[text(classes[k]), *map(bar, values[:, k]), f"{100 * np.ptp(values[:, k]):.1f}"] for k in order.tolist()]
    of = f" The {FEW} of {len(known)} with the largest difference." if len(known) > FEW else ""
    heads = ["class", *(f"{text(name)} %" for name in names), "difference"]
    return f"<p>{text(label)} of each class.{of}</p>{table(heads, rows, (len(heads) - 1,))}"
