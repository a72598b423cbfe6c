"""The refinements that came after the paper, in whole runs: they learn, go on bit for bit, and need no graph."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import CutMix, LabelSmoothing, MixupOrCutMix, RandomErasing, SigmoidLoss

LATER = [
    (CutMix(),),
    (CutMix(per="image", partner="permuted"),),
    (MixupOrCutMix(mixup_alpha=0.5),),
    (RandomErasing(0.7),),
    (RandomErasing(0.7, fill="noise"),),
    (SigmoidLoss(), LabelSmoothing()),
    (MixupOrCutMix(), RandomErasing(), SigmoidLoss(0.2)),
]


def recipe_of(tiny_records, tricks, **fields):
    train, val = (str(tiny_records / f"{split}.rec") for split in ("train", "val"))
    values = dict(
        model="cifar_resnet20_v1", data="records", train=(train,), val=(val,), input_size=32, min_area=0.5,
        batch_size=16, epochs=2, lr=0.02, tricks=tricks,
    )  # fmt: skip
    return Recipe(**{**values, **fields})


def final(run):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(run / "final.params")).items()}


@pytest.mark.parametrize("tricks", LATER, ids=lambda tricks: "+".join(trick.label() for trick in tricks))
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tricks, tiny_records, tmp_path):
    recipe = recipe_of(tiny_records, tricks)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    train_and_evaluate(recipe, tmp_path / "whole", Options(contexts=[mx.cpu()], picture_epochs=0))
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], should_stop=lambda: next(asked)))
    scores = train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], resume=True, picture_epochs=0))
    assert np.isfinite(scores.loss)
    whole, gone_on = final(tmp_path / "whole"), final(tmp_path / "run")
    assert whole.keys() == gone_on.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(gone_on[name], array)


@pytest.mark.parametrize("tricks", LATER[:5], ids=lambda tricks: "+".join(trick.label() for trick in tricks))
def test_two_devices_see_what_one_does(tricks, tiny_records, tmp_path):
    """In groups of eight, which a device or two take: the same rectangles in the same images, the same partners."""
    found = []
    for devices in (1, 2):
        run, contexts = tmp_path / str(devices), [mx.cpu(k) for k in range(devices)]
        recipe = recipe_of(tiny_records, tricks, bn_batch=8, epochs=1, mode="imperative" if devices == 1 else "hybrid")
        train_and_evaluate(recipe, run, Options(contexts=contexts, picture_epochs=0))
        found.append((run / "steps.csv").read_text().split())
    assert len(found[0]) == len(found[1]) > 2
    for one, two in zip(found[0][1:], found[1][1:]):
        assert float(one.split(",")[1]) == pytest.approx(float(two.split(",")[1]), rel=2e-3)
