"""The loss and the scores of a tagger, and its test crops."""

import math
import types

import mxnet as mx
import numpy as np
import pytest
import scipy.special
import scipy.stats
from mxnet import autograd

from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.tasks.multi_label.evaluation import evaluate_tags
from gluon_tricks.tasks.multi_label.loader import TagLoader, loader_of_crops
from gluon_tricks.tasks.multi_label.loss import mean_loss, sigmoid_cross_entropy, target_of
from gluon_tricks.tasks.multi_label.metrics import score
from gluon_tricks.tricks import Mixup, StepContext
from gluon_tricks.tricks.schedule import Plan


def loss_and_gradient(logits, labels):
    z = mx.nd.array(logits)
    z.attach_grad()
    with autograd.record():
        loss = sigmoid_cross_entropy(None, z, target_of(mx.nd.array(labels, dtype="int8")))
    loss.backward()
    return loss.asnumpy(), z.grad.asnumpy()


def test_the_loss_by_hand():
    """p is 1/2 and 3/4; the third class does not count. At a logit of 0 the gradient is p - y like elsewhere."""
    loss, gradient = loss_and_gradient([[0, math.log(3), 5], [0, 0, 0]], [[1, 0, -1], [0, 1, 1]])
    np.testing.assert_allclose(loss, [math.log(2) + math.log(4), 3 * math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5, 0.75, 0], [0.5, -0.5, -0.5]], rtol=1e-6)


def test_the_loss_of_logits_far_out():
    loss, gradient = loss_and_gradient([[1e4, -1e4, 1e4, -1e4]], [[1, 0, 0, 1]])
    assert loss.tolist() == [2e4] and gradient.tolist() == [[0, 0, 1, -1]]


def test_the_mean_loss_is_that_of_training():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (7, 4)), rng.integers(-1, 2, (7, 4))
    assert mean_loss(logits, labels) == pytest.approx(loss_and_gradient(logits, labels)[0].mean(), rel=1e-5)
    right = scipy.stats.bernoulli.logpmf(labels.clip(0), scipy.special.expit(logits))  # of each answer, nats
    assert mean_loss(logits, labels) == pytest.approx(-right[labels >= 0].sum() / 7, rel=1e-9)


def test_a_mixed_image_has_the_mixed_loss():
    """For every logit, and where one of the two images does not count in a class, that part has no weight."""
    rng = np.random.default_rng(1)
    z, labels = mx.nd.array(rng.normal(0, 2, (2, 3))), mx.nd.array([[1, -1, 0], [0, 1, -1]], dtype="int8")
    images, step = mx.nd.zeros((2, 3, 4, 4)), StepContext(0, 0, Plan(1, 9))
    _, mixed = Mixup(alpha=1.0).batch(images, target_of(labels), step)
    lam = step.generator("mixup").beta(1.0, 1.0, size=1)[0]
    first = sigmoid_cross_entropy(None, z[:1], mixed[:1]).asscalar()
    both = [sigmoid_cross_entropy(None, z[:1], target_of(labels[k : k + 1])).asscalar() for k in (0, 1)]
    assert 0 < lam < 1 and first == pytest.approx(lam * both[0] + (1 - lam) * both[1], rel=1e-5)


def test_scores_by_hand():
    """Class a: right, wrong, right of 2, the third image not counted; b has no image; c is wrong throughout."""
    logits = np.array([[4, 0, 4], [3, 0, 3], [9, 0, 9], [2, 0, 2]], float)
    labels = np.array([[1, 0, 0], [0, 0, 0], [-1, 0, 0], [1, 0, 1]])
    scores = score(logits, labels, "abc")
    # a: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1: 11 points: 6 of 1 and 5 of 2/3.
    assert scores.per_class_07["a"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert scores.per_class_area["a"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert scores.per_class_07["c"] == scores.per_class_area["c"] == pytest.approx(1 / 4)
    assert scores.per_class() == {
        "per_class_07": [scores.per_class_07["a"], None, 0.25],
        "per_class_area": [scores.per_class_area["a"], None, 0.25],
    }
    assert scores.map07 == pytest.approx((scores.per_class_07["a"] + 0.25) / 2) and scores.images == 4
    assert scores.row().keys() == {"val_loss", "val_map07", "val_map"}
    assert type(scores).from_row(scores.row(), 4).row() == scores.row()


def test_a_broken_network_is_never_right():
    scores = score(np.full((4, 2), np.nan), np.array([[1, 0], [0, 1], [0, 0], [1, 1]]), "ab")
    assert (scores.map07, scores.map_area) == (0, 0)


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """Five images of 24 x 20 px whose red is 10 times the column and whose green is 10 times the row, as PNG."""
    import cv2

    from gluon_tricks.data.label_vectors import LabelledRecords

    folder, (y, x) = tmp_path_factory.mktemp("gradients"), np.mgrid[:20, :24].astype(np.uint8)
    with RecordWriter(folder / "x", ["a", "b"]) as writer:
        for k in range(5):
            image = np.stack([np.full_like(x, k), 10 * y, 10 * x], axis=2)
            writer.add((k % 2, 1 - k % 2), k, cv2.imencode(".png", image)[1].tobytes())
    return LabelledRecords(folder / "x.rec")


def crops_of(records, batch_size, threads=1, seed=3, crops=4):
    loader = TagLoader(
        records, size=16, batch_size=batch_size, train=False, crop_ratio=16 / 20, crops=crops,
        options=ReadOptions(seed, threads),
    )  # fmt: skip
    batches = list(loader.epoch())
    images = np.concatenate([batch.images[: batch.count] for batch in batches])
    return images.reshape(-1, crops, 16, 16, 3), np.concatenate([batch.labels[: batch.count] for batch in batches])


def test_test_crops_are_squares_of_the_image(gradients):
    """Of 20 x 24 px, whose shorter edge is 20 already: a square at some row 0..4 and column 0..8, mirrored or not."""
    images, labels = crops_of(gradients, 2)
    assert images.shape == (5, 4, 16, 16, 3) and labels.tolist() == [[k % 2, 1 - k % 2] for k in range(5)]
    places = set()
    for number, crop in enumerate(images.reshape(-1, 16, 16, 3).astype(int)):
        red, green, blue = crop[:, :, 0] // 10, crop[:, :, 1] // 10, crop[:, :, 2]
        mirrored = red[0, 0] > red[0, 1]
        left, top = red[0, -1 if mirrored else 0], green[0, 0]
        columns = np.arange(left, left + 16)[:: -1 if mirrored else 1]
        assert (
            (blue == number // 4).all()
            and (red == columns).all()
            and (green == np.arange(top, top + 16)[:, None]).all()
        )
        assert 0 <= left <= 8 and 0 <= top <= 4
        places.add((left, top, mirrored))
    assert len(places) > 15 and len({mirrored for *_, mirrored in places}) == 2


def test_test_crops_follow_from_seed_and_image(gradients):
    images, _ = crops_of(gradients, 2)
    np.testing.assert_array_equal(images, crops_of(gradients, 5, threads=3)[0])
    assert (images != crops_of(gradients, 2, seed=4)[0]).any()


def test_a_batch_of_test_crops_is_about_one_of_training(gradients):
    recipe = MultiLabelRecipe(input_size=16, side=(20, 20), crop_ratio=0.8, test_crops=10)
    sizes = [loader_of_crops(recipe, gradients, batch, 2, ReadOptions()).batch_size for batch in (10, 20, 40, 64)]
    assert sizes == [2, 2, 4, 6]
    assert loader_of_crops(recipe.set(test_crops=0), gradients, 10, 2, ReadOptions()).crops == 1


class Means:
    """A network whose logits are the mean red of an image, in levels, and that less than 100."""

    def collect_params(self):
        return {}

    def _collect_params_with_prefix(self):
        return {}

    def __call__(self, images):
        red = images.mean(axis=(1, 2))
        return mx.nd.stack(red, 100 - red, axis=1)


@pytest.mark.parametrize("contexts", [[mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]], ids=["one device", "two devices"])
def test_logits_are_averaged_over_crops(gradients, contexts, monkeypatch):
    """Of each image by itself, whatever devices the batch is on; padding does not count."""
    loader = TagLoader(gradients, size=16, batch_size=2, train=False, crop_ratio=0.8, crops=4, options=ReadOptions(3))
    seen = {}
    monkeypatch.setattr(
        "gluon_tricks.tasks.multi_label.evaluation.score",
        lambda logits, labels, names: seen.update(logits=logits, labels=labels) or types.SimpleNamespace(),
    )

    def preprocess(images, context):
        return mx.nd.array(images[:, :, :, 0], ctx=context)

    evaluate_tags(Means(), loader.epoch(), preprocess, contexts, gradients, "ab")
    images, labels = crops_of(gradients, 2)
    np.testing.assert_allclose(seen["logits"][:, 0], images[..., 0].mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(seen["logits"].sum(axis=1), 100, rtol=1e-5)
    assert (seen["labels"] == labels).all()
