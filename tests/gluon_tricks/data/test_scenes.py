"""The built-in scenes: boxes and masks against the pixels, determinism, both layouts, and whole or not at all."""

import concurrent.futures
import json

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.boxes import read_voc
from gluon_tricks.data.annotations.masks import check_values, read_masks
from gluon_tricks.data.builtin import scenes
from gluon_tricks.data.builtin.outlines import CLASSES

SMALL = {"train": 12, "val": 5}


@pytest.fixture(scope="module")
def drawn():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda index: scenes.draw(0, "train", index), range(60)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return scenes.ensure(tmp_path_factory.mktemp("scenes") / "data", **SMALL, seed=4)


def test_a_scene_depends_on_its_seed_split_and_index_alone(drawn):
    image, mask, things = scenes.draw(0, "train", 13)
    np.testing.assert_array_equal(image, drawn[13][0])
    np.testing.assert_array_equal(mask, drawn[13][1])
    assert things == drawn[13][2] and things[0].label == 3  # 13 % 10
    for other in (scenes.draw(1, "train", 13), scenes.draw(0, "val", 13), scenes.draw(0, "train", 23)):
        assert other[0].shape != image.shape or (other[0] != image).mean() > 0.5


def test_sizes_and_numbers(drawn):
    sides = np.array([image.shape[:2] for image, _, _ in drawn])
    assert (
        sides.max(axis=1).min() >= 220 and sides.max() <= 260 and 180 <= sides.min() <= sides.min(axis=1).max() <= 220
    )
    assert 0.15 < np.mean(sides[:, 0] > sides[:, 1]) < 0.35  # a quarter is upright
    things = [thing for _, _, of_image in drawn for thing in of_image]
    assert {len(of_image) for _, _, of_image in drawn} == {1, 2, 3, 4, 5}
    assert np.bincount([thing.label for thing in things], minlength=10).min() > 0.5 * len(things) / 10
    boxes = np.array([thing.box for thing in things])
    across = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) + 1
    assert across.max() <= 111 and np.percentile(across, 3) >= 40 and 65 < np.median(across) < 90
    assert 0.005 < np.mean([thing.difficult for thing in things]) < 0.1
    assert 0.005 < np.mean([thing.truncated for thing in things]) < 0.1


def test_boxes_are_tight_about_the_pixels_of_the_mask(drawn):
    """Void reaches 1 px beyond what is seen, so what is not background ends 1 px outside the boxes."""
    alone = 0
    for image, mask, things in drawn:
        left, top, w, h = cv2.boundingRect((mask != 11).astype(np.uint8))
        boxes = np.array([thing.box for thing in things])
        assert [left, top] == np.maximum(boxes[:, :2].min(axis=0) - 1, 0).tolist()
        assert [left + w, top + h] == np.minimum(boxes[:, 2:].max(axis=0) + 2, image.shape[1::-1]).tolist()
        alone += len(things) == 1
        for thing in things:  # each box holds its class and begins and ends with something else than background
            xmin, ymin, xmax, ymax = thing.box
            inside = mask[ymin : ymax + 1, xmin : xmax + 1]
            assert (inside == thing.label + 1).any()
            assert all((edge != 11).any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    assert alone > 5


def test_truncated_things_touch_the_border_and_others_do_not(drawn):
    for image, _, things in drawn:
        height, width = image.shape[:2]
        for thing in things:
            xmin, ymin, xmax, ymax = thing.box
            touches = xmin == 0 or ymin == 0 or xmax == width - 1 or ymax == height - 1
            assert not touches or thing.truncated
            assert 0 <= xmin < xmax < width and 0 <= ymin < ymax < height


def test_masks_hold_classes_background_and_a_thin_void(drawn):
    values = np.bincount(np.concatenate([mask.ravel() for _, mask, _ in drawn]), minlength=12)
    fractions = values / values.sum()
    assert len(values) == 12 and (values[1:11] > 0).all() and scenes.MASK_CLASSES[11 - 1] == "background"
    assert 0.02 < fractions[0] < 0.06 and 0.78 < fractions[11] / fractions[1:].sum() < 0.88
    for image, mask, things in drawn[:20]:
        assert mask.shape == image.shape[:2] and mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 11, *(thing.label + 1 for thing in things)}
        # No pixel of a thing lies beside another's or the background's: void is in between.
        for shifted in (mask[1:], mask[:, 1:]):
            beside = mask[: shifted.shape[0], : shifted.shape[1]]
            assert ((beside == shifted) | (beside == 0) | (shifted == 0)).all()


def test_things_are_lighter_than_what_surrounds_them(drawn):
    darker = 0
    for image, mask, _ in drawn:
        grey = image @ np.array([0.299, 0.587, 0.114])
        darker += grey[(mask > 0) & (mask < 11)].mean() < grey[mask == 11].mean() + 20
    assert darker == 0


def test_both_layouts_show_the_same_pictures(folder):
    voc = {split: read_voc(folder, (f"2007_{name}",), CLASSES) for split, name in scenes.VOC_SPLITS.items()}
    for split, count in SMALL.items():
        ade = scenes.ADE20K_SPLITS[split]
        masks = read_masks(
            folder / "images" / ade,
            folder / "annotations" / ade,
            scenes.MASK_CLASSES,
            void=(scenes.VOID,),
            values=range(1, len(scenes.MASK_CLASSES) + 1),
        )
        check_values(masks)
        assert len(voc[split]) == len(masks) == count
        for index in range(count):
            image, mask, things = scenes.draw(4, split, index)
            assert voc[split].paths[index].read_bytes() == masks.paths[index].read_bytes()
            stored = cv2.imread(str(masks.paths[index]))[:, :, ::-1]
            assert stored.shape == image.shape and np.abs(stored.astype(int) - image).mean() < 8  # JPEG, RGB in order
            np.testing.assert_array_equal(masks.read_mask(index), mask.astype(int) - 1)
            expected = [[*thing.box, thing.label, thing.difficult] for thing in things]
            np.testing.assert_array_equal(voc[split].boxes[index], expected)
    assert not {path.name for path in voc["train"].paths} & {path.name for path in voc["val"].paths}


def test_the_annotation_is_vocs(folder):
    from gluoncv.data import VOCDetection

    class Scenes(VOCDetection):
        CLASSES = scenes.CLASSES

    theirs, ours = Scenes(str(folder), ((2007, "test"),)), read_voc(folder, ("2007_test",), CLASSES)
    assert len(theirs) == 5
    for i in range(5):
        np.testing.assert_array_equal(theirs._load_label(i), ours.boxes[i])
        assert theirs[i][0].shape[:2] == tuple(ours.sizes[i])
    text = (folder / "VOC2007/Annotations/val_000002.xml").read_text()
    for tag in ("folder", "filename", "source", "size", "segmented", "truncated", "difficult", "pose", "depth"):
        assert f"<{tag}>" in text
    assert "<filename>val_000002.jpg</filename>" in text


def test_ensure_draws_once_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (3, 2))
    folder = scenes.ensure(name="few_scenes")
    assert folder == tmp_path / "few_scenes-v1" and [path.name for path in tmp_path.iterdir()] == ["few_scenes-v1"]
    assert json.loads((folder / "scenes.json").read_text())["train"] == 3
    monkeypatch.setattr(scenes, "make", None)  # a second drawing would fail
    assert scenes.ensure(name="few_scenes") == folder


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(seed, split, index):
        if index == 5:
            raise KeyboardInterrupt
        return draw(seed, split, index)

    draw = scenes.draw
    monkeypatch.setattr(scenes, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scenes.ensure(tmp_path / "data", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path):
    folder = scenes.ensure(tmp_path / "data", train=2, val=1)
    with pytest.raises(Refused, match="holds other pictures: delete it"):
        scenes.ensure(folder, train=2, val=1, seed=1)
    with pytest.raises(Refused, match="does not hold as many VOC2007/JPEGImages"):
        scenes.ensure(folder, train=3, val=1)
    (folder / "annotations/validation/val_000000.png").unlink()
    with pytest.raises(Refused, match="does not hold as many annotations/validation"):
        scenes.ensure(folder, train=2, val=1)
    with pytest.raises(Refused, match="0 pictures in val: ask for at least 1"):
        scenes.make(tmp_path, train=2, val=0)


@pytest.mark.parametrize("name", ["VOC2007/JPEGImages/train_000001.jpg", "annotations/validation/val_000000.png"])
def test_a_cache_with_another_picture_is_drawn_again(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    folder = scenes.ensure(train=2, val=1)
    drawn = (folder / name).read_bytes()
    (folder / name).write_bytes(drawn[:-1] + b"x")
    with pytest.raises(Refused, match="holds other pictures: delete it"):
        scenes.ensure(folder, train=2, val=1)
    scenes.ensure(train=2, val=1)
    assert (folder / name).read_bytes() == drawn
    assert capsys.readouterr().err.count(f"{folder} holds other pictures: it is drawn again") == 1
    for content in ("{", "[]", "[" * 100000):
        (folder / "scenes.json").write_text(content)
        scenes.ensure(train=2, val=1)
