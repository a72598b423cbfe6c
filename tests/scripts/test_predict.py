"""The script as a user runs it: what it says, writes and refuses, of a classifier, a detector and a segmenter."""

import csv
import json
import pathlib

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.cli import predict as script
from gluon_tricks.data.annotations.masks import read_masks
from gluon_tricks.data.builtin import scenes
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.classification.evaluation import collect_logits
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.detection import prediction as detection
from gluon_tricks.tasks.multi_label.prediction import open_tagging
from gluon_tricks.tasks.pictures import colour
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tasks.segmentation import prediction
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.final_network import save_final
from model_zoo import get_model

MEAN, STD = np.array([123.68, 116.779, 103.939]), np.array([58.393, 57.12, 57.375])


def planted(biases):
    """A network that gives every image these logits."""
    net = get_model("cifar_resnet20_v1", classes=len(biases))
    net.initialize(mx.init.Zero())
    net.head.bias.set_data(mx.nd.array(biases))
    return net


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tiny_records):
    """A run on records of red, green, blue and grey that always says blue, green, red, grey."""
    run = tmp_path_factory.mktemp("classifier")
    recipe = Recipe(
        model="cifar_resnet20_v1", data="records", train=(str(tiny_records / "train.rec"),), input_size=24, classes=4,
        val=(str(tiny_records / "val.rec"),), crop_ratio=0.75, mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0),
    )  # fmt: skip
    (run / "recipe.json").write_text(json.dumps(recipe.to_json()))
    planted([1, 2, 3, 0]).save_parameters(str(run / "final.params"))
    return run


def run_of(recipe, run):
    """What a run leaves of its network, here that before the first step."""
    recipe = recipe.set(classes=len(recipe.class_names))
    save_final(task_of(recipe).on_trained_base(recipe, [mx.cpu()]), run, recipe)
    (run / "recipe.json").write_text(json.dumps(recipe.to_json()))
    return run


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    recipe = DetectionRecipe(model="resnet18_v1b", class_names=scenes.CLASSES, short=64, long=96, roi="small")
    return run_of(recipe, tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    recipe = SegmentationRecipe(model="resnet18_v1b", class_names=scenes.MASK_CLASSES)
    return run_of(recipe, tmp_path_factory.mktemp("segmenter"))


@pytest.fixture
def photos(tmp_path):
    """A folder with two photos without losses: wide.png (90 x 60) and upright.png (40 x 70)."""
    folder, rng = tmp_path / "photos", np.random.default_rng(3)
    folder.mkdir()
    for name, (height, width) in {"wide": (60, 90), "upright": (70, 40)}.items():
        pixels = cv2.resize(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8), (width, height))
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def predicted(capsys, *words, code=0):
    assert script.main([*map(str, words), "--num-gpus", "0"]) == code
    said = capsys.readouterr()
    return said.out.splitlines(), said.err


def values_of(path):
    return json.loads(path.read_text())


def network_input(path, width, height):
    """A photo resized to these sides and normalised, (1, 3, H, W)."""
    pixels = cv2.resize(cv2.imread(str(path))[:, :, ::-1].copy(), (width, height))
    return mx.nd.array(((pixels - MEAN) / STD).transpose(2, 0, 1)[None])


def test_a_classifier_says_what_was_planted(classifier, photos, tmp_path, capsys):
    """Logits 3, 2, 1, 0: e^3, e^2, e and 1 over their sum, 31.1928."""
    out = tmp_path / "out"
    lines, _ = predicted(capsys, photos / "wide.png", "--params", classifier, "--out", out)
    assert lines == [f"{photos}/wide.png: blue 64.4 %, green 23.7 %, red 8.7 %, grey 3.2 %"]
    assert sorted(path.name for path in out.iterdir()) == ["wide.json", "wide.png"]
    values = values_of(out / "wide.json")
    assert [(found["name"], found["index"]) for found in values["classes"]] == [
        ("blue", 2), ("green", 1), ("red", 0), ("grey", 3),
    ]  # fmt: skip
    expected = [0.643914, 0.236883, 0.087144, 0.032059]
    assert [found["score"] for found in values["classes"]] == pytest.approx(expected, abs=1e-6)
    assert (values["file"], values["kind"]) == (str(photos / "wide.png"), "classification")
    assert (values["network"], values["height"], values["width"]) == ("cifar_resnet20_v1", 60, 90)
    assert cv2.imread(str(out / "wide.png")).shape[1] > 400 + 200  # the photo, 400 px wide, and the bars


def test_a_classifier_sees_images_as_evaluation_does(classifier, photos, tmp_path, capsys):
    net = get_model("cifar_resnet20_v1", classes=4)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_bytes((classifier / "recipe.json").read_bytes())
    net.save_parameters(str(run / "final.params"))
    net = load_network(run)
    with RecordWriter(tmp_path / "photos", ["red", "green", "blue", "grey"]) as writer:
        for k, name in enumerate(("upright", "wide")):
            writer.add(k, k, (photos / f"{name}.png").read_bytes())
    records = Records(tmp_path / "photos.rec")
    subject = EvaluationSet(net, records, net.preprocessing)
    assert subject.preprocessing.input_size == 24 and subject.preprocessing.mean == (10.0, 20.0, 30.0)
    loader = RecordLoader(records, size=24, batch_size=2, train=False, crop_ratio=0.75)
    logits, _ = collect_logits(net, loader.epoch(), subject.preprocess("float32"), mx.cpu())
    assert np.abs(logits[0] - logits[1]).max() > 0.01  # they are told apart
    predicted(capsys, photos, "--params", run, "--out", tmp_path / "out")
    for name, of_image in zip(("upright", "wide"), mx.nd.array(logits).softmax().asnumpy()):
        found = {one["index"]: one["score"] for one in values_of(tmp_path / "out" / f"{name}.json")["classes"]}
        assert [found[k] for k in range(4)] == pytest.approx(of_image.tolist(), abs=1e-5)


def test_an_ensemble_over_views_is_the_mean_of_what_each_says_of_each(tmp_path, photos, capsys):
    """By hand over the crops: shorter edges 28 and 40 px, the middle 24 px and its mirror image, of two networks."""
    runs, expected = [], []
    photo = cv2.imread(str(photos / "wide.png"))[:, :, ::-1]
    for seed in (1, 2):
        net = get_model("cifar_resnet20_v1", classes=4)
        mx.random.seed(seed)
        net.initialize(mx.init.Xavier(), force_reinit=True)
        runs.append(tmp_path / f"run{seed}")
        runs[-1].mkdir()
        recipe = Recipe(model=net.name, classes=4, input_size=24, crop_ratio=0.75, data="records")
        recipe = recipe.set(mean=tuple(MEAN), std=tuple(STD))
        (runs[-1] / "recipe.json").write_text(json.dumps(recipe.to_json()))
        net.save_parameters(str(runs[-1] / "final.params"))
        for edge in (28, 40):
            image = cv2.resize(photo, (90 * edge // 60, edge))
            x, y = (image.shape[1] - 24) // 2, (edge - 24) // 2
            crop = ((image[y : y + 24, x : x + 24] - MEAN) / STD).transpose(2, 0, 1)
            both = net(mx.nd.array(np.stack([crop, crop[:, :, ::-1]])))
            expected += [*both.softmax().asnumpy()]
    words = ("--params", runs[0], "--params", runs[1], "--crops", "flip", "--scales", "28,40")
    predicted(capsys, photos / "wide.png", *words, "--out", tmp_path / "out")
    values = values_of(tmp_path / "out" / "wide.json")
    found = {one["index"]: one["score"] for one in values["classes"]}
    assert [found[k] for k in range(4)] == pytest.approx(np.mean(expected, axis=0), abs=1e-5)
    assert values["views"] == 8 and values["members"] == [str(runs[1])]


def test_a_detector_gives_boxes_of_the_photo(detector, photos, tmp_path, capsys):
    """60 x 90 px come to the network as 64 x 96, and boxes go back by 15/16; the five surest of many are asked for."""
    ids, scores, boxes = (p.asnumpy()[0] for p in load_network(detector)(network_input(photos / "wide.png", 96, 64)))
    order = np.argsort(-scores[:, 0])[:6]
    threshold = scores[order[4:], 0].mean()
    words = (photos / "wide.png", "--params", detector, "--threshold", threshold, "--out", tmp_path / "out")
    lines, _ = predicted(capsys, *words)
    values = values_of(tmp_path / "out" / "wide.json")
    assert values["kind"] == "detection" and len(values["boxes"]) == 5
    for found, k in zip(values["boxes"], order):
        assert (found["index"], found["name"]) == (ids[k, 0], scenes.CLASSES[int(ids[k, 0])])
        assert found["score"] == pytest.approx(scores[k, 0], abs=1e-5)
        assert found["box"] == pytest.approx((np.clip(boxes[k], 0, [96, 64, 96, 64]) * 15 / 16).tolist(), abs=0.01)
    surest = values["boxes"][0]
    assert lines[0].startswith(f"{photos}/wide.png: {surest['name']} {100 * surest['score']:.1f} %, ")


def test_a_strip_is_an_image_too(detector, tmp_path, capsys):
    """Its own size has fewer places for anchors than there are proposals."""
    (tmp_path / "strips").mkdir()
    for shape in ((3, 300, 3), (300, 3, 3)):
        cv2.imwrite(str(tmp_path / "strips" / f"{shape[0]}.png"), np.full(shape, 99, np.uint8))
    said = predicted(capsys, tmp_path / "strips", "--params", detector, "--out", tmp_path / "out")
    assert "300.png" in str(said) and (tmp_path / "out" / "3.json").is_file()


def test_a_segmenter_gives_every_pixel_its_class(segmenter, photos, tmp_path, capsys):
    out = tmp_path / "out"
    lines, _ = predicted(capsys, photos, "--params", segmenter, "--out", out)
    logits = load_network(segmenter)(network_input(photos / "wide.png", 90, 60))[0].asnumpy()[0]
    picture = PIL.Image.open(out / "masks" / "wide.png")
    mask, colours = np.asarray(picture), np.asarray(picture.convert("RGB"))
    assert all(tuple(colours[mask == k][0]) == colour(k) for k in np.unique(mask))
    assert mask.shape == (60, 90) and (mask == logits.argmax(axis=0)).mean() > 0.999
    values = values_of(out / "wide.json")
    assert (values["mask"], values["kind"], values["none"]) == ("masks/wide.png", "segmentation", 255)
    fractions = {found["index"]: found["share"] for found in values["classes"]}
    assert fractions == {int(k): pytest.approx(n / 5400) for k, n in zip(*np.unique(mask, return_counts=True))}
    first = values["classes"][0]
    assert first["name"] == scenes.MASK_CLASSES[first["index"]] and first["share"] == max(fractions.values())
    assert lines[1].startswith(f"{photos}/wide.png: {first['name']} {100 * first['share']:.1f} %")
    assert cv2.imread(str(out / "upright.png")).shape[0] > 400  # the legend comes below
    # What was written can be evaluated against, as the masks of any data set.
    np.testing.assert_array_equal(read_masks(photos, out / "masks", 11, void=(255,)).read_mask(1), mask)


def test_large_photos_are_looked_at_smaller(segmenter, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prediction, "LONGEST", 60)
    words = (photos / "wide.png", "--params", segmenter, "--out", tmp_path / "out")
    lines, _ = predicted(capsys, *words)
    assert lines[0].endswith(" (90 x 60 px is too large: the network has seen 60 x 40 px)")
    assert PIL.Image.open(tmp_path / "out" / "masks" / "wide.png").size == (90, 60)
    lines, _ = predicted(capsys, *words, "--multi-scale")
    assert lines[0].endswith(" (90 x 60 px is too large: the network has seen 30 x 20 px)")
    monkeypatch.setattr(prediction, "most_pixels", lambda classes: 24 * 16)  # of very many classes
    lines, _ = predicted(capsys, *words)
    assert lines[0].endswith(" (90 x 60 px is too large: the network has seen 24 x 16 px)")


def test_several_images_give_a_contact_sheet(classifier, photos, tmp_path, capsys):
    out = tmp_path / "out"
    lines, _ = predicted(capsys, photos, "--params", classifier, "--out", out)
    assert [line.split(":")[0] for line in lines[:2]] == [f"{photos}/upright.png", f"{photos}/wide.png"]
    assert lines[2] == f"{out}/index.html shows them all: 2 images"
    page = (out / "index.html").read_text()
    assert page.count("<figure") == 2 and 'href="wide.json"' in page and page.count("blue 64.4 %") == 2


@pytest.fixture
def tree(tmp_path, photos):
    """Photos in folders of classes and others: right is blue, which the classifier says of all."""
    folder = tmp_path / "tree"
    for name in ("blue/1.png", "blue/deep/2.png", "red/1.png", "else/=1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((photos / "wide.png").read_bytes())
    return folder


def table_of(out):
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def test_a_tree_of_class_folders(classifier, tree, tmp_path, capsys):
    out, told = tmp_path / "out", "blue 64.4 %, green 23.7 %, red 8.7 %, grey 3.2 %"
    lines, _ = predicted(capsys, tree, "--params", classifier, "--out", out)
    assert lines == [
        f"{tree}/blue/1.png: {told}; right", f"{tree}/blue/deep/2.png: {told}; right", f"{tree}/else/=1.png: {told}",
        f"{tree}/red/1.png: {told}; wrong, it is red", f"{out}/index.html shows them all: 4 images",
        "2 of 3 images right by their folders: top-1 66.67%; 1 other in no folder of a class",
    ]  # fmt: skip
    names = ["blue/1", "blue/deep/2", "else/=1", "red/1"]
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert written == sorted(
        ["index.html", "predictions.csv", *(f"{name}.{kind}" for name in names for kind in ("json", "png"))]
    )
    values = values_of(out / "red/1.json")
    assert values["truth"] == {"name": "red", "index": 0} and values["right"] is False
    assert "truth" not in values_of(out / "else/=1.json") and values_of(out / "blue/1.json")["right"] is True
    rows = table_of(out)
    assert [row["file"] for row in rows] == [f"{tree}/{name}.png" for name in names]
    assert [(row["truth"], row["right"]) for row in rows] == [("blue", "yes"), ("blue", "yes"), ("", ""), ("red", "no")]
    assert [*rows[0]][3:] == [f"{what}_{k}" for k in (1, 2, 3, 4) for what in ("class", "probability")]
    assert rows[0]["class_1"] == "blue" and float(rows[0]["probability_1"]) == pytest.approx(0.643914, abs=1e-6)
    page = (out / "index.html").read_text()
    assert page.count('class="wrong"') == 1 and page.index("red/1.png") < page.index("blue/1.png")
    # The truth is drawn: a photo of no class has no green.
    green = [(cv2.imread(str(out / f"{name}.png"))[:, 400:] == (70, 150, 40)).all(axis=2).any() for name in names]
    assert green == [True, True, False, True]


def test_the_place_of_the_results_may_lie_among_the_photos(classifier, tree, capsys):
    words = ("--params", classifier, "--out", tree / "out")
    first, _ = predicted(capsys, tree, *words)
    again, errors = predicted(capsys, tree, *words)
    assert again == first and errors == f"left out: 4 pictures of an earlier prediction in --out {tree}/out\n"
    _, errors = predicted(capsys, tree / "out" / "blue", *words, code=2)
    assert "is where images lie that are to be looked at" in errors
    (tree / "red" / "1.png").rename(tree / "other.png")
    _, errors = predicted(capsys, tree, "--params", classifier, "--out", tree / "blue", code=2)
    assert "is where images lie that are to be looked at" in errors  # not of an earlier prediction


def test_the_result_of_a_single_photo_may_lie_among_the_photos(classifier, tree, capsys):
    words = ("--params", classifier, "--out", tree / "out")
    predicted(capsys, tree / "red" / "1.png", *words)
    _, errors = predicted(capsys, tree, *words)
    assert errors == f"left out: 1 picture of an earlier prediction in --out {tree}/out\n"
    (tree / "out" / "predictions.csv").unlink()
    (tree / "red" / "1.png").rename(tree / "out" / "mine.png")
    _, errors = predicted(capsys, tree, *words, code=2)
    assert "is where images lie that are to be looked at" in errors


def test_a_folder_says_a_class_by_any_of_its_names(classifier, photos, tmp_path, capsys):
    """By what the records call it, here an id of ImageNet, in words, and as a file calls it."""
    biases = np.zeros(1000)
    biases[1] = 20
    planted(biases).save_parameters(str(tmp_path / "thousand.params"))
    words = ("--params", tmp_path / "thousand.params", "--model", "cifar_resnet20_v1", "--out", tmp_path / "out")
    for folder, verdict in (("n01443537", "; right"), ("goldfish", "; right"), ("tench", "; wrong, it is tench")):
        photos = photos.rename(tmp_path / folder)
        lines, _ = predicted(capsys, photos / "wide.png", *words)
        assert len(lines) == 2 and lines[0].endswith(verdict)
    (tmp_path / "names.txt").write_text("rot\ngrün\nblau\ngrau\n", encoding="utf-8")
    for folder in ("blau", "blue"):
        photos = photos.rename(tmp_path / folder)
        lines, _ = predicted(
            capsys, photos, "--params", classifier, "--out", tmp_path / "out", "--classes", tmp_path / "names.txt"
        )
        assert all(line.endswith("; right") for line in lines[:2])
        assert lines[-1] == "2 of 2 images right by their folders: top-1 100.00%"


def test_a_segmenters_table_has_the_share_of_each_class(segmenter, photos, tmp_path, capsys):
    """And no folder is the truth of a mask."""
    out, photos = tmp_path / "out", photos.rename(tmp_path / scenes.MASK_CLASSES[0])
    lines, _ = predicted(capsys, photos, "--params", segmenter, "--out", out)
    assert len(lines) == 3 and "; right" not in "".join(lines)
    for row in table_of(out):
        told = values_of(out / f"{pathlib.Path(row.pop('file')).stem}.json")["classes"]
        shares = {one["name"]: pytest.approx(one["share"], abs=1e-6) for one in told}
        assert [*row] == list(scenes.MASK_CLASSES)
        assert all(float(share) == shares.get(name, 0) for name, share in row.items())


def test_a_detectors_table_has_a_row_for_each_box(monkeypatch):
    """Of 64 x 96 px that the network sees, a photo of 60 x 90 px has 15/16. Where there is no box, there is one row."""
    found = ([[1, 0, -1]], [[0.25, 0.75, 0.9]], [[[16, 32, 48, 64], [0, 0, 8, 8], [0, 0, 1, 1]]])
    monkeypatch.setattr(detection, "predict", lambda *_: [*map(mx.nd.array, found)])
    recipe, image = DetectionRecipe(short=64, long=96, mean=(0, 0, 0), std=(1, 1, 1)), np.zeros((60, 90, 3), np.uint8)
    columns = ("class", "score", "xmin", "ymin", "xmax", "ymax")
    for threshold, rows in (
        (0.2, [("=b", 0.75, 0, 0, 7.5, 7.5), ("a", 0.25, 15, 30, 45, 60)]), (0.8, [(None,) * 6]),
    ):  # fmt: skip
        said = detection.detect(None, recipe, ("=b", "a"), mx.cpu(), threshold, image)
        assert said.table == [[*zip(columns, row)] for row in rows]
        assert said.confidence == (0.75 if threshold < 0.8 else None) and said.right is None


def test_a_taggers_table_has_the_probability_of_each_class():
    image = np.zeros((60, 90, 3), np.uint8)
    say = open_tagging(planted([0, 2, -2]), ("a", "b", "c"), mx.cpu(), 0.5)
    (row,) = say(image).table
    assert row == [(name, pytest.approx(1 / (1 + np.exp(-x)))) for name, x in zip("abc", (0, 2, -2))]


def test_an_interrupt_keeps_what_was_done(classifier, tree, tmp_path, capsys, monkeypatch):
    read, out = script.read_photo, tmp_path / "out"

    def interrupted(path):
        if path.parent.name == "red":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(script, "read_photo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predicted(capsys, tree, "--params", classifier, "--out", out)
    assert [row["file"] for row in table_of(out)] == [
        f"{tree}/{name}.png" for name in ("blue/1", "blue/deep/2", "else/=1")
    ]


def test_images_of_one_name_keep_apart(classifier, photos, tmp_path, capsys):
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    (photos / "wide.png").rename(photos / "a.png")
    (photos / "upright.png").rename(other / "a.png")
    words = ("--params", classifier, "--out", out)
    predicted(capsys, photos / "a.png", photos, other / "a.png", other / "../other/a.png", *words)
    files = {name: values_of(out / name)["file"] for name in ("a.json", "a-2.json")}
    assert files == {"a.json": f"{photos}/a.png", "a-2.json": f"{other}/a.png"}
    (out / "b.png").write_bytes(b"somebody's")
    (other / "a.png").rename(other / "b.png")
    predicted(capsys, other / "b.png", photos / "a.png", *words)
    assert (out / "b.png").read_bytes() == b"somebody's" and values_of(out / "b-2.json")["file"] == f"{other}/b.png"
    assert sorted(path.stem for path in out.glob("*.json")) == ["a", "a-2", "b-2"]


def test_another_network_takes_its_masks_away(classifier, segmenter, photos, tmp_path, capsys):
    out = tmp_path / "out"
    for run, there in ((segmenter, True), (classifier, False)):
        predicted(capsys, photos / "wide.png", "--params", run, "--out", out)
        assert (out / "masks" / "wide.png").exists() == there


def test_photos_are_turned_as_they_say(classifier, tmp_path, capsys):
    image = PIL.Image.new("RGB", (80, 60), (200, 10, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    predicted(capsys, tmp_path / "turned.jpg", "--params", classifier, "--out", tmp_path / "out")
    values = values_of(tmp_path / "out" / "turned.json")
    assert (values["height"], values["width"]) == (80, 60)


def test_what_is_no_image_is_named_and_left_out(classifier, photos, tmp_path, capsys):
    (photos / "text.jpg").write_text("no image")
    (photos / "empty.jpg").touch()
    (photos / "notes.txt").write_text("not looked at")
    (photos / "medical.tif").write_bytes(bytes(128) + b"DICM" + bytes(100))
    pages = [PIL.Image.new("L", (9, 9))] * 2
    pages[0].save(photos / "stack.tif", save_all=True, append_images=pages[1:])
    lines, errors = predicted(capsys, photos, "--params", classifier, "--out", tmp_path / "out", code=1)
    assert len(lines) == 3 and lines[2].endswith("shows them all: 2 images")
    assert errors.splitlines() == [
        f"{photos}/{name} is left out: {why}"
        for name, why in [
            ("empty.jpg", "empty"),
            ("medical.tif", "a DICOM file: export its picture as PNG"),
            ("stack.tif", "a TIFF of several pages: save each as a file of its own"),
            ("text.jpg", "no JPEG, PNG, BMP, WebP or TIFF"),
        ]
    ]


def test_names_come_from_a_file_the_records_or_imagenet(classifier, photos, tmp_path, capsys):
    words = (photos / "wide.png", "--out", tmp_path / "out", "--params")
    (tmp_path / "names.txt").write_text("rot\ngrün\nblau\ngrau\n", encoding="utf-8")
    lines, _ = predicted(capsys, *words, classifier, "--classes", tmp_path / "names.txt")
    assert ": blau 64.4 %, grün 23.7 %" in lines[0]

    biases = np.zeros(1000)
    biases[1] = 20
    planted(biases).save_parameters(str(tmp_path / "thousand.params"))
    lines, _ = predicted(capsys, *words, tmp_path / "thousand.params", "--model", "cifar_resnet20_v1")
    assert ": goldfish 100.0 %, tench 0.0 %, " in lines[0]
    planted([0, 9]).save_parameters(str(tmp_path / "two.params"))
    lines, _ = predicted(capsys, *words, tmp_path / "two.params", "--model", "cifar_resnet20_v1")
    assert lines[0].endswith(": class 1 100.0 %, class 0 0.0 %")  # 1 / (1 + e^9) is 0.01 %


def test_refused_before_anything_is_written(classifier, detector, photos, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "runs" / "shapes-1").mkdir(parents=True)
    (tmp_path / "runs" / "shapes-1" / "recipe.json").touch()
    planted([np.nan, 0]).save_parameters(str(tmp_path / "nan.params"))
    huge = planted([0, 0])
    huge.stage3[2].bn2.beta.set_data(mx.nd.full((64,), 3e38))  # their mean is infinite, and 0 times it no number
    huge.save_parameters(str(tmp_path / "huge.params"))
    wide, run = photos / "wide.png", ("--params", classifier)
    for words, message in (
        ((tmp_path / "none", *run), "its ending or its first bytes\n"),
        ((wide, "--params", tmp_path / "runs"), f"name one of its runs, such as {tmp_path}/runs/shapes-1\n"),
        ((tmp_path / "nowhere.jpg", *run), "nowhere.jpg is no file or folder that can be read"),
        ((wide, *run, "--classes", tmp_path / "names.txt"), "names.txt has 2 names and"),
        ((wide, *run, "--classes", tmp_path / "no.txt"), "cannot read"),
        ((wide, *run, "--threshold", 0.7), "--threshold is for detectors"),
        ((wide, *run, "--multi-scale"), "--multi-scale is for segmenters, and"),
        ((wide, *run, "--scales", "20"), "sees crops of 24 px, which are larger than images of 20 px"),
        ((wide, *run, "--crops", 5, "--dense"), "--dense looks at whole images, which have no 5 crops"),
        ((wide, *run, "--params", tmp_path / "huge.params", "--model", "cifar_resnet20_v1"), "has 4, "),
        ((wide, "--params", detector, "--crops", 10), "--crops is for classifiers, and"),
        ((wide, "--params", detector, "--params", detector), "an ensemble is for classifiers, and"),
        ((wide, *run, "--params", detector), "is a run of detection, and this is for classifiers"),
        ((wide, *run, "--out", photos), "is where images lie"),
        ((wide, "--params", tmp_path / "no-run"), "there is no run or file"),
        ((wide, "--params", tmp_path / "none"), "holds neither final.params nor a checkpoint"),
        ((wide, "--params", tmp_path / "nan.params", "--model", "cifar_resnet20_v1"), "holds NaN or infinity in head."),
        ((wide, "--params", tmp_path / "huge.params", "--model", "cifar_resnet20_v1"), "the network gives no numbers"),
    ):
        lines, errors = predicted(capsys, "--out", tmp_path / "out", *words, code=2)
        assert not lines and errors.startswith("refused: ") and errors.count("\n") == 1 and message in errors
    assert not list((tmp_path / "out").glob("*"))
    with pytest.raises(SystemExit) as ended:
        predicted(capsys, wide, *run, "--threshold", 1.5)
    assert ended.value.code == 2 and "argument --threshold: 1.5, but it takes 0 to 1" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_found_before_the_network_is_opened(photos, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    lines, errors = predicted(capsys, photos, "--params", tmp_path / "no run", "--out", tmp_path / "out", code=2)
    assert not lines and errors == f"refused: --out {tmp_path}/out: {tmp_path}/out is no folder\n"
    lines, errors = predicted(capsys, photos, "--params", tmp_path / "no run", "--out", "/proc/out", code=1)
    assert not lines and errors == "stopped: /proc/out cannot be written: No such file or directory\n"
