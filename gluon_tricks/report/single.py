"""report.html: what a run was, how it went, how good its network is and where it is wrong, on one page."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from gluon_tricks.core.files import write_text
from gluon_tricks.core.wording import plural
from gluon_tricks.page import matrix
from gluon_tricks.page.skeleton import Section, folded, page, table, text
from gluon_tricks.report.curves import run_curves
from gluon_tricks.report.run import Run
from gluon_tricks.report.told import is_number

NAME = "report.html"
_MOST_WARNINGS = 50  # a run on damaged photos has one for each


def write_report(run: Run, path: pathlib.Path, images: Any | None, why: str = "", named: bool = False) -> None:
    """Writes the page of a run. It needs no other file and no network.

    Args:
        path: where it goes.
        images: that the run was evaluated on; None: they are not there.
        why: a sentence on that.
        named: a person gave the path, see write_atomically.

    Raises:
        CannotWrite: the disk refuses.
    """
    if run.found is not None and images is not None and images.digest != run.found.digest:
        images, why = None, "The validation images are other ones than it was evaluated on."
    why = f"{why} So there are no pictures." if images is None and run.found is not None else ""
    training = Section("training", "Training", run_curves(run))
    sections = [*_warnings(run), training, *_of_task(run, images, why), *_how(run)]
    write_text(path, page(f"{what_of(run)}: {run.name}", _head(run), sections, matrix.SCRIPT), named)


def not_made(name: str) -> str:
    """How a warning begins that a picture or page of a run is missing."""
    return f"{name} could not be made"


def _warnings(run: Run) -> list[Section]:
    """What the run has warned of; of very much the beginning."""
    told = [line for line in run.warnings() if not_made(NAME) not in line]  # it is made now
    lines = [text(line, 2000) for line in told[:_MOST_WARNINGS]]
    lines += [f"and {len(told) - _MOST_WARNINGS} more, in log.txt"] if len(told) > _MOST_WARNINGS else []
    shown = "".join(f"<li>{line}</li>" for line in lines)
    return [Section("warnings", "Warnings", f"<ul>{shown}</ul>")] if lines else []


def _of_task(run: Run, images: Any | None, why: str) -> list[Section]:
    if run.found is None:
        said = (
            "<p>An earlier version trained this run and kept no account of single images: gluon-tricks report RUN "
            "<code>--evaluate</code> looks at them once.</p>"
        )
        return [Section("classes", "Each class", said)]
    note = [Section("pictures", "No pictures", f"<p>{text(why)}</p>")] if why else []
    return [*run.task.report(run.found, images).sections(), *note]


def what_of(run: Run) -> str:
    """What was trained on what, in words."""
    told = run.begun().get("what")
    if isinstance(told, str) and told:
        return told
    network = f"{run.task.network_name} on {run.recipe.model}" if run.task.network_name else run.recipe.model
    return f"{network}, {plural(run.recipe.classes, 'class')}" if run.recipe.classes else network


def intervals_of(run: Run) -> dict[str, tuple[float, float]]:
    """Columns of metrics.csv -> the 95 % interval of each, where one is known."""
    return run.task.report(run.found, None).intervals(run.final()) if run.found is not None else {}


def score_words(column: str, value: float) -> str:
    """A score as it is told: a loss as a number, else percent."""
    return f"{value:.3f}" if column == "val_loss" else f"{100 * value:.2f}%"


def _head(run: Run) -> str:
    """The headline and the scores."""
    final, intervals = run.final(), intervals_of(run)
    tiles = [
        _tile(score_words(column, final[column]), label, intervals.get(column))
        for column, label in sorted(run.scores.labels.items(), key=lambda item: item[0] == "val_loss")
    ]
    tiles += [_tile(score_words("", value), name, None) for name, value in run.besides().items()]
    images = final_images(run)
    on = f" The scores are on {plural(images, 'validation image')}." if images else ""
    done = len(run.rows)
    of = f" of {run.recipe.epochs}" if done != run.recipe.epochs else ""
    seconds, _ = run.seconds()
    took = f", in {duration(seconds)}" if seconds else ""
    said = f"Run {text(run.folder.absolute())}: {plural(done, 'epoch')}{of}{took}.{on}"
    return f'<h1>{text(what_of(run))}</h1>\n<p class="soft">{said}</p>\n<div class="scores">{"".join(tiles)}</div>'


def _tile(score: str, label: str, interval: tuple[float, float] | None) -> str:
    low, high = (f"{100 * end:.1f}" for end in interval or (0, 0))
    beside = f"<span>95% interval: {low} to {high}</span>" if interval else ""
    return f'<div class="score"><b>{score}</b><span>{text(label)}</span>{beside}</div>'


def final_images(run: Run) -> int:
    """How many images the scores are over; 0: it is not known."""
    if run.found is not None and "image" in run.found.arrays:
        return len(run.found.arrays["image"])
    told = run.begun().get("val_images")
    return told if isinstance(told, int) else 0


def duration(seconds: float) -> str:
    """1 h 02 min, 3 min 20 s, 12 s: cut off, so that no second is a minute."""
    hours, minutes, rest = int(seconds) // 3600, int(seconds) // 60 % 60, int(seconds) % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _how(run: Run) -> list[Section]:
    """By what it was trained: data, machine, versions; the recipe and what was changed in it."""
    told, (seconds, sessions) = run.begun(), run.seconds()
    versions = told.get("versions") if isinstance(told.get("versions"), dict) else {}
    ended = run.ended()
    facts = {
        "recipe": run.recipe.name or "none of a name",
        "seed": run.recipe.seed,
        "trained": f"{duration(seconds)} in {plural(sessions, 'session')}" if sessions else "",
        "ended": f"{ended:%Y-%m-%d %H:%M} UTC" if ended else "",
        "devices": ", ".join(map(str, told.get("contexts", []))) if isinstance(told.get("contexts"), list) else "",
        "ranks": told.get("ranks", ""),
        "precision": run.recipe.dtype,
        "machine": told.get("machine", ""),
        "cores": told.get("cores", ""),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "commit of gluon_tricks": told.get("commit", ""),
        "training images, digest": told.get("records", ""),
        "validation images, digest": told.get("val_records", "") or (run.found.digest if run.found else ""),
        "steps of an epoch": told.get("steps_per_epoch", ""),
        "base learning rate": f"{told['base_lr']:g}" if is_number(told.get("base_lr")) else "",
    }
    shown = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items() if v not in ("", None))
    against, changes = run.changes()
    rows = [[text(name), _value(was), _value(now)] for name, (was, now) in changes.items()]
    heads = ["setting", text(against), "this run"]
    changed = table(heads, rows) if rows else f"<p>Nothing but what the data decides differs from {text(against)}.</p>"
    recipe = f"{shown_json(run.text)}"
    return [
        Section("changed", f"What was changed against {against}", changed),
        Section("how", "How it was trained", f"<dl>{shown}</dl>{folded('The whole recipe', recipe)}"),
    ]


def shown_json(words: str) -> str:
    """A JSON text as it stands, of a very long one the beginning."""
    lines = "\n".join(text(line, 2000) if line.strip() else "" for line in words[:200_000].splitlines())
    return f"<pre>{lines}</pre>"


def _value(value: Any) -> str:
    """A setting's value as in JSON; of a long one the beginning."""
    return text(json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value or "—", 160)
