"""The label-wise sigmoid loss, by hand and against PyTorch's binary cross-entropy."""

import contextlib

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.class_counts import ClassCounts
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.balance import Balance
from gluon_tricks.tasks.classification.task import Classification, cross_entropy
from gluon_tricks.training.divergence import Watch
from gluon_tricks.tricks import ClassWeights, CutMix, Distillation, LabelSmoothing, Mixup, MixupOrCutMix, SigmoidLoss

LOGITS = np.array([[0.0, np.log(3.0), -np.log(3.0)]])  # p = 1/2, 3/4, 1/4


def loss_of(trick, logits, target):
    criterion = trick.criterion(cross_entropy)
    return criterion(None, mx.nd.array(logits), mx.nd.array(target)).asnumpy()


def test_by_hand():
    """-log(1/2) - log(3/4) - log(3/4) for the second class, over three."""
    by_hand = np.log(2) + 2 * np.log(4 / 3)
    assert loss_of(SigmoidLoss(), LOGITS, [[0, 1, 0]]) == pytest.approx(by_hand / 3)
    assert loss_of(SigmoidLoss(over="sum"), LOGITS, [[0, 1, 0]]) == pytest.approx(by_hand)


def test_a_threshold_takes_both_classes_of_a_mixed_image():
    both = np.log(2) + np.log(4 / 3) + np.log(4 / 3)  # of classes 0 and 1
    mixed = [[0.75, 0.25, 0.0]]
    assert loss_of(SigmoidLoss(0.2, "sum"), LOGITS, mixed) == pytest.approx(both)
    only_first = np.log(2) + np.log(4) + np.log(4 / 3)
    assert loss_of(SigmoidLoss(0.3, "sum"), LOGITS, mixed) == pytest.approx(only_first)


@pytest.mark.parametrize("over", ["mean", "sum"])
def test_it_is_pytorchs(over):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, target = 5 * rng.normal(size=(6, 10)), rng.dirichlet(np.ones(10), size=6)
    ours = mx.nd.array(logits)
    ours.attach_grad()
    with mx.autograd.record():
        found = SigmoidLoss(over=over).criterion(cross_entropy)(None, ours, mx.nd.array(target))
    found.backward()
    theirs = torch.tensor(logits, requires_grad=True)
    each = torch.nn.functional.binary_cross_entropy_with_logits(theirs, torch.tensor(target), reduction="none")
    each = each.mean(dim=1) if over == "mean" else each.sum(dim=1)
    each.sum().backward()
    np.testing.assert_allclose(found.asnumpy(), each.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.grad.asnumpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-7)


def test_a_label_that_weighs_twice_counts_twice():
    trick = SigmoidLoss(0.2)
    assert loss_of(trick, LOGITS, [[0, 2, 0]]) == pytest.approx(2 * loss_of(trick, LOGITS, [[0, 1, 0]]))
    assert loss_of(trick, LOGITS, [[0, 0, 0]]) == 0


def test_it_takes_the_place_of_the_softmax_whatever_the_order_of_the_tricks():
    """Distillation adds its part to either; the hard part is the sigmoid's."""
    teacher = mx.gluon.nn.HybridLambda("zeros_like")
    images, target = mx.nd.array(LOGITS), mx.nd.array([[0.0, 1.0, 0.0]])
    found = []
    for tricks in ((SigmoidLoss(), Distillation("run")), (Distillation("run"), SigmoidLoss())):
        loss = Recipe(tricks=tricks).loss(cross_entropy, lambda name: teacher)
        found.append(loss(images, mx.nd.zeros((1, 3)), target).asscalar())
    assert found == pytest.approx([np.log(2)] * 2)  # equal to the teacher, whose part is 0


def test_no_loss_is_taken_for_impossible():
    """Smoothing's entropy of a softmax is no bound of this loss, in either order."""
    for tricks in ((LabelSmoothing(), SigmoidLoss()), (SigmoidLoss(), LabelSmoothing())):
        assert Watch(Recipe(classes=10, tricks=tricks))._least == 0


def test_what_it_does_not_go_with():
    with pytest.raises(Refused, match="sigmoid_loss takes images of one class each"):
        MultiLabelRecipe(tricks=(SigmoidLoss(),))
    with pytest.raises(Refused, match="threshold must lie in"):
        SigmoidLoss(1.0)
    with pytest.raises(Refused, match="over must be 'mean' or 'sum'"):
        SigmoidLoss(over="all")


def test_shares_are_those_of_weights_where_classes_have_some(tiny_records):
    """A training is refused, and not the recipe of one that is done."""
    counts = ClassCounts.of(Records(tiny_records / "train.rec"), 4)
    for mixing in (Mixup(), CutMix(), MixupOrCutMix()):
        with pytest.raises(Refused, match="share of each class of a mixed image, which class_weights change: set sig"):
            Balance(Recipe(classes=4, tricks=(mixing, ClassWeights(), SigmoidLoss(0.2))), counts)
        Balance(Recipe(classes=4, tricks=(mixing, ClassWeights(), SigmoidLoss())), counts)
    Balance(Recipe(classes=4, tricks=(LabelSmoothing(), ClassWeights(), SigmoidLoss(0.2))), counts)


@pytest.mark.parametrize(
    "threshold, smoothing, says",
    [
        (
            0.04,
            LabelSmoothing(),
            "threshold is 0.04, and of 3 classes an image's own has a share of 0.9 and every other",
        ),
        (0.05, LabelSmoothing(), "every other one 0.05 by label_smoothing.eps 0.1: give a threshold between the two"),
        (0.95, LabelSmoothing(), "threshold is 0.95"),
        (0.03, LabelSmoothing(form="gluoncv"), "share of 0.9333 and every other one 0.03333"),
        (None, LabelSmoothing(0.7), "label_smoothing.eps is 0.7: of 3 classes an image's own has a share of 0.3 and"),
        (0.06, LabelSmoothing(), ""),
        (0.89, LabelSmoothing(), ""),
        (0.0, Mixup(), ""),
        (0.95, Mixup(), ""),
        (None, LabelSmoothing(), ""),
        (None, LabelSmoothing(0.95, "gluoncv"), ""),
    ],
)
def test_targets_tell_the_classes(threshold, smoothing, says):
    """0.1 is shared by two other classes; in GluonCV's form by all three. It needs no records where K is known."""
    recipe = Recipe(data="records", train=("gone.rec",), classes=3, tricks=(smoothing, SigmoidLoss(threshold)))
    refused = pytest.raises(Refused, match=says) if says else contextlib.nullcontext()
    for known in (recipe, recipe.set(classes=None, only_classes=("a", "b", "c"))):
        with refused:
            Classification.told_of(known)


def test_targets_that_tell_no_class_are_not_trained_on(tiny_records):
    """Of 4 classes the absent ones have 1/30; drawn pictures, by which a step is measured, have 10 classes."""
    recipe = Recipe(classes=4, tricks=(LabelSmoothing(), SigmoidLoss(0.03)))
    with pytest.raises(Refused, match="every other one 0.03333 by"):
        Balance(recipe, ClassCounts.of(Records(tiny_records / "train.rec"), 4))
    Classification.told_of(Classification.drawn(recipe))
