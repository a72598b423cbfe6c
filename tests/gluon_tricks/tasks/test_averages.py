"""The optimiser's refinements with every task: averaged, evaluated beside each other, stopped, resumed, loaded."""

import csv

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate, export
from gluon_tricks.data.builtin import scenes
from gluon_tricks.networks.checkpoint import list_checkpoints, named, read_checkpoint
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import ClipGradients, DecoupledDecay, Ema, Sam, TrustRatio
from model_zoo import formats

BASED = dict(model="resnet18_v1b", dataset="few_scenes", epochs=2, batch_size=2, lr=1e-3)
TINY = {
    "detection": DetectionRecipe(short=96, long=128, roi="small", **BASED),
    "segmentation": SegmentationRecipe(crop=48, base_size=96, **BASED),
    "multi_label": MultiLabelRecipe(
        model="cifar_resnet20_v1", data="few_scenes", input_size=24, side=(32, 32), crop_ratio=0.75, epochs=2,
        batch_size=2, lr=1e-3, test_crops=3,
    ),
}  # fmt: skip
COLUMN = {"detection": "val_map07", "segmentation": "val_miou", "multi_label": "val_map07"}
OPTIONS = dict(contexts=[mx.cpu()], threads=1, picture_epochs=2)


@pytest.fixture(autouse=True)
def four_scenes(monkeypatch, tmp_path_factory, few_regions):
    """Four pictures to train on and two to validate: two steps an epoch."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (4, 2))


@pytest.mark.parametrize("task", TINY)
def test_a_run(task, tmp_path, capsys):
    """All at once, stopped after the third step; final.params is the average, which load_network and evaluate take."""
    recipe = TINY[task].set(optimizer="adam")
    recipe = recipe.add(Ema(0.5), Sam(), ClipGradients(1.0), DecoupledDecay(), TrustRatio())
    train_and_evaluate(recipe, tmp_path / "whole", Options(**OPTIONS))
    done = []

    def after_step_3():
        done.append(1)
        return (tmp_path / "parts" / "metrics.csv").read_text().count("\n") == 2

    with pytest.raises(Interrupted, match="after step 3 of 4"):
        train_and_evaluate(recipe, tmp_path / "parts", Options(**OPTIONS, should_stop=after_step_3))
    train_and_evaluate(recipe, tmp_path / "parts", Options(**OPTIONS, resume=True))
    newest = [read_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1])[0] for run in ("whole", "parts")]
    assert newest[0].keys() == newest[1].keys()
    assert all(np.array_equal(array, newest[1][name]) for name, array in newest[0].items())

    average, trained = named(newest[0], "average"), named(newest[0], "parameter")
    final = formats.read(tmp_path / "whole" / "final.params")
    assert any(not np.array_equal(average[name], trained[name]) for name in average)
    assert final.keys() == average.keys() and all(np.array_equal(final[name], average[name]) for name in final)
    checkpoint = list_checkpoints(tmp_path / "whole" / "checkpoints")[-1]
    for source, meant in ((tmp_path / "whole", average), (f"{checkpoint}#parameter", trained)):
        loaded = parameters_by_name(load_network(source))
        assert all(np.array_equal(parameter.data().asnumpy(), meant[name]) for name, parameter in loaded.items())
    with open(tmp_path / "whole" / "metrics.csv") as file:
        for row in csv.DictReader(file):
            assert row[COLUMN[task]] == row[f"{COLUMN[task]}_average"] and row[f"{COLUMN[task]}_raw"]
    assert evaluate.main(["--pretrained", str(tmp_path / "whole"), "-j", "1"]) == 0
    assert {path.name for path in (tmp_path / "whole").iterdir()} >= {"curves.png", "report.html"}


def test_a_classifier_is_evaluated_and_exported(tiny_records, tmp_path, capsys):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=12, epochs=2, lr=0.01, seed=5,
        tricks=(Ema(0.9),),
    )  # fmt: skip
    scores = train_and_evaluate(recipe, tmp_path / "run", Options(**OPTIONS))
    assert evaluate.main(["--pretrained", str(tmp_path / "run"), "-j", "1"]) == 0
    assert f"{scores.top1:.2%}" in capsys.readouterr().out
    assert export.main([str(tmp_path / "run"), str(tmp_path / "exported"), "--to", "symbol"]) == 0
    images = mx.nd.random.uniform(shape=(2, 3, 32, 32))
    want = load_network(tmp_path / "run")(images).asnumpy()
    for source in (tmp_path / "run" / "final-symbol.json", *tmp_path.glob("exported*symbol.json")):
        np.testing.assert_allclose(load_network(source)(images).asnumpy(), want, rtol=1e-4, atol=1e-5)
    from_checkpoint = recipe.set(pretrained=f"{list_checkpoints(tmp_path / 'run' / 'checkpoints')[-1]}#average")
    train_and_evaluate(from_checkpoint.set(epochs=1), tmp_path / "next", Options(**OPTIONS))
