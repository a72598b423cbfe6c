"""Classes of unequal size, and what makes up for it: `python -m benchmarks.balance PHOTOS RECORD.json`.

    python -m benchmarks.balance imagenette160 results/balance/imagenette160.json

Trains one small network on photos of PHOTOS/train, 600 of the first class, 20 of the last and of each other the same
share of the one before it, in three ways from one seed; each is scored on 150 photos of each class of PHOTOS/val.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np

from benchmarks.results import machine
from gluon_tricks.core.files import write_text
from gluon_tricks.data.folders import class_folders
from gluon_tricks.data.pack import pack
from gluon_tricks.data.sources import Source
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.class_scores import ClassScores, confusion_matrix
from gluon_tricks.tasks.classification.evaluation import collect_logits
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import ClassWeights, Cosine, LabelSmoothing, Warmup

MOST, LEAST, VALIDATION = 600, 20, 150  # images of a class
RECIPE = Recipe(
    name="unequal", model="resnet18_v1d", data="records", input_size=32, min_area=0.35, augment="flip", epochs=8,
    batch_size=32, lr=0.02, tricks=(Warmup(1), Cosine(), LabelSmoothing()),
)  # fmt: skip
WAYS = {
    "plain": RECIPE,
    "class weights": RECIPE.add(ClassWeights()),
    "balanced sampling": RECIPE.set(sampling="balanced"),
}


def first_of_each(photos: pathlib.Path, sizes: Sequence[int]) -> Source:
    """Of every class of a folder so many photos, the first by name."""
    whole, kept = class_folders(photos), []
    for label, size in enumerate(sizes):
        kept += sorted((entry for entry in whole.entries if entry.label == label), key=lambda entry: entry.path)[:size]
    return whole._replace(entries=kept)


def scores_of(recipe: Recipe, run: pathlib.Path) -> dict[str, Any]:
    """Trains it; what the network at the end finds of each class on the validation images."""
    options = Options(contexts=[mx.cpu()], threads=1, picture_epochs=0, resume=True)
    train_and_evaluate(recipe, run, options)
    job = prepare(recipe, run, options)
    logits, labels = collect_logits(job.net, job.task.val.epoch(), job.task.evaluation_input, mx.cpu())
    job.journal.close()
    scores = ClassScores(confusion_matrix(labels, logits.argmax(axis=1), logits.shape[1]))
    return {
        "recall": [round(float(share), 4) for share in scores.recall],
        "macro": {name: round(value, 4) for name, value in scores.macro().items()},
    }


def main(photos: str, record: str) -> None:
    classes = len(class_folders(pathlib.Path(photos, "val")).classes)
    sizes = np.geomspace(MOST, LEAST, classes).round().astype(int).tolist()
    told: dict[str, Any] = {"machine": machine(), "recipe": RECIPE.to_json(), "training_images": sizes, "ways": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for split, counts in (("train", sizes), ("val", [VALIDATION] * classes)):
            pack(first_of_each(pathlib.Path(photos, split), counts), f"{scratch}/{split}")
        files = {split: (f"{scratch}/{split}.rec",) for split in ("train", "val")}
        for way, recipe in WAYS.items():
            told["ways"][way] = scores_of(recipe.set(**files), pathlib.Path(scratch, way))
    write_text(pathlib.Path(record), json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
