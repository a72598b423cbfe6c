"""A training that starts from its first images: when that happens, and what it depends on."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.initialise.walk import Graph, moments
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.training.job import Options
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import DataDependentInit, Distillation


@pytest.fixture
def recipe():
    start = DataDependentInit(images=12, rounds=2)
    return Recipe(
        model="caffenet",
        data="few_shapes",
        input_size=63,
        batch_size=8,
        augment="none",
        tricks=(start,),
        dtype="float32",
    )


def start_of(recipe, contexts, **options):
    task = Classification(recipe, contexts, threads=1)
    net = task.network(**options)
    return task, net, {name: p.list_data()[0].asnumpy() for name, p in net._collect_params_with_prefix().items()}


def test_all_channels_of_its_first_images_have_unit_variance(recipe, capsys):
    recipe = apply_setting(recipe, "data_dependent_init.between=false")
    task, net, _ = start_of(recipe, [mx.cpu()])
    assert capsys.readouterr().out.count("initialising: ") == 8
    found = {}

    def computed(k, node, inputs, outputs):
        found[node.path] = moments(outputs)[1]
        return outputs

    Graph(net).run([task.sample(12)], computed=computed)
    assert len(found) == 8 and all(np.allclose(variance, 1, atol=1e-2) for variance in found.values())


def test_the_run_keeps_what_is_not_as_asked(recipe, tmp_path):
    """The last maps of 4 images have fewer patches than 64 filters; normalisation follows all layers but the head."""
    recipe = recipe.set(model="cifar_resnet20_v1", input_size=8, tricks=(DataDependentInit("kmeans", images=4),))
    prepare(recipe.resolved(), tmp_path / "run", Options(contexts=[mx.cpu()], threads=1)).journal.close()
    log, events = ((tmp_path / "run" / name).read_text() for name in ("log.txt", "events.jsonl"))
    for text in (log, events):
        assert "initialising: between layers: 21 layers left alone, such as stem.0, " in text
        assert "initialising: stage3.2.conv2: gaussian in 1 of 1 group (fewer patches than filters, or " in text
    assert "stem.0 kmeans" not in log  # progress


def test_neither_devices_nor_a_checkpoint_change_it(recipe, capsys):
    _, _, one = start_of(recipe, [mx.cpu(0)])
    _, net, two = start_of(recipe, [mx.cpu(0), mx.cpu(1)])
    assert all(np.array_equal(array, two[name]) for name, array in one.items())
    assert all(
        np.array_equal(*(data.asnumpy() for data in parameter.list_data()))
        for parameter in net.collect_params().values()
    )
    capsys.readouterr()
    _, _, plain = start_of(recipe, [mx.cpu()], restored=True)
    assert "initialising" not in capsys.readouterr().out
    assert not np.array_equal(plain["head.weight"], one["head.weight"])


def test_all_training_images_though_they_are_no_whole_batches(recipe):
    """640 images in batches of 600, the second of which has 40; in training it would be dropped."""
    whole = Classification(
        recipe.set(input_size=8, model="cifar_resnet20_v1", tricks=(), batch_size=600), [mx.cpu()], 1
    )
    few = Classification(recipe.set(input_size=8, model="cifar_resnet20_v1", tricks=(), batch_size=8), [mx.cpu()], 1)
    assert whole.sample(640).shape == (640, 3, 8, 8)
    np.testing.assert_array_equal(whole.sample(20).asnumpy(), few.sample(20).asnumpy())  # whatever the batch


@pytest.mark.parametrize(
    "model, says",
    [("cifar_resnet20_v1", "takes images of mean"), ("resnet18_v1d", "frozen_stages is 4: resnet18_v1d has 0 to 3")],
)
def test_a_base_that_cannot_carry_a_detector_is_refused_before_the_work(model, says, capsys):
    recipe = DetectionRecipe(model=model, dataset="few_scenes", frozen_stages=4, short=64, long=64)
    recipe = recipe.add(DataDependentInit(images=4))
    with pytest.raises(Refused, match=says):
        task_of(recipe)(recipe, [mx.cpu()], 1).network()
    assert "initialising" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda recipe: recipe.set(freeze=("stage9",)), "freeze 'stage9' names nothing of"),
        (lambda recipe: recipe.set(lr_mult={"stage9": 2}), "lr_mult 'stage9' names nothing of"),
        (lambda recipe: recipe.add(Distillation("nowhere")), "there is no run or file nowhere"),
        (lambda recipe: recipe, "has 1 MB free and the checkpoints need"),
        (
            lambda recipe: DetectionRecipe(dataset="few_scenes", short=120, long=200, roi="small", freeze=("stage9",))
            .set(model="resnet18_v1d", tricks=recipe.tricks, dtype="float32"),
            "freeze 'stage9' names nothing of",
        ),
    ],
)  # fmt: skip
def test_what_can_be_known_before_is_refused_before(change, says, recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**6}))
    with pytest.raises(Refused, match=says):
        prepare(change(recipe).resolved(), tmp_path / "run", Options(contexts=[mx.cpu()], threads=1))
    assert "initialising" not in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_what_it_cannot_start_from(recipe):
    with pytest.raises(Refused, match="starts from 5000 images, and there are 640: set images to fewer"):
        start_of(apply_setting(recipe, "data_dependent_init.images=5000"), [mx.cpu()])
    with pytest.raises(Refused, match="pretrained a.params and data_dependent_init, which sets all weights anew"):
        recipe.set(pretrained="a.params")
    keeps = apply_setting(recipe, "data_dependent_init.within=false").set(pretrained="a.params")
    assert keeps.tricks == (DataDependentInit(images=12, rounds=2, within=False),)
    with pytest.raises(Refused, match="base_params a.params and data_dependent_init, which sets all weights anew"):
        DetectionRecipe(tricks=(DataDependentInit(),), base_params="a.params")
    assert DetectionRecipe(tricks=(DataDependentInit(),)).tricks == (DataDependentInit(),)  # of a base that starts anew
    for setting, says in (
        ("filters=ica", "filters must be one of gaussian, pca, kmeans"),
        ("damping=0", "damping must"),
    ):
        with pytest.raises(Refused, match=says):
            apply_setting(recipe, f"data_dependent_init.{setting}")
