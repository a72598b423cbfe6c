"""The script as a user runs it: its figures against those of training, and what it refuses before any work."""

import errno
import json
import os
import shutil

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate as script
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained import wrong_photos
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


def test_classes_one_by_one(parameters, tiny_records, tmp_path, capsys):
    """Every image is taken for blue: of blue the recall is 1 and the precision 1/4, F1 2 * 5 / (20 + 5)."""
    lines = evaluated(capsys, *common(parameters, tiny_records / "val.rec", "--json", tmp_path / "out.json"))
    table = [line.split() for line in lines[3:]]
    assert table[:6] == [
        ["class", "images", "precision", "recall", "F1"], ["red", "5", "0.00%", "0.00%", "0.00%"],
        ["green", "5", "0.00%", "0.00%", "0.00%"], ["blue", "5", "25.00%", "100.00%", "40.00%"],
        ["grey", "5", "0.00%", "0.00%", "0.00%"], ["mean", "of", "4", "classes", "20", "6.25%", "25.00%", "10.00%"],
    ]  # fmt: skip
    assert lines[10:] == [f"{name:5} -> blue  5  100.00% of its images" for name in ("red", "green", "grey")]
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["confusion_matrix"] == [[0, 0, 5, 0]] * 4 and result["class_names"] == COLOURS
    assert result["per_class"]["f1"] == [0, 0, 0.4, 0] and result["macro"]["recall"] == 0.25


@pytest.fixture(scope="module")
def odd_records(tmp_path_factory):
    """Two images of each of three classes whose names no folder can have, or not both; the first without a name."""
    prefix = tmp_path_factory.mktemp("odd") / "odd"
    image = cv2.imencode(".png", np.full((40, 40, 3), 90, np.uint8))[1].tobytes()
    names = ("", "photos/x.PNG", "y.jpg", f"photos/{'é' * 120}.jpg")
    with RecordWriter(prefix, ["../a", "_./a", "猫" * 100, "blue"]) as writer:
        for k in range(8):
            writer.add(k % 4, k, image + bytes([k]), names[k % 4])
    return prefix.with_suffix(".rec")


WAYS = [(), ("--crops", "flip"), ("--dense",), ("--form", "fused", "--dtype", "float32")]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_tells_the_classes_and_copies_the_wrong_photos(parameters, odd_records, way, tmp_path, capsys):
    """The third class is named always, at exp(3 - 3.44019)."""
    errors, out = tmp_path / "new" / "errors", tmp_path / "out.json"
    words = (*common(parameters, odd_records), *way, "--batch-size", 4, "--json", out, "--errors", errors)
    lines = evaluated(capsys, *words)
    assert lines[-1] == f"{errors}/index.html shows the 6 photos that were named wrongly, copied into TRUE/NAMED"
    assert json.loads(out.read_text())["confusion_matrix"] == [[0, 0, 2, 0]] * 4
    files = sorted(path.relative_to(errors) for path in errors.rglob("*") if path.is_file())
    names = ["_._a", "_._a-2", "猫" * 85, "blue"]  # of 255 bytes
    assert {str(path.parent) for path in files} == {".", *(f"{names[k]}/{names[2]}" for k in (0, 1, 3))}
    assert all(len(os.fsencode(path.name)) <= 255 for path in files) and len(files) == 7
    assert [path.name for path in files if path.name[:2] == "1_"] == ["1_0.644_image-0.png"]
    copied = {path.name[:1]: (errors / path).read_bytes() for path in files if path.name != "index.html"}
    records = Records(odd_records)
    assert copied == {str(k): records.read(i)[2] for k, i in enumerate((0, 1, 3, 4, 5, 7), 1)}
    assert {path.name[8:] for path in files[:-1]} == {"image-0.png", "x.PNG", "image-4.png", "é" * 100 + ".png"}
    page = (errors / "index.html").read_text()
    assert page.count('<figure class="wrong"') == 6 and "../a, taken for 猫猫" in page
    assert "holds the wrong photos of an earlier evaluation" in refused(capsys, *words)


def test_a_run_on_some_of_the_classes(tiny_records, tmp_path, capsys):
    """Of grey and red the network says red always: the five grey ones are wrong, as they lie in the whole records."""
    net, files = get_model("cifar_resnet20_v1", classes=2), (str(tiny_records / "val.rec"),)
    net.initialize(mx.init.Zero())
    net.head.bias.set_data(mx.nd.array([0, 1]))
    recipe = Recipe(model=net.name, classes=2, input_size=24, data="records", train=files, val=files)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.set(only_classes=("grey", "red")).to_json()))
    weights.save(net, tmp_path / "final.params")
    words = ("--errors", tmp_path / "wrong", "--json", tmp_path / "out.json")
    lines = evaluated(capsys, "--pretrained", tmp_path, *words)
    assert ["mean", "of", "2", "classes", "10", "25.00%", "50.00%", "33.33%"] in map(str.split, lines)
    assert json.loads((tmp_path / "out.json").read_text())["confusion_matrix"] == [[0, 5], [0, 5]]
    copied = {path.read_bytes() for path in (tmp_path / "wrong" / "grey" / "red").iterdir()}
    whole = Records(files)
    assert copied == {data for label, _, data in map(whole.read, range(20)) if label == COLOURS.index("grey")}


def test_no_photo_is_wrong(parameters, tmp_path, capsys):
    with RecordWriter(tmp_path / "blue", COLOURS) as writer:
        writer.add(2, 0, cv2.imencode(".png", np.zeros((40, 40, 3), np.uint8))[1].tobytes())
    errors = tmp_path / "errors"
    lines = evaluated(capsys, *common(parameters, tmp_path / "blue.rec"), "--errors", errors)
    assert lines[-1] == f"no image was named wrongly: there is nothing to write to {errors}" and not errors.exists()


def test_wrong_photos_have_no_place(parameters, tiny_records, tmp_path, capsys, monkeypatch):
    words, place = common(parameters, tiny_records / "val.rec"), tmp_path / "errors"
    place.mkdir()
    (place / "mine").touch()
    assert f"--errors {place}: the folder holds other files: remove it, or name" in refused(
        capsys, *words, "--errors", place
    )
    assert "mine is no folder" in refused(capsys, *words, "--errors", place / "mine")
    says = refused(capsys, *words, "--errors", tmp_path / "x", "--submission", tmp_path / "y", "--places365", "z")
    assert "without --form and --errors" in says

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wrong_photos, "opened_anew", full)
    code = script.main([*map(str, words), "--errors", str(tmp_path / "x"), "--json", str(tmp_path / "out.json")])
    said = capsys.readouterr()
    assert code == 1 and said.err.endswith(".jpg cannot be written: No space left on device\n")
    assert "top-1 25.00%" in said.out and json.loads((tmp_path / "out.json").read_text())["top1"] == 0.25


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
    manifest = val.with_suffix(".json")
    assert f"the records {val.resolve()} have a file of their own" in refused(
        capsys, *common(parameters, val, "--json", manifest)
    )
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


@pytest.mark.own_process(reason="MXNet's quantisation pass reads memory that it has freed")
def test_8_bits_and_fused_operators_beside_float32(cifar, tmp_path, capsys):
    for form, least in (("fused", 1.0), ("int8", 0.95)):
        words = (*cifar, "--form", form, "--batch-size", 50, "--json", tmp_path / "x.json")
        lines = evaluated(capsys, *words, *(["--calibration", cifar[-1]] if form == "int8" else []))
        result = json.loads((tmp_path / "x.json").read_text())
        assert lines[1].startswith("float32: top-1 99.00%") and lines[2].startswith(f"{form}: top-1 ")
        assert result["agreement"] >= least and result[form]["top1"] >= 0.95
    assert "name them with --calibration FILE" in refused(capsys, *cifar, "--form", "int8")
    for words in (("--calibration", cifar[-1]), ("--form", "fused", "--calibration-batches", 3)):
        assert "--calibration and --calibration-batches go with --form int8" in refused(capsys, *cifar, *words)
    assert "--form int8 is for CPUs and is compared with float32" in refused(
        capsys, *cifar, "--form", "int8", "--dtype", "bfloat16"
    )


def test_one_crop_said_or_not_is_the_same_bit_for_bit(parameters, tiny_records, tmp_path, capsys):
    found = {}
    for name, more in (("not", ()), ("said", ("--crops", "1"))):
        evaluated(capsys, *common(parameters, tiny_records / "val.rec", *more, "--json", tmp_path / name))
        found[name] = json.loads((tmp_path / name).read_text())
        del found[name]["images_per_second"]
    assert found["not"] == found["said"]


def test_crops_scales_and_an_ensemble(parameters, tiny_records, tmp_path, capsys):
    """A network that always says the same is right for 5 of 20 however it is asked: every gain is 0."""
    files = (parameters, tmp_path / "copy.params")
    shutil.copy(*files)
    words = ("--model", "cifar_resnet20_v1", "--classes", 4, "--rec-val", tiny_records / "val.rec", "--batch-size", 8)
    more = ("--crops", 10, "--scales", "32,36,40", "--json", tmp_path / "out.json")
    lines = evaluated(capsys, *words, *more, "--pretrained", *files)
    said = [line.partition(":")[0] for line in lines]
    labels = ["1 crop", "with its mirror image", "3 scales (32, 36, 40 px)"]  # at 32 px five crops are one
    assert said[1:4] == said[5:8] == labels and said[8] == "ensemble of 2"
    # b = c = 0: z sqrt(1) / 22
    gained = "top-1 25.00% (95 % interval 11.19% to 46.87%), gain +0.00 (-8.91 to +8.91) points"
    assert (
        lines[2] == f"with its mirror image: {gained}" and lines[8] == f"ensemble of 2: {gained} over the best of them"
    )
    assert lines[0] == f"cifar_resnet20_v1 ({parameters}) at 32 px on 20 images of {tiny_records}/val.rec"
    assert lines[9] == "all of it gains +0.00 (-8.91 to +8.91) points in the top-1 over 1 crop"
    assert lines[10].startswith("loss 1.9402; ") and lines[10].endswith(" images/s, 44 views of each averaged, float32")
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["top1"], result["views"], result["scales"], result["crops"]) == (0.25, 44, [32, 36, 40], "10")
    assert [len(member["additions"]) for member in result["members"]] == [3, 3]
    assert result["ensemble"]["top1_gain"] == {
        "difference": 0, "low": pytest.approx(-0.0890893), "high": pytest.approx(0.0890893), "p": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "more, says",
    [
        (("--crops", 10), "--crops 10: the crops of cifar_resnet20_v1 are as large as its images, 32 px"),
        (("--scales", "24,40"), "sees crops of 32 px, which are larger than images of 24 px: give scales of at least"),
        (("--dense", "--crops", 5), "--dense looks at whole images, which have no 5 crops"),
        (("--dense", "--scales", "3000"), "the shorter edge takes 1 to 2048 px"),
        (("--form", "fused", "--crops", "flip"), "--form takes one network and the centre crop: leave out --crops"),
        (("--submission", "x", "--places365", "y", "--dense"), "--submission takes one network and the centre crop"),
    ],
)
def test_views_that_there_are_not_are_refused(parameters, tiny_records, more, says, capsys):
    assert says in refused(capsys, *common(parameters, tiny_records / "val.rec", *more))


def test_an_ensemble_of_other_classes_or_images_is_refused(parameters, tiny_records, tmp_path, capsys):
    other = get_model("cifar_resnet20_v1", classes=3)
    other.initialize()
    weights.save(other, tmp_path / "three.params")
    words = ("--model", other.name, "--rec-val", tiny_records / "val.rec", "--pretrained")
    assert "val.rec has 4 classes and" in refused(capsys, *words, parameters, tmp_path / "three.params")
    assert "there is no run or file nowhere" in refused(capsys, *words, parameters, "nowhere")
    runs = []
    for name, val in (("one", "val"), ("two", "train")):
        recipe = Recipe(
            model=other.name, classes=4, input_size=24, data="records", val=(str(tiny_records / f"{val}.rec"),),
            train=(str(tiny_records / "train.rec"),),
        )  # fmt: skip
        runs.append(tmp_path / name)
        runs[-1].mkdir()
        (runs[-1] / "recipe.json").write_text(json.dumps(recipe.to_json()))
        shutil.copy(parameters, runs[-1] / "final.params")
    says = refused(capsys, "--pretrained", *runs)
    assert f"{runs[0]} and {runs[1]} have other validation images: name those to score on with --rec-val" in says
    lines = evaluated(capsys, "--pretrained", *runs, "--rec-val", tiny_records / "val.rec")
    assert sum(line.startswith("ensemble of 2: top-1 25.00%") for line in lines) == 1
    for words in (("--scales", "24,x"), ("--scales", "24,24"), ("--crops", 3)):
        with pytest.raises(SystemExit) as ended:
            refused(capsys, "--pretrained", runs[0], *words)
        assert ended.value.code == 2 and capsys.readouterr().err.startswith(f"refused: argument {words[0]}: ")
