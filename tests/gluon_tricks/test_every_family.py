"""Every family of the zoo from its first step to its end, and what reads the run afterwards."""

import importlib
import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate, export, predict
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.networks.of_recipe import initialised_network, parameters_by_name, set_parameters, untrained
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.final_network import save_final
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from model_zoo import get_model, keywords, list_models
from model_zoo.graph import trace

SMALLEST = {  # family (the module) -> its smallest member: its least side, or one with more than 1x1 px in the last map
    "resnet": {"resnet18_v1d": 32},
    "cifar_resnet": {"cifar_resnet20_v1": 16},
    "mobilenet": {"mobilenet0.25": 32},
    "densenet": {"densenet121": 221},
    "googlenet": {"googlenet_2014": 47},
    "inception": {"inceptionv3": 299},
    "vgg": {"vgg11": 32},
    "alexnet": {"alexnet": 63, "zfnet": 63},
    "cvjena": {"cvjena_alexnet": 55, "cvjena_resnet10": 32},
}
MEMBERS = {name: side for family in SMALLEST.values() for name, side in family.items()}


def test_every_family_is_there():
    of_family = {family: importlib.import_module(f"model_zoo.{family}").MODELS for family in SMALLEST}
    assert {name for models in of_family.values() for name in models} == set(list_models())
    assert all(SMALLEST[family].keys() <= models.keys() for family, models in of_family.items())


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Records of 4 noisy photos to train on (or 2) and 2 others to validate with, of two classes; one as a PNG."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 4), ("two", 2), ("val", 2)):
        with RecordWriter(folder / split, ["dark", "light"]) as writer:
            for k in range(count):
                image = rng.integers(0, 100, (40, 40, 3)).astype(np.uint8) + 100 * (k % 2)
                writer.add(k % 2, k, cv2.imencode(".png", image)[1].tobytes())
    cv2.imwrite(str(folder / "photo.png"), image)
    return folder


@pytest.mark.parametrize("name", MEMBERS)
def test_trained_to_its_end_and_read_back(name, photos, tmp_path, capsys):
    side, run = MEMBERS[name], tmp_path / "run"
    train, batch_size = ("two", 1) if side > 200 else ("train", 2)  # two steps
    files = {"train": (str(photos / f"{train}.rec"),), "val": (str(photos / "val.rec"),)}
    hidden = {"hidden": 256} if "hidden" in keywords(name) else {}  # in place of 4096: files of a few megabytes
    recipe = Recipe(
        model=name, net=hidden, data="records", **files, input_size=side, epochs=1, batch_size=batch_size, lr=0.001,
        augment="none",
    )  # fmt: skip
    scores = train_and_evaluate(recipe, run, Options(contexts=[mx.cpu()], picture_epochs=0))
    images = mx.nd.random.uniform(-1, 1, (2, 3, side, side))
    net = load_network(run)
    expected = net(images).asnumpy()
    seen_as = net.preprocessing
    assert (seen_as.input_size, seen_as.classes) == (side, ("dark", "light"))
    assert (seen_as.mean, seen_as.std) == (get_model(name).preprocessing.mean, get_model(name).preprocessing.std)
    for file in ("checkpoints/step-000000002.safetensors", "final-symbol.json"):
        same(load_network(run / file)(images), expected)
    assert evaluate.main(["--pretrained", str(run), "--num-gpus", "0", "--json", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["loss"] == pytest.approx(scores.loss, rel=1e-4)
    if side > 200:  # one that takes long; what follows is the same for all
        return
    assert export.main([str(run), str(tmp_path / "graph"), "--to", "symbol"]) == 0
    same(load_network(tmp_path / "graph-symbol.json")(images), expected)
    words = [str(photos / "photo.png"), "--params", str(run), "--out", str(tmp_path / "out"), "--num-gpus", "0"]
    assert predict.main(words) == 0
    said = json.loads((tmp_path / "out" / "photo.json").read_text())["classes"]
    assert {one["name"] for one in said} == {"dark", "light"} and sum(one["score"] for one in said) == pytest.approx(1)


def same(logits, expected):
    np.testing.assert_allclose(logits.asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_network_whose_images_decide_its_size_as_onnx(tmp_path):
    """export_model compares the file's logits, in onnxruntime, with the network's."""
    pytest.importorskip("onnx")
    recipe = Recipe(model="alexnet", net={"hidden": 256}, classes=2, input_size=63).resolved()
    save_final(initialised_network(recipe, [mx.cpu()]), tmp_path, recipe)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert export.main([str(tmp_path), str(tmp_path / "net.onnx"), "--to", "onnx"]) == 0


@pytest.mark.parametrize("name", list_models())
def test_arrays_give_every_network_its_shapes(name, tmp_path):
    """As a checkpoint is opened: no image has been through the network. Small ones go to a file and back too."""
    side = get_model(name).smallest_side
    recipe = Recipe(model=name, classes=2, input_size=side).resolved()
    net = untrained(recipe)
    symbol = trace(net)
    arguments, _, statistics = symbol.infer_shape(data=(1, 3, side, side))
    shapes = dict(zip([*symbol.list_arguments(), *symbol.list_auxiliary_states()], [*arguments, *statistics]))
    arrays = {
        key: np.broadcast_to(np.float32(0.5), shapes[parameter.name])
        for key, parameter in parameters_by_name(net).items()
    }
    for parameter in net.collect_params().values():
        parameter.initialize(mx.init.Zero())  # whatever its layer brings
    set_parameters(net, arrays, "arrays")
    assert {
        parameter.name: parameter.data().shape for parameter in net.collect_params().values()
    }.items() <= shapes.items()
    assert (net.head.bias.data() == 0.5).asnumpy().all()
    if sum(array.size for array in arrays.values()) < 2_000_000:
        net.save_parameters(str(tmp_path / "net.params"))
        read = untrained(recipe, pretrained=str(tmp_path / "net.params"))
        assert {key: p.shape for key, p in parameters_by_name(read).items()} == {k: a.shape for k, a in arrays.items()}


def test_only_errors_about_writing_are_called_so(tmp_path, monkeypatch):
    recipe = Recipe(model="cifar_resnet20_v1", classes=2, input_size=8).resolved()
    net = initialised_network(recipe, [mx.cpu()])
    with pytest.raises(CannotWrite, match="nowhere/.*cannot be written|nowhere cannot be written: .*No such file"):
        save_final(net, tmp_path / "nowhere", recipe)

    def broken(self, *args, **kwargs):
        raise mx.MXNetError("Check failed: a shape that nobody knows")

    for method in ("save_parameters", "export"):
        with monkeypatch.context() as patch:
            patch.setattr(mx.gluon.HybridBlock, method, broken)
            with pytest.raises(mx.MXNetError, match="a shape that nobody knows"):
                save_final(net, tmp_path, recipe)
