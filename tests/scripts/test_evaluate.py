"""The script as a user runs it: its figures against those of training, and what it refuses before any work."""

import json
import shutil

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate as script
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.recipes.recipe import Recipe
from model_zoo import get_model, published, weights

COLOURS = ["red", "green", "blue", "grey"]


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    """A cifar_resnet20_v1 of 4 classes that always says class 2 before 1, 0 and 3."""
    net = get_model("cifar_resnet20_v1", classes=4)
    net.initialize(mx.init.Zero())
    net.head.bias.set_data(mx.nd.array([1, 2, 3, 0]))
    path = tmp_path_factory.mktemp("evaluate") / "net.params"
    weights.save(net, path)
    return path


def evaluated(capsys, *words):
    code = script.main([*map(str, words), "--num-gpus", "0"])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out.splitlines()


def refused(capsys, *words):
    assert script.main([*map(str, words), "--num-gpus", "0"]) == 2
    return capsys.readouterr().err


def common(parameters, records, *more):
    return ("--model", "cifar_resnet20_v1", "--pretrained", parameters, "--classes", 4, "--rec-val", records, *more)


def test_exact_figures(parameters, tiny_records, tmp_path, capsys):
    """20 images, 5 of each class, in batches of 8: class 2 is right for 5 of them; the top 5 of 4 classes are all."""
    words = common(parameters, tiny_records / "val.rec", "--batch-size", 8, "--json", tmp_path / "out.json")
    lines = evaluated(capsys, *words)
    assert lines[0].startswith("cifar_resnet20_v1") and lines[0].endswith(f"on 20 images of {tiny_records}/val.rec")
    # Wilson, p = 0.25, n = 20, z^2 = 3.8415: middle (0.25 + 0.096037) / 1.192073 = 0.290282,
    # half 1.959964 / 1.192073 * sqrt(0.009375 + 0.0024009) = 0.178419
    assert lines[1] == "top-1 25.00% (95 % interval 11.19% to 46.87%)"
    # logits 1, 2, 3, 0: log sum exp 3.44019, minus the mean logit 1.5
    assert lines[2].startswith("loss 1.9402; ") and lines[2].endswith("images/s at 32 px, float32")
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["top1"], result["top5"], result["images"], result["undecodable"]) == (0.25, 1, 20, 0)
    assert result["top1_interval"] == pytest.approx([0.111863, 0.468701], abs=1e-5)


def test_the_published_figure_stands_beside(parameters, tiny_records, tmp_path, monkeypatch, capsys):
    net = get_model("cifar_resnet20_v1", classes=4)
    file = published.Published("12345678", None, 92.5, None)
    monkeypatch.setitem(published.PUBLISHED, net.name, (file,))
    monkeypatch.setattr(published, "fetch", lambda name, tag: parameters)
    words = ("--model", net.name, "--classes", 4, "--rec-val", tiny_records / "val.rec")
    for more in ((), ("--pretrained", "12345678")):
        lines = evaluated(capsys, *words, *more)
        assert lines[1].startswith("top-1 25.00%") and lines[1].endswith(", published 92.50%")
        assert "published" not in lines[2]


def test_a_run_brings_what_it_needs(parameters, tiny_records, tmp_path, capsys):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = Recipe(model="cifar_resnet20_v1", classes=4, input_size=24, crop_ratio=0.75, data="records", **files)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    shutil.copy(parameters, tmp_path / "final.params")
    for pretrained in (tmp_path, tmp_path / "final.params"):
        lines = evaluated(capsys, "--pretrained", pretrained)
    says = refused(capsys, "--pretrained", tmp_path, "--model", "vgg16", "--classes", 77)
    assert f"--model vgg16 contradicts {tmp_path}, whose model is cifar_resnet20_v1" in says
    assert lines[1].startswith("top-1 25.00%") and lines[2].endswith("at 24 px, float32")
    with RecordWriter(tmp_path / "other", ["red", "blue", "green", "grey"]) as writer:
        writer.add(0, 0, cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes())
    says = refused(capsys, "--pretrained", tmp_path, "--rec-val", tmp_path / "other.rec")
    assert "was trained on other classes than" in says and "(the first difference: green and blue)" in says


def test_refusals_before_any_work(parameters, tiny_records, tmp_path, capsys):
    val = tiny_records / "val.rec"
    assert "there is no nowhere.rec" in refused(capsys, *common(parameters, "nowhere.rec"))
    assert "there is no run nowhere" in refused(capsys, "--pretrained", "nowhere")
    assert "--rec-val is missing" in refused(capsys, "--model", "cifar_resnet20_v1", "--pretrained", parameters)
    for words in ((), ("--model", "cifar_resnet20_v1")):  # nobody has named a run "true"
        assert refused(capsys, *words).startswith("refused: --rec-val is missing: name a run directory")
    assert "name it with --model" in refused(capsys, "--rec-val", val)
    words = ("--model", "cifar_resnet20_v1", "--pretrained", parameters, "--rec-val", val)
    assert "pass classes=4" in refused(capsys, *words, "--classes", 5)
    with RecordWriter(tmp_path / "five", [*COLOURS, "black"]) as writer:
        writer.add(0, 0, cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes())
    says = refused(capsys, *common(parameters, tmp_path / "five.rec"))
    assert "five.rec has 5 classes and cifar_resnet20_v1 has 4" in says
    assert "no such folder" in refused(capsys, *common(parameters, val, "--json", tmp_path / "no" / "x.json"))
    says = refused(capsys, *common(parameters, val, "--multi-scale"))
    assert "--multi-scale does not apply: " in says and says.endswith(" is a classifier\n")
    with pytest.raises(SystemExit) as ended:
        refused(capsys, *common(parameters, val, "--batch-size", 0))
    says = capsys.readouterr().err
    assert (ended.value.code, says) == (2, "refused: argument --batch-size: 0, but it takes 1 to 1048576\n")


def test_imagenet_in_another_order_is_refused(parameters, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(published, "fetch", lambda name, tag: parameters)
    with RecordWriter(tmp_path / "val", ["n02105641", "n01440764", "n02979186", "n02102040"]) as writer:
        writer.add(0, 0, cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes())
    words = ("--model", "cifar_resnet20_v1", "--classes", 4, "--rec-val", tmp_path / "val.rec")
    assert "are not in ImageNet's order" in refused(capsys, *words)


@pytest.fixture(scope="module")
def cifar(shared_data, tmp_path_factory):
    """The flags for GluonCV's published network and 100 packed CIFAR-10 images."""
    folder, out = shared_data / "gluoncv_params", tmp_path_factory.mktemp("cifar") / "val"
    labels = dict(row.split(",") for row in (folder / "cifar10_png_100" / "trainLabels.csv").read_text().split()[1:])
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    with RecordWriter(out, classes) as writer:
        for k, path in enumerate(sorted((folder / "cifar10_png_100" / "train_tiny").glob("*.png"))):
            writer.add(classes.index(labels[path.stem]), k, path.read_bytes())
    words = ("--model", "cifar_resnet20_v1", "--pretrained", folder / "cifar_resnet20_v1-0000.params")
    return (*words, "--rec-val", f"{out}.rec")


def test_the_published_cifar_resnet20_on_real_images(cifar, capsys):
    """99 of the 100, seen as CIFAR's images are: all of them, with the mean and deviation of that data set."""
    lines = evaluated(capsys, *cifar)
    assert "on 100 images" in lines[0] and lines[1].startswith("top-1 99.00%")


def test_8_bits_and_fused_operators_beside_float32(cifar, tmp_path, capsys):
    for form, least in (("fused", 1.0), ("int8", 0.95)):
        words = (*cifar, "--form", form, "--batch-size", 50, "--json", tmp_path / "x.json")
        lines = evaluated(capsys, *words, "--calibration", cifar[-1])
        result = json.loads((tmp_path / "x.json").read_text())
        assert lines[1].startswith("float32: top-1 99.00%") and lines[2].startswith(f"{form}: top-1 ")
        assert result["agreement"] >= least and result[form]["top1"] >= 0.95
    assert "name them with --calibration FILE" in refused(capsys, *cifar, "--form", "int8")
    assert "--form int8 is for CPUs and is compared with float32" in refused(
        capsys, *cifar, "--form", "int8", "--dtype", "bfloat16"
    )
