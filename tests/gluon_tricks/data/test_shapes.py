"""The built-in data set: geometry against formulas, determinism, and that it is neither trivial nor half made."""

import concurrent.futures
import json
import math
import time

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.builtin import outlines, shapes

SMALL = {"train": 30, "val": 20}
FILES = {f"{split}.{ending}" for split in ("train", "val") for ending in ("rec", "idx", "json", "labels")}


class Fixed:
    """A generator of which every uniform draw is the lower bound."""

    def uniform(self, low, high, size=None):
        return low if size is None else np.full(size, low, dtype=float)


def area(contour):
    x, y = contour.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize(
    "name, areas",
    [
        ("disc", [math.pi]),
        ("ring", [math.pi, math.pi / 4]),  # the hole's radius is 0.5
        ("square", [2]),
        ("triangle", [3 * math.sqrt(3) / 4]),
        ("star", [5 * 0.36 * math.sin(math.pi / 5)]),  # ten triangles between radii 1 and 0.36
        ("cross", [4 * 0.75 * 0.4 + 0.4**2]),  # four arms 0.95 - 0.2 long and a middle, all 0.4 wide
    ],
)
def test_outlines_have_the_areas_of_their_forms(name, areas):
    contours = outlines.outline(shapes.CLASSES.index(name), Fixed())
    np.testing.assert_allclose([area(contour) for contour in contours], areas, rtol=2e-3)


def test_the_arrow_and_the_crescent():
    # Head: a triangle 1 long and 1.2 wide; shaft: 0.95 by 0.28 (with the lower bounds neck 0, head 0.6, shaft 0.14).
    assert area(outlines.outline(shapes.CLASSES.index("arrow"), Fixed())[0]) == pytest.approx(0.6 + 0.266)
    # The unit disc less its lens with a disc of radius 0.75 at 0.4.
    r, d = 0.75, 0.4
    lens = (
        math.acos((d**2 + 1 - r**2) / (2 * d))
        + r**2 * math.acos((d**2 + r**2 - 1) / (2 * d * r))
        - math.sqrt((-d + r + 1) * (d + r - 1) * (d - r + 1) * (d + r + 1)) / 2
    )
    crescent = outlines.outline(shapes.CLASSES.index("crescent"), Fixed())[0]
    assert area(crescent) == pytest.approx(math.pi - lens, rel=5e-3)


@pytest.mark.parametrize("label", range(10))
def test_outlines_lie_in_the_unit_disc_and_fill_a_good_part_of_it(label):
    for seed in range(20):
        contours = outlines.outline(label, np.random.default_rng(seed))
        assert max(np.linalg.norm(contour, axis=1).max() for contour in contours) < 1.01
        assert 0.2 < (area(contours[0]) - sum(area(hole) for hole in contours[1:])) / math.pi <= 1


def test_pose_squeezes_by_at_most_15_percent_and_keeps_the_middle():
    disc = outlines.outline(shapes.CLASSES.index("disc"), None)
    fractions = []
    for seed in range(50):
        (posed,) = outlines.pose(disc, 10, np.random.default_rng(seed))
        reach = np.linalg.norm(posed, axis=1)
        assert reach.max() == pytest.approx(10, rel=2e-3) and np.abs(posed.mean(axis=0)).max() < 1e-9
        fractions.append(reach.min() / reach.max())
    assert 0.849 < min(fractions) < 0.87 and max(fractions) > 0.98


def test_the_silhouette_is_the_inside_and_leaves_out_the_hole():
    square = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]]) * 20.0 + [50, 40]
    mask = outlines.silhouette([square], 80, 100)
    assert mask.shape == (80, 100) and mask.dtype == np.uint8
    assert mask[40, 50] == mask[25, 35] == mask[55, 65] == 255 and mask[40, 75] == mask[65, 50] == 0
    # OpenCV counts the pixels on the border in: 41 x 41, and 19 x 19 are left of a hole of 20 x 20.
    assert (mask > 127).sum() == 41**2
    ring = outlines.silhouette([square, (square - [50, 40]) / 2 + [50, 40]], 80, 100)
    assert ring[40, 50] == 0 and (ring > 127).sum() == 41**2 - 19**2


def test_a_picture_depends_on_its_seed_split_and_index_alone():
    first, label = shapes.draw(5, "train", 13)
    shapes.draw(5, "train", 14)
    np.testing.assert_array_equal(shapes.draw(5, "train", 13)[0], first)
    assert label == 3 and shapes.CLASSES[label] == "disc"
    for other in (shapes.draw(6, "train", 13), shapes.draw(5, "val", 13), shapes.draw(5, "train", 23)):
        assert other[1] == 3 and (other[0].shape != first.shape or (other[0] != first).mean() > 0.5)


def test_pictures_are_rgb_of_96_to_160_pixels_with_balanced_classes():
    pictures = [shapes.draw(0, "val", index) for index in range(200)]
    assert np.bincount([label for _, label in pictures]).tolist() == [20] * 10
    sides = np.array([image.shape[:2] for image, _ in pictures])
    assert 96 <= sides.min() < 102 and 154 < sides.max() <= 160 and len(set(map(tuple, sides))) > 150
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image, _ in pictures)


def test_a_linear_classifier_on_pixels_does_badly():
    """Ridge regression on 32x32 pixels: chance is 10 %, ResNet-18-D gets over 95 %."""

    def pixels(split, count):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pictures = list(pool.map(lambda index: shapes.draw(0, split, index), range(count)))
        small = [cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).ravel() for image, _ in pictures]
        return np.array(small, np.float32) / 255, np.array([label for _, label in pictures])

    (train, labels), (val, truth) = pixels("train", 2000), pixels("val", 500)
    mean = train.mean(axis=0)
    gram = (train - mean) @ (train - mean).T
    top1 = []
    for penalty in (10, 100, 1000):
        dual = np.linalg.solve(gram + penalty * np.eye(len(gram), dtype=np.float32), np.eye(10)[labels] - 0.1)
        scores = (val - mean) @ ((train - mean).T @ dual)
        top1.append((scores.argmax(axis=1) == truth).mean())
    assert max(top1) < 0.4


def records(folder, split):
    reader = mx.recordio.MXIndexedRecordIO(str(folder / f"{split}.idx"), str(folder / f"{split}.rec"), "r")
    return [mx.recordio.unpack(reader.read_idx(key)) for key in reader.keys]


def test_make_writes_records_and_manifests(tmp_path, capsys):
    shapes.make(tmp_path, **SMALL, seed=4)
    assert "50 pictures" in capsys.readouterr().err  # one plain line where there is no terminal
    assert {path.name for path in tmp_path.iterdir()} == FILES
    for split, count in SMALL.items():
        manifest = json.loads((tmp_path / f"{split}.json").read_text())
        assert manifest["classes"] == list(shapes.CLASSES) and manifest["count"] == count
        written = records(tmp_path, split)
        assert [header.id for header, _ in written] == list(range(count))
        assert [header.label for header, _ in written] == [index % 10 for index in range(count)]
    image = cv2.imdecode(np.frombuffer(written[7][1], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    drawn, _ = shapes.draw(4, "val", 7)
    assert image.shape == drawn.shape and np.abs(image.astype(int) - drawn).mean() < 8  # JPEG, RGB in order


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        shapes.make(tmp_path / name, train=10, val=10, seed=seed)
    a, b, c = ((tmp_path / name / "train.rec").read_bytes() for name in "abc")
    assert a == b != c


def test_ensure_draws_once(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    folder = shapes.ensure(**SMALL)
    assert folder == tmp_path / "cache" / "shapes-v1" and {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["shapes-v1"]  # nothing is left over
    monkeypatch.setattr(shapes, "make", None)  # a second drawing would fail
    assert shapes.ensure(**SMALL) == shapes.ensure(str(folder), **SMALL) == folder


def test_the_default_folder_is_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("GLUON_TRICKS_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shapes.ensure(**SMALL) == tmp_path / ".cache" / "gluon_tricks" / "shapes-v1"


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(seed, split, index):
        if index == 15:
            raise KeyboardInterrupt
        return draw(seed, split, index)

    draw = shapes.draw
    monkeypatch.setattr(shapes, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shapes.ensure(tmp_path / "data", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_do_no_harm(tmp_path, monkeypatch):
    def slow(folder, **sizes):
        make(folder, **sizes)
        time.sleep(0.3)  # so that both are at it before the first is done

    make = shapes.make
    monkeypatch.setattr(shapes, "make", slow)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: shapes.ensure(tmp_path / "data", **SMALL), range(2)))
    assert both == [tmp_path / "data"] * 2 and [path.name for path in tmp_path.iterdir()] == ["data"]
    assert len(records(tmp_path / "data", "train")) == 30


def test_refusals(tmp_path):
    folder = shapes.ensure(tmp_path / "data", **SMALL)
    with pytest.raises(Refused, match="other pictures in train than were asked for: delete it"):
        shapes.ensure(folder, train=40, val=20)
    with pytest.raises(Refused, match="other pictures"):
        shapes.ensure(folder, **SMALL, seed=1)
    (folder / "val.rec").unlink()
    with pytest.raises(Refused, match="lacks val.rec"):
        shapes.ensure(folder, **SMALL)
    with pytest.raises(Refused, match="9 pictures in val cannot show all 10 classes"):
        shapes.make(tmp_path, train=10, val=9)
    with pytest.raises(Refused, match="0 pictures in train cannot show"):  # not as many as usual
        shapes.ensure(tmp_path / "none", train=0, val=20)


def _other_label(folder):
    data = bytearray((folder / "train.rec").read_bytes())
    data[100] ^= 1
    (folder / "train.rec").write_bytes(data)


def _other_seed(folder):
    """Whole records of other pictures, whose manifest says that they are these."""
    for path in folder.iterdir():
        path.unlink()
    shapes.make(folder, **SMALL, seed=5)
    manifest = (folder / "train.json").read_text()
    (folder / "train.json").write_text(manifest.replace('"seed": 5', '"seed": 0'))
    (folder / "val.json").write_text((folder / "val.json").read_text().replace('"seed": 5', '"seed": 0'))


@pytest.mark.parametrize(
    "change, says",
    [
        (_other_label, "holds other pictures in train than were drawn"),
        (_other_seed, "holds other pictures in train than were drawn"),
        (lambda folder: (folder / "train.json").write_text('{"classes": ["x"'), "is damaged"),
        (lambda folder: (folder / "train.json").write_text("[" * 100000), "is damaged"),
        (lambda folder: (folder / "val.idx").unlink(), "lacks val.idx"),
    ],
)
def test_a_cache_with_other_pictures_is_drawn_again(change, says, tmp_path, monkeypatch, capsys):
    """With one line; a folder that was named is the user's, and left alone."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    folder = shapes.ensure(**SMALL)
    rec = (folder / "train.rec").read_bytes()
    change(folder)
    with pytest.raises(Refused, match=f"{says}.*: delete it"):
        shapes.ensure(folder, **SMALL)
    capsys.readouterr()
    assert shapes.ensure(**SMALL) == folder and (folder / "train.rec").read_bytes() == rec
    lines = [line for line in capsys.readouterr().err.splitlines() if "is drawn again" in line]
    assert len(lines) == 1 and lines[0].startswith(f"{folder} {says}")
    assert [path.name for path in tmp_path.iterdir()] == ["shapes-v1"]
    shapes.ensure(**SMALL)
    assert capsys.readouterr().err == ""
