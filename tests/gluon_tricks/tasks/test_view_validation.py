"""Evaluation over views and networks: against evaluation of one crop, and against averages worked out by hand."""

import cv2
import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.pack import RecordWriter
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.tasks.classification import looking
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.classification.view_validation import require_same_outputs
from gluon_tricks.tasks.protocol import ScoringOptions
from model_zoo import get_model
from model_zoo.classifier import Classifier
from model_zoo.preprocessing import Preprocessing

CPU = [mx.cpu()]


def cifar(seed=1, classes=4, name="cifar_resnet20_v1"):
    mx.random.seed(seed)
    net = get_model(name, classes=classes)
    net.initialize(mx.init.Xavier())
    net.preprocessing = Preprocessing(24, 0.75, (120.0, 110, 100), (60.0, 60, 60))
    return net


def scored(net, records, contexts=CPU, precision="float32", members=(), batch_size=6, **options):
    options = ScoringOptions(
        rec_val=[str(records)], batch_size=batch_size, threads=2, members=[(m.name, Trained(m)) for m in members],
        **options,
    )  # fmt: skip
    validation = Classification.open_validation(net.name, contexts, options, Trained(net))
    return validation.score(validation.loader.epoch(), precision), validation


def test_one_crop_of_many_views_is_that_of_plain_evaluation(tiny_records):
    """20 images, of which the last step is not full. Plain evaluation adds up losses in 32 bits."""
    records = tiny_records / "val.rec"
    plain, _ = scored(cifar(), records)
    for options in (
        dict(crops="flip"), dict(crops="5"), dict(crops="10", scales=(32, 24, 40)), dict(crops="flip", dense=True),
        dict(scales=(26, 44), dense=True),
    ):  # fmt: skip
        found, validation = scored(cifar(), records, **options)
        first = found.members[0][0]
        assert (first.top(1), first.top(5), found.images) == (plain.top1, plain.top5, 20), options
        assert first.loss == pytest.approx(plain.loss, rel=1e-6)
        assert validation.loader.steps_per_epoch > 1
    twice, _ = scored(cifar(), records, members=[cifar()])
    assert twice.members[0][0].loss == twice.members[1][0].loss == pytest.approx(plain.loss, rel=1e-6)


def test_a_network_twice_is_as_good_as_once(tiny_records):
    records = tiny_records / "val.rec"
    once, _ = scored(cifar(), records, crops="10")
    twice, validation = scored(cifar(), records, members=[cifar()], crops="10")
    assert (twice.top1, twice.images) == (once.top1, 20) and twice.loss == pytest.approx(once.loss, rel=1e-12)
    assert twice.ensemble.first is twice.members[0][0] and twice.ensemble.over.over.over is twice.ensemble.first
    assert twice.ensemble.whole_gain(1).difference == pytest.approx(twice.top1 - twice.ensemble.first.top(1))
    assert twice.ensemble.views == 20 and twice.ensemble.gain(1).difference == 0
    assert (twice.ensemble.positions == once.members[0][-1].positions).all()
    lines = validation.lines(twice, validation.result(twice, "float32", 2.0))
    (line,) = (line for line in lines if line.startswith("ensemble of 2: top-1 "))
    assert line.endswith("points over the best of them")
    assert lines[lines.index(line) + 2].endswith("10.0 images/s, 20 views of each averaged, float32")


class Brightness(Classifier):
    """Logits: the mean of the left half of the red pixels of an image, and 0. One convolution made for 4 x 4 px."""

    def __init__(self, weight=1.0):
        super().__init__("toy", classes=2, preprocessing=Preprocessing(4, 1.0, (0.0,) * 3, (1.0,) * 3))
        self.stage1 = nn.HybridLambda(lambda F, x: F.identity(x))
        self.neck = nn.HybridSequential()
        self.neck.add(nn.Flatten())
        self.head = nn.Dense(2, in_units=48)
        self.initialize(mx.init.Zero())
        value = np.zeros((2, 3, 4, 4), np.float32)
        value[0, 0, :, :2] = weight / 8
        self.head.weight.set_data(mx.nd.array(value.reshape(2, 48)))


@pytest.fixture
def stripes(tmp_path):
    """4 x 6 px: columns of red 8 8 0 0 16 16; and its opposite, 4 x 4 px: 0 0 4 4. Labels 0 and 1."""
    with RecordWriter(tmp_path / "stripes", ["red", "dark"]) as writer:
        for k, columns in enumerate(([8, 8, 0, 0, 16, 16], [0, 0, 4, 4])):
            image = np.zeros((4, len(columns), 3), np.uint8)
            image[:, :, 2] = columns
            writer.add(k, k, cv2.imencode(".png", image)[1].tobytes())
    return tmp_path / "stripes.rec"


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def test_averages_by_hand(stripes):
    """The first image's middle 4 x 4 has columns 8 0 0 16: the left half's mean is 4, that of its mirror image 8.

    The second's are 0 and 4. Whole, in windows of 4: columns (8 8) (8 0) (0 0) -> 8, 4, 0, mean 4; mirrored
    (16 16) (16 0) (0 0) -> 16, 8, 0, mean 8.
    """
    scores, _ = scored(Brightness(), stripes, crops="flip", batch_size=3)
    one, both = scores.members[0]
    assert one.loss == pytest.approx(-(np.log(sigmoid(4)) + np.log(0.5)) / 2, rel=1e-6)
    first, second = (sigmoid(4) + sigmoid(8)) / 2, 1 - (sigmoid(0) + sigmoid(4)) / 2
    assert both.loss == scores.loss == pytest.approx(-(np.log(first) + np.log(second)) / 2, rel=1e-6)
    assert (one.top(1), both.top(1), scores.top5) == (0.5, 0.5, 1)  # equal logits: the lower class, 0, comes first
    dense, _ = scored(Brightness(), stripes, crops="flip", dense=True)
    assert [addition.label for addition in dense.members[0]] == ["1 crop", "the whole image", "with its mirror image"]
    assert dense.members[0][1].loss == pytest.approx(one.loss, rel=1e-6) and dense.loss == pytest.approx(both.loss)


def test_an_ensemble_by_hand(stripes):
    """Left means 4 and 0, once as they are and once times -1: (s(4) + s(-4)) / 2 is 1/2, as is that of 0."""
    scores, _ = scored(Brightness(), stripes, members=[Brightness(-1.0)])
    assert scores.loss == pytest.approx(np.log(2), rel=1e-6) and scores.ensemble.over is scores.members[0][0]
    assert [one[0].top(1) for one in scores.members] == [0.5, 0.0] and scores.top1 == 0.5


def test_members_see_their_own_size_and_colours(tiny_records):
    """Two networks of other sizes and means, whose scores are those they have alone."""
    records, other = tiny_records / "val.rec", cifar(2)
    other.preprocessing = Preprocessing(32, 0.8, (50.0, 60, 70), (30.0, 30, 30))
    alone = [scored(net, records, crops="10")[0] for net in (cifar(), other)]
    together, validation = scored(cifar(), records, members=[other], crops="10")
    for one, of_one in zip(alone, together.members):
        assert (of_one[-1].positions == one.members[0][-1].positions).all()
        assert of_one[-1].loss == pytest.approx(one.loss, rel=1e-5)
    assert {size for size in next(validation.loader.epoch()).crops} == {24, 32}


@pytest.mark.parametrize("options", [dict(crops="10", scales=(32, 40)), dict(crops="flip", dense=True)])
def test_devices_batches_and_precision_change_nothing(tiny_records, options):
    def losses(scores):
        return [addition.loss for addition in scores.members[0]]

    records = tiny_records / "val.rec"
    expected, _ = scored(cifar(), records, **options)
    for batch_size, contexts in ((1, 1), (64, 1), (7, 2), (64, 2)):
        contexts = [mx.cpu(k) for k in range(contexts)]
        net = cifar()
        net.collect_params().reset_ctx(contexts)
        found, _ = scored(net, records, contexts, batch_size=batch_size, precision=None, **options)
        assert losses(found) == pytest.approx(losses(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["cifar_resnet20_v1", "cifar_resnet20_v2"])
@pytest.mark.parametrize("precision", ["float16", None])
def test_a_network_in_float16_is_fed_float16(name, precision, tiny_records, monkeypatch):
    """Also the second, which begins with a normalisation, in float32. No CPU computes them."""
    net, seen = cifar(name=name), []
    net(mx.nd.zeros((1, 3, 24, 24)))
    if precision is None:  # as it was opened
        net.cast("float16")
    monkeypatch.setattr(
        looking, "network_logits", lambda net, images: seen.append(images.dtype) or mx.nd.zeros((len(images), 4))
    )
    scored(net, tiny_records / "val.rec", precision=precision, crops="flip")
    assert {*seen} == {np.float16}


def test_the_network_is_left_as_it_was(tiny_records):
    net = cifar()
    net(mx.nd.zeros((1, 3, 24, 24)))
    before = {name: p.data().asnumpy() for name, p in parameters_by_name(net).items()}
    scored(net, tiny_records / "val.rec", precision=None, crops="flip", dense=True)
    assert {name: p.data().asnumpy().tolist() for name, p in parameters_by_name(net).items()} == {
        name: value.tolist() for name, value in before.items()
    }


def test_what_does_not_fit_together_is_refused(tiny_records):
    records = tiny_records / "val.rec"
    with pytest.raises(Refused, match="crops of 24 px, which are larger than images of 20 px"):
        scored(cifar(), records, scales=(20, 30))
    with pytest.raises(Refused, match="val.rec has 4 classes and toy has 2"):
        scored(cifar(), records, members=[Brightness()])
    named = [cifar(), cifar()]
    for net, classes in zip(named, (("red", "green", "blue", "grey"), ("red", "blue", "green", "grey"))):
        net.preprocessing = Preprocessing(24, classes=classes)
    with pytest.raises(Refused, match="was trained on other classes than .*difference: blue and green"):
        scored(named[0], records, members=[named[1]])
    members = [looking.Member(net.name, EvaluationSet(net, None, net.preprocessing), None, ()) for net in named]
    with pytest.raises(Refused, match=r"classes in the same order, .* \(the first difference: green and blue"):
        require_same_outputs(members)
