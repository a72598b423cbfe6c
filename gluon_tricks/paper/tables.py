"""A compared table as text: Markdown, CSV with a line per run, and an HTML page with the runs' curves."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
import re
import textwrap
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.wording import columns, one_line, padded
from gluon_tricks.paper import cvjena, degradation, little_data
from gluon_tricks.paper.comparison import Comparison, Section
from gluon_tricks.paper.line import Line
from gluon_tricks.recipes.registry import get_table
from gluon_tricks.tasks.lettering import import_pyplot
from gluon_tricks.tasks.registry import task_of


def markdown(comparison: Comparison) -> str:
    """The tables, with aligned columns."""
    parts = [f"# {comparison.title}", comparison.legend]
    for section in comparison.sections:
        parts += [f"## {section.title}", _markdown_table(section), *([section.note] if section.note else [])]
    return "\n\n".join(parts) + "\n"


def _markdown_table(section: Section) -> str:
    body = [list(section.rows[0]), *(list(row.values()) for row in section.rows)]
    body = [[_markdown_cell(text) for text in row] for row in body]
    widths = [max(map(columns, column)) for column in zip(*body)]
    lines = ["| " + " | ".join(padded(text, width) for text, width in zip(row, widths)) + " |" for row in body]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def _markdown_cell(text: str) -> str:
    """A text that is nothing but text, whatever a run that failed has said: no cell, code, link or tag begins in it."""
    return re.sub(r"([\\`|<\[])", r"\\\1", one_line(text))


def as_csv(comparison: Comparison) -> str:
    """A line per run: what it is, the paper's numbers, and ours where it is done. Accuracies in percent."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = [_CSV_NAMES.get(name, name) for name in comparison.scores]
    paper = [f"paper_{name}" for name in names]
    base = ["base_top1"] if get_table(comparison.name).based else []
    errors = ["train_error"] if comparison.name == "degradation" else []
    writer.writerow(
        ("table", "scale", "column", "row", "model", "dtype", "seed", *paper, *names, *base, *errors, "state")
    )
    for line in (line for section in comparison.sections for line in section.lines):
        of_base = ["" if line.base() is None else line.base()] if base else []
        for cell in line.cells:
            seed = cell.recipe.seed
            ours = [line.top(k).get(seed, "") for k in (0, 1)]
            paper = ["" if math.isnan(score) else score for score in line.paper]
            what = (comparison.name, comparison.scale, line.column, line.key, cell.recipe.model, cell.precision(), seed)
            training = [degradation.training(line).get(seed, "")] if errors else []
            writer.writerow((*what, *paper, *ours, *of_base, *training, cell.state()))
    return out.getvalue()


_CSV_NAMES = {"top-1": "top1", "top-5": "top5"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums }
th { background: #f4f6f9 }
img { max-width: 100% }
"""


def page(comparison: Comparison) -> str:
    """A page that needs no other file."""
    title = html.escape(comparison.title)
    parts = [f"<h1>{title}</h1>", f"<p>{html.escape(comparison.legend)}</p>"]
    for section in comparison.sections:
        parts += [f"<h2>{html.escape(section.title)}</h2>", _html_table(section)]
        parts.append(f"<p>{html.escape(section.note)}</p>" if section.note else "")
        parts.append(_in_page(*curves(comparison, section)))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _html_table(section: Section) -> str:
    def row(texts, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

    rows = "\n".join(row(line.values(), "td") for line in section.rows)
    return f"<table>\n{row(section.rows[0], 'th')}\n{rows}\n</table>"


def mean_history(histories: Sequence[Sequence[float]]) -> np.ndarray:
    """The mean over runs of each epoch; one that ended earlier keeps what it had, as its network does."""
    longest = max(map(len, histories))
    return np.mean([[*history, *history[-1:] * (longest - len(history))] for history in histories], axis=0)


def curves(comparison: Comparison, section: Section) -> tuple[bytes | None, str]:
    """The runs of a section against epoch as a PNG, and what it shows; None where nothing has been run."""
    what = f"validation {comparison.scores[0]} against epoch"
    own, what = PICTURES.get(comparison.name, (lambda lines: _scores(lines, comparison.scores[0]), what))
    figure = own(section.lines)
    if figure is None:
        return None, what
    if comparison.name in PICTURES:  # which is looked at by itself too
        figure.suptitle(textwrap.fill(comparison.title, 110), fontsize=11)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    import_pyplot().close(figure)
    return out.getvalue(), what


def _in_page(picture: bytes | None, what: str) -> str:
    if picture is None:
        return ""
    return f'<img alt="{html.escape(what)}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'


def _scores(lines: Sequence[Line], score: str):
    """The first score against epoch, the mean over the seeds of each row, as a figure; None where nothing was run."""
    pyplot = import_pyplot()
    figure, panel = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    for line in lines:
        done = [cell for cell in line.cells if cell.is_done()]
        first = [task_of(cell.recipe).scores.in_tables[0] for cell in done]
        histories = [[100 * row[column] for row in cell.metrics()] for cell, column in zip(done, first)]
        if histories:
            mean = mean_history(histories)
            panel.plot(range(1, len(mean) + 1), mean, marker="." if len(mean) < 40 else "", label=line.label)
    if not panel.lines:
        pyplot.close(figure)
        return None
    panel.set(xlabel="epoch", ylabel=f"validation {score}, %")
    panel.grid(alpha=0.3)
    panel.legend()
    return figure


# Tables with a picture of their own, which is a file too: how it is drawn, and what it shows.
PICTURES = {
    "degradation": (degradation.curves, "errors against epoch"),
    "transfer_learning": (little_data.curves, "top-1 against images of each class"),
    "cvjena_figure1": (cvjena.curves, "top-1 error against the time of training, over the learning rate"),
}
