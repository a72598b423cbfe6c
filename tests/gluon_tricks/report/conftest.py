"""Runs that no training made: what a folder of each task tells, with as many classes and odd names as are asked for."""

import dataclasses
import json
import types

import cv2
import numpy as np
import pytest

from gluon_tricks.data.annotations.boxes import BoxedImages
from gluon_tricks.data.annotations.masks import MaskedImages
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.report.run import read_run
from gluon_tricks.tasks.findings import RECALLS, Found, save_found
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tasks.segmentation.kept_masks import encoded

SCRIPTS = "abcdefghij", "äöüßéèêçñø", "гдежзийклм", "αβγδεζηθικ", "猫犬鳥魚馬牛羊豚虎龍", "أبتثجحخدذر", "אבגדהוזחטי"
ODD = ("<b>bold</b> & \"quoted\" 'name'", "</script><script>alert(1)</script>", "new\nline\ttab", "x" * 200, "=cmd()")


def long_names(count: int, letters: int = 60) -> list[str]:
    """Names of so many letters in several scripts, some with spaces and some without, no two of them alike."""
    found = []
    for k in range(count):
        script = SCRIPTS[k % len(SCRIPTS)]
        words = (script if k % 2 else f"{script} ") * letters
        found.append(f"{k} {words}"[:letters].strip())
    return found


@dataclasses.dataclass
class Photos:
    """Images as a report asks for them, all the same, with hostile names."""

    data: bytes
    digest: str = "d" * 64

    def read(self, i):
        return 0.0, i, self.data

    def name(self, i):
        return ODD[i % len(ODD)] + f" {i}.jpg"


@pytest.fixture(scope="session")
def photo(tmp_path_factory):
    """A file of noise with an edge, 64 x 48 px."""
    path = tmp_path_factory.mktemp("photo") / "<b>photo & 猫.png"
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    image[:, 32:] //= 4
    cv2.imwrite(str(path), image)
    return path


def classifier(photo, names, images=4000):
    """The surest mistakes are between neighbours: 0 and 1, 2 and 3, ..."""
    rng, k = np.random.default_rng(1), len(names)
    truth = (np.arange(images) % k).astype(np.int32)
    near = np.where(truth % 2 == 0, np.minimum(truth + 1, k - 1), truth - 1)
    guess = np.where(rng.random(images) < 0.4, near, truth).astype(np.int32)
    sure = rng.random(images).astype(np.float32)
    arrays = dict(image=np.arange(images, dtype=np.int32), truth=truth, guess=guess, confidence=sure, of_truth=sure / 2)
    return Recipe(model="resnet18_v1", classes=k), arrays, Photos(photo.read_bytes())


def _curves(k, rng):
    top = rng.random((k, 1)).astype(np.float32)
    return (top * np.linspace(1, 0, RECALLS, dtype=np.float32)).astype(np.float32)


def tagger(photo, names):
    rng, k = np.random.default_rng(2), len(names)
    curves, m = _curves(k, rng), 6
    arrays = {
        "average_precision": curves[:, 1:].mean(axis=1),
        "curves": curves,
        "objects": rng.integers(1, 90, k).astype(np.int32),
        "mistake_image": np.arange(m, dtype=np.int32),
        "mistake_class": (np.arange(m) % k).astype(np.int32),
        "mistake_probability": np.linspace(0.99, 0.01, m, dtype=np.float32),
        "mistake_present": (np.arange(m) // 3).astype(np.int32),
    }
    recipe = MultiLabelRecipe(model="resnet18_v1", classes=k, class_names=plain(names))
    return recipe, arrays, Photos(photo.read_bytes())


def detector(photo, names):
    rng, k, n = np.random.default_rng(3), len(names), 3
    curves = _curves(k, rng)
    curves[0] = np.nan  # a class that does not occur
    corners = np.array([[4, 4, 30, 30], [20, 10, 60, 40], [0, 0, 63, 47]], np.float32)
    rows = [[i, (i + j) % k, 0.9 - 0.1 * j, j % 2, *corners[j]] for i in range(n) for j in range(3)]
    arrays = {
        "average_precision": curves[:, 1:].mean(axis=1),
        "curves": curves,
        "objects": np.arange(k, dtype=np.int32),
        "boxes": np.array(rows, np.float32),
    }
    boxes = [np.array([[4, 4, 30, 30, i % k, 0], [20, 10, 60, 40, 1, 1]], np.float32) for i in range(n)]
    images = BoxedImages(tuple(names), [photo] * n, np.full((n, 2), (48, 64)), boxes, "d" * 64)
    return DetectionRecipe(model="resnet18_v1", classes=k, class_names=plain(names)), arrays, images


def segmenter(photo, names):
    k, n = len(names), 3
    path = photo.with_name("mask.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:50] = 1
    cv2.imwrite(str(path), mask)
    found = encoded(np.where(mask == 1, 1, k - 1))
    matrix = np.random.default_rng(4).integers(0, 10**6, (k, k + 1))
    arrays = {
        "matrix": matrix,
        "image": np.arange(n, dtype=np.int32),
        "right": np.full(n, 2000),
        "pixels": np.full(n, 3072),
        "mask_image": np.arange(2, dtype=np.int32),
        "mask_bytes": np.full(2, len(found)),
        "mask_data": np.frombuffer(found * 2, np.uint8),
    }
    images = MaskedImages(
        tuple(names), [photo] * n, [path] * n, np.full((n, 2), (48, 64)), tuple(range(k)), (255,), "d" * 64
    )
    recipe = SegmentationRecipe(model="resnet18_v1", classes=k, class_names=plain(names), void=255)
    return recipe, arrays, images


def plain(names):
    """As a recipe takes them: without control characters."""
    return tuple(" ".join(name.split()) for name in names)


TASKS = {"classifier": classifier, "tagger": tagger, "detector": detector, "segmenter": segmenter}


def write_run(folder, recipe, names, arrays, epochs=1, digest="d" * 64, score=0.5):
    """A run directory as a training leaves it; it was resumed once, and taken back once."""
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    kinds = task_of(recipe).scores.columns
    columns = ("epoch", "train_loss", *kinds, "lr", "images_per_second")
    rows = [[k, 2 / k, *[score + k / 1000] * len(kinds), 0.1 / k, 100.0] for k in range(1, epochs + 1)]
    text = "\n".join(",".join(map(str, row)) for row in (columns, *rows)) + "\n"
    (folder / "metrics.csv").write_text(text)
    (folder / "steps.csv").write_text("step,loss\n" + "".join(f"{s},{3 / s}\n" for s in range(1, 10 * epochs + 1)))
    about = dict(steps_per_epoch=10, contexts=["cpu(0)"], ranks=1, versions={"mxnet": "1.9.1"}, machine="<i>m</i>")
    events = [
        dict(event="start", time="2026-11-27T06:00:00.000+00:00", step=0, what="<b>x</b> on photos", **about),
        dict(event="resume", time="2026-11-27T08:00:00.000+00:00", step=5, **about),
        dict(event="rollback", time="2026-11-27T08:00:30.000+00:00", step=7, seen_at=9),
        dict(event="done", time="2026-11-27T08:01:10.000+00:00"),
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    if arrays is not None:
        save_found(folder, Found(names, digest, arrays))
    return folder


@pytest.fixture
def made(photo, tmp_path):
    """made(task, names, ...) -> a run that is read, and the images that it was evaluated on."""

    def make(task, names, name="run", **more):
        recipe, arrays, images = TASKS[task](photo, names)
        folder = write_run(tmp_path / name, recipe, names, arrays, **more)
        return types.SimpleNamespace(run=read_run(folder), images=images, folder=folder, recipe=recipe, arrays=arrays)

    return make
