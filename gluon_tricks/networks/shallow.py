"""The first and the last layers of a deep network from a shallow one of its kind that has been trained."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.load import open_classifier, require_classifier, require_same_normalisation
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.recipe import Recipe

FIRST = 4  # convolutions


def start_from_shallow(net: mx.gluon.HybridBlock, recipe: Recipe, contexts: Sequence[mx.Context]) -> None:
    """copy_ends from the network that recipe.shallow names. Raises Refused: there is none, or it does not fit."""
    called = f"the shallow network {recipe.shallow}"
    trained = open_classifier(recipe.shallow, ctx=contexts, called=called, why=": it has to be a classifier")
    require_same_normalisation(recipe, trained, called)
    copy_ends(net, require_classifier(trained, recipe.shallow), called)


def copy_ends(net: mx.gluon.HybridBlock, shallow: mx.gluon.HybridBlock, source: str) -> None:
    """Gives a network the first four convolutions and all dense layers of a shallower one; the rest stays.

    They go where the shallower network has them: vgg11's four are the first one of stage 1, of stage 2, and both of
    stage 3.

    Args:
        net: initialised.
        shallow: trained.
        source: what it is called, for the message.

    Raises:
        Refused: the network has no such layer, or one of another shape.

    Source: Simonyan and Zisserman, Very deep convolutional networks (ICLR 2015), section 3.1; ILSVRC winners, VGG,
        "initialization".
    """
    there, given = parameters_by_name(net), parameters_by_name(shallow)
    weights = [name for name in given if name.endswith(".weight")]
    convolutions = [name for name in weights if len(given[name].shape) == 4][:FIRST]
    dense = [name for name in weights if len(given[name].shape) == 2]
    ends = [name.removesuffix("weight") for name in (*convolutions, *dense)]
    names = [f"{end}{kind}" for end in ends for kind in ("weight", "bias") if f"{end}{kind}" in given]
    for name in names:
        wanted = there[name].shape if name in there else None
        if wanted != given[name].shape:
            seen = f"and {net.name} has {'none' if wanted is None else wanted}"
            raise Refused(
                f"{source} has {name} of shape {given[name].shape}, {seen}: give a shallower network of the same kind, "
                "with as many classes"
            )
    for name in names:
        there[name].set_data(given[name].data(given[name].list_ctx()[0]))
