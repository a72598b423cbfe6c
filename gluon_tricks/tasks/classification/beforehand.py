"""What training on a person's own photos would be refused for, found in their folders alone: before they are packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mxnet as mx

from gluon_tricks.core.errors import require_known
from gluon_tricks.core.wording import composed
from gluon_tricks.data.class_counts import ClassCounts
from gluon_tricks.data.recipe_records import require_count
from gluon_tricks.data.requirements import require_start
from gluon_tricks.data.selection import require_enough
from gluon_tricks.networks.load import check_start
from gluon_tricks.networks.of_recipe import untrained
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.balance import Balance
from gluon_tricks.tasks.classification.teacher import load_teacher


def training_counts(recipe: Recipe, counts: Mapping[str, Sequence[int]], place: str) -> ClassCounts:
    """The training images of each class that a recipe takes.

    Args:
        recipe: with only_classes and per_class.
        counts: name of a class -> its images to train and to validate on.
        place: of the images, for messages.

    Raises:
        Refused: a class is unknown, or has fewer images than are asked for.
    """
    called = {composed(name): name for name in counts}
    for name in recipe.only_classes:
        if composed(name) not in called:
            require_known(name, [*counts], "class", place)
    names = recipe.only_classes or tuple(counts)
    there = [counts[called[composed(name)]][0] for name in names]
    if recipe.only_classes or recipe.per_class:
        require_enough(place, names, there, max(recipe.per_class, 1))
    return ClassCounts(names, tuple(min(count, recipe.per_class or count) for count in there))


def require_trainable(recipe: Recipe, counts: ClassCounts, place: str) -> None:
    """Refuses class weights, a start and a teacher that do not go with the classes or with so few images.

    Networks are opened on the CPU. One that wants the mean of the images is looked at when they are there.

    Args:
        recipe: of a training that begins.
        counts: of the training images, broken ones with them.
        place: of the images, for messages.

    Raises:
        Refused: as building the task, its network and its loss would.
    """
    require_count(len(counts.names), recipe.classes)
    require_start(recipe.start_images, sum(counts.counts))
    recipe, contexts = recipe.set(classes=len(counts.names)).resolved(), [mx.cpu()]
    Balance(recipe, counts)
    if recipe.mean_of:
        return
    if recipe.pretrained:
        check_start(recipe, untrained(recipe, recipe.pretrained, contexts, to_train=True))
    for trick in recipe.tricks:
        if source := getattr(trick, "teacher", ""):
            load_teacher(source, recipe, contexts, counts.names, place)
