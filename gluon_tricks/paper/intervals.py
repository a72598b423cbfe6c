"""The differences of a table as a picture: ours with their intervals, the paper's beside them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence

from gluon_tricks.core.wording import plural
from gluon_tricks.paper.line import Line
from gluon_tricks.paper.paired import Effect
from gluon_tricks.tasks.lettering import import_pyplot

# mark -> colour, and what it means
_OURS = {
    "*": ("C0", "ours, mean and 95 % interval: exceeds its noise (p < 0.05 after Holm's correction)"),
    "~": ("0.55", "ours, mean and 95 % interval: may be noise (p 0.05 or more, also where 0 is outside)"),
    "?": ("0.55", "ours, of one pair or equal ones: noise unknown"),
}
_PAPER = ("C1", "the paper's difference")


def intervals(
    title: str, score: str, columns: Sequence[tuple[str, Sequence[tuple[Line, Effect]]]], of_errors: bool = False
):
    """A panel for each column and in it a line for each difference.

    Args:
        title: of all.
        score: what the differences are of.
        columns: (title, (line, its effect) from top to bottom); at least one.
        of_errors: what is shown are the errors of this score, whose differences have the other sign.

    Returns: a matplotlib figure.
    """
    sign, score = (-1, f"{score} error") if of_errors else (1, score)
    papers = [sign * line.paper_difference() for _, rows in columns for line, _ in rows]
    heights = [*(len(rows) + 0.8 for _, rows in columns), 1.6]
    figure, (*panels, below) = import_pyplot().subplots(
        len(heights), 1, figsize=(9.5, 0.9 + 0.52 * sum(heights)), height_ratios=heights, layout="constrained"
    )
    for panel, (column, rows) in zip(panels, columns):
        panel.axvline(0, color="black", linewidth=1)
        for place, (line, effect) in enumerate(rows):
            _draw(panel, place, -effect if of_errors else effect, sign * line.paper_difference())
        panel.set_yticks(range(len(rows)), [_label(line, effect) for line, effect in rows])
        panel.set_ylim(len(rows) - 0.4, -0.7)
        panel.set_title(textwrap.fill(column, 100), fontsize=10, loc="left")
        panel.grid(axis="x", alpha=0.3)
        panel.tick_params(axis="y", length=0)
    for panel in panels[:-1]:
        panel.sharex(panels[-1])
        panel.tick_params(axis="x", labelbottom=False)
    panels[-1].set_xlabel(f"difference, points of {score}")
    panels[-1].margins(x=0.08)
    figure.suptitle(textwrap.fill(title, 100), fontsize=11)
    _legend(below, {effect.mark for _, rows in columns for _, effect in rows}, not all(map(math.isnan, papers)))
    return figure


def _label(line: Line, effect: Effect) -> str:
    return f"{line.label}\nover {line.above.label.removeprefix('+ ')}, {plural(len(effect.pairs), 'seed')}"


def _draw(panel, place: int, effect: Effect, paper: float) -> None:
    colour, _ = _OURS[effect.mark]
    known = not math.isnan(effect.spread)
    if known:
        panel.plot(effect.interval, [place, place], color=colour, linewidth=3, solid_capstyle="butt")
    panel.plot(effect.mean, place, "o", color=colour, markerfacecolor=colour if known else "white", markersize=7)
    text = dict(textcoords="offset points", fontsize=9, bbox=dict(boxstyle="square,pad=0.05", fc="white", ec="none"))
    panel.annotate(f"{effect.mean:+.2f} {effect.mark}", (effect.mean, place), (0, 8), ha="center", **text)
    if not math.isnan(paper):
        panel.plot(paper, place + 0.3, "D", color=_PAPER[0], markersize=5)
        side = dict(xytext=(7, 0), ha="left") if paper > 0 else dict(xytext=(-7, 0), ha="right")
        panel.annotate(f"{paper:+.2f}", (paper, place + 0.3), va="center", color=_PAPER[0], **side, **text)


def _legend(panel, marks: Collection[str], with_paper: bool) -> None:
    """What the marks mean, in a panel that has nothing else."""
    panel.axis("off")
    for mark, (colour, said) in _OURS.items():
        if mark in marks:
            width, face = (0, "white") if mark == "?" else (3, colour)
            panel.plot([], [], color=colour, marker="o", linewidth=width, markerfacecolor=face, label=said)
    if with_paper:
        panel.plot([], [], color=_PAPER[0], marker="D", linewidth=0, markersize=5, label=_PAPER[1])
    panel.legend(loc="center", fontsize=9, frameon=False)
