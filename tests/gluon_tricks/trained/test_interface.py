"""evaluate and predict as a program of one's own calls them: their figures, and what they refuse."""

import dataclasses

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from gluon_tricks import Records, Refused, evaluate, get_model, load_network, predict
from gluon_tricks.data.selection import selected
from gluon_tricks.inside.viewed import open_viewed
from gluon_tricks.networks.of_recipe import parameters_by_name
from model_zoo.inference import fuse

PHOTO = np.zeros((9, 9, 3), np.uint8)


@pytest.fixture(scope="module")
def net():
    """A cifar_resnet20_v1 of 4 classes that always says class 2 before 1, 0 and 3."""
    net = get_model("cifar_resnet20_v1", classes=4)
    net.initialize(mx.init.Zero())
    net.head.bias.set_data(mx.nd.array([1, 2, 3, 0]))
    return net


def test_a_network_and_its_file_have_the_same_scores(net, tiny_records, tmp_path):
    """5 of 20 images are of class 2; loss: log sum exp(1, 2, 3, 0) = 3.44019 minus the mean logit 1.5."""
    net.save_parameters(str(tmp_path / "net.params"))
    for source in (net, tmp_path / "net.params", load_network(tmp_path / "net.params", model=net.name)):
        named = {} if source is net or not hasattr(source, "suffix") else {"model": net.name}
        scores = evaluate(source, tiny_records / "val.rec", batch_size=8, **named)
        assert (scores.top1, scores.images) == (0.25, 20) and scores.loss == pytest.approx(1.94019, abs=1e-4)


def test_views_and_ensembles(net, tiny_records, tmp_path):
    """The network says the same of every view, and so do two of them."""
    net.save_parameters(str(tmp_path / "net.params"))
    val, plain = tiny_records / "val.rec", evaluate(net, tiny_records / "val.rec")
    for networks, options in (
        ([net, net], {}), ([net], dict(crops="flip")), (net, dict(crops=10, scales=range(36, 41, 4))),
        (net, dict(dense=True)),
        ([tmp_path / "net.params", tmp_path / "net.params"], dict(model=net.name, crops="flip")),
    ):  # fmt: skip
        scores = evaluate(networks, val, batch_size=8, **options)
        assert (scores.top1, scores.top5, scores.images) == (0.25, 1, 20), options
        assert scores.loss == pytest.approx(plain.loss, abs=1e-5) and str(scores) == str(plain)
    assert (
        scores.ensemble.views == 4 and len(scores.members) == 2 and scores.row() == pytest.approx(plain.row(), rel=1e-5)
    )
    photo = np.zeros((40, 50, 3), np.uint8)
    (alone,), (both,) = predict(net, photo), predict([net, net], photo, crops=10, scales=range(36, 41, 4))
    assert both.words == alone.words and both.values["views"] == 40 and "views" not in alone.values


def test_predictions_come_in_the_order_of_the_photos(net):
    before = {name: p.data().asnumpy() for name, p in parameters_by_name(net).items()}
    photos = [np.zeros((height, 50, 3), np.uint8) for height in (40, 60)]
    one, other = predict(net, photos)
    assert [value["index"] for value in one.values["classes"]] == [2, 1, 0, 3]
    assert one.values["classes"][0]["score"] == pytest.approx(np.exp(3 - 3.44019), abs=1e-4)
    assert one.words == other.words
    assert [len(predict(net, photo)) for photo in photos] == [1, 1]
    for name, parameter in parameters_by_name(net).items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[name])


@pytest.mark.parametrize("probabilities", ["softmax", "sigmoid"])
def test_a_network_that_is_asked_is_left_as_it_is(probabilities, monkeypatch):
    net = other()
    monkeypatch.setattr(net, "preprocessing", dataclasses.replace(net.preprocessing, probabilities=probabilities))
    photo, arrays = np.zeros((40, 50, 3), np.uint8), {name: p.data() for name, p in parameters_by_name(net).items()}
    graphs = []
    for options in ({}, dict(dense=True)) if probabilities == "softmax" else ({},):
        predict(net, photo, **options)
        assert not net._active and not any(part._active for part in net._children.values())
    open_viewed(net)
    assert not net._active
    fuse(net, mx.nd.zeros((1, 3, 32, 32)))
    graphs.append(net._cached_op)
    for options in ({}, dict(dense=True)) if probabilities == "softmax" else ({},):
        predict(net, photo, **options)
        graphs.append(net._cached_op)
    assert net._active and all(graph is graphs[0] for graph in graphs)
    assert all(parameter.data() is arrays[name] for name, parameter in parameters_by_name(net).items())


def test_images_of_pil_and_arrays_of_mxnet_are_photos(net):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    image = PIL.Image.fromarray(pixels)
    wanted, *others = predict(net, [pixels, image, mx.nd.array(pixels, dtype="uint8")])
    assert [other.words for other in others] == [wanted.words] * 2 == [one.words for one in predict(net, [image] * 2)]
    assert predict(net, image)[0].words == wanted.words
    np.testing.assert_array_equal(others[0].picture, wanted.picture)


def test_records_that_are_open_are_those_of_their_files(net, tiny_records):
    val = tiny_records / "val.rec"
    assert evaluate(net, Records(val)) == evaluate(net, [Records(val)]) == evaluate(net, val)


def test_a_part_of_records_is_not_taken_for_the_whole(net, tiny_records):
    part = selected(Records(tiny_records / "val.rec"), per_class=1)
    with pytest.raises(Refused, match="records is a Selection of the images of its files: pack those images"):
        evaluate(net, [part])


def test_what_the_folder_of_a_photo_says_is_compared(net, tmp_path):
    for folder in ("class 1", "class 2", "elsewhere"):
        (tmp_path / folder).mkdir()
        PIL.Image.new("RGB", (40, 40)).save(tmp_path / folder / "photo.png")
    found = predict(net, tmp_path)
    assert [(one.truth, one.right) for one in found] == [("class 1", False), ("class 2", True), ("", None)]
    assert predict(net, tmp_path / "class 1" / "photo.png")[0].right is False


def other():
    net = get_model("cifar_resnet20_v1", classes=3)
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    return net


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda net, val: evaluate(net), "records is missing: .* that cifar_resnet20_v1 is"),
        (lambda net, val: evaluate(net, val, multi_scale=True), "multi_scale does not apply: .* is a classifier"),
        (lambda net, val: evaluate(net, val, data="voc"), "data does not apply: .* is a classifier"),
        (lambda net, val: evaluate(get_model(net.name), val), "has no parameters yet"),
        (lambda net, val: evaluate([net, get_model(net.name)], val), "has no parameters yet"),
        (lambda net, val: evaluate([net, net]), "records is missing"),
        (lambda net, val: evaluate([], val), "there is no network to ask"),
        (lambda net, val: evaluate(net, val, crops=3), "there are no crops '3'"),
        (lambda net, val: evaluate(net, val, scales=(16,)), "crops of 32 px, which are larger than images of 16 px"),
        (lambda net, val: predict(net, np.zeros((9, 9, 3), np.uint8), crops=10), "are as large as its images"),
        (lambda net, val: predict([net, other()], np.zeros((9, 9, 3), np.uint8)), "same classes, and .* has 4, .* 3"),
        (lambda net, val: evaluate(mx.gluon.nn.Dense(4), val), "and got a Dense"),
        (lambda net, val: evaluate("nowhere", val), "there is no run or file nowhere"),
        (lambda net, val: predict(net, np.zeros((3, 32, 32), np.uint8)), r"got uint8 \(3, 32, 32\)"),
        (lambda net, val: predict(net, np.zeros((32, 32, 3))), "got float64"),
        (lambda net, val: predict(net, val), "is no photo to look at, leave it out: no JPEG, PNG"),
        (lambda net, val: predict(net, []), "there are no photos"),
        (lambda net, val: predict(net, np.zeros((9, 9, 3), np.uint8), threshold=0.5), "is for detectors"),
        (lambda net, val: predict(net, PHOTO, threshold="0.5"), "the threshold takes a number, but got '0.5'"),
        (lambda net, val: predict(net, PHOTO, scales=40), "scales takes a list of px, but got 40"),
        (
            lambda net, val: predict(net, PHOTO, class_file=3),
            "class_file takes the name of a file or folder",
        ),
        (lambda net, val: predict(net, None), "photos takes files, folders, images of PIL, or arrays, but got None"),
        (lambda net, val: predict(net, [PHOTO, 3]), "photos takes files, folders, images of PIL, or .*, but got 3"),
        (lambda net, val: predict(net, Records(val)), "photos takes files, .*, but got a Records"),
        (lambda net, val: predict(net, PHOTO.tolist()), r"photos takes files, .*, but got \[\[0, 0, 0\]"),
        (lambda net, val: predict(net, mx.nd.array(PHOTO)), "a photo is an array .*, but got float32"),
        (lambda net, val: evaluate(net, None), "records takes names of .rec files, or Records, but got None"),
        (lambda net, val: evaluate(net, [3]), "records takes names of .rec files, or Records, but got 3"),
        (lambda net, val: evaluate(net, val, batch_size="8"), "batch_size must be int, but got '8'"),
        (lambda net, val: evaluate(net, val, input_size=32.5), r"input_size must be int \| None, but got 32.5"),
        (lambda net, val: evaluate(net, val, scales=40), "scales takes a list of px, but got 40"),
        (lambda net, val: evaluate(net, val, data=3), "data takes the name of a file or folder, but got 3"),
        (lambda net, val: evaluate("run", val, ctx="cpu"), r"ctx takes a context such as mx.cpu\(\) .*, but got 'cpu'"),
        (lambda net, val: evaluate("run", val, ctx=[mx.gpu(99)]), r"ctx is gpu\(99\), and MXNet finds"),
        (lambda net, val: load_network(net), "source takes a run, a file or the name of .*, but got a CifarResNet"),
        (lambda net, val: load_network("run", ctx="cpu"), "ctx takes a context .*, but got 'cpu'"),
    ],
)
def test_refused_in_one_sentence(net, tiny_records, call, says):
    with pytest.raises(Refused, match=says):
        call(net, tiny_records / "val.rec")


def test_what_is_no_photo_in_a_folder_is_left_out_and_named_itself_refused(net, tmp_path, caplog):
    for name in ("a.png", "deep/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), PHOTO)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "deep" / "moving.gif").write_bytes(b"GIF89a")
    found = predict(net, [tmp_path, PHOTO])
    assert [one.file for one in found] == [tmp_path / "a.png", tmp_path / "deep" / "b.png", None]
    assert "empty.jpg is left out: empty" in caplog.text and "moving.gif is left out: no JPEG" in caplog.text
    with pytest.raises(Refused, match=r"empty\.jpg is no photo to look at, leave it out: empty"):
        predict(net, [tmp_path, tmp_path / "empty.jpg"])
    for name in ("a.png", "deep/b.png"):
        (tmp_path / name).unlink()
    with pytest.raises(Refused, match=r"none of 2 files is a photo to look at, such as .*: (?:empty|no JPEG)"):
        predict(net, tmp_path)
