"""Top-1, top-5 and loss on cases worked out by hand."""

import math
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.tasks.classification.evaluation import (
    count_correct,
    count_wrong,
    evaluate,
    scores_of,
)

NAN = float("nan")


def counts(logits, labels, real=None):
    real = np.ones(len(labels)) if real is None else real
    return count_correct(mx.nd.array(logits), mx.nd.array(labels), mx.nd.array(real)).asnumpy()


def test_ranks_and_loss():
    logits = [[5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    top1, top5, loss = counts(logits, [0, 0, 1])  # ranks 0, 5, 4
    assert (top1, top5) == (1, 2)
    log_sum = math.log(sum(math.exp(k) for k in range(6)))
    assert loss == pytest.approx(3 * log_sum - (5 + 0 + 1), rel=1e-5)


def test_equal_logits_count_once():
    """A network that says nothing is right for the first class in the top 1, for the first five in the top 5."""
    assert counts(np.zeros((10, 10)), range(10))[:2].tolist() == [1, 5]


def test_a_broken_network_is_never_right():
    assert counts(np.full((4, 10), NAN), range(4))[:2].tolist() == [0, 0]
    assert counts([[NAN, 1.0, 0.0]], [1])[:2].tolist() == [0, 1]


def test_the_images_of_training_that_are_wrong():
    logits = [[2, 1, 0], [0, 1, 2], [3, 1, 2], [1, 1, 1], [NAN, NAN, NAN], [0, 5, 1]]
    target = [[1, 0, 0], [1, 0, 0], [0.3, 0.1, 0.6], [0, 1, 0], [1, 0, 0], [0.2, 0.5, 0.3]]
    # right; wrong; mixed with more of class 2: wrong; equal logits say class 0: wrong; broken: wrong; right
    assert count_wrong(mx.nd.array(logits), mx.nd.array(target)).asnumpy().tolist() == [4.0]
    assert count_wrong(mx.nd.array([[0, 1]]), mx.nd.array([[0.5, 0.5]])).asnumpy().tolist() == [1.0]  # the lower class
    with_auxiliary = [mx.nd.array([[0, 1]]), mx.nd.array([[1, 0]])]
    assert count_wrong(with_auxiliary, mx.nd.array([[0, 1]])).asscalar() == 0


def test_padding_does_not_count():
    top1, top5, loss = counts([[1, 0], [1, 0], [NAN, NAN]], [0, 0, 0], real=[1, 0, 0])
    assert (top1, top5) == (1, 1) and loss == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-5)


def test_every_image_once_over_uneven_batches_and_devices():
    net = mx.gluon.nn.HybridLambda(lambda F, x: x)

    def batch(logits, labels, indices, count):
        images = np.array(logits, "float32")
        return SimpleNamespace(images=images, labels=np.array(labels), indices=np.array(indices), count=count)

    batches = [
        batch([[3, 1, 0], [0, 2, 1]], [0, 2], [7, 3], 2),  # right; second
        batch([[0, 0, 9], [7, 7, 7]], [2, 0], [5, -1], 1),  # right; padding
    ]
    contexts = [mx.cpu(0), mx.cpu(1)]
    scores = evaluate(net, batches, lambda images, context: mx.nd.array(images, ctx=context), contexts)
    assert (scores.top1, scores.top5, scores.images) == (pytest.approx(2 / 3), 1.0, 3)
    by_hand = [
        math.log(1 + math.exp(-2) + math.exp(-3)),
        math.log(1 + math.e + math.exp(-1)),
        math.log(1 + 2 * math.exp(-9)),
    ]
    assert scores.loss == pytest.approx(sum(by_hand) / 3, rel=1e-5)
    guesses = scores.guesses
    assert [*zip(guesses.images, guesses.labels, guesses.named)] == [(7, 0, 0), (3, 2, 1), (5, 2, 2)]
    second = math.exp(2) / (1 + math.exp(2) + math.e)
    first, last = math.exp(-by_hand[0]), math.exp(-by_hand[2])
    assert guesses.confidence.tolist() == pytest.approx([first, second, last], rel=1e-5)


def test_no_image_at_all_is_an_error():
    with pytest.raises(RuntimeError, match="no image to evaluate"):
        evaluate(mx.gluon.nn.HybridLambda(lambda F, x: x), [], None, [mx.cpu()])


def test_the_top_5_of_few_classes_are_not_told():
    """Five classes are all among the top 5; of six, five are not."""
    six, five = (scores_of(classes)(0.5, 0.75, 1.25, 20) for classes in (6, 5))
    assert str(six) == "top-1 50.00%, top-5 75.00%, val loss 1.250"
    assert str(five) == "top-1 50.00%, val loss 1.250"
    assert list(six.labels) == ["val_loss", "val_top1", "val_top5"] and list(five.labels) == ["val_loss", "val_top1"]
    assert five.row() == six.row() and five.columns == six.columns  # metrics.csv has the same columns for all
    net = mx.gluon.nn.HybridLambda(lambda F, x: x)
    two = np.array([0, 0])
    batch = SimpleNamespace(images=np.eye(2, dtype="float32"), labels=two, indices=two, count=2)
    found = evaluate(net, [batch], lambda images, context: mx.nd.array(images), [mx.cpu()], scores_of(2))
    assert str(found).startswith("top-1 50.00%, val loss")


def test_what_is_kept_of_each_image():
    """In the order of the images, padding left out, numbers that are none as 0."""
    net = mx.gluon.nn.HybridLambda(lambda F, x: x)
    batches = [
        SimpleNamespace(
            images=np.array(logits, "float32"), labels=np.array(labels), indices=np.array(indices), count=count
        )
        for logits, labels, indices, count in (
            ([[0, 9], [9, 0]], [1, 1], [7, 2], 2),
            ([[NAN, 0], [5, 5]], [0, 0], [4, -1], 1),
        )
    ]
    found = {}
    evaluate(
        net, batches, lambda images, context: mx.nd.array(images, ctx=context), [mx.cpu(0), mx.cpu(1)], found=found
    )
    assert found["image"].tolist() == [2, 4, 7] and found["truth"].tolist() == [1, 0, 1]
    assert found["guess"].tolist() == [0, -1, 1] and found["confidence"][1] == found["of_truth"][1] == 0
    assert found["confidence"][0] > 0.99 > 0.01 > found["of_truth"][0]
