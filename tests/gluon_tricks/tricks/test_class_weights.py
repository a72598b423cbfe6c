"""Class weights by hand, beside PyTorch's and scikit-learn's, and with the other changes of a target."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.classification.task import cross_entropy
from gluon_tricks.training.divergence import Watch
from gluon_tricks.tricks import ClassWeights, Distillation, LabelSmoothing, Mixup, StepContext
from gluon_tricks.tricks.schedule import Plan

DRAW = StepContext(seed=3, step=5, plan=Plan(steps_per_epoch=2, epochs=10))
COUNTS = (60, 3, 6, 12)  # of 81 images
GIVEN = ClassWeights(("a", "b", "c", "d"), (1.0, 20.0, 10.0, 5.0))
LOGITS = np.random.default_rng(0).normal(size=(6, 4))
LABELS = np.array([0, 1, 2, 3, 1, 0])


def weighted(labels, weights):
    """The target that the tricks are given."""
    return mx.nd.one_hot(mx.nd.array(labels), len(weights)) * mx.nd.array([weights])


def loss_of(*tricks, target):
    """The loss per image of LOGITS after the tricks."""
    for trick in tricks:
        target = trick.batch(mx.nd.zeros((len(LABELS), 1)), target, DRAW)[1]
    return cross_entropy(None, mx.nd.array(LOGITS), target).asnumpy()


def log_p():
    return LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))


def test_balanced_weights_by_hand():
    """n / (K n_k): 81 / (4 x 60) = 0.3375, 81 / (4 x 3) = 6.75, ..."""
    weights = ClassWeights().label_weights("abcd", COUNTS)
    assert weights.tolist() == [0.3375, 6.75, 3.375, 1.6875]
    assert weights @ COUNTS == pytest.approx(81)


def test_balanced_weights_are_those_of_scikit_learn():
    utils = pytest.importorskip("sklearn.utils")
    labels = np.repeat(np.arange(5), (7, 1, 30, 2, 2))
    theirs = utils.compute_class_weight("balanced", classes=np.arange(5), y=labels)
    np.testing.assert_array_equal(ClassWeights().label_weights("abcde", np.bincount(labels)), theirs)


def test_classes_without_images_do_not_count():
    """81 images of three classes: 81 / (3 x 27)."""
    assert ClassWeights().label_weights("abcd", (27, 27, 0, 27)).tolist() == [1, 1, 0, 1]


def test_given_weights_have_a_mean_of_1_over_the_images():
    """60 x 1 + 3 x 20 + 6 x 10 + 12 x 5 = 240, so each is times 81 / 240. The order of the classes is the data's."""
    assert GIVEN.label_weights("abcd", COUNTS) == pytest.approx(np.array([1, 20, 10, 5]) * 81 / 240)
    assert GIVEN.label_weights("dcba", COUNTS[::-1]) == pytest.approx(np.array([5, 10, 20, 1]) * 81 / 240)


def test_a_class_is_found_in_either_form_of_unicode():
    weights = ClassWeights(("caf\u00e9", "bar"), (3.0, 1.0))
    assert weights.label_weights(["bar", "cafe\u0301"], (1, 1)).tolist() == [0.5, 1.5]
    with pytest.raises(ValueError, match="each class must be named once"):
        ClassWeights(("caf\u00e9", "cafe\u0301"), (1.0, 2.0))


@pytest.mark.parametrize(
    "names, words",
    [
        (("a", "b", "c"), "there is no class 'd' in the training images, and class_weights names it"),
        (("a", "b", "c", "d", "e", "f"), r"no weight for 2 of 6 classes \(e, f\): give each class one"),
    ],
)
def test_weights_for_other_classes_are_refused(names, words):
    with pytest.raises(Refused, match=words):
        GIVEN.label_weights(names, range(1, len(names) + 1))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: ClassWeights(("a",), ()), "names and weights must be as many"),
        (lambda: ClassWeights(("a", "a"), (1.0, 2.0)), "each class must be named once"),
        (lambda: Recipe().add(ClassWeights(("a", "b"), (1.0, 0.0))), "class_weights: weights is 0.0: it takes 1e-06"),
        (lambda: Recipe().add(ClassWeights(("a", "b"), (1.0, float("nan")))), "class_weights: weights must be finite"),
        (lambda: Recipe(sampling="balanced").add(ClassWeights()), "sampling balanced and class_weights balanced each"),
        (lambda: Recipe(sampling="even"), "sampling is 'even': choose one of plain, balanced"),
        (lambda: MultiLabelRecipe(sampling="balanced"), "sampling balanced takes images of one class each"),
        (lambda: MultiLabelRecipe().add(ClassWeights()), "class_weights takes images of one class each"),
        (lambda: DetectionRecipe().add(ClassWeights()), "class_weights is for training classifiers"),
        (lambda: SegmentationRecipe().add(ClassWeights()), "class_weights is for training classifiers"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(Refused, match=words):
        make()
    assert Recipe(sampling="balanced").add(GIVEN).tricks == (GIVEN,)


def test_a_recipe_with_weights_is_read_back():
    for trick in (ClassWeights(), GIVEN):
        recipe = Recipe().add(trick)
        assert Recipe.from_json(recipe.to_json()) == recipe


def test_the_loss_is_pytorchs_but_for_what_it_is_divided_by():
    torch, weights = pytest.importorskip("torch"), ClassWeights().label_weights("abcd", COUNTS)
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights), reduction="none")
    expected = theirs(torch.tensor(LOGITS), torch.tensor(LABELS)).numpy()
    assert loss_of(target=weighted(LABELS, weights)) == pytest.approx(expected, rel=1e-5)
    mean = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(torch.tensor(LOGITS), torch.tensor(LABELS)).item()
    assert mean == pytest.approx(expected.sum() / weights[LABELS].sum())  # ours: / 6
    mixed = np.eye(4)[LABELS] * 0.3 + np.eye(4)[LABELS[::-1]] * 0.7
    expected = theirs(torch.tensor(LOGITS), torch.tensor(mixed)).numpy()
    target = weighted(LABELS, weights) * 0.3 + weighted(LABELS[::-1], weights) * 0.7
    assert loss_of(target=target) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["paper", "gluoncv"])
def test_a_smoothed_label_counts_as_a_whole(form):
    """The smoothed loss of an image times its class's weight, which PyTorch's is not."""
    weights = ClassWeights().label_weights("abcd", COUNTS)
    plain = loss_of(LabelSmoothing(0.1, form), target=weighted(LABELS, np.ones(4)))
    expected = weights[LABELS] * plain
    assert loss_of(LabelSmoothing(0.1, form), target=weighted(LABELS, weights)) == pytest.approx(expected, rel=1e-5)


def test_smoothing_alone_is_what_it_was_to_the_last_bit():
    for eps, form, classes in ((0.1, "paper", 1000), (0.1, "gluoncv", 10), (0.37, "paper", 7)):
        smoothing, labels = LabelSmoothing(eps, form), mx.nd.arange(classes)
        on, off = smoothing.shares(classes)
        hot = mx.nd.one_hot(labels, classes)
        np.testing.assert_array_equal(smoothing.batch(None, hot, DRAW)[1].asnumpy(), (hot * (on - off) + off).asnumpy())


@pytest.mark.parametrize("first", [LabelSmoothing(), Mixup(1.0)])
def test_of_a_mixed_image_each_label_counts_by_its_own_class_in_either_order(first):
    weights = GIVEN.label_weights("abcd", COUNTS)
    mixed = Mixup(1.0).batch(mx.nd.zeros((6, 1)), weighted(LABELS, np.ones(4)), DRAW)[1].asnumpy()
    lam = float(mixed[2, 2])  # of class 2, mixed with one of class 3
    on, off = 0.9, 0.1 / 3
    q = np.eye(4) * (on - off) + off
    alone = [-(q[of] * log_p()).sum(axis=1) * weights[of] for of in (LABELS, LABELS[::-1])]
    second = Mixup(1.0) if isinstance(first, LabelSmoothing) else LabelSmoothing()
    seen = loss_of(first, second, target=weighted(LABELS, weights))
    assert seen == pytest.approx(lam * alone[0] + (1 - lam) * alone[1], rel=1e-4)


def test_what_a_teacher_says_has_no_weight():
    weights, teacher = GIVEN.label_weights("abcd", COUNTS), np.random.default_rng(1).normal(size=(6, 4))
    net = type("Teacher", (), {"hybridize": lambda *a, **k: None, "__call__": lambda s, x: mx.nd.array(teacher)})()
    loss = Distillation("run", 2.0).loss(cross_entropy, lambda name: net)
    seen = [
        loss(mx.nd.zeros((6, 1)), mx.nd.array(LOGITS), weighted(LABELS, of)).asnumpy() for of in (weights, np.ones(4))
    ]
    hard = -log_p()[np.arange(6), LABELS]
    assert seen[0] - seen[1] == pytest.approx((weights[LABELS] - 1) * hard, abs=1e-4)


def test_steps_of_light_images_are_no_divergence():
    """Smoothed labels leave 0.5 nats of a loss; steps whose images weigh 0.3 lie below that, and are well."""
    smoothed = Recipe(classes=10).add(LabelSmoothing())
    least = LabelSmoothing().least_loss(0.0, 10)
    for tricks in ((ClassWeights(), LabelSmoothing()), (LabelSmoothing(), ClassWeights())):
        watch = Watch(Recipe(classes=10, tricks=tricks))
        assert 0 < watch._least == pytest.approx(least / 10)
        for step in range(1, 200):
            watch.look(step, 0.3 * (least + 0.01) if step % 2 else least + 0.01)
    given = ClassWeights(tuple("abcdefghij"), (*[4.0] * 9, 8.0))
    assert Watch(smoothed.add(given))._least == pytest.approx(least / 2)
    assert Watch(smoothed)._least == least
