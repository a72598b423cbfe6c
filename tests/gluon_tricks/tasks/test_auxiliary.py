"""Auxiliary classifiers: loss and gradient by hand, and googlenet_2014_aux through a training and what follows."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

import gluon_tricks
from gluon_tricks.cli import export
from gluon_tricks.initialise.data import initialise_from_data
from gluon_tricks.networks.load import open_classifier
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.auxiliary import OwnOutput, with_auxiliaries, without_auxiliaries
from gluon_tricks.tasks.classification.task import Classification, cross_entropy
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.tricks import Distillation, LabelSmoothing, Mixup
from model_zoo import get_model, load_model, weights
from model_zoo.lrn import LRN

NAME = "googlenet_2014_aux"


def logits(*rows):
    array = mx.nd.array(rows)
    array.attach_grad()
    return array


def test_the_value_is_the_own_loss_and_the_gradient_that_of_all():
    """Of cross-entropy by a logit: softmax - target; log(1/2) of equal logits, log(1/4) of (0, log 3) for class 0."""
    main, first, second = logits([0, 0]), logits([0, np.log(3)]), logits([0, 0])
    target = mx.nd.array([[1, 0]])
    with autograd.record():
        loss = with_auxiliaries(cross_entropy, 0.3)(None, [main, first, second], target)
    loss.backward()
    np.testing.assert_allclose(loss.asnumpy(), [np.log(2)], rtol=1e-5)  # not 1.3 log 2 + 0.3 log 4
    np.testing.assert_allclose(main.grad.asnumpy(), [[-0.5, 0.5]], atol=1e-5)
    np.testing.assert_allclose(first.grad.asnumpy(), [[0.3 * -0.75, 0.3 * 0.75]], atol=1e-5)
    np.testing.assert_allclose(second.grad.asnumpy(), [[-0.15, 0.15]], atol=1e-5)


def test_one_output_has_the_plain_loss():
    z, target = logits([1, 2, 3]), mx.nd.array([[0, 1, 0]])
    plain, whole = cross_entropy(None, z, target), with_auxiliaries(cross_entropy, 0.3)(None, z, target)
    assert plain.asnumpy() == whole.asnumpy()


def test_weight_0_trains_none_of_them():
    main, other, target = logits([0, 0]), logits([0, 5]), mx.nd.array([[1, 0]])
    with autograd.record():
        loss = with_auxiliaries(cross_entropy, 0)(None, [main, other], target)
    loss.backward()
    assert not other.grad.asnumpy().any() and main.grad.asnumpy().any()


def test_a_network_that_was_asked_for_its_auxiliaries_is_asked_for_none():
    net = get_model("nasnet_4_1056", classes=2, use_aux=True)
    net.initialize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    plain = without_auxiliaries(net)
    assert (len(net.heads), len(plain.heads)) == (2, 1) and plain.keywords["use_aux"] is False
    np.testing.assert_array_equal(plain.head.weight.data().asnumpy(), net.head.weight.data().asnumpy())


def test_an_auxiliary_loss_that_is_not_finite_shows():
    main, other, target = logits([0, 0]), logits([np.nan, 0]), mx.nd.array([[1, 0]])
    assert np.isnan(with_auxiliaries(cross_entropy, 0.3)(None, [main, other], target).asnumpy()).all()


def test_every_classifier_has_the_teacher_which_is_asked_once():
    asked = []

    class Teacher:
        def hybridize(self, **how):
            pass

        def __call__(self, images):
            asked.append(images)
            return mx.nd.array([[0, np.log(3)]])

    distilled = Distillation("x", temperature=1.0).loss(cross_entropy, lambda source: Teacher())
    whole, images = with_auxiliaries(distilled, 0.5), mx.nd.zeros((1, 3, 2, 2))
    for times in (1, 2):
        main, other = logits([0, 0]), logits([0, 0])
        with autograd.record():
            loss = whole(images.copy(), [main, other], mx.nd.array([[1, 0]]))
        loss.backward()
        assert len(asked) == times
    gradient = np.array([[-0.5 + 0.25, 0.5 - 0.25]])  # of the labels, and softmax - the teacher's (1/4, 3/4)
    np.testing.assert_allclose(main.grad.asnumpy(), gradient, atol=1e-5)
    np.testing.assert_allclose(other.grad.asnumpy(), gradient / 2, atol=1e-5)


@pytest.fixture(scope="module")
def recipe(tiny_records):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(
        model=NAME, data="records", **files, input_size=191, epochs=1, batch_size=24, lr=0.001, min_area=0.5,
        tricks=(LabelSmoothing(), Mixup()),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aux") / "run"
    return folder, train_and_evaluate(recipe, folder, Options(contexts=[mx.cpu()]))


def test_it_trains_and_all_its_classifiers_move(run, recipe):
    folder, scores = run
    assert scores.images == 20 and np.isfinite(scores.loss)
    start = weights.values_of(Classification(recipe, [mx.cpu()], 1).network())
    end = weights.values_of(open_classifier(folder).net)
    for part in ("stem.0.weight", "aux1.1.weight", "aux1.4.weight", "aux2.1.weight", "aux2.4.weight", "head.weight"):
        assert not np.array_equal(start[part], end[part]), part


def test_what_follows_takes_its_own_output(run, recipe):
    folder, scores = run
    again = gluon_tricks.evaluate(folder)
    assert again.top1 == scores.top1 and again.loss == pytest.approx(scores.loss, rel=1e-5)
    seen = open_classifier(folder).net.preprocessing
    student = recipe.set(model="cifar_resnet20_v1", mean=seen.mean, std=seen.std, tricks=(Distillation(str(folder)),))
    teacher = Classification(student, [mx.cpu()], 1)._load_teacher(str(folder))
    images = mx.nd.random.uniform(shape=(2, 3, 191, 191))
    np.testing.assert_allclose(
        teacher(images).asnumpy(), open_classifier(folder).net(images)[0].asnumpy(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("form", ["symbol", "onnx"])
def test_its_own_output_alone_is_exported(form, run, tmp_path):
    """As googlenet_2014, which gives it, and which the file's description makes again."""
    if form == "onnx":
        pytest.importorskip("onnx")
    target = tmp_path / ("net.onnx" if form == "onnx" else "net")
    assert export.main([str(run[0]), str(target), "--to", form]) == 0
    said = json.loads((tmp_path / "net-preprocessing.json").read_text())
    assert (said["model"], len(said["outputs"]), said["crop"]["height"]) == ("googlenet_2014", 1, 191)
    assert said["classes"] == ["red", "green", "blue", "grey"]
    if form == "symbol":
        read, images = load_model(tmp_path / "net-0000.params"), mx.nd.random.uniform(shape=(2, 3, 191, 191))
        expected = open_classifier(run[0]).net(images)[0].asnumpy()
        np.testing.assert_allclose(read(images).asnumpy(), expected, rtol=1e-5, atol=1e-6)
        shutil.copytree(run[0], tmp_path / "run")  # and where the recipe beside it says another network
        for name in ("net-0000.params", "net-preprocessing.json"):
            shutil.copy(tmp_path / name, tmp_path / "run" / name)
        opened = open_classifier(tmp_path / "run" / "net-0000.params")
        assert (opened.net.name, opened.recipe) == ("googlenet_2014", None)


def test_fine_tuning_to_other_classes_leaves_out_all_heads(run):
    found = get_model(NAME, classes=7, pretrained=str(run[0] / "final.params"), any_classes=True)
    assert found.aux2[-1].weight._data is None and found.head.weight._data is None
    values = weights.values_of(open_classifier(run[0]).net)
    np.testing.assert_array_equal(found.aux2[1].weight.data().asnumpy(), values["aux2.1.weight"])


def test_data_dependent_initialisation_of_three_outputs():
    """Between layers the scales change and none of the three outputs does: exactly, without the LRN."""
    mx.random.seed(0)
    net = get_model(NAME, classes=5)
    net.initialize()
    net.apply(lambda block: setattr(block, "alpha", 0.0) if isinstance(block, LRN) else None)
    images = mx.nd.random.normal(shape=(4, 3, 191, 191))
    initialise_from_data(net, images, between=False)
    before = [z.asnumpy() for z in net(images)]
    stem = net.stem[0].weight.data().asnumpy()
    initialise_from_data(net, images, within=False)
    assert np.abs(net.stem[0].weight.data().asnumpy() / stem - 1).max() > 0.1
    for old, new in zip(before, net(images)):
        np.testing.assert_allclose(new.asnumpy(), old, atol=1e-3 * np.abs(old).max())
        assert old.std(axis=0) == pytest.approx(1, abs=0.05)


def test_the_own_output_alone():
    net = mx.gluon.nn.HybridLambda(lambda F, x: (x + 1, x + 2))
    alone = OwnOutput(net)
    for hybrid in (False, True):
        alone.hybridize(hybrid)
        assert alone(mx.nd.zeros((1, 1))).asscalar() == 1
