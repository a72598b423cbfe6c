"""VGG against its paper: shapes, counts, starts. (Equality with GluonCV: test_equals_gluoncv.py)"""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model

# vgg11 (A in table 1 of the paper): 3x3 convolutions with biases.
#   stage1   3 ->  64      1,792
#   stage2  64 -> 128     73,856
#   stage3 128 -> 256    295,168, 256 -> 256    590,080
#   stage4 256 -> 512  1,180,160, 512 -> 512  2,359,808
#   stage5 512 -> 512  2,359,808 twice
#   dense  512 * 49 -> 4096  102,764,544, 4096 -> 4096  16,781,312, 4096 -> 1000  4,097,000: 132,863,336
# vgg13 adds one of 64 -> 64 (36,928) and of 128 -> 128 (147,584). vgg16 adds one more to each of stages 3 (590,080),
# 4 and 5 (2,359,808 each), and so does vgg19.
# _bn adds 2 numbers for each channel of a convolution: vgg11 has 64 + 128 + 512 + 1,024 + 1,024 = 2,752 channels,
# vgg13 64 + 128 more, vgg16 256 + 512 + 512 more, and so has vgg19.
PARAMETERS = {
    11: (132_863_336, 2 * 2_752),
    13: (132_863_336 + 184_512, 2 * 2_944),
    16: (132_863_336 + 184_512 + 5_309_696, 2 * 4_224),
    19: (132_863_336 + 184_512 + 2 * 5_309_696, 2 * 5_504),
}


@pytest.mark.parametrize("depth", PARAMETERS)
@pytest.mark.parametrize("normalised", [False, True])
def test_counts(depth, normalised):
    net = get_model(f"vgg{depth}{'_bn' * normalised}")
    net.infer_shape(mx.nd.zeros((1, 3, 224, 224)))
    parameters = net.collect_params().values()
    expected, extra = PARAMETERS[depth]
    assert sum(np.prod(p.shape) for p in parameters if p.grad_req != "null") == expected + normalised * extra
    assert sum(len(p.shape) > 1 for p in parameters) == depth


def test_stages_end_at_the_pools():
    net, x, shapes = get_model("vgg16"), mx.sym.var("images"), []
    for stage in net.trunk:
        x = stage(x)
        shapes.append(x.infer_shape(images=(1, 3, 224, 224))[1][0][1:])
    assert shapes == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert [sum(isinstance(layer, mx.gluon.nn.Conv2D) for layer in stage) for stage in net.trunk] == [2, 2, 3, 3, 3]


def test_it_starts_as_in_gluoncv():
    mx.random.seed(1)
    net = get_model("vgg11_bn", classes=100)
    net.initialize(mx.init.Constant(9))  # each layer has an initialiser of its own
    net(mx.nd.zeros((1, 3, 32, 32)))
    weights = {k: p.data().asnumpy() for k, p in net._collect_params_with_prefix().items() if k.endswith(".weight")}
    deviations = {key: value.std() for key, value in weights.items()}
    assert deviations["stage1.0.weight"] == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)  # 1,728 numbers
    assert deviations["stage5.3.weight"] == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    for key in ("neck.1.weight", "neck.4.weight", "head.weight"):
        assert deviations[key] == pytest.approx(0.01, rel=0.01)
    assert not any(p.data().asnumpy().any() for p in net.collect_params(".*bias").values())


def test_norms_follow_the_convolutions_only():
    net = get_model("vgg11_bn")
    kinds = [type(layer).__name__ for part in [*net.trunk, net.neck] for layer in part]
    assert kinds.count("Conv2D") == kinds.count("BatchNorm") == 8
    assert all(kinds[i + 1] == "BatchNorm" for i, kind in enumerate(kinds) if kind == "Conv2D")
    with pytest.raises(Refused, match="no argument 'use_global_stats' in vgg11"):
        get_model("vgg11", use_global_stats=True)


def test_it_is_made_for_the_size_of_the_first_images():
    net = get_model("vgg11", classes=10)
    net.initialize()
    assert net(mx.nd.zeros((1, 3, 64, 64))).shape == (1, 10)
    assert net.neck[1].weight.shape == (4096, 512 * 2 * 2)
    assert net(mx.nd.zeros((1, 3, 95, 64))).shape == (1, 10)  # 95 -> 47 -> 23 -> 11 -> 5 -> 2
    with pytest.raises(Refused, match="vgg11: its dense layers take 2048 .* images of 96x64 pixels give 3072"):
        net(mx.nd.zeros((1, 3, 96, 64)))
    with pytest.raises(Refused, match="vgg11 takes images of at least 32x32 pixels, but got 31x64"):
        net(mx.nd.zeros((1, 3, 31, 64)))


def test_dropout():
    rates = [layer._rate for layer in get_model("vgg16").neck if isinstance(layer, mx.gluon.nn.Dropout)]
    assert rates == [0.5, 0.5]
    with pytest.raises(Refused, match=r"vgg16_bn: a dropout of -0.1"):
        get_model("vgg16_bn", hidden_drop=-0.1)
