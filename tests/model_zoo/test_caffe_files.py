"""Caffe's files: networks written as Caffe has them, read by OpenCV, and computing what OpenCV computes."""

import os

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import convert
from gluon_tricks.core.errors import Refused
from model_zoo import caffe_files, formats, get_model, load_model

from . import caffe_writer

SMALL = [
    ("cvjena_alexnet", 67, {"hidden": 16}),
    ("cvjena_vgg19", 32, {"hidden": 16}),
    ("cvjena_resnet10", 64, {}),
    ("cvjena_resnet50", 64, {}),
    ("caffenet", 67, {"hidden": 16}),
    ("caffenet_no_lrn", 67, {"hidden": 16}),
    ("googlenet_2014", 191, {}),
    ("vgg11", 32, {"hidden": 16}),
]


@pytest.fixture
def written(tmp_path, randomise):
    """written(name, side, **kwargs): a network with random numbers, and its file."""

    def write(name, side, *, shortcuts_first=False, softmax=True, **kwargs):
        net = randomise(get_model(name, classes=5, **kwargs), side)
        return net, caffe_writer.write(net, tmp_path, side, shortcuts_first, softmax=softmax)

    return write


def same(one, other):
    theirs = other._collect_params_with_prefix()
    for name, parameter in one._collect_params_with_prefix().items():
        np.testing.assert_allclose(parameter.data().asnumpy(), theirs[name].data().asnumpy(), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name, side, kwargs", SMALL)
def test_a_network_of_caffes_becomes_ours(written, name, side, kwargs):
    """All its numbers come back, and OpenCV computes the same with them, or assign would have refused."""
    net, path = written(name, side, **kwargs)
    found = get_model(name, classes=5, **kwargs)
    read = caffe_files.read(path, side)
    caffe_files.assign(found, read, path)
    same(net, found)
    np.testing.assert_allclose(found(mx.nd.array(read.images[:, ::-1])).asnumpy(), read.logits, rtol=1e-4, atol=1e-4)
    assert found.preprocessing.std == (1.0, 1.0, 1.0)  # that of pixels, VGG's too


def test_a_shortcut_before_its_branch_is_told_from_a_branch_of_its_shape(written):
    net, path = written("cvjena_resnet50", 64, shortcuts_first=True, softmax=False)
    found = get_model("cvjena_resnet50", classes=5)
    caffe_files.assign(found, caffe_files.read(path, 64), path)
    same(net, found)


def test_a_batch_norm_without_a_scale(tmp_path):
    """Of a factor of 2 half the sums; gamma 1, beta 0; of a factor of 0, as before training, zeros."""
    told = [("bn", "BatchNorm", [np.array([2.0, 4.0]), np.array([6.0, 8.0]), np.array([2.0])])]
    assert {k: list(v) for k, v in caffe_files._layers(told, "x")["bn"].items()} == {
        "gamma": [1, 1],
        "beta": [0, 0],
        "running_mean": [1, 2],
        "running_var": [3, 4],
    }
    told[0][2][2] = np.zeros(1)
    assert list(caffe_files._layers(told, "x")["bn"]["running_var"]) == [0, 0]


def test_the_command(written, tmp_path, capsys):
    net, path = written("cvjena_resnet10", 64)
    target = tmp_path / "net.safetensors"
    assert convert.main([str(path), str(target), "--model", "cvjena_resnet10"]) == 0
    assert "cvjena_resnet10 with 5 classes: " in capsys.readouterr().out
    found = load_model(target)
    assert (found.name, found.classes) == ("cvjena_resnet10", 5)
    same(net, found)


def test_what_is_refused_of_the_command(written, tmp_path, capsys):
    _, path = written("cvjena_resnet10", 64)
    target = str(tmp_path / "net.safetensors")
    for words, said in (
        ([], "does not say which network it holds: name it with --model"),
        (["--model", "cvjena_resnet"], "is no cvjena_resnet: it lacks a layer as stage1.1."),
        (["--model", "resnet18_v1"], "is no resnet18_v1: it lacks a layer as "),
        (["--model", "nothing"], "no model 'nothing'"),
    ):
        assert convert.main([str(path), target, *words]) == 2
        assert said in capsys.readouterr().err
    assert not os.path.exists(target)
    with pytest.raises(Refused, match="is Caffe's: make it a file of ours with gluon-tricks convert first"):
        formats.read(path)


def test_another_network_of_the_same_layers_is_refused(written):
    """CaffeNet without its normalisations has the layers of CaffeNet with them."""
    _, path = written("caffenet_no_lrn", 67, hidden=16)
    read = caffe_files.read(path, 67)
    with pytest.raises(Refused, match="has layers as caffenet has them, and computes something else: its logits diff"):
        caffe_files.assign(get_model("caffenet", classes=5, hidden=16), read, path)


def test_biases_of_other_layers_are_seen(written):
    """A photo's pixels drown them: the second image does not."""
    net, path = written("vgg11", 32, hidden=16)
    read = caffe_files.read(path, 32)
    read.layers[0]["bias"][:] = read.layers[0]["bias"][::-1].copy()
    with pytest.raises(Refused, match="computes something else"):
        caffe_files.assign(get_model("vgg11", classes=5, hidden=16), read, path)


def test_layers_that_are_left_over(written):
    _, path = written("vgg13", 32, hidden=16)
    with pytest.raises(Refused, match="is no vgg11: it has 2 layers more, such as "):
        caffe_files.assign(get_model("vgg11", classes=5, hidden=16), caffe_files.read(path, 32), path)


def test_the_folder_of_nobody_is_a_file_that_is_not_there():
    with pytest.raises(Refused, match="there is no parameter file ~nobody_x.caffemodel"):
        caffe_files.read("~nobody_x.caffemodel", 32)


def test_the_prototxt_is_looked_for(tmp_path):
    path = tmp_path / "net.caffemodel"
    with pytest.raises(Refused, match="there is no parameter file"):
        caffe_files.prototxt_of(path)
    path.touch()
    with pytest.raises(Refused, match="no prototxt lies beside it: put the one of the network .* as net.prototxt"):
        caffe_files.prototxt_of(path)
    for name in ("other.prototxt", "deploy.prototxt", "net.prototxt"):
        (tmp_path / name).touch()
        assert caffe_files.prototxt_of(path) == tmp_path / name
    (tmp_path / "net.prototxt").unlink(), (tmp_path / "deploy.prototxt").unlink()
    (tmp_path / "more.prototxt").touch()
    with pytest.raises(Refused, match="beside it are 2 of them"):
        caffe_files.prototxt_of(path)


HEAD = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }'
)
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
GOOD = caffe_writer.caffemodel([("c", "Convolution", [np.ones((2, 3, 3, 3)), np.ones(2)])])


@pytest.mark.parametrize(
    "prototxt, model, said",
    [
        ("layer {", GOOD, "cannot be read by OpenCV: "),
        (HEAD + INPUT + CONV + "layer {", GOOD, "cannot be read by OpenCV: "),
        (HEAD + CONV, b"\xff" * 100, "cannot be read by OpenCV: "),
        (HEAD + CONV, GOOD[:-40], "cannot be read by OpenCV: "),
        (HEAD + CONV, b"", "do not belong together"),
        (HEAD + CONV.replace("Convolution", "Nothing"), GOOD, "cannot be read by OpenCV: "),
        (HEAD + CONV.replace("num_output: 2", "num_output: 2000000000"), GOOD, "cannot be read by OpenCV: "),
        (HEAD, GOOD, "do not belong together"),
        (HEAD + CONV.replace('"c"', '"d"'), GOOD, "(do not belong together|cannot be read by OpenCV)"),
        (HEAD + CONV, GOOD.replace(np.float32(1).tobytes(), np.float32(np.nan).tobytes()), "not finite"),
    ],
    ids=["prototxt", "end", "bytes", "cut", "empty", "kind", "huge", "no layer", "other names", "nan"],
)
def test_damaged_files(tmp_path, prototxt, model, said):
    (tmp_path / "net.prototxt").write_text(prototxt)
    (tmp_path / "net.caffemodel").write_bytes(model)
    with pytest.raises(Refused, match=said):
        caffe_files.read(tmp_path / "net.caffemodel", 8)


DATA = 'layer { name: "train" type: "Data" top: "data" include { phase: TRAIN } }\n'


@pytest.mark.parametrize(
    "head",
    [
        HEAD,
        'name: \'AlexNet\'  # input: "none"\ninput: "data"\ninput_dim: 10\n' + "input_dim: 8\n" * 3,
        'input: "data" input_shape: < dim: [1, 3, 8, 8] >\n',
    ],
)
def test_an_input_that_a_layer_makes_too_counts_once(head, tmp_path):
    """As in the published AlexNet of cvjena."""
    read = []
    for text in (INPUT + CONV, head + INPUT + CONV):
        (tmp_path / "net.prototxt").write_text(text)
        (tmp_path / "net.caffemodel").write_bytes(GOOD)
        read.append(caffe_files.read(tmp_path / "net.caffemodel", 8))
    assert read[1].names == ("c",)
    np.testing.assert_array_equal(read[1].logits, read[0].logits)


@pytest.mark.parametrize(
    "head, makers",
    [
        (DATA + DATA.replace("TRAIN", "TEST").replace("train", "test"), "train, test"),
        (HEAD + DATA, "input, train"),
        (HEAD.replace("input_shape", 'input: "more" input_shape') + INPUT, "input, data"),
    ],
)
def test_a_blob_that_is_made_twice(head, makers, tmp_path):
    (tmp_path / "net.prototxt").write_text(head + CONV)
    (tmp_path / "net.caffemodel").write_bytes(GOOD)
    with pytest.raises(Refused, match=f"net.prototxt makes the blob 'data' 2 times, by {makers}: delete all but one"):
        caffe_files.read(tmp_path / "net.caffemodel", 8)


def test_a_layer_of_another_kind(tmp_path):
    prelu = CONV + 'layer { name: "p" type: "PReLU" bottom: "c" top: "p" }'
    (tmp_path / "net.prototxt").write_text(HEAD + prelu)
    layers = [("c", "Convolution", [np.ones((2, 3, 3, 3)), np.ones(2)]), ("p", "PReLU", [np.ones(2)])]
    (tmp_path / "net.caffemodel").write_bytes(caffe_writer.caffemodel(layers))
    with pytest.raises(Refused, match="layer 'p' is a 'PReLU' with 1 array, and what is read are Convolution, Inner"):
        caffe_files.read(tmp_path / "net.caffemodel", 8)


def test_no_files(tmp_path):
    os.mkfifo(tmp_path / "net.caffemodel")
    (tmp_path / "net.prototxt").touch()
    with pytest.raises(Refused, match="it is a pipe, not a file"):
        caffe_files.read(tmp_path / "net.caffemodel", 8)
