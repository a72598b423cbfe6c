"""What decides a result: every field of every recipe, where two recipes are compared."""

import contextlib
import dataclasses
import json
import types

import mxnet as mx
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.checkpoint import Progress, read_checkpoint, restore, save_checkpoint
from gluon_tricks.paper.cells import Cell
from gluon_tricks.recipes.kinds import KINDS
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import declared
from gluon_tricks.training import requirements
from gluon_tricks.tricks import TRICKS, Cosine, Distillation, Mixup

SITUATIONS = ("cells", "resume", "ranks")  # where two recipes are compared

# What does not decide, and where: all else does, fields of later days too.
PLACES = {"name", "data", "train", "val", "photos"}  # what lies there is compared by its digest
DIVERGENCE = {"divergence_factor", "divergence_steps", "rollbacks", "rollback_lr"}
FREE = {
    "cells": {*PLACES, *DIVERGENCE, "dtype", "mode", "final_scales"},
    "resume": {*PLACES, *DIVERGENCE, "epochs", "final_scales", "test_crops"},
    "ranks": {*PLACES, "pretrained", "shallow", "base_params"},
}
WANTED = {
    "classification": Recipe(data="records", epochs=6, classes=10),
    "detection": KINDS["detection"](epochs=6, class_names=("a", "b"), classes=2, dense_side=7),
    "segmentation": KINDS["segmentation"](epochs=6, dataset="masks", classes=2, class_names=("a", "b"), net={}),
    "multi_label": KINDS["multi_label"](epochs=6, data="records", classes=2, class_names=("a", "b"), tricks=()),
}
OTHER = {  # where adding one gives no value of the field
    "name": "other", "model": "resnet18_v1b", "net": {"final_drop": 0.5}, "mean": (1.0, 2.0, 3.0), 
    "std": (1.0, 2.0, 3.0), "momentum": 0.5, "dtype": "bfloat16", "mode": "imperative", "tricks": (Cosine(),),
    "pretrained": "true", "data": "imagenet", "train": ("a.rec",), "val": ("b.rec",), "input_size": 64,
    "train_size": 64, "teacher_size": 64, "crop_ratio": 0.5, "min_area": 0.5, "augment": "none", "init": "gluoncv",
    "base_params": "run",
    "class_names": ("a", "c"), "train_splits": ("a",), "val_splits": ("b",), "roi": "small", "mask_values": (0, 9),
    "void": 9, "lr": 0.5, "rollback_lr": 1.0,
    "only_classes": tuple("abcdefghij"), "per_class": 3, "new_head": True,
    "freeze": ("stem",), "lr_mult": {"head": 2.0},
    "bn_batch": 2, "final_scales": "several", "aspect": (0.5, 1.0), "side": (300, 400), "pad_colour": "black",
    "mean_of": "pixels", "shallow": "run", "sampling": "balanced", "decode": "reduced", "auto_augment": "trivial",
    "photos": {"folder": "/p", "val_split": 0.3, "at_most": 512, "classes": ["a", "b"], "digests": []},
}  # fmt: skip
FIELDS = [(kind, field.name) for kind in WANTED for field in dataclasses.fields(WANTED[kind])]
FIELDS = [pair for pair in FIELDS if pair[0] == "classification" or pair[1] != "start_epoch"]  # which is 0 there
FIELDS.remove(("detection", "bn_batch"))  # which is None there
for _field in ("teacher_size", "only_classes", "per_class", "sampling"):
    FIELDS.remove(("multi_label", _field))  # the same
of_every_field = pytest.mark.parametrize("kind, field", FIELDS, ids=[f"{kind}-{field}" for kind, field in FIELDS])


def changed(kind, field):
    """The recipe with another value in one field."""
    recipe = WANTED[kind]
    value = {
        **OTHER,
        "classes": 3 if kind == "classification" else None,
        "optimizer": "sgd" if recipe.optimizer == "nag" else "nag",
        "dataset": "scenes",
        "crop": "add" if kind == "segmentation" else "centre",
    }.get(field, "add")
    value = getattr(recipe, field) + 1 if value == "add" else value
    if field in ("classes", "class_names") and kind != "classification":
        value = {"classes": 3, "class_names": ("a", "c")}[field]
        return recipe.set(**{"class_names": ()} if field == "classes" else {}, **{field: value})
    return recipe.set(**{field: value})


def left(recipe, folder):
    """What a finished run of it leaves."""
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    (folder / "metrics.csv").write_text("epoch\n" + "1\n" * recipe.epochs)


@of_every_field
def test_a_cell_is_done_by_its_own_recipe(kind, field, tmp_path):
    """Its wanted value beside another one that the run has."""
    left(changed(kind, field), tmp_path / "seed0")
    cell = Cell("x", WANTED[kind], tmp_path / "seed0")
    if field in FREE["cells"]:
        assert cell.is_done()
        return
    with pytest.raises(Refused, match=rf"another recipe \((classes, )?{field}"):
        cell.is_done()


@pytest.mark.parametrize("field", ["pretrained", "mean", "std", "crop_ratio", "accumulate", "teacher_size"])
def test_what_once_was_forgotten_decides_a_cell(field, tmp_path):
    """All its epochs are there, and it counts as another run for this one value."""
    left(changed("classification", field), tmp_path / "seed0")
    with pytest.raises(Refused, match=rf"seed0 holds a run of another recipe \({field}\): move it away"):
        Cell("x", WANTED["classification"], tmp_path / "seed0").is_done()
    left(WANTED["classification"], tmp_path / "seed1")
    assert Cell("x", WANTED["classification"], tmp_path / "seed1").is_done()


@of_every_field
def test_a_run_goes_on_by_its_own_recipe(kind, field, tmp_path):
    net = mx.gluon.nn.Dense(1, in_units=1)
    net.initialize()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", update_on_kvstore=False)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, net, trainer, Progress(), WANTED[kind], "digest")
    fine = contextlib.nullcontext() if field in FREE["resume"] else pytest.raises(Refused, match=rf"{field} was .* is ")
    with fine:
        restore(path, read_checkpoint(path), net, trainer, changed(kind, field), "digest", [mx.cpu()])


@of_every_field
def test_ranks_have_one_recipe(kind, field, monkeypatch):
    """Rank 0 has the one, rank 1 the other."""
    said = []
    monkeypatch.setattr(requirements.distributed, "ranks", lambda: 2)
    monkeypatch.setattr(
        requirements.distributed, "differing", lambda text: said.append(text) or [1] * (text != said[0])
    )
    records = types.SimpleNamespace(records=types.SimpleNamespace(digest="d"))
    first, other = (
        types.SimpleNamespace(recipe=r, train=records, val=records) for r in (WANTED[kind], changed(kind, field))
    )
    requirements.require_alike(first)
    fine = contextlib.nullcontext() if field in FREE["ranks"] else pytest.raises(Refused, match="1 have another recipe")
    with fine:
        requirements.require_alike(other)


@pytest.mark.parametrize("field, found", [("classes", 3), ("class_names", ("a", "b", "c")), ("dense_side", 7)])
def test_what_a_recipe_leaves_open_the_data_says(field, found):
    """But not the other way round: a run without says something else than a recipe that asks for it."""
    for situation in SITUATIONS:
        asked = KINDS["detection"]()
        assert asked.differences(asked.set(**{field: found}), situation) == {}
        assert list(asked.set(**{field: found}).differences(asked, situation)) == [field]


def test_numbers_of_tricks_decide():
    """A teacher's place does not decide in a cell, whose teacher is a cell; a trick left out is told as such."""
    old, new = (Recipe(tricks=(Mixup(alpha), Distillation(place))) for alpha, place in ((0.2, "a"), (0.4, "b")))
    assert new.differences(old, "cells") == {"mixup.alpha": (0.2, 0.4)}
    for situation in ("resume", "ranks"):
        assert new.differences(old, situation) == {"mixup.alpha": (0.2, 0.4), "distillation.teacher": ("a", "b")}
    assert Recipe().differences(old, "cells") == {"tricks": (["mixup", "distillation"], [])}
    assert Recipe().differences(KINDS["detection"](), "cells") == {"task": ("detection", "classification")}


def test_no_situation_is_misspelt():
    said = [declared(type(recipe), f.name) for recipe in WANTED.values() for f in dataclasses.fields(recipe)]
    said += [field.metadata for trick in TRICKS for field in dataclasses.fields(trick)]
    assert {word for metadata in said for word in metadata.get("free", ())} == {*SITUATIONS}
