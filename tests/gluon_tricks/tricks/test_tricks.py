"""Each refinement against numbers worked out by hand."""

import dataclasses
import pathlib
import re

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import cross_entropy
from gluon_tricks.training.divergence import Diverged, Watch
from gluon_tricks.tricks import (
    TRICKS,
    Cosine,
    CutMix,
    Distillation,
    ExponentialDecay,
    LabelSmoothing,
    LinearScaling,
    Mixup,
    MixupOrCutMix,
    NoBiasDecay,
    RandomErasing,
    StepContext,
    StepDecay,
    Warmup,
    ZeroGamma,
)
from gluon_tricks.tricks.schedule import Plan, warmup
from model_zoo import get_model

PLAN = Plan(steps_per_epoch=2, epochs=10)
DRAW = StepContext(seed=3, step=5, plan=PLAN)


def one_hot(labels, classes):
    return mx.nd.one_hot(mx.nd.array(labels), classes)


def test_label_smoothing_of_the_paper():
    _, target = LabelSmoothing(0.1).batch(None, one_hot([2], 5), DRAW)
    assert target.asnumpy() == pytest.approx(np.array([[0.025, 0.025, 0.9, 0.025, 0.025]]))


def test_label_smoothing_of_gluoncv():
    _, target = LabelSmoothing(0.1, "gluoncv").batch(None, one_hot([2], 5), DRAW)
    assert target.asnumpy() == pytest.approx(np.array([[0.02, 0.02, 0.92, 0.02, 0.02]]))


def test_equation_5_by_optimising_logits():
    """K = 1000, eps = 0.1: the best logits are log(999 x 0.9 / 0.1) = log 8991 = 9.1040 apart."""
    assert optimal_gap(LabelSmoothing(0.1), 1000) == pytest.approx(9.1040, abs=2e-4)
    assert optimal_gap(LabelSmoothing(0.1, "gluoncv"), 1000) == pytest.approx(9.1051, abs=2e-4)  # log 9001


def test_equal_logits_at_the_largest_eps():
    """(K - 1)/K: every class is as likely as any other."""
    assert optimal_gap(LabelSmoothing(0.9), 10) == pytest.approx(0, abs=1e-6)


def optimal_gap(smoothing, classes):
    """The true logit minus the mean of the others where gradient descent on the loss ends."""
    _, target = smoothing.batch(None, mx.nd.one_hot(mx.nd.array([0]), classes, dtype="float64"), DRAW)
    logits = mx.nd.array([np.linspace(-1, 1, classes)], dtype="float64")
    logits.attach_grad()
    for _ in range(300):
        with mx.autograd.record():
            loss = cross_entropy(None, logits, target)
        loss.backward()
        logits -= 0.5 * logits.grad / target  # about the curvature, so every logit moves at its own pace
    assert abs(logits.grad).max().asscalar() < 1e-9
    return (logits[0, 0] - logits[0, 1:].mean()).asscalar()


def test_mixup_mixes_mirrored_partners_by_one_lambda():
    images = mx.nd.array([[[[0.0]]], [[[1.0]]], [[[10.0]]], [[[100.0]]]])
    target = one_hot([0, 1, 2, 3], 4)
    mixed, mixed_target = Mixup(0.2).batch(images, target, DRAW)
    lam = float(mixed_target[0, 0].asscalar())
    assert 0 < lam < 1
    assert mixed.reshape(-1).asnumpy() == pytest.approx(
        [100 * (1 - lam), lam + 10 * (1 - lam), 10 * lam + 1 - lam, 100 * lam], rel=1e-5
    )
    assert mixed_target[1].asnumpy() == pytest.approx([0, lam, 1 - lam, 0], abs=1e-6)


def test_mixups_lambda_is_beta():
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)): 0.17857 for a = 0.2."""
    plan, one = Plan(20000, 1), one_hot([0, 1], 2)
    lams = [Mixup(0.2).batch(one, one, StepContext(0, step, plan))[1][0, 0] for step in range(3000)]
    lams = mx.nd.concat(*lams, dim=0).asnumpy()
    assert lams.mean() == pytest.approx(0.5, abs=0.025)  # 3 standard errors
    assert lams.var() == pytest.approx(0.17857, abs=0.01)


def test_mixup_by_image_with_permuted_partners():
    """Images that are powers of two, so that each sum tells its two parts."""
    values = 2.0 ** np.arange(8)
    images, target = mx.nd.array(values.reshape(8, 1, 1, 1)), one_hot(np.arange(8), 8)
    mixed, mixed_target = Mixup(1.0, per="image", partner="permuted").batch(images, target, DRAW)
    weights = mixed_target.asnumpy()  # (i, j): the weight of image j in mixed image i
    np.testing.assert_allclose(mixed.reshape(-1).asnumpy(), weights @ values, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(8), rtol=1e-6)
    own = np.diag(weights)
    alone = own > 1 - 1e-6  # a permutation may leave an image where it is
    assert len(set(own[~alone].round(6))) == (~alone).sum() >= 4  # a lambda each
    partners = (weights - np.diag(own)).argmax(axis=1)[~alone]
    assert len(set(partners)) == len(partners)  # each is the partner of one
    assert list(partners) != [7 - i for i in np.flatnonzero(~alone)]


def test_shards_of_a_batch_have_one_lambda_or_others():
    images, target = mx.nd.ones((2, 1, 1, 1)), one_hot([0, 1], 2)
    for per, alike in (("batch", True), ("image", False)):
        drawn = [
            Mixup(1.0, per=per).batch(images, target, dataclasses.replace(DRAW, shard_index=k))[1].asnumpy()
            for k in (0, 1, 2)
        ]
        assert np.array_equal(drawn[0], drawn[1]) == np.array_equal(drawn[1], drawn[2]) == alike


def test_mixup_rests_in_the_last_epochs():
    images, target = mx.nd.array([[1.0], [2.0]]), one_hot([0, 1], 2)
    plan = Plan(steps_per_epoch=2, epochs=10)
    for step, mixed in ((15, True), (16, False), (19, False)):
        result = Mixup(0.2, off_epochs=2).batch(images, target, StepContext(0, step, plan))[1]
        assert bool((result != target).sum().asscalar()) is mixed


def test_exponential_decay_at_its_boundaries():
    """0.94 every two epochs of three steps: 1 up to step 5, 0.94 from step 6, 0.8836 from step 12."""
    plan = Plan(steps_per_epoch=3, epochs=10)
    lr_at = ExponentialDecay().schedule(lambda step: 2.0, plan)
    assert [lr_at(step) for step in (0, 5, 6, 11, 12)] == pytest.approx([2, 2, 1.88, 1.88, 1.7672])


def test_cross_entropy_by_hand():
    loss = cross_entropy(None, mx.nd.array([[0.0, np.log(3.0)]]), mx.nd.array([[0.25, 0.75]]))
    assert loss.asscalar() == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75), rel=1e-5)


def soft_loss(student, teacher, temperature):
    """T^2 times the divergence of softmax(student/T) from softmax(teacher/T), in float64."""
    q = np.exp(teacher / temperature) / np.exp(teacher / temperature).sum(axis=1, keepdims=True)
    log_p = student / temperature - np.log(np.exp(student / temperature).sum(axis=1, keepdims=True))
    return temperature**2 * (q * (np.log(q) - log_p)).sum(axis=1)


def distilled(trick, student, teacher, target):
    """The values of the trick's loss, the teacher being a network that always says the same."""
    net = type("Teacher", (), {"hybridize": lambda *a, **k: None, "__call__": lambda s, x: mx.nd.array(teacher)})()
    loss = trick.loss(cross_entropy, lambda name: net)
    return loss(mx.nd.zeros((len(teacher), 1)), mx.nd.array(student), target).asnumpy()


@pytest.mark.parametrize(
    "form, hard, soft", [(("paper",), 1.0, 1.0), (("gluoncv",), 0.5, 0.5), (("gluoncv", 0.3), 0.3, 0.7)]
)
def test_distillation_and_its_gradient(form, hard, soft):
    """Equation 6, and its gradient by central differences."""
    rng = np.random.default_rng(0)
    logits, teacher, images = rng.normal(size=(2, 4)), rng.normal(size=(2, 4)), mx.nd.array([[1.0], [2.0]])
    asked = []

    def load_network(name):
        asked.append(name)
        return type("Teacher", (), {"hybridize": lambda *a, **k: None, "__call__": lambda s, x: mx.nd.array(teacher)})()

    trick = Distillation("runs/teacher", 3.0, *form)
    loss = trick.loss(cross_entropy, load_network)
    target = one_hot([1, 3], 4)

    def by_hand(z):
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return hard * -log_p[[0, 1], [1, 3]] + soft * soft_loss(z, teacher, 3.0)

    student = mx.nd.array(logits)
    student.attach_grad()
    with mx.autograd.record():
        values = loss(images, student, target)
    values.backward()
    assert asked == ["runs/teacher"]
    assert values.asnumpy() == pytest.approx(by_hand(logits), rel=1e-4)
    for i in np.ndindex(2, 4):
        step = np.zeros((2, 4))
        step[i] = 1e-6
        slope = (by_hand(logits + step) - by_hand(logits - step)).sum() / 2e-6
        assert student.grad[i].asscalar() == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("form", ["paper", "gluoncv"])
@pytest.mark.parametrize("classes", [10, 1000])
def test_a_distilled_loss_is_0_at_best_and_its_explosion_is_seen(form, classes):
    """All logits are 0 but the first of the teacher, 50: at T = 20 the softmax is [e^2.5, 1, ...] / (e^2.5 + K - 1).

    With the entropy of equation 6 (646 for 10 classes, 2750 for 1000) four times the rest would hardly show.
    """
    teacher = np.zeros((4, classes))
    teacher[:, 0] = 50
    truth, trick = one_hot([0] * 4, classes), Distillation("run", 20.0, form)
    assert distilled(trick, teacher, teacher, truth) == pytest.approx(np.zeros(4), abs=2e-3)
    calm, wild = (distilled(trick, factor * teacher, teacher, truth).mean() for factor in (0.9, -4.0))
    assert 0 < calm and wild > 4 * calm
    watch = Watch(Recipe())
    with pytest.raises(Diverged, match="for 20 steps up to 50"):
        for step in range(1, 51):
            watch.look(step, calm if step <= 30 else 4 * calm)


def test_a_distilled_loss_under_mixup_and_smoothing():
    """The teacher says the same of every image, so only the hard part knows of the mixed and smoothed targets."""
    rng = np.random.default_rng(3)
    student, teacher, target = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), one_hot([0, 1, 2, 3], 5)
    images = mx.nd.zeros((4, 3, 2, 2))
    for trick in (LabelSmoothing(), Mixup(alpha=1.0)):
        images, target = trick.batch(images, target, DRAW)
    log_p = student - np.log(np.exp(student).sum(axis=1, keepdims=True))
    hard = -(target.asnumpy() * log_p).sum(axis=1)
    seen = distilled(Distillation("run"), student, teacher, target)
    assert seen == pytest.approx(hard + soft_loss(student, teacher, 20.0), abs=1e-3)


def test_no_bias_decay_leaves_weights_of_convolutions_and_dense_layers():
    net = get_model("resnet18_v1", classes=3)
    net.initialize()
    NoBiasDecay().after_initialize(net)
    decayed = [name for name, p in net.collect_params().items() if p.grad_req != "null" and p.wd_mult]
    assert len(decayed) == 21  # 17 + 3 shortcut convolutions + 1 dense layer
    assert all(name.endswith("weight") for name in decayed)
    assert len(net.collect_params().keys()) > 2 * len(decayed)


def test_zero_gamma_asks_the_network():
    assert ZeroGamma().net_kwargs() == {"last_gamma": True}


def test_every_trick_is_named_once():
    labels = [trick.label() for trick in TRICKS]
    assert len(set(labels)) == len(labels) == 26
    assert LabelSmoothing.label() == "label_smoothing"


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: LabelSmoothing(1.0), "eps must lie in"),
        (lambda: LabelSmoothing(0.1, "mine"), "form must be"),
        (lambda: Mixup(-0.1), "alpha must be 0, or 0.0001 and more"),
        (lambda: Mixup(1e-8), "alpha must be 0, or 0.0001 and more"),
        (lambda: Mixup(per="pixel"), "per must be"),
        (lambda: ExponentialDecay(every=0), "every must be positive"),
        (lambda: Distillation(""), "teacher must name"),
        (lambda: Distillation("run", 0.0), "temperature must be positive"),
        (lambda: Distillation("run", form="sum"), "form must be 'paper' or 'gluoncv'"),
        (lambda: Distillation("run", hard_weight=0.5), "hard_weight goes with form 'gluoncv'"),
        (lambda: StepDecay((60, 30)), "epochs must rise"),
        (lambda: Warmup(-1), "epochs must be 0 or more"),
        (lambda: Warmup().schedule(0.1, PLAN), "lr_at takes a function, step -> learning rate, but got 0.1"),
        (lambda: Cosine().schedule(0.1, PLAN), "lr_at takes a function, step -> learning rate, but got 0.1"),
        (lambda: Cosine().schedule(abs, 100), r"plan takes Plan\(steps_per_epoch, epochs\), but got 100"),
        (lambda: Warmup().plan(100), r"plan takes Plan\(steps_per_epoch, epochs\), but got 100"),
        (lambda: warmup(0.1, 5), "lr_at takes a function"),
        (lambda: Plan(2.5, 10), "the plan: steps_per_epoch must be int, but got 2.5"),
        (lambda: LinearScaling().base_lr("0.1", 16), "lr takes a number, but got '0.1'"),
        (lambda: LinearScaling().base_lr(0.1, 0), "batch_size is 0"),
    ],
)
def test_numbers_without_sense_are_refused(make, words):
    with pytest.raises(Refused, match=words):
        make()


@pytest.mark.parametrize("trick", TRICKS)
def test_values_of_another_type_are_refused(trick):
    """Before a trick compares them with anything, and before a recipe has it."""
    needed = {"teacher": "run"} if trick is Distillation else {}
    for field in dataclasses.fields(trick):
        for value in ("x" if not field.type.startswith("str") else 3, object(), [[1]]):
            says = rf"{trick.label()}: {field.name} must be {re.escape(field.type)}, but got"
            with pytest.raises(Refused, match=says):
                trick(**{**needed, field.name: value})


def test_lists_paths_and_numbers_of_numpy_are_as_json_has_them():
    assert StepDecay([30, np.int64(60)]) == StepDecay((30, 60)) == StepDecay(np.array([30, 60]))
    teacher = Distillation(pathlib.Path("runs") / "teacher").teacher
    assert teacher == "runs/teacher" and type(teacher) is str


@pytest.mark.parametrize("trick", [LabelSmoothing(), Mixup(), CutMix(), MixupOrCutMix()])
@pytest.mark.parametrize(
    "target, says",
    [
        (mx.nd.array([0, 1]), r"target takes a row \(K,\) for each image, .*, but got \(2,\) for 2 images"),
        (one_hot([0], 3), r"but got \(1, 3\) for 2 images"),
        (np.eye(2), "target takes an NDArray, but got an ndarray"),
    ],
)
def test_labels_are_no_target(trick, target, says):
    with pytest.raises(Refused, match=says):
        trick.batch(mx.nd.zeros((2, 3, 4, 4)), target, DRAW)


@pytest.mark.parametrize("trick", [Mixup(), CutMix(), MixupOrCutMix(), RandomErasing()])
def test_what_is_no_batch_of_a_device_and_no_step(trick):
    with pytest.raises(Refused, match="images takes an NDArray, but got an ndarray"):
        trick.batch(np.zeros((2, 3, 4, 4)), one_hot([0, 1], 2), DRAW)
    with pytest.raises(Refused, match=r"step takes StepContext\(seed, step, plan\), but got 5"):
        trick.batch(mx.nd.zeros((2, 3, 4, 4)), one_hot([0, 1], 2), 5)


def test_hooks_that_a_trick_lacks_change_nothing():
    trick, image = Cosine(), object()
    assert trick.batch(image, image, DRAW) == (image, image)
    assert trick.loss(image, None) is image and trick.base_lr(0.1, 1024) == 0.1 and trick.net_kwargs() == {}


def test_a_trick_knows_its_hooks_those_of_a_base_too():
    mixing = {trick for trick in TRICKS if trick.slot() == "mixing"}
    assert len(mixing) == 3 and all(trick.has("batch") and not trick.has("schedule") for trick in mixing)
    assert Cosine.has("schedule") and not Cosine.has("batch")
