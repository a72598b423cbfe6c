"""Small recipes: minutes on two cores."""

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import (
    Cosine,
    LabelSmoothing,
    LinearScaling,
    NoBiasDecay,
    Resizing,
    Warmup,
    ZeroGamma,
)

# lr 0.1 belongs to batch 64 here: these images are learnt in few steps.
_EFFICIENT = (LinearScaling(reference=64), Warmup(1), ZeroGamma(), NoBiasDecay(), Cosine(), LabelSmoothing())

# The built-in data set: the whole of the main job in about two minutes.
SHAPES = Recipe(
    name="shapes",
    model="resnet18_v1d",
    data="shapes",
    input_size=64,
    min_area=0.5,
    epochs=5,
    batch_size=64,
    dtype="float16",
    tricks=_EFFICIENT,
)

# Ten ImageNet classes from class folders packed by pack_records: --rec-train and --rec-val name the files.
IMAGENETTE = SHAPES.set(name="imagenette", data="records", min_area=0.35, epochs=10)

# A person's own photos: gluon-tricks train --data PHOTOS, which also says how many epochs suit their number.
PHOTOS = IMAGENETTE.set(name="photos", input_size=128, epochs=30, batch_size=32)

# For gluon-tricks benchmark time_to_accuracy: small images that grow, tested larger than trained.
IMAGENETTE_FAST = IMAGENETTE.set(
    name="imagenette_fast", epochs=36, lr=0.15, wd=5e-4, input_size=160, train_size=128, crop_ratio=1.0, augment="flip",
    auto_augment="trivial",
).add(Resizing((96,)))  # fmt: skip

# The same at the size of imagenette, 64 px; its numbers were chosen on that validation set, in four trials of seed 0.
IMAGENETTE64_FAST = IMAGENETTE.set(
    name="imagenette64_fast", epochs=7, lr=0.15, wd=5e-4, train_size=56, augment="flip"
).add(Resizing((32,), multiple=8))  # fmt: skip

RECIPES = (SHAPES, IMAGENETTE, PHOTOS, IMAGENETTE_FAST, IMAGENETTE64_FAST)
