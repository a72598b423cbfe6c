import json

import gluoncv
import mxnet as mx
import pytest
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, summary
from model_zoo.graph import operators
from model_zoo.summary import human, main, paper_table, summarise


def sequence(*blocks):
    net = nn.HybridSequential(prefix="tiny_")
    net.add(*blocks)
    return net


def test_a_tiny_net_by_hand():
    net = sequence(
        nn.Conv2D(8, 3, strides=2, padding=2, dilation=2, groups=2, in_channels=4, prefix="conv_"),
        nn.Activation("relu", prefix="relu_"),
        nn.Conv2D(8, 3, padding=1, groups=8, use_bias=False, in_channels=8, prefix="depthwise_"),
        nn.BatchNorm(in_channels=8, prefix="norm_"),
        nn.Conv2DTranspose(5, 2, strides=2, use_bias=False, in_channels=8, prefix="transposed_"),
        nn.Flatten(prefix="flatten_"),
        nn.Dense(3, in_units=5 * 16 * 16, prefix="dense_"),
        nn.Dense(2, use_bias=False, prefix="deferred_"),
    )
    # A 3x3 filter of dilation 2 covers 5 places: (16 + 2 * 2 - 5) // 2 + 1 = 8.
    expected = [  # name, output, layers, parameters, multiply-adds, bytes
        ("0", (1, 8, 8, 8), 1, 8 * 2 * 9 + 8, 512 * 2 * 9, 2048),
        ("1", (1, 8, 8, 8), 0, 0, 0, 2048),
        ("2", (1, 8, 8, 8), 1, 8 * 9, 512 * 9, 2048),
        ("3", (1, 8, 8, 8), 0, 16, 0, 2048),
        ("4", (1, 5, 16, 16), 1, 8 * 5 * 4, 512 * 5 * 4, 5120),
        ("5", (1, 1280), 0, 0, 0, 0),
        ("6", (1, 3), 1, 3 * 1280 + 3, 3840, 12),
        ("7", (1, 2), 1, 6, 6, 8),
    ]
    found = summarise(net, 16, channels=4)
    seen = [(r.name, r.output, r.layers, r.parameters, r.multiply_adds, r.activation_bytes) for r in found.rows]
    assert seen == expected
    total = found.total
    assert (total.layers, total.parameters, total.multiply_adds, total.activation_bytes) == (5, 4249, 27910, 13332)
    batch = summarise(net, 16, batch_size=3, channels=4).total
    assert (batch.multiply_adds, batch.activation_bytes, batch.output) == (27910, 3 * 13332, (3, 2))


def test_resnet50_v1b_by_hand():
    # Multiply-adds of a 1x1 convolution: channels in * channels out * pixels; of a 3x3 one nine times that.
    # stem    7 * 7 * 3 * 64 at 112 * 112                                                         118,013,952
    # stage1  at 56 * 56: (64*64 + 9*64*64 + 64*256 + 64*256) + 2 (256*64 + 9*64*64 + 64*256)     667,942,912
    # stage2  256*128 at 56 * 56, the rest at 28 * 28:
    #         (9*128*128 + 128*512 + 256*512) + 3 (512*128 + 9*128*128 + 128*512)               1,027,604,480
    # stage3  512*256 at 28 * 28, the rest at 14 * 14:
    #         (9*256*256 + 256*1024 + 512*1024) + 5 (1024*256 + 9*256*256 + 256*1024)           1,464,336,384
    # stage4  1024*512 at 14 * 14, the rest at 7 * 7:
    #         (9*512*512 + 512*2048 + 1024*2048) + 2 (2048*512 + 9*512*512 + 512*2048)            809,238,528
    # head    2048 * 1000                                                                           2,048,000
    found = summarise(get_model("resnet50_v1b"), 224)
    assert [(row.name, row.multiply_adds) for row in found.parts()] == [
        ("stem", 118_013_952),
        ("stage1", 667_942_912),
        ("stage2", 1_027_604_480),
        ("stage3", 1_464_336_384),
        ("stage4", 809_238_528),
        ("neck", 0),
        ("head", 2_048_000),
    ]
    assert found.total.multiply_adds == 4_089_184_256
    assert found.total.layers == 54  # 50, and the convolutions of four shortcuts
    assert found.total.parameters == 25_557_032  # torchvision's published count of the same network
    assert [row.name for row in found.rows[:4]] == ["stem.0", "stem.1", "stem.2", "stem.3"]
    assert "stage3.5.conv2" in [row.name for row in found.rows]


def test_gluoncvs_own_network():
    found = summarise(gluoncv.model_zoo.get_model("resnet50_v1b"), 224).total
    assert (found.layers, found.parameters, found.multiply_adds) == (54, 25_557_032, 4_089_184_256)


def test_a_block_that_is_used_twice_works_twice_and_is_stored_once():
    shared = nn.Dense(4, in_units=4, use_bias=False, flatten=False)
    total = summarise(sequence(shared, shared), 4).total  # (1, 3, 4, 4): 48 numbers, each the sum of 4 products
    assert (total.layers, total.parameters, total.multiply_adds, total.activation_bytes) == (2, 16, 2 * 192, 2 * 192)


def test_a_fixed_gamma_is_no_parameter():
    assert summarise(sequence(nn.BatchNorm(scale=False, in_channels=3)), 8).total.parameters == 3


def test_the_network_stays_uninitialised_and_trainable():
    net = get_model("resnet18_v1", classes=5)
    summarise(net, 64)
    assert all(parameter._data is None for parameter in net.collect_params().values())


@pytest.mark.parametrize(
    "make, size, message",
    [
        (lambda: get_model("resnet18_v1d"), 8, "at least 17x17 pixels, but got 8x8"),
        (lambda: get_model("resnet18_v1"), 0, r"\(1, 3, 0, 0\): batch and sides"),
        (lambda: get_model("resnet18_v1"), 10**10, "too large: sides take up to"),
        (lambda: sequence(nn.Conv2D(3, 1, in_channels=4)), 8, r"tiny: .*\(1, 3, 8, 8\) do not fit: .*\[3,4,1,1\]"),
    ],
)
def test_images_that_cannot_be_taken(make, size, message, capsys):
    with pytest.raises(Refused, match=message):
        summarise(make(), size)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", [1, 5])
def test_papers_tables_within_three_percent(number):
    for _, name, parameters, flops in summary.PAPER[number]:
        total = summarise(get_model(name), 224).total
        assert total.multiply_adds / 1e9 == pytest.approx(flops, rel=0.03), name
        if parameters:
            assert total.parameters / 1e6 == pytest.approx(parameters, rel=0.03), name


def test_table5_as_printed():
    lines = paper_table(5).splitlines()
    assert lines[2].split() == "ResNet-50 resnet50_v1 25.58 M 25 M 3.86 G 3.8 G +1.5 %".split()
    assert "same ResNet-50: it has 3.86 G" in paper_table(5)


@pytest.mark.parametrize(
    "count, text", [(0, "0"), (864, "864"), (25_557_032, "25.6 M"), (4_089_184_256, "4.09 G"), (1000, "1.00 k")]
)
def test_human(count, text):
    assert human(count) == text


def test_the_command(tmp_path, capsys):
    file = tmp_path / "size.json"
    keywords = ["--set", "dilated=true", "--classes", "10", "--batch-size", "2"]
    assert main(["resnet18_v1b", "--input-size", "64", "--json", str(file), *keywords]) == 0
    out = capsys.readouterr().out
    assert "resnet18_v1b, images 2x3x64x64" in out and "running statistics are not counted" in out
    assert [line.split()[0] for line in out.splitlines()[4:10]] == [
        *("stem", "stage1", "stage2", "stage3", "stage4", "neck")
    ]
    assert "2x512x8x8" in out  # output stride 8
    written = json.loads(file.read_text())
    assert written["parameters"] == sum(row["parameters"] for row in written["rows"]) == 11_181_642  # 11,689,512 at
    # 1000 classes, 990 * 513 less


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["resnet18_v1", "--set", "zero=1"], "no argument 'zero' in resnet18_v1"),
        (["resnet18_v1", "--set", "zero"], "takes key=value"),
        *((["resnet18_v1", "--set", f"{key}=1"], f"no argument '{key}'") for key in ("name", "pretrained", "ctx")),
        (["resnet18_v1", "--set", "any_classes=true"], "no argument 'any_classes' in resnet18_v1"),
        (["resnet18_v1", "--set", 'norm_kwargs={"epsilon": "x"}'], "epsilon is 'x'"),
        (["resnet18_v1", "--set", "classes=abc"], "classes='abc'"),
        (["cvjena_resnet", "--set", "depth=abc"], "depth='abc'"),
        (["cvjena_resnet", "--set", "depth=Infinity"], "depth=inf"),
        (["cvjena_resnet", "--set", "depth=inf"], "depth='inf'"),
        (["resnet18_v1", "--set", "norm_layer=GroupNorm"], "norm_layer='GroupNorm'"),
        (["resnet18_v1d", "--input-size", "8"], "at least 17x17"),
    ],
)
def test_what_the_command_refuses(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["resnet18_v1", "--table1"]])
def test_one_thing_at_a_time(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "give a model, or --table1 or --table5" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--table5", "--json", "t.json", "--classes", "10"], "--classes, --json: only for a model"),
        (["--table1", "--layers", "--set", "se=true"], "--set, --layers: only for a model"),
        (["--table5", "--batch-size", "1"], "--batch-size: only for a model"),
        (["resnet18_v1", "--input-size", "10000000000"], "--input-size"),
        (["resnet18_v1", "--batch-size", "0"], "--batch-size"),
    ],
)
def test_flags_that_do_not_fit(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_the_casts_of_mixed_precision_are_no_operators():
    images = mx.sym.amp_cast(mx.sym.Variable("data"), dtype="float16")
    symbol = mx.sym.Activation(mx.sym.FullyConnected(images, num_hidden=3), act_type="relu")
    found = [(operator.kind, operator.outputs) for operator in operators(symbol, (2, 5))]
    assert found == [("FullyConnected", ((2, 3),)), ("Activation", ((2, 3),))]
