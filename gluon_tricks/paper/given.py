"""A trained network that is given for the one that a recipe starts from: the images are made as that one takes them."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from gluon_tricks.core.reading import expanded
from gluon_tricks.networks.load import model_of, recipe_of, starting_point
from gluon_tricks.networks.source import is_at_hub, is_there
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import usual_preprocessing
from model_zoo import formats, hub
from model_zoo.described import described, file_beside

_OF_IMAGES = ("input_size", "crop_ratio", "mean", "std")


def starting_from(recipe: Recipe, source: str) -> Recipe:
    """The recipe with SRC in the place of what it starts from.

    What of its images it has from its own network, and not from its table or scale, it has from SRC then.

    Args:
        recipe: resolved.
        source: as for load.open_with.

    Raises:
        Refused: as load.starting_point does.
    """
    model, own = model_of(source) or recipe.model, usual_preprocessing(recipe.model)
    start = starting_point(source, model)
    theirs = dict(_of_network(source, model))
    kept = [field for field in _OF_IMAGES if getattr(recipe, field) != getattr(own, field)]
    theirs = {field: value for field, value in theirs.items() if field not in kept}
    theirs["net"] = {**recipe.net, **theirs.get("net", {})}
    return recipe.set(**{**theirs, "model": model, "pretrained": start})


@functools.lru_cache
def _of_network(source: str, model: str) -> Mapping[str, object]:
    """What a recipe needs to have as SRC has it: as its run says, else its file, else as is usual for the network."""
    usual = usual_preprocessing(model)
    if is_there(source):
        path, run = expanded(source), recipe_of(source)
        if run is not None and not file_beside(path):
            return {field: getattr(run, field) for field in (*_OF_IMAGES, "net")} | _own_mean(run)
        found = described(path, formats.read(path), usual)
        seen = found[0] if found else usual
    else:
        seen = hub.preprocessing_in(source, usual) if is_at_hub(source) else usual
    return {field: getattr(seen, field) for field in _OF_IMAGES}


def _own_mean(run: Recipe) -> dict[str, str]:
    """A mean at every pixel is that of the images at hand, which a recipe cannot name."""
    return {"mean_of": "pixels"} if run.mean_of == "pixels" else {}
