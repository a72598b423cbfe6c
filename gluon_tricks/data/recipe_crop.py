"""How a recipe crops its training images."""

from __future__ import annotations

from gluon_tricks.data.auto_augment import AutoAugmented
from gluon_tricks.data.crop import AreaCrop, CentreCrop, Crop, PadCrop, SideCrop
from gluon_tricks.data.random_policies import RandAugmented, TrivialAugmented
from gluon_tricks.recipes.policies import policy_of
from gluon_tricks.recipes.recipe import Recipe


def training_crop(recipe: Recipe) -> Crop:
    """How a resolved recipe crops its training images."""
    return with_policy(_crop(recipe), recipe.auto_augment)


def with_policy(crop: Crop, auto_augment: str) -> Crop:
    """A crop that a policy changes. Args: auto_augment: as of Recipe."""
    policy = policy_of(auto_augment)
    if policy.name == "rand":
        return RandAugmented(crop, policy.magnitude, policy.count)
    return {"": lambda: crop, "autoaugment": lambda: AutoAugmented(crop), "trivial": lambda: TrivialAugmented(crop)}[
        policy.name
    ]()


def _crop(recipe: Recipe) -> Crop:
    if recipe.crop == "area":
        return AreaCrop((recipe.min_area, 1.0), recipe.aspect)
    if recipe.crop in ("side", "square"):
        return SideCrop(recipe.side, square=recipe.crop == "square")
    if recipe.crop == "pad":
        colour = tuple(round(level) for level in recipe.mean) if recipe.pad_colour == "mean" else (0, 0, 0)
        return PadCrop(recipe.pad, colour, recipe.crop_ratio)
    return CentreCrop(recipe.crop_ratio)
