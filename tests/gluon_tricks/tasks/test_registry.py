"""What the tasks say of themselves, and that another one needs a record, a class and an entry in both registries."""

import dataclasses
import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate as evaluate_command
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.load import Trained
from gluon_tricks.paper.run_cells import trainer
from gluon_tricks.recipes import kinds as records
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks import registry
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.detection.task import Detection
from gluon_tricks.tasks.multi_label.task import MultiLabel
from gluon_tricks.tasks.registry import require_task, task_of, task_of_network
from gluon_tricks.tasks.segmentation.task import Segmentation
from gluon_tricks.trained.interface import evaluate, predict
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate


@pytest.mark.parametrize(
    "recipe, task, command, columns, sides",
    [
        (Recipe(input_size=96), Classification, "train", ("val_top1", "val_top5"), (96, 96)),
        (DetectionRecipe(short=300, long=500), Detection, "detect", ("val_map07", "val_map"), (300, 500)),
        (SegmentationRecipe(crop=240), Segmentation, "segment", ("val_pix_acc", "val_miou"), (240, 240)),
        (MultiLabelRecipe(input_size=67), MultiLabel, "tag", ("val_map07", "val_map"), (67, 67)),
    ],
)
def test_what_a_recipe_leads_to(recipe, task, command, columns, sides):
    found = task_of(recipe)
    assert (found, found.command, found.scores.in_tables, recipe.sides) == (task, command, columns, sides)
    assert recipe.based == (not issubclass(task, Classification))
    assert task_of_network(Trained(None, recipe)) is task


def test_a_commands_flags_are_the_tasks():
    """Every flag that belongs to a task is one of the command's."""
    flags = vars(evaluate_command.parse([]))
    assert {flag for task in registry.TASKS for flag in task.evaluation_flags} <= {*flags}


def test_a_recipe_for_another_command():
    with pytest.raises(Refused, match="^x is a recipe of multi_label, and this command trains classifiers: use "):
        require_task(MultiLabelRecipe(), Recipe, "x")
    with pytest.raises(Refused, match="^x is a recipe of detection, and this command trains classifiers: use gluon-tr"):
        require_task(DetectionRecipe(), Recipe, "x")
    require_task(DetectionRecipe(), DetectionRecipe, "x")


@pytest.mark.parametrize(
    "recipe",
    [
        DetectionRecipe(data="/voc", class_names=("a", "b"), base_params="run", batch_size=2),
        SegmentationRecipe(dataset="masks", data="/own", classes=2, void=9, mask_values=(0, 4), batch_size=2),
    ],
)
def test_steps_of_own_data_are_measured_on_drawn_scenes(recipe):
    """Nothing of the folder is left in the recipe, or the built-in data would refuse it."""
    drawn = task_of(recipe).drawn(recipe)
    assert (drawn.dataset, drawn.data, drawn.base_params) == ("few_scenes", "", "")
    assert (drawn.classes, drawn.class_names, drawn.batch_size) == (None, (), 2)


@dataclasses.dataclass(frozen=True)
class TagsRecipe(Recipe):
    task = "tags"


class Tags(Classification):
    """Each class by itself, by a sigmoid."""

    kind, noun, command = TagsRecipe, "marker", "tag"
    exported = False

    def loss(self):
        return lambda X, z, y: mx.nd.log1p(mx.nd.exp(-z * (2 * y - 1))).sum(axis=1)


def test_another_task_needs_two_entries(tiny_records, tmp_path, monkeypatch):
    """It is trained, resumed, read, scored and asked about photos, and its cells are run by its command."""
    monkeypatch.setitem(records.KINDS, "tags", TagsRecipe)
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, Tags))
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = TagsRecipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, epochs=1, batch_size=16, lr=0.01
    )
    run, options = tmp_path / "run", Options(contexts=[mx.cpu()], threads=1, picture_epochs=0)
    scores = train_and_evaluate(recipe, run, options)
    assert json.loads((run / "recipe.json").read_text())["task"] == "tags"
    assert (run / "final.params").is_file() and not (run / "final-symbol.json").exists()
    found = evaluate(run)
    assert (found.top1, found.images) == (scores.top1, 20) and found.loss == pytest.approx(scores.loss, rel=1e-5)
    assert len(predict(run, np.zeros((40, 40, 3), np.uint8))[0].values["classes"]) == 4
    with pytest.raises(Refused, match="multi.scale is for segmenters, and .* is a marker"):
        predict(run, np.zeros((40, 40, 3), np.uint8), multi_scale=True)
    longer = recipe.set(epochs=2)
    train_and_evaluate(longer, run, dataclasses.replace(options, resume=True))
    assert len((run / "metrics.csv").read_text().splitlines()) == 3

    class Cell:
        recipe = longer

    assert trainer(Cell, ("mpirun",))[0] == "mpirun" and trainer(Cell)[-1] == "tag"
