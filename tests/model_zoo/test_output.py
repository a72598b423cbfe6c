"""`net.output` and `net.features`, the idiom of GluonCV's tutorials."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from model_zoo import get_model


@pytest.mark.parametrize(
    "name, side, width",
    [("cifar_resnet20_v1", 16, 64), ("mobilenet0.25", 32, 256), ("googlenet", 223, 1024)],
)
def test_a_new_output(name, side, width, images, tmp_path):
    """The three lines of the tutorial, a step of training, and a file that another network of 3 classes reads."""
    net, x, context = get_model(name), images(2, side), [mx.cpu()]
    net.initialize(mx.init.Xavier())
    net.hybridize()
    assert net(x).shape == (2, net.classes)
    trunk = net.features(x)
    assert trunk.size == 2 * width
    with net.name_scope():
        net.output = nn.Dense(3)
    net.output.initialize(mx.init.Xavier(), ctx=context)
    net.collect_params().reset_ctx(context)
    net.hybridize()
    assert net(x).shape == (2, 3) and net.classes == 3 and net.output is net.head
    assert net.head.weight.shape == (3, width)
    np.testing.assert_array_equal(net.features(x).asnumpy(), trunk.asnumpy())
    expected = net.output(net.features(x)).asnumpy()
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    before = net.head.weight.data().asnumpy()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    with mx.autograd.record():
        loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()(net(x), mx.nd.array([0, 2]))
    loss.backward()
    trainer.step(2)
    assert (net.head.weight.data().asnumpy() != before).any()
    net.save_parameters(str(tmp_path / "three.params"))
    read = get_model(name, classes=3)
    read.load_parameters(str(tmp_path / "three.params"))
    np.testing.assert_allclose(read(x).asnumpy(), net(x).asnumpy(), rtol=0, atol=1e-5)


def test_the_features_of_another_network(images):
    """The other idiom: finetune_net.features = pretrained_net.features."""
    trained, net = get_model("cifar_resnet20_v1"), get_model("cifar_resnet20_v1", classes=3)
    trained.initialize(mx.init.Xavier())
    net.features = trained.features
    net.output.initialize(mx.init.Xavier())
    x = images(1, 16)
    assert net(x).shape == (1, 3)
    np.testing.assert_array_equal(net.features(x).asnumpy(), trained.features(x).asnumpy())


@pytest.mark.parametrize(
    "name, attribute, value, text",
    [
        (
            "resnet18_v1",
            "output",
            nn.HybridSequential(),
            r"resnet18_v1.output: give a dense layer .*nn.Dense\(3\)",
        ),
        ("resnet18_v1", "features", nn.Dense(3), "resnet18_v1.features: give those of another resnet18_v1"),
        ("googlenet_2014_aux", "output", nn.Dense(3), "auxiliary classifiers would stay; get_model has classes=K"),
    ],
)
def test_what_is_refused(name, attribute, value, text):
    net = get_model(name, classes=7)
    with pytest.raises(Refused, match=text):
        setattr(net, attribute, value)
    assert net.classes == 7


@pytest.mark.parametrize("name", ["fc", "classifier", "last_linear"])
@pytest.mark.parametrize("model", ["resnet18_v1b", "googlenet", "mobilenet0.25", "cvjena_alexnet"])
def test_a_head_by_another_name_is_refused(model, name):
    """GluonCV's resnet18_v1b calls it fc; set here, it would change nothing."""
    net = get_model(model, classes=7)
    with pytest.raises(Refused, match=f"{model} has no layer '{name}', .* is net.output"):
        setattr(net, name, nn.Dense(3))
    assert not hasattr(net, name) and net.classes == 7
