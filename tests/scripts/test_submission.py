"""Places365's test images from official files to the test server's file, with nothing but the two scripts."""

import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate
from gluon_tricks.cli import pack as packing
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.recipes.recipe import Recipe
from model_zoo import get_model, weights
from model_zoo.preprocessing import IMAGENET

CATEGORIES = ["a/airfield", "a/airplane_cabin", "a/alley", "b/beach", "c/canyon", "s/swimming_pool/outdoor"]
NAMES = [f"Places365_test_{number:08d}.jpg" for number in (7, 2, 5, 1, 6, 3, 4)]  # not in order, as a list may be


def run(script, *words):
    return script.main([str(word) for word in words])


@pytest.fixture(scope="module")
def net():
    mx.random.seed(3)
    net = get_model("cifar_resnet20_v1", classes=6)
    net.initialize(mx.init.Xavier(magnitude=3))
    return net


@pytest.fixture(scope="module")
def places(net, tmp_path_factory):
    """The kit: the lists, seven images of 40 x 40 px, packed; and the run of a network of random weights."""
    folder, rng = tmp_path_factory.mktemp("places"), np.random.default_rng(0)
    (folder / "categories_places365.txt").write_text("".join(f"/{name} {k}\n" for k, name in enumerate(CATEGORIES)))
    (folder / "places365_test.txt").write_text("".join(f"{name}\n" for name in NAMES))
    (folder / "test_256").mkdir()
    for name in NAMES:
        pixels = rng.integers(0, 256, (1, 1, 3)) * np.ones((40, 40, 1)) + rng.normal(0, 40, (40, 40, 3))
        cv2.imwrite(str(folder / "test_256" / name), pixels.clip(0, 255).astype(np.uint8))
    assert pack(folder) == 0
    seen_as = dict(input_size=32, crop_ratio=0.8, mean=IMAGENET["mean"], std=IMAGENET["std"])  # of 40 px the middle 32
    recipe = Recipe(model=net.name, classes=6, **seen_as)
    (folder / "run").mkdir()
    (folder / "run" / "recipe.json").write_text(json.dumps(recipe.to_json()))
    weights.save(net, folder / "run" / "final.params")
    return folder


def pack(folder, out="test", listing="places365_test.txt", *more):
    words = ("--places365", folder / listing, "--classes", folder / "categories_places365.txt")
    return run(packing, folder / "test_256", folder / out, *words, *more)


def words(folder, rec="test.rec", listing="places365_test.txt"):
    return (
        *("--pretrained", folder / "run", "--num-gpus", 0, "--batch-size", 3, "--rec-val", folder / rec),
        *("--places365", folder / listing, "--submission", folder / "out.txt"),
    )


def refused(capsys, *arguments):
    assert run(evaluate, *arguments) == 2
    return capsys.readouterr().err


def test_every_image_has_a_line(places, net, capsys):
    """Each line against the network's own word on the file of that name."""
    assert run(evaluate, *words(places)) == 0
    said = capsys.readouterr()
    assert "on 7 images" in said.out and "top-1" not in said.out  # of labels that nobody has
    assert "label 0" not in said.err
    lines = (places / "out.txt").read_text().splitlines()
    assert [line.split(" ")[0] for line in lines] == sorted(NAMES)
    for line in lines:
        name, *best = line.split(" ")
        pixels = cv2.imread(str(places / "test_256" / name))[4:36, 4:36, ::-1]
        image = (pixels - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
        logits = net(mx.nd.array(image.transpose(2, 0, 1)[None])).asnumpy()[0]
        assert [int(label) for label in best] == logits.argsort()[::-1][:5].tolist()
    assert len({line.split(" ", 1)[1] for line in lines}) >= 3  # else a wrong order would not show


def test_an_image_that_cannot_be_decoded_is_named(places, capsys):
    broken = places / "test_256" / NAMES[2]
    whole = broken.read_bytes()
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more of it")
    try:
        assert pack(places, "broken", "places365_test.txt", "--no-verify") == 0
    finally:
        broken.write_bytes(whole)
    says = refused(capsys, *words(places, "broken.rec"))
    assert f"{NAMES[2]} cannot be decoded" in says and "get such files again and pack anew" in says


def test_images_that_were_left_out_are_named(places, capsys):
    broken = places / "test_256" / NAMES[4]
    whole = broken.read_bytes()
    broken.write_bytes(b"<html>not found</html>")
    try:
        assert pack(places, "fewer") == 0
    finally:
        broken.write_bytes(whole)
    says = refused(capsys, *words(places, "fewer.rec"))
    assert f"lacks 1 of the images in {places}/places365_test.txt, such as {NAMES[4]}" in says


def test_other_lists_and_images_are_refused(places, capsys):
    (places / "short.txt").write_text(f"{NAMES[0]}\n")
    assert "test.rec with 7 images was not packed from" in refused(capsys, *words(places, listing="short.txt"))
    (places / "val.txt").write_text("Places365_val_00000001.jpg 165\n")
    says = refused(capsys, *words(places, listing="val.txt"))
    assert "val.txt is not the list of the test images" in says and "line 1 is 'Places365_val_00000001.jpg 165'" in says
    assert "cannot read" in refused(capsys, *words(places, listing="nowhere.txt"))
    assert "go together" in refused(capsys, "--pretrained", places / "run", "--submission", "x.txt")
    assert "without --form" in refused(capsys, *words(places), "--form", "fused")
    assert "no such folder" in refused(capsys, *words(places), "--submission", places / "no" / "x.txt")


def test_fewer_classes_than_five_are_refused(tmp_path, capsys):
    net = get_model("cifar_resnet20_v1", classes=4)
    net.initialize()
    weights.save(net, tmp_path / "net.params")
    with RecordWriter(tmp_path / "test", CATEGORIES[:4]) as writer:
        writer.add(0, 0, cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes())
    (tmp_path / "list.txt").write_text(f"{NAMES[0]}\n")
    places = ("--places365", tmp_path / "list.txt", "--submission", tmp_path / "out.txt")
    network = ("--model", net.name, "--pretrained", tmp_path / "net.params")
    says = refused(capsys, *network, "--num-gpus", 0, "--rec-val", tmp_path / "test.rec", *places)
    assert "has 4 classes, fewer than 5" in says and not (tmp_path / "out.txt").exists()
