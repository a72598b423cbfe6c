"""What is said of a photo, and the pictures of a training: what is on them, and that they change nothing."""

import sys
import types

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.data import class_names
from gluon_tricks.data.builtin import scenes
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks import pictures, protocol
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.detection import prediction as of_detectors
from gluon_tricks.tasks.detection.task import Detection
from gluon_tricks.tasks.prediction import percentages
from gluon_tricks.tasks.segmentation import prediction as of_segmenters
from gluon_tricks.tasks.segmentation.task import Segmentation
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate

CPU = [mx.cpu()]


@pytest.fixture
def recipe(tiny_records):
    return Recipe(
        model="cifar_resnet20_v1", data="records", train=(str(tiny_records / "train.rec"),), input_size=32, epochs=2,
        val=(str(tiny_records / "val.rec"),), batch_size=16, lr=0.01,
    )  # fmt: skip


@pytest.fixture
def few_scenes(monkeypatch, tmp_path_factory):
    """Four scenes, two of them to validate on."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.getbasetemp() / "prediction-scenes"))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (2, 2))


def drawn(task, net, path):
    """The picture; random numbers and parameters are those of a process that did not draw it, in the plain layout."""
    plain, module = [], sys.modules[type(task).__module__]
    mx.random.seed(5)
    np.random.seed(5)
    before = {name: p.data().asnumpy() for name, p in parameters_by_name(net).items()}
    numbers = mx.nd.random.uniform(shape=3).asnumpy(), np.random.random(3)
    mx.random.seed(5)
    np.random.seed(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "restore_plain_layout", plain.append)
        task.draw(net, path)
    assert plain == [net]
    for had, has in zip(numbers, (mx.nd.random.uniform(shape=3).asnumpy(), np.random.random(3))):
        np.testing.assert_array_equal(had, has)
    for name, parameter in parameters_by_name(net).items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), before[name], err_msg=name)
    return cv2.imread(str(path))[:, :, ::-1]


def spied(monkeypatch, name):
    """The arguments of all calls of a function of pictures.py."""
    calls, function = [], getattr(pictures, name)
    monkeypatch.setattr(
        pictures, name, lambda *args, **kwargs: calls.append((args, kwargs)) or function(*args, **kwargs)
    )
    return calls


def test_a_handful_is_spread_evenly_and_always_the_same():
    def epoch(number, step):
        yield types.SimpleNamespace(step=step, count=0 if step == 3 else 1)

    loader = types.SimpleNamespace(steps_per_epoch=22, epoch=epoch)
    for _ in range(2):  # every third; the one in place 3 cannot be decoded
        assert [batch.step for batch in protocol.handful(loader)] == [0, 6, 9, 12, 15, 18, 21]
    loader.steps_per_epoch = 2
    assert [batch.step for batch in protocol.handful(loader)] == [0, 1]


def test_the_true_class_is_named_and_green():
    image, names, scores = np.full((300, 400, 3), 90, np.uint8), list("abcdef"), np.array([0.1, 0.6, 0.3, 0, 0, 0])
    green = {}
    for truth in (None, 1, 2, 5):
        panel = pictures.bars(image, names, scores, top=3, truth=truth)[:, 400:].astype(int)
        green[truth] = (panel[:, :, 1] > panel[:, :, 0] + 60).sum(axis=1).max()  # of the longest row
    assert green[None] == 0 < green[5] < 20  # the sixth class is not among the three: only its name is there
    assert green[1] == pytest.approx(2 * green[2], abs=2) and green[2] > 40


def test_pictures_of_a_classifier(recipe, tmp_path, monkeypatch):
    """The bars are of the network's answers, the true name is there, and no graph but the evaluation's is used."""
    task = Classification(recipe.set(mode="imperative"), CPU, 1)
    net, shapes, calls = task.network(), [], spied(monkeypatch, "bars")
    net.register_forward_pre_hook(lambda block, inputs: shapes.append(inputs[0].shape))
    picture = drawn(task, net, tmp_path / "a.png")
    assert set(shapes) == {(16, 3, 32, 32)} and picture.shape[1] > 3 * 480
    # 8 of 20 images, evenly; image k is of class k % 4
    assert [kwargs["truth"] for _, kwargs in calls] == [k % 4 for k in (0, 3, 5, 8, 11, 14, 16, 19)]
    images = np.stack([args[0] for args, _ in calls])
    said = net(task.evaluation_input(images, mx.cpu())).softmax().asnumpy()
    np.testing.assert_allclose([args[2] for args, _ in calls], said, atol=1e-5)
    assert calls[0][0][1] == ("red", "green", "blue", "grey")
    drawn(task, net, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_run_is_the_same_with_and_without_pictures(recipe, tmp_path):
    for name, every in (("without", 0), ("with", 1)):
        train_and_evaluate(recipe, tmp_path / name, Options(contexts=CPU, threads=1, picture_epochs=every))
    assert len(list((tmp_path / "with").rglob("pictures/*.png"))) == 2
    assert not list((tmp_path / "without").rglob("pictures/*.png"))
    one, other = (mx.nd.load(str(tmp_path / name / "final.params")) for name in ("with", "without"))
    for name, values in one.items():
        np.testing.assert_array_equal(values.asnumpy(), other[name].asnumpy(), err_msg=name)


def test_pictures_on_two_devices_are_those_of_one(recipe, tmp_path, monkeypatch):
    """On two devices each gets batches of 8 in evaluation."""
    calls = spied(monkeypatch, "bars")
    for contexts in (CPU, [mx.cpu(0), mx.cpu(1)]):
        task = Classification(recipe.set(mode="imperative"), contexts, 1)
        task.draw(task.network(), tmp_path / "a.png")
    one, two = (np.stack([args[2] for args, _ in calls[k : k + 8]]) for k in (0, 8))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert len(calls) == 16


def test_pictures_of_a_detector(few_scenes, tmp_path, monkeypatch):
    recipe = DetectionRecipe(
        model="resnet18_v1b", dataset="few_scenes", short=64, long=96, roi="small", batch_size=2, mode="imperative"
    )
    task, calls = Detection(recipe, CPU, 1), spied(monkeypatch, "boxes")
    net = task.network()
    found = ([[[2], [-1]]], [[[0.75], [-1]]], [[[10, 10, 30, 40], [-1, -1, -1, -1]]])
    monkeypatch.setattr(type(net), "forward", lambda self, image: [mx.nd.array(part) for part in found])
    drawn(task, net, tmp_path / "a.png")
    records = task.val.records
    for k, height in enumerate(records.sizes[:, 0]):
        (annotated, said), scale = (
            calls[2 * k : 2 * k + 2],
            min(64 / records.sizes[k].min(), 96 / records.sizes[k].max()),
        )
        assert annotated[0][0].shape[0] == round(height * scale) and annotated[0][2] == scenes.CLASSES
        np.testing.assert_allclose(annotated[0][1][:, :4], records.boxes[k][:, :4] * scale, atol=1)
        assert said[0][1].tolist() == [[10, 10, 30, 40, 2], [0, 0, 0, 0, -1]]
        assert said[0][3].tolist() == [0.75, -1]


def test_pictures_of_a_segmenter(few_scenes, tmp_path, monkeypatch):
    recipe = SegmentationRecipe(
        model="resnet18_v1b", dataset="few_scenes", crop=48, base_size=96, batch_size=2, mode="imperative"
    )
    task, calls = Segmentation(recipe, CPU, 1), spied(monkeypatch, "overlay")
    net = task.network()

    def coarse(self, images):
        """Class 3 in the upper half, 7 in the lower one."""
        logits = np.zeros((1, 11, 8, 8), np.float32)
        logits[0, 3, :4] = logits[0, 7, 4:] = 9
        return mx.nd.array(logits)

    monkeypatch.setattr(type(net), "coarse", coarse)
    drawn(task, net, tmp_path / "a.png")
    for k in range(2):
        (image, truth, names), (other, said, _) = (args for args, _ in calls[2 * k : 2 * k + 2])
        assert image.shape[:2] == tuple(task.val.records.sizes[k]) and (image == other).all()
        np.testing.assert_array_equal(truth, task.val.records.read_mask(k))
        assert names == scenes.MASK_CLASSES and (said[0] == 3).all() and (said[-1] == 7).all()


def test_boxes_below_the_threshold_are_not_told_of(monkeypatch):
    """An image of 50 x 100 px comes to the network as 100 x 200, so boxes are halved."""
    found = [[4, 1, -1, 0]], [[0.5, 0.9, -1, 0.49]], [[[0, 0, 200, 100], [20, 40, 60, 80], [-1] * 4, [0, 0, 9, 9]]]
    monkeypatch.setattr(of_detectors, "predict", lambda net, images: tuple(map(mx.nd.array, found)))
    recipe, image = DetectionRecipe(short=100, long=300).resolved(), np.zeros((50, 100, 3), np.uint8)
    said = of_detectors.detect(None, recipe, list("abcde"), mx.cpu(), 0.5, image)
    assert said.words == "b 90.0 %, e 50.0 %"
    assert said.values["boxes"] == [
        {"name": "b", "index": 1, "score": pytest.approx(0.9), "box": [10, 20, 30, 40]},
        {"name": "e", "index": 4, "score": 0.5, "box": [0, 0, 100, 50]},
    ]
    said = of_detectors.detect(None, recipe, list("abcde"), mx.cpu(), 0.95, image)
    assert (said.words, said.values) == ("nothing with a score of 0.95 or more", {"boxes": []})


def test_pixels_without_numbers_are_of_no_class(monkeypatch):
    """Of 300 classes, for which 8 bits do not do: a quarter of class 280, a quarter NaN, half of class 5."""
    logits = np.zeros((1, 300, 4, 4), np.float32)
    logits[0, 280, :2, :2], logits[0, 5, 2:], logits[0, :, :2, 2:] = 1, 1, np.nan
    monkeypatch.setattr(of_segmenters, "class_probabilities", lambda *args, **kwargs: mx.nd.array(logits))
    names = [f"class {k}" for k in range(300)]
    image = np.zeros((4, 4, 3), np.uint8)
    said = of_segmenters.segment(None, SegmentationRecipe().resolved(), names, mx.cpu(), False, image)
    assert said.words == "class 5 50.0 %, class 280 25.0 %" and said.values["none"] == 65535
    assert said.mask.dtype == np.uint16
    assert said.mask.tolist() == [[280, 280, 65535, 65535]] * 2 + [[5] * 4] * 2


def test_long_answers_are_cut():
    assert percentages([("a", 0.5), ("b", 0.123)]) == "a 50.0 %, b 12.3 %"
    six = [(name, 0.1) for name in "abcdef"]
    assert percentages(six) == "a 10.0 %, b 10.0 %, c 10.0 %, d 10.0 %, e 10.0 % and 1 more"


def test_names_of_the_training_data(tiny_records, tmp_path):
    recipe = Recipe(data="records", train=(str(tiny_records / "train.rec"),))
    assert class_names.training_names(recipe) == ("red", "green", "blue", "grey")
    assert class_names.training_names(recipe.set(train=(str(tmp_path / "gone.rec"),))) is None
    assert class_names.training_names(Recipe(data="few_shapes"))[0] == "arrow"
    assert class_names.in_words(("n01440764", "n99999999", "dog")) == ("tench", "n99999999", "dog")
