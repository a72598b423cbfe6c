import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, symbols
from model_zoo.graph import trace
from model_zoo.symbols import import_symbol


@pytest.fixture
def exported(tmp_path):
    """(network, images, PREFIX-symbol.json)"""
    net, images = get_model("cifar_resnet20_v1"), mx.nd.random.uniform(shape=(2, 3, 32, 32))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    net(images)
    net.export(str(tmp_path / "net"))
    return net, images, tmp_path / "net-symbol.json"


def change(path, edit):
    graph = json.loads(path.read_text())
    edit(graph["nodes"])
    path.write_text(json.dumps(graph))


def test_what_is_read_back_computes_the_same(exported):
    net, images, path = exported
    np.testing.assert_array_equal(import_symbol(path)(images).asnumpy(), net(images).asnumpy())


@pytest.mark.parametrize("name", ["googlenet", "se_resnext50_32x4d", "densenet121"])
def test_other_families_compute_the_same(name, tmp_path):
    net, images = get_model(name, classes=3), mx.nd.random.uniform(shape=(1, 3, 224, 224))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    expected = net(images).asnumpy()
    net.export(str(tmp_path / name))
    np.testing.assert_array_equal(import_symbol(tmp_path / f"{name}-symbol.json")(images).asnumpy(), expected)


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "zfnet", "cvjena_vgg19", "mobilenet0.25", "inceptionv3"])
def test_every_operator_and_setting_of_the_zoo_is_read(name, tmp_path):
    path = tmp_path / f"{name}-symbol.json"
    trace(get_model(name)).save(str(path))
    nodes, read = json.loads(path.read_text())["nodes"], symbols._graph(path)["nodes"]
    assert len(read) == len(nodes)
    for seen, node in zip(read, nodes):
        wanted = {key: value for key, value in node.get("attrs", {}).items() if not key.startswith("__")}
        assert (seen["op"], seen["name"], seen["attrs"]) == (node["op"], node["name"], wanted)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("op", "Custom", "is a 'Custom' of 2 inputs"),
        ("op", "_cvimread", "is a '_cvimread' of 2 inputs"),
        ("inputs", [[0, 1, 0]] * 2, "output 1 of node 0 is not there"),
        ("inputs", [[10**6, 0, 0]] * 2, "output 0 of node 1000000 is not there"),
        ("inputs", [[0, 0, 0]], "is a 'Convolution' of 1 inputs"),
        ("name", "a\nb", "is called 'a"),
        ("attrs", {"no_bias": "True", "stride": "(0, 0)"}, "'stride' of .* is '\\(0, 0\\)'"),
        ("attrs", {"no_bias": "True", "pad": "(100000, 100000)"}, "'pad' of "),
        ("attrs", {"no_bias": "True", "num_group": "0"}, "'num_group' of "),
        ("attrs", {"no_bias": "True", "layout": "/etc/passwd"}, "'layout' of "),
        ("attrs", {"no_bias": "True", "dilate": 1}, "'dilate' of "),
        ("attrs", [], "no operator, name, inputs or settings"),
    ],
)
def test_a_graph_with_anything_else_is_refused(exported, field, value, says):
    def edit(nodes):
        layer = next(node for node in nodes if node["op"] == "Convolution" and len(node["inputs"]) == 2)
        layer[field] = value

    change(exported[2], edit)
    with pytest.raises(Refused, match=says):
        import_symbol(exported[2])


def test_files_that_do_not_belong_together_are_refused(exported):
    path = exported[2]
    with pytest.raises(Refused, match="should be called PREFIX-symbol.json and have PREFIX-0000.params beside it"):
        import_symbol(path.with_name("net-0000.params"))
    change(path, lambda nodes: nodes[1].update(name="other"))
    with pytest.raises(Refused, match="do not belong together: .*'other'.* in one of them only"):
        import_symbol(path)
    path.with_name("net-0000.params").unlink()
    with pytest.raises(Refused, match="have PREFIX-0000.params beside it"):
        import_symbol(path)
