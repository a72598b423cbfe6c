"""A classifier's classes one by one, as evaluation writes and prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse

from gluon_tricks.core.wording import columns, padded, plural, printable
from gluon_tricks.data.class_names import imagenet_names, in_words
from gluon_tricks.tasks.classification.class_scores import ClassScores
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.guesses import Guesses

MOST_LISTED = 30  # classes; of more the worst are printed
WORST = 10
MOST_IN_JSON = 1000  # classes whose matrix is written whole
_LONGEST_NAME = 40  # letters in the table
_SCORES = ("precision", "recall", "f1")


def names_of(evaluated: EvaluationSet) -> tuple[str, ...]:
    """Of the classes: those of the images, else those that the network tells, else of 1000 ImageNet's, else numbers."""
    known, count = evaluated.records.classes or evaluated.net.preprocessing.classes, evaluated.net.classes
    if known and len(known) == count:
        return tuple(known)
    return tuple(imagenet_names()) if count == 1000 else tuple(f"class {k}" for k in range(count))


def class_values(guesses: Guesses, names: Sequence[str]) -> dict[str, Any]:
    """Everything about the classes, for a JSON file: in the order of the names, those of confusions in words.

    Of more than 1000 classes `confusion_counts` has (true class, named class, images) of each pair that occurs, in
    place of `confusion_matrix`, whose rows are the true classes.
    """
    scores = guesses.class_scores(len(names))
    found = {
        "class_names": [*names],
        "per_class": {name: getattr(scores, name).tolist() for name in ("count", *_SCORES)},
        "macro": scores.macro(),
        "confusions": [
            {"true": names[true], "named": names[named], "count": images, "share": images / int(scores.count[true])}
            for true, named, images in scores.largest_confusions()
        ],
        "without_numbers": guesses.without_numbers,
    }
    if len(names) <= MOST_IN_JSON:
        return {**found, "confusion_matrix": scores.matrix.tolist()}
    return {**found, "confusion_counts": np.transpose(scipy.sparse.find(scores.matrix)).tolist()}


def class_lines(guesses: Guesses, names: Sequence[str]) -> list[str]:
    """The same as it is printed: a table of the classes, of more than 30 the ten worst, and the ten confusions."""
    scores, names = guesses.class_scores(len(names)), [_short(name) for name in in_words(names)]
    lost = guesses.without_numbers
    told = [f"{plural(lost, 'image')} not counted below: the network gives no numbers for them (NaN)"] if lost else []
    there, shown = np.flatnonzero(scores.count), range(len(names))
    if len(names) > MOST_LISTED:
        shown = there[np.argsort(scores.f1[there], kind="stable")][:WORST]
        told.append(
            f"the {plural(len(shown), 'class')} of the lowest F1, of {len(there)} with images (--json has all):"
        )
    found = [getattr(scores, name) for name in ("count", *_SCORES)]
    rows = [(names[k], *(of_all[k] for of_all in found)) for k in shown]
    mean = f"mean of {plural(len(there), 'class')}" + (" with images" if len(there) < len(names) else "")
    rows.append((mean, scores.count.sum(), *scores.macro().values()))
    cells = [(name, f"{count}", *(f"{share:.2%}" for share in shares)) for name, count, *shares in rows]
    told += _aligned([("class", "images", "precision", "recall", "F1"), *cells])
    return told + _confusion_lines(scores, names)


def _confusion_lines(scores: ClassScores, names: Sequence[str]) -> list[str]:
    found = scores.largest_confusions()
    width = max((columns(names[true]) for true, _, _ in found), default=0)
    rows = [
        (
            f"{padded(names[true], width)} -> {names[named]}",
            f"{images}",
            f"{images / scores.count[true]:.2%} of its images",
        )
        for true, named, images in found
    ]
    return ["most often taken for another class:", *_aligned(rows)] if found else []


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows whose first cells begin, and whose others end, below each other."""
    widths = [max(map(columns, cells)) for cells in zip(*rows)]
    return [
        "  ".join([padded(first, widths[0]), *(f"{cell:>{width}}" for cell, width in zip(rest, widths[1:]))])
        for first, *rest in rows
    ]


def _short(name: str) -> str:
    return printable(name, _LONGEST_NAME)
