"""The base network of a detector or a segmenter: a classifier that has been trained, in the form they need."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.load import (
    Trained,
    is_there,
    model_of,
    open_network,
    recipe_of,
    require_classifier,
    require_same_normalisation,
)
from gluon_tricks.networks.of_recipe import (
    base_network,
    input_dtype,
    on_base,
    parameters_by_name,
    require_images,
    set_parameters,
    training_shape,
)
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.transfer import TransferRecipe


def on_trained_base(
    recipe: TransferRecipe, contexts: Sequence[mx.Context], restored: bool = False
) -> mx.gluon.HybridBlock:
    """The recipe's detector or segmenter before its first step: the base trained, the rest random by the recipe's seed.

    Args:
        contexts: devices of this rank.
        restored: its numbers are going to be a checkpoint's: the base's file is not read.

    Raises:
        Refused: base_params is nothing trained, or another network than recipe.model.
    """
    mx.random.seed(recipe.seed)
    if recipe.base_params and not restored:
        opened = _open_classifier(recipe)
        trained = require_classifier(opened, recipe.base_params)
        require_same_normalisation(recipe, opened, recipe.base_params)
        base, layers = base_network(recipe, trained.classes, list(contexts), to_train=True)
        arrays = {name: parameter.data().asnumpy() for name, parameter in parameters_by_name(trained).items()}
        set_parameters(base, arrays, recipe.base_params)
    else:
        base, layers = base_network(recipe, 1000, list(contexts), to_train=True)
    require_images(
        base.features_at(base.stages), training_shape(recipe, contexts, *recipe.sides), contexts[0], to_train=True
    )
    net = on_base(recipe, base, layers)
    for trick in recipe.tricks:
        trick.after_initialize(net)
    net.cast(input_dtype(recipe.dtype))
    if recipe.mode == "hybrid":
        # Not static_shape, as the shapes of images differ; but see SyncBatchNorm.
        over_ranks = distributed.ranks() > 1 and recipe.net.get("norm_layer") == "SyncBatchNorm"
        net.hybridize(static_alloc=True, static_shape=over_ranks)
    return net


def _open_classifier(recipe: TransferRecipe) -> Trained:
    source = recipe.base_params
    stored = recipe_of(source) if is_there(source) else None
    if stored is not None and stored.task != "classification":
        raise Refused(f"{source} is a run of {stored.task}: a base network is a classifier")
    said = stored.model if stored is not None else model_of(source)
    if said not in (None, recipe.model):
        raise Refused(f"{source} is a {said}, and the base is to be a {recipe.model}: use --base {said}")
    return open_network(source, model=None if said else recipe.model)
