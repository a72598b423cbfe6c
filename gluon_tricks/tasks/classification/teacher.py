"""The teacher of distillation: a trained classifier that takes the student's images and knows its classes."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.networks.load import open_classifier, require_same_normalisation
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.auxiliary import OwnOutput, own
from gluon_tricks.tasks.classification.classes import require_same_classes


def load_teacher(
    source: str, recipe: Recipe, contexts: Sequence[mx.Context], names: Sequence[str], place: str
) -> mx.gluon.Block:
    """A trained network that gives its own logits alone.

    Args:
        source: what it is called, as open_classifier takes it.
        recipe: the student's, resolved.
        contexts: its devices.
        names, place: of the training images' classes, as of require_same_classes.

    Raises:
        Refused: there is none, or it was trained on other images than these or on other classes.
    """
    called, why = f"the teacher {source}", ": a teacher is a classifier"
    trained = open_classifier(source, ctx=contexts, called=called, why=why)
    teacher, wanted = trained.net, recipe.teacher_size or recipe.own_size
    said = trained.recipe or getattr(teacher, "preprocessing", recipe)  # a graph may not say it
    if said.probabilities != recipe.probabilities:
        raise Refused(
            f"{called} was trained on images of several classes each and has no softmax to learn from: name another"
        )
    seen = teacher.preprocessing.input_size if "input_size" in getattr(teacher, "stated", ()) else 0
    seen = trained.recipe.own_size if trained.recipe is not None else seen
    if seen not in (0, wanted):
        raise Refused(
            f"{called} was trained on images of {seen} px and these have {wanted} px: train one on such images, or say "
            f"that it is meant with --set teacher_size={seen}"
        )
    require_same_normalisation(recipe, trained, called)
    for side in recipe.training_sizes:
        try:
            shape = own(teacher(mx.nd.zeros((1, 3, side, side), ctx=contexts[0]))).shape
        except mx.MXNetError as error:
            why = str(error).splitlines()[-1]
            raise Refused(f"{called} does not take images of {side} px: {why}") from None
    if shape != (1, recipe.classes):
        raise Refused(
            f"{called} has {plural(shape[-1], 'class')} and the data has {recipe.classes}: train it on this data"
        )
    require_same_classes(called, trained, names, place)
    return OwnOutput(teacher)
