"""Refusals of images that a network was not trained on say what to do, and what can be done in that recipe."""

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.normalisation import require_alike
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe
from model_zoo.mean_image import MeanImage
from model_zoo.preprocessing import Preprocessing

MEAN, STD = (10.0, 20.0, 30.0), (1.0, 1.0, 1.0)
BY_PIXELS = Preprocessing(8, 1.0, MEAN, STD, mean_image=MeanImage.of(np.full((8, 8, 3), MEAN)))
BY_CHANNELS = Preprocessing(8, 1.0, MEAN, STD)


@pytest.mark.parametrize(
    ("seen", "recipe", "remedy"),
    [
        (BY_PIXELS, Recipe(mean=MEAN, std=STD), "give --set mean_of=pixels"),
        (BY_PIXELS, Recipe(mean=MEAN, std=(2.0, 2.0, 2.0)), "give --set mean_of=pixels and --set std=[...]"),
        (BY_PIXELS, Recipe(mean=(11.0, 20.0, 30.0), std=STD, mean_of="pixels"), "so name one of the same images"),
        (BY_PIXELS, DetectionRecipe(mean=MEAN, std=STD), "so name a network without one"),
        (BY_CHANNELS, Recipe(mean=(11.0, 20.0, 30.0), std=STD), "give both with --set mean=[...] and --set std=[...]"),
        (BY_CHANNELS, Recipe(mean=MEAN, std=STD, mean_of="pixels"), "and --set std=[...] and --set mean_of="),
    ],
    ids=["pixels", "and-deviation", "other-pixels", "detector", "channels", "channels-of-pixels"],
)
def test_the_remedy_is_one_that_the_recipe_has(seen, recipe, remedy):
    with pytest.raises(Refused) as refusal:
        require_alike(recipe, seen, "the teacher x")
    said = str(refusal.value)
    assert said.startswith("the teacher x takes images of mean [10.0, 20.0, 30.0]") and remedy in said
    assert ("mean_of=pixels" in said) == remedy.startswith("give --set mean_of=pixels")


def test_the_same_images_are_not_refused():
    assert require_alike(Recipe(mean=MEAN, std=STD, mean_of="pixels"), BY_PIXELS, "x") is None
    assert require_alike(Recipe(mean=MEAN, std=STD, mean_of="channels"), BY_CHANNELS, "x") is None


def test_imagenet_s_mean_in_either_rounding_is_the_same():
    """GluonCV's recipes and timm's configs; a training may start from what the other's program has trained."""
    recipe, usual = Recipe().resolved(), (58.395, 57.12, 57.375)
    assert require_alike(recipe, Preprocessing(224, 0.875, (123.675, 116.28, 103.53), usual), "x") is None
    for mean, std in (((124.675, 116.28, 103.53), usual), ((123.675, 116.28, 103.53), (59.395, 57.12, 57.375))):
        with pytest.raises(Refused):
            require_alike(recipe, Preprocessing(224, 0.875, mean, std), "x")
