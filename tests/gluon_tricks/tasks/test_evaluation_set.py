"""Which images an evaluation opens."""

import types

import pytest

from gluon_tricks.cli import report
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification import classes, evaluation_set


def test_images_that_are_named_are_evaluated_without_looking_for_those_of_the_training(tmp_path, monkeypatch):
    asked = []

    def find_records(recipe):
        asked.append(recipe)
        raise Refused("they are gone")

    monkeypatch.setattr(classes, "find_records", find_records)
    with RecordWriter(tmp_path / "val", ["ant", "bee"]) as writer:
        writer.add(0, 0, b"an image")
    recipe = Recipe()
    net = types.SimpleNamespace(preprocessing=None)
    trained = types.SimpleNamespace(net=net, recipe=recipe, published=None)
    evaluated = evaluation_set._of_run("run", trained, Records(tmp_path / "val.rec"))
    assert len(evaluated.records) == 1 and asked == []
    assert evaluated.train is None and asked == [recipe]  # which --form int8 asks for


@pytest.mark.parametrize("error", [Refused, CannotWrite, OSError])
def test_a_report_without_images_says_why(error):
    def validation_images(recipe):
        raise error("why")

    run = types.SimpleNamespace(recipe=None, task=types.SimpleNamespace(validation_images=validation_images))
    assert report.validation_images(run) == (None, "The validation images cannot be found: why.")
