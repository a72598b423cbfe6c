"""Table 1 of the ImageNet models with batch normalisation: errors of four networks, and of the AlexNet that one was.

Source: Simon et al., ImageNet pre-trained models with batch normalization (2016), sections 3 and 4.
Differs: the document cites the errors of the original networks. Of these AlexNet is trained here too: its numbers are
    those of Caffe's reference model, whose published parameters are of iteration 310,000, after 62 epochs. Here it has
    64, as the others.
"""

from __future__ import annotations

import dataclasses
import math

from gluon_tricks.recipes.named import cvjena
from gluon_tricks.recipes.named.caffe import CAFFENET
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.tables.rows import Row, Table, variants
from gluon_tricks.tricks import StepDecay

FAMILY = "cvjena"
COLUMNS = {recipe.name.partition("/")[2]: recipe for recipe in cvjena.RECIPES}
ALEXNET = COLUMNS["alexnet"]
ORIGINAL = CAFFENET.set(epochs=64).add(StepDecay((20, 40, 60)))

# Of the document, percent: top-1 and top-5 error.
ERRORS = {"alexnet": (39.9, 18.1), "vgg19": (26.9, 8.8), "resnet10": (36.1, 14.8), "resnet50": (24.6, 7.6)}
ERRORS_OF_ORIGINALS = {"alexnet": (42.6, 19.6), "vgg19": (28.7, 9.9), "resnet50": (24.7, 7.8)}


def scores(errors: tuple[float, float]) -> tuple[float, float]:
    """Percent that is right, of percent that is wrong."""
    return tuple(round(100 - error, 2) for error in errors)


def fields_of(recipe: Recipe, column: Recipe) -> dict[str, object]:
    """What a row sets to be a recipe in a column that starts from another one."""
    names = [field.name for field in dataclasses.fields(recipe) if field.name != "name"]
    return {name: getattr(recipe, name) for name in names if getattr(recipe, name) != getattr(column, name)}


TABLE = Table(
    "cvjena_table1",
    "errors of ImageNet models with batch normalisation (Simon et al., table 1)",
    COLUMNS,
    variants(
        Row(
            "original",
            "the original, without batch normalisation",
            set=fields_of(ORIGINAL, ALEXNET),
            paper={"alexnet": scores(ERRORS_OF_ORIGINALS["alexnet"])},
            gain={"alexnet": math.nan},
        ),
        Row("bn", "with batch normalisation", paper={name: scores(errors) for name, errors in ERRORS.items()}),
    ),
    family=FAMILY,
)
