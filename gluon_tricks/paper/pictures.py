"""Pictures of tables: what rows' runs have come to, epoch by epoch or as the document draws it; their differences."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from gluon_tricks.paper import cvjena, degradation, little_data
from gluon_tricks.paper.comparison import Comparison, Section
from gluon_tricks.paper.intervals import intervals
from gluon_tricks.paper.line import Line
from gluon_tricks.paper.metrics import mean_history
from gluon_tricks.paper.training_curves import training_curves
from gluon_tricks.tasks.lettering import import_pyplot
from gluon_tricks.tasks.registry import task_of

# Tables whose document has a picture: how it is drawn, and what it shows.
PICTURES = {
    "degradation": (degradation.curves, "errors against epoch"),
    "transfer_learning": (little_data.curves, "top-1 against images of each class"),
    "cvjena_figure1": (cvjena.curves, "top-1 error against the time of training, over the learning rate"),
    **dict.fromkeys(("magic_figure3", "magic_figure4"), (training_curves, "loss against iterations")),
}


def picture(comparison: Comparison, section: Section) -> tuple[bytes | None, str]:
    """A section's picture as a PNG, and what it shows; None where nothing has been run.

    It is the table's own of PICTURES, else the first score of the validation against epoch.

    Raises:
        Refused: a run lacks what the picture is drawn from.
    """
    score = comparison.scores[0]
    default = (lambda lines: _scores(lines, score), f"validation {score} against epoch")
    draw, what = PICTURES.get(comparison.name, default)
    figure = draw(section.lines)
    if figure is None:
        return None, what
    if comparison.name in PICTURES:  # which is looked at by itself too
        figure.suptitle(textwrap.fill(comparison.title, 110), fontsize=11)
    return _png(figure), what


def differences(comparison: Comparison) -> bytes | None:
    """The differences of all columns with their intervals, the paper's beside them, as a PNG; None without any."""
    figure = of_differences(comparison)
    return _png(figure) if figure else None


def of_differences(comparison: Comparison):
    """The same as a matplotlib figure."""
    columns = [
        (section.title, [(line, section.effects[line.key]) for line in section.lines if line.key in section.effects])
        for section in comparison.sections
    ]
    columns = [(title, rows) for title, rows in columns if rows]
    return intervals(comparison.title, comparison.scores[0], columns, comparison.of_errors) if columns else None


def whole(comparison: Comparison) -> bytes | None:
    """The one picture of a table, which is a file too, TABLE.png: its document's own, else that of its differences.

    None where there is nothing to draw.

    Raises:
        Refused: a run lacks what the picture is drawn from.
    """
    if comparison.name not in PICTURES:
        return differences(comparison)
    drawn = [picture(comparison, section)[0] for section in comparison.sections]
    return next((png for png in reversed(drawn) if png), None)


def _png(figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    import_pyplot().close(figure)
    return out.getvalue()


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
