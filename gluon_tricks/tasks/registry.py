"""The tasks there are, and which one a recipe is of."""

from __future__ import annotations

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.load import Trained
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.detection.task import Detection
from gluon_tricks.tasks.multi_label.task import MultiLabel
from gluon_tricks.tasks.protocol import Task
from gluon_tricks.tasks.segmentation.task import Segmentation

TASKS: tuple[type[Task], ...] = (Classification, Detection, Segmentation, MultiLabel)


def task_of(recipe: Settings | type[Settings]) -> type[Task]:
    """The task of a recipe, or of a kind of recipe."""
    return next(task for task in TASKS if task.kind.task == recipe.task)


def task_of_network(trained: Trained | None) -> type[Task]:
    """The task of a trained network, which its run says.

    Of no run it is a tagger where the file gives each class a probability of its own, else a classifier; None: a
    published one.
    """
    if trained and trained.recipe:
        return task_of(trained.recipe)
    preprocessing = getattr(trained and trained.net, "preprocessing", None)  # a graph may not say it
    return MultiLabel if preprocessing and preprocessing.probabilities == "sigmoid" else Classification


def require_task(recipe: Settings, wanted: type[Settings], called: str) -> None:
    """Refuses a recipe of another task than the command's.

    Args:
        wanted: the kind of recipe that the command trains.
        called: what an error calls the recipe.
    """
    if recipe.task != wanted.task:
        raise Refused(
            f"{called} is a recipe of {recipe.task}, and this command trains {task_of(wanted).noun}s: use gluon-tricks "
            f"{task_of(recipe).command}"
        )
