"""A compared table as text: Markdown, CSV with a line per run, and an HTML page with the runs' curves."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
import re

from gluon_tricks.core.wording import columns, one_line, padded
from gluon_tricks.paper import degradation
from gluon_tricks.paper.comparison import Comparison, Section
from gluon_tricks.paper.paired import Effect
from gluon_tricks.paper.pictures import differences, picture
from gluon_tricks.recipes.registry import get_table


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
    """A line per run: what it is, the paper's numbers, and ours where it is done. Accuracies in percent.

    The difference is the run's own, of the first score; what follows it is of all pairs of its row and the same in each
    of their lines.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    names = [_CSV_NAMES.get(name, name) for name in comparison.scores]
    paper = [f"paper_{name}" for name in names]
    base = ["base_top1"] if get_table(comparison.name).based else []
    errors = ["train_error"] if comparison.name == "degradation" else []
    what = ("table", "scale", "column", "row", "model", "dtype", "seed")
    writer.writerow((*what, *paper, *names, *base, *errors, "state", "paper_difference", "difference", *_TESTS))
    for line, effect in ((line, part.effects.get(line.key)) for part in comparison.sections for line in part.lines):
        paired, tests = line.paired(), _tests(effect)
        of_base = ["" if line.base() is None else line.base()] if base else []
        for cell in line.cells:
            seed = cell.recipe.seed
            ours = [line.top(k).get(seed, "") for k in (0, 1)]
            what = (comparison.name, comparison.scale, line.column, line.key, cell.recipe.model, cell.precision(), seed)
            training = [degradation.training(line).get(seed, "")] if errors else []
            differences = (*_known(line.paper_difference()), paired.get(seed, ""), *tests)
            writer.writerow((*what, *_known(*line.paper), *ours, *of_base, *training, cell.state(), *differences))
    return out.getvalue()


_TESTS = ("mean_difference", "low_95", "high_95", "p", "p_holm", "could_tell")


def _tests(effect: Effect | None) -> list[float | str]:
    """The numbers of _TESTS; "" for those that are not known."""
    if effect is None:
        return [""] * len(_TESTS)
    return _known(effect.mean, *effect.interval, effect.p, effect.adjusted, effect.could_tell)


def _known(*values: float) -> list[float | str]:
    return ["" if math.isnan(value) else value for value in values]


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
        parts.append(_in_page(*picture(comparison, section)))
    parts.append(_in_page(differences(comparison), "our differences with intervals of 95 %, the paper's beside them"))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _html_table(section: Section) -> str:
    def row(texts, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

    rows = "\n".join(row(line.values(), "td") for line in section.rows)
    return f"<table>\n{row(section.rows[0], 'th')}\n{rows}\n</table>"


def _in_page(png: bytes | None, what: str) -> str:
    if png is None:
        return ""
    return f'<img alt="{html.escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
