"""Files: what is read, and what is refused in which words. (Equality with GluonCV: test_equals_gluoncv.py)"""

import pickle
import struct

import gluoncv
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.runtime import Refused
from model_zoo import get_model, weights

NAME = "resnet18_v1b"


def values(net):
    return {name: p.data(p.list_ctx()[0]).asnumpy() for name, p in net._collect_params_with_prefix().items()}


@pytest.fixture(scope="module")
def net():
    net = get_model(NAME, classes=10)
    net.initialize(mx.init.Normal(0.1))
    return net


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.params"
    net.save_parameters(str(path))
    return path


def assert_equal(net, expected):
    seen = values(net)
    assert seen.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(seen[name], expected[name], err_msg=name)


def test_rename_takes_whole_segments_in_one_pass():
    table = {"stem.1": "conv1.1", "conv1": "body.0", "stage1": "layer1"}
    assert weights.rename("stem.1.gamma", table) == "conv1.1.gamma"  # its conv1 is not renamed again
    assert weights.rename("stem.10.gamma", table) == "stem.10.gamma"
    assert weights.rename("stage1.11.conv1.weight", table) == "layer1.11.body.0.weight"


def test_our_own_file(net, saved):
    assert_equal(get_model(NAME, pretrained=saved, classes=10), values(net))


def test_an_exported_network(net, tmp_path):
    net.hybridize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    net.export(str(tmp_path / "net"))
    net.hybridize(False)
    assert_equal(get_model(NAME, pretrained=tmp_path / "net-0000.params", classes=10), values(net))


def test_an_initialised_network_takes_a_file_where_it_is(net, saved):
    other = get_model(NAME, classes=10)
    other.initialize(ctx=mx.cpu(1))
    weights.load_parameters(other, saved)
    assert other.head.weight.list_ctx() == [mx.cpu(1)]
    assert_equal(other, values(net))


def test_several_contexts(net, saved):
    other = get_model(NAME, pretrained=saved, ctx=[mx.cpu(0), mx.cpu(1)], classes=10)
    assert other.head.weight.list_ctx() == [mx.cpu(0), mx.cpu(1)]
    assert_equal(other, values(net))


def test_float16_files_load_as_float32(net, tmp_path):
    path = tmp_path / "half.params"
    mx.nd.save(str(path), {name: mx.nd.array(value).astype("float16") for name, value in values(net).items()})
    loaded = get_model(NAME, pretrained=path, classes=10)
    assert {np.dtype(p.dtype).name for p in loaded.collect_params().values()} == {"float32"}
    assert_equal(loaded, {name: value.astype("float16").astype("float32") for name, value in values(net).items()})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refused, match="there is no parameter file .*none.params"):
        get_model(NAME, pretrained=tmp_path / "none.params")


@pytest.mark.parametrize("content", [b"", b"\x12\x01", pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(99)])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "x.params").write_bytes(content)
    with pytest.raises(Refused, match="x.params is no MXNet parameter file"):
        weights.read(tmp_path / "x.params")


@pytest.mark.parametrize("kept", [12, 30, 70, 1000, 0.5, -1])
def test_truncated_files_are_refused(kept, saved, tmp_path):
    content = saved.read_bytes()
    kept = int(kept * len(content)) if isinstance(kept, float) else kept
    (tmp_path / "x.params").write_bytes(content[:kept])
    with pytest.raises(Refused, match="x.params is (truncated|damaged)"):
        weights.read(tmp_path / "x.params")


def test_a_size_beyond_the_file_is_refused_before_it_is_allocated(tmp_path):
    path = tmp_path / "x.params"
    mx.nd.save(str(path), {"a.weight": mx.nd.zeros((2, 3))})
    content = bytearray(path.read_bytes())
    content[36:44] = struct.pack("<q", 1 << 60)  # 24 bytes of list header, 12 of array header, then the shape (2, 3)
    path.write_bytes(content)
    with pytest.raises(Refused, match="truncated: an array of shape .1152921504606846976, 3. reaches beyond"):
        weights.read(path)


def test_arrays_without_names_are_refused(tmp_path):
    mx.nd.save(str(tmp_path / "x.params"), [mx.nd.zeros(3)])
    with pytest.raises(Refused, match="holds 1 arrays without names"):
        weights.read(tmp_path / "x.params")


def test_another_model_is_named(tmp_path):
    other = gluoncv.model_zoo.get_model("resnet34_v1b", classes=10)
    other.initialize()
    other(mx.nd.zeros((1, 3, 32, 32)))
    other.save_parameters(str(tmp_path / "x.params"))
    with pytest.raises(Refused) as error:
        get_model(NAME, pretrained=tmp_path / "x.params", classes=10)
    # 16 - 8 blocks more, each with 2 weights and 2 x 4 numbers of BatchNorm
    assert "parameters of resnet18_v1b: of its names the file has as unknown 80 (layer1.2.bn1.beta, " in str(
        error.value
    )
    assert str(error.value).endswith("it looks like a resnet34_v1b")


def test_v1c_and_v1d_are_not_taken_for_each_other(tmp_path):
    """They have the same shapes, so only the names tell."""
    net = get_model("resnet18_v1c")
    net.initialize()
    net.save_parameters(str(tmp_path / "x.params"))
    with pytest.raises(Refused, match="lacks 15 .*it looks like a resnet18_v1c"):
        get_model("resnet18_v1d", pretrained=tmp_path / "x.params")


def test_a_published_file_of_another_family(shared_data):
    path = shared_data / "gluoncv_params" / "cifar_resnet20_v1-0000.params"
    with pytest.raises(Refused, match="does not hold the parameters of resnet18_v1: .*lacks .*has as unknown"):
        get_model("resnet18_v1", pretrained=path)


def test_other_classes_are_named(saved):
    with pytest.raises(Refused, match="saved with 10 classes, but resnet18_v1b has 1000: pass classes=10"):
        get_model(NAME, pretrained=saved)


def test_another_shape_is_refused_and_nothing_changed(net, tmp_path):
    changed = {**values(net), "stage2.0.conv1.weight": np.zeros((1, 2, 3, 3), np.float32)}
    mx.nd.save(str(tmp_path / "x.params"), {name: mx.nd.array(value) + 1 for name, value in changed.items()})
    before = values(net)
    with pytest.raises(Refused, match=r"stage2.0.conv1.weight has the shape \(1, 2, 3, 3\), not \(128, 64, 3, 3\)"):
        weights.load_parameters(net, tmp_path / "x.params")
    assert_equal(net, before)
