"""Curves worked out by hand, masks that are kept, and that the file gives back what was written."""

import cv2
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import distributed
from gluon_tricks.tasks.average_precision import average_precisions
from gluon_tricks.tasks.findings import Field, Found, curve, read_found, save_found
from gluon_tricks.tasks.pictures import overlay
from gluon_tricks.tasks.segmentation import kept_masks
from gluon_tricks.tasks.segmentation.kept_masks import KeptMasks, decoded, encoded
from gluon_tricks.tasks.segmentation.report import SegmenterReport, spread


def test_a_curve():
    """Right, wrong, right of 3 objects: 1 up to a recall of 1/3, 2/3 up to 2/3, nothing beyond."""
    drawn = curve(np.array([0.7, 0.9, 0.8]), np.array([True, True, False]), 3)
    assert drawn[[0, 33]].tolist() == [1, 1] and drawn[[34, 66]] == pytest.approx([2 / 3, 2 / 3])
    assert drawn[[67, 100]].tolist() == [0, 0]
    assert np.isnan(curve(np.zeros(2), np.zeros(2, bool), 0)).all()
    assert curve(np.zeros(0), np.zeros(0, bool), 4).tolist() == [0] * 101


def test_the_area_of_a_curve_is_the_average_precision():
    """To a hundredth: the curve has a hundred recalls."""
    rng = np.random.default_rng(0)
    scores, right = rng.random(300), rng.random(300) < 0.4
    area = average_precisions(scores, right.astype(int), 150)[1]
    assert curve(scores, right, 150)[1:].mean() == pytest.approx(area, abs=0.01)


FIELDS = {"a": Field("int32", ("n",), 0, "K"), "b": Field("float32", ("K", 2), nan=True)}


def test_the_file_gives_back_what_was_written(tmp_path):
    names = ["猫", "<b>", "a\nb", "caf\udce9"]
    arrays = {"a": np.array([0, 3], np.int32), "b": np.full((4, 2), np.nan, np.float32)}
    save_found(tmp_path, Found(names, "digest", arrays))
    again = read_found(tmp_path, FIELDS)
    assert again.names == ("猫", "<b>", "a\nb", "caf\\xe9") and again.digest == "digest"
    for name, array in arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


@pytest.mark.parametrize("columns", [0, 2, 4])
def test_a_confusion_matrix_has_a_column_for_no_class(tmp_path, columns):
    """Of two classes it is (2, 3): what has another width is damaged."""
    matrices = [np.zeros((2, width), np.int64) for width in (3, columns)]
    for matrix in matrices:
        save_found(tmp_path, Found("ab", "digest", {**KeptMasks().of_all_ranks(), "matrix": matrix}))
        if matrix is matrices[0]:
            assert read_found(tmp_path, SegmenterReport.fields).arrays["matrix"].shape == (2, 3)
    with pytest.raises(Refused, match=rf"is damaged \(matrix has the shape \(2, {columns}\)\): make it again"):
        read_found(tmp_path, SegmenterReport.fields)


def masks(shares):
    """Masks (n, 4, 25) of ones, and predictions of which so many percent are right."""
    predicted = np.zeros((len(shares), 100), int)
    for row, share in zip(predicted, shares):
        row[:share] = 1
    return predicted.reshape(-1, 4, 25), np.ones((len(shares), 4, 25), int)


def test_the_worst_masks_are_kept(monkeypatch):
    monkeypatch.setattr(kept_masks, "WORST", 2)
    kept = KeptMasks()
    for indices, shares in (([5, 1], [80, 10]), ([2, 9], [30, 20])):
        kept.add(np.array(indices), *masks(shares))
    found = kept.of_all_ranks()
    assert found["image"].tolist() == [1, 2, 5, 9] and found["right"].tolist() == [10, 30, 80, 20]
    assert found["pixels"].tolist() == [100] * 4 and found["mask_image"].tolist() == [1, 9]
    first = decoded(found["mask_data"][: found["mask_bytes"][0]])
    np.testing.assert_array_equal(first, masks([10])[0][0])


def test_two_ranks_keep_what_one_keeps(monkeypatch):
    """The first has the worst image, the second the next; one of them has none at all."""
    monkeypatch.setattr(kept_masks, "WORST", 2)
    alone, parts = KeptMasks(), [KeptMasks(), KeptMasks()]
    for k, part in enumerate([*parts]):
        for one in (alone, part):
            one.add(np.array([k, 2 + k]), *masks([10 + k, 50]))
    whole = alone.of_all_ranks()
    gathered = [[], []]
    for k, part in enumerate(parts):  # what each rank gives to each sum
        monkeypatch.setattr(kept_masks, "gather", lambda rows, k=k: gathered[k].append(rows) or rows)
        part.of_all_ranks()
    sums = iter([np.concatenate(pair) for pair in zip(*gathered)])
    monkeypatch.setattr(kept_masks, "gather", lambda rows: next(sums))
    both = parts[0].of_all_ranks()
    for name, array in whole.items():
        np.testing.assert_array_equal(both[name], array, err_msg=name)
    assert distributed.ranks() == 1


def test_masks_of_nothing_and_of_many_pixels():
    large = np.full((700, 1400), 299)
    large[:, 700:] = -1
    again = decoded(np.frombuffer(encoded(large), np.uint8))
    assert again.shape == (320, 640) and set(np.unique(again)) == {-1, 299}
    assert decoded(np.zeros(0, np.uint8)) is None and decoded(np.frombuffer(b"\x89PNG junk", np.uint8)) is None
    colours = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1]
    assert decoded(colours) is None  # no mask
    assert KeptMasks().of_all_ranks()["mask_data"].size == 0


def test_the_background_keeps_its_colour():
    """And is not in the legend; a class of another name is coloured."""
    grey, mask = np.full((400, 400, 3), 100, np.uint8), np.zeros((400, 400), int)
    mask[:, 200:] = 1
    for names in (("background", "cat"), ("_Background_", "cat")):
        drawn = overlay(grey, mask, names)
        assert (drawn[:400, :200] == 100).all() and (drawn[:400, 200:] != 100).any(axis=2).all()
    assert (overlay(grey, mask, ("back", "cat"))[:400] != 100).any(axis=2).all()


def test_the_interval_of_a_share_of_pixels():
    """Of two images with 50 and 100 of 100 pixels: 0.75, and a standard error of sqrt(2 * 2 * 25^2) / 200 = 0.25."""
    share, low, high = spread(np.array([50, 100]), np.array([100, 100]))
    assert share == 0.75 and (low, high) == pytest.approx((0.75 - 1.959964 * 0.25, 0.75 + 1.959964 * 0.25))
    assert spread(np.array([30, 60]), np.array([100, 200]))[1:] == pytest.approx((0.3, 0.3))  # no image differs
    assert spread(np.array([1]), np.array([2])) is None and spread(np.zeros(2), np.zeros(2)) is None
