"""The CIFAR networks and their plain twins. (Equality with GluonCV: test_equals_gluoncv.py)"""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model

# depth = 6n + 2. A norm has 2 numbers a channel.
#   stem    3 * 16 * 9 + 32                                                            =     464
#   stage1  n blocks of 2 * (16 * 16 * 9 + 32)                                         =   4,672 n
#   stage2  first: 16 * 32 * 9 + 32 * 32 * 9 + 2 * 64 = 13,952, projection 16 * 32 + 64 = 576
#           others: 2 * (32 * 32 * 9 + 64)                                             =  18,560 (n - 1)
#   stage3  first: 32 * 64 * 9 + 64 * 64 * 9 + 2 * 128 = 55,552, projection 32 * 64 + 128 = 2,176
#           others: 2 * (64 * 64 * 9 + 128)                                            =  73,984 (n - 1)
#   head    64 * 10 + 10                                                               =     650
# n = 3: 464 + 14,016 + 13,952 + 576 + 37,120 + 55,552 + 2,176 + 147,968 + 650 = 272,474; each further n 97,216.
# A plain net lacks the projections: 2,752.
PARAMETERS = {20: 272_474, 32: 466_906, 44: 661_338, 56: 855_770, 110: 1_730_714}


def initialised(name, **kwargs):
    mx.random.seed(1)
    net = get_model(name, **kwargs)
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize("depth", PARAMETERS)
def test_counts(depth):
    for name, expected in (
        (f"cifar_resnet{depth}_v1", PARAMETERS[depth]),
        (f"cifar_plain{depth}", PARAMETERS[depth] - 2_752),
    ):
        parameters = get_model(name)._collect_params_with_prefix()
        assert sum(np.prod(p.shape) for p in parameters.values() if p.grad_req != "null") == expected
        assert sum(len(p.shape) > 1 and "shortcut" not in key for key, p in parameters.items()) == depth


@pytest.mark.parametrize("name", ["cifar_resnet20_v1", "cifar_plain20"])
def test_shapes_and_classes(name, images):
    net = initialised(name)
    assert net.input_size == 32 and net.classes == 10
    assert net(images(2, 32)).shape == (2, 10)
    maps = net.features_at(1, 2, 3)(images(2, 32))
    assert [m.shape for m in maps] == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]


@pytest.mark.parametrize("name", ["cifar_resnet20_v1", "cifar_plain20"])
def test_the_stem_has_no_relu(name, images):
    assert (initialised(name).stem(images(2, 32)).asnumpy() < 0).any()


def test_a_plain_block_without_weights_gives_nothing_and_a_residual_one_its_input(images):
    x = images(1, 8).abs().tile((1, 6, 1, 1))[:, :16]  # 16 channels, none negative
    for name, expected in (("cifar_resnet20_v1", x.asnumpy()), ("cifar_plain20", 0 * x.asnumpy())):
        block = get_model(name).stage1[1]
        block.initialize(mx.init.Zero())
        np.testing.assert_array_equal(block(x).asnumpy(), expected)


def test_twins_have_the_same_layers():
    residual, plain = (get_model(name)._collect_params_with_prefix() for name in ("cifar_resnet20_v1", "cifar_plain20"))
    shapes = [p.shape for key, p in residual.items() if "shortcut" not in key]
    assert shapes == [p.shape for p in plain.values()]


def test_zero_gamma_is_for_residual_branches_only():
    with pytest.raises(Refused, match="no argument 'last_gamma' in cifar_plain20"):
        get_model("cifar_plain20", last_gamma=True)
    zero = [
        key
        for key, p in initialised("cifar_resnet20_v1", last_gamma=True)._collect_params_with_prefix().items()
        if key.endswith("gamma") and not p.data().asnumpy().any()
    ]
    assert zero == [f"stage{stage}.{block}.bn2.gamma" for stage in (1, 2, 3) for block in (0, 1, 2)]
