import functools
import importlib
import json
import sys
import types

import gluoncv
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import export, get_model
from model_zoo.export import export_onnx, export_symbol
from model_zoo.graph import trace
from model_zoo.preprocessing import Preprocessing
from model_zoo.resnet import ResNet

SMALL = {  # every operator of the zoo; python -m model_zoo.catalogue --try-onnx takes all networks
    **{name: functools.partial(get_model, name) for name in ("mobilenet0.25", "densenet121", "googlenet_2014_aux")},
    "caffenet": functools.partial(get_model, "caffenet", hidden=64),  # in place of 4096
    **{name: functools.partial(get_model, name) for name in ("cifar_resnet20_v1", "cvjena_resnet10")},
    "se_resnet18_v1": functools.partial(ResNet, "se_resnet18_v1", 18, "se_v1"),
    **{name: functools.partial(get_model, name) for name in ("resnet18_v1d", "inceptionv3", "googlenet")},
}
STEPS = Preprocessing(32)


@pytest.fixture(scope="module")
def onnx_libraries(missing):
    """.onnx and .onnxruntime. Without the extra `export`: skipped; a failure under CI."""
    try:
        return types.SimpleNamespace(**{name: importlib.import_module(name) for name in ("onnx", "onnxruntime")})
    except ImportError:
        missing("onnx or onnxruntime is not installed: pip install '.[export]'")


@pytest.fixture(scope="module")
def net(randomise):
    return randomise(get_model("cifar_resnet20_v1", classes=7), 32)


def outputs(path, images, libraries):
    session = libraries.onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session, session.run(None, {"data": images.asnumpy()})


def assert_near(seen, expected):
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_onnx_gives_the_same_logits_for_any_batch(net, images, tmp_path, onnx_libraries, capfd):
    difference = export_onnx(net, tmp_path / "r.onnx", STEPS)
    assert difference < 1e-5
    assert capfd.readouterr().out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r-preprocessing.json", "r.onnx"]
    for count in (1, 5):
        session, (logits,) = outputs(tmp_path / "r.onnx", images(count, 32), onnx_libraries)
        assert logits.shape == (count, 7)
        assert_near(logits, net(images(count, 32)).asnumpy())
    assert session.get_inputs()[0].shape == [None, 3, 32, 32]
    described = json.loads((tmp_path / "r-preprocessing.json").read_text())
    assert json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"]) == described
    assert described["model"] == "cifar_resnet20_v1" and described["outputs"] == [session.get_outputs()[0].name]
    assert [o.version for o in onnx_libraries.onnx.load(tmp_path / "r.onnx").opset_import] == [13]


def test_onnx_of_a_fixed_batch_and_gluoncvs_network(images, tmp_path, onnx_libraries):
    theirs = gluoncv.model_zoo.get_model("cifar_resnet20_v1")
    theirs.initialize(mx.init.Xavier())  # deferred shapes: the export finds them
    export_onnx(theirs, tmp_path / "r.onnx", STEPS, batch_size=3)
    session, (logits,) = outputs(tmp_path / "r.onnx", images(3, 32), onnx_libraries)
    assert session.get_inputs()[0].shape == [3, 3, 32, 32]
    assert_near(logits, theirs(images(3, 32)).asnumpy())


def test_symbol_gives_the_same_logits(net, images, tmp_path):
    assert export_symbol(net, tmp_path / "r", STEPS) <= 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("r-0000.params", "r-preprocessing.json", "r-symbol.json")
    ]
    read = mx.gluon.SymbolBlock.imports(str(tmp_path / "r-symbol.json"), ["data"], str(tmp_path / "r-0000.params"))
    assert_near(read(images(3, 32)).asnumpy(), net(images(3, 32)).asnumpy())
    names = mx.nd.load(str(tmp_path / "r-0000.params"))
    assert names["arg:cifar_resnet20_v1_dense0_weight"].shape == (7, 64)
    assert sum(name.startswith("aux:") for name in names) == 2 * 21  # mean and variance of 1 + 3 * 3 * 2 + 2 norms


@pytest.mark.parametrize("name", SMALL)
def test_every_family_exports_to_onnx(name, tmp_path, onnx_libraries):
    mx.random.seed(1)
    net = SMALL[name](classes=7)
    net.initialize(mx.init.Xavier())
    side = max(net.smallest_side, 33)  # odd, so that pools meet maps of 9 and 5 px
    assert export_onnx(net, tmp_path / "net.onnx", Preprocessing(side)) < 1e-4
    model = onnx_libraries.onnx.load(tmp_path / "net.onnx")
    assert [given.name for given in model.graph.input] == ["data"]  # the weights are constants
    weights = {parameter.name for parameter in net.collect_params().values()}
    assert {constant.name for constant in model.graph.initializer} >= weights and model.ir_version >= 4


def test_a_fixed_gamma_is_written_as_1_whatever_it_was(images, tmp_path, onnx_libraries, capfd):
    """BatchNorm(scale=False): MXNet computes with 1 (and, on a CPU, writes it), ONNX with what is in the file."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(3, 1), mx.gluon.nn.BatchNorm(scale=False), mx.gluon.nn.BatchNorm())
    net.initialize(mx.init.Xavier())
    net(images(1, 8))
    for norm in (net[1], net[2]):
        norm.gamma.set_data(mx.nd.array([2, 3, 4]))
    assert export._fixed_gammas(trace(net)) == [net[1].gamma.name]
    assert export_onnx(net, tmp_path / "net.onnx", Preprocessing(8)) < 1e-5
    written = onnx_libraries.onnx.load(tmp_path / "net.onnx").graph.initializer
    gammas = [onnx_libraries.onnx.numpy_helper.to_array(w).tolist() for w in written if w.name.endswith("gamma")]
    assert sorted(gammas) == [[1, 1, 1], [2, 3, 4]]
    _, (logits,) = outputs(tmp_path / "net.onnx", images(2, 8), onnx_libraries)
    assert_near(logits, net(images(2, 8)).asnumpy())
    assert "nitializer" not in capfd.readouterr().err  # onnxruntime's warning of a weight that is an input


def test_an_operator_that_cannot_be_exported(tmp_path, onnx_libraries):
    def norm(in_channels):
        return mx.gluon.nn.GroupNorm(num_groups=4)  # it infers in_channels

    net = get_model("resnet18_v1", classes=2, norm_layer=norm)
    net.initialize()
    with pytest.raises(Refused, match="resnet18_v1 to ONNX .*GroupNorm.*export the symbol instead"):
        export_onnx(net, tmp_path / "r.onnx", STEPS)
    assert list(tmp_path.iterdir()) == []
    export_symbol(net, tmp_path / "r", STEPS)


@pytest.mark.parametrize("change", [lambda out: out + 1e-3 * abs(out).max(), lambda out: out * np.nan, lambda o: o[:1]])
def test_other_logits_leave_no_file(net, tmp_path, onnx_libraries, monkeypatch, change):
    right = export._run_onnx
    monkeypatch.setattr(export, "_run_onnx", lambda *given: [change(out) for out in right(*given)])
    with pytest.raises(Refused, match="r.onnx in onnxruntime .*not written"):
        export_onnx(net, tmp_path / "r.onnx", STEPS)
    assert list(tmp_path.iterdir()) == []


def test_without_onnxruntime_it_is_written_unchecked(net, tmp_path, onnx_libraries, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export_onnx(net, tmp_path / "r.onnx", STEPS) is None
    assert (tmp_path / "r.onnx").is_file()


@pytest.mark.parametrize("module, message", [("onnx", r"pip install '.\[export\]'"), ("onnx.mapping", "too new")])
def test_without_a_fitting_onnx(net, tmp_path, onnx_libraries, monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Refused, match=message):
        export_onnx(net, tmp_path / "r.onnx", STEPS)


def test_what_is_refused(net, tmp_path, onnx_libraries):
    with pytest.raises(Refused, match="ends in .onnx"):
        export_onnx(net, tmp_path / "r.bin", STEPS)
    with pytest.raises(Refused, match="batch_size is 0"):
        export_onnx(net, tmp_path / "r.onnx", STEPS, batch_size=0)
    with pytest.raises(Refused, match="no folder"):
        export_symbol(net, tmp_path / "nowhere" / "r", STEPS)
    with pytest.raises(Refused, match="no parameters yet"):
        export_symbol(get_model("resnet18_v1"), tmp_path / "r", STEPS)
    with pytest.raises(Refused, match="2 class names for a network with 7 logits"):
        export_symbol(net, tmp_path / "r", Preprocessing(32, classes=("cat", "dog")))
    large = get_model("resnet18_v1d")
    large.initialize()
    with pytest.raises(Refused, match="at least 17x17"):
        export_symbol(large, tmp_path / "r", Preprocessing(8))
    half = get_model("resnet18_v1", classes=2)
    half.cast("float16")
    half.initialize()
    with pytest.raises(Refused, match="is of type float16, but float32 is exported"):
        export_symbol(half, tmp_path / "r", STEPS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size, ratio, edge", [(224, 0.875, 256), (299, 0.875, 342), (64, 0.8, 80), (32, 1.0, 32)])
def test_the_resize_rule(size, ratio, edge):
    assert Preprocessing(size, ratio).to_json()["resize"]["shorter_edge"] == edge


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_mean_or_deviation_that_is_no_number_is_refused(field, number):
    with pytest.raises(Refused, match=rf"{field} \(1, 2, {number}\).*all of them take finite numbers$"):
        Preprocessing(224, **{field: (1, 2, float(number))})


def test_a_crop_larger_than_the_photo_is_refused():
    with pytest.raises(Refused, match="crop_ratio 1.5"):
        Preprocessing(224, 1.5)
