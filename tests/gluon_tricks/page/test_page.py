"""Charts, bars and matrices: what is drawn where, and which classes come together."""

import re

import numpy as np
import pytest

from gluon_tricks.page import bars, charts, matrix
from gluon_tricks.page.charts import Line, chart, ticks


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 100, ["0", "20", "40", "60", "80", "100"]),
        (1.9e-5, 2.1e-5, ["1.90e-5", "1.95e-5", "2.00e-5", "2.05e-5", "2.10e-5"]),
        (0, 3e7, ["0.0e7", "0.5e7", "1.0e7", "1.5e7", "2.0e7", "2.5e7", "3.0e7"]),
        (-0.3, 0.12, ["-0.3", "-0.2", "-0.1", "0.0", "0.1"]),
    ],
)
def test_ticks_are_round_and_differ(low, high, expected):
    assert charts._numbers(ticks(low, high)) == expected


def test_epochs_are_whole():
    assert ticks(0, 3, 7, whole=True) == [0, 1, 2, 3] and ticks(0, 1, 7, whole=True) == [0, 1]
    assert ticks(0, 120, 7, whole=True) == [0, 20, 40, 60, 80, 100, 120]


def test_thirty_lines_differ_without_colour():
    looks = {charts._style(k)[1:] for k in range(30)}
    assert len(looks) == 30


def test_what_is_not_finite_interrupts_a_line():
    drawn = chart("t", [Line("l", [1, 2, 3, 4, 5], [1, 2, np.nan, 3, 4])], "x", "y")
    (path,) = re.findall(r'<path d="(M[^"]*)" fill="none" stroke="#0072b2" stroke-linejoin', drawn)
    assert path.count("M") == 2 and drawn.count("<circle") == 4 + 1  # one in the legend
    assert chart("t", [Line("l", [1, 2], [np.nan, np.inf])], "x", "y") == ""


@pytest.mark.parametrize("y, points", [([np.nan, np.nan], 0), ([np.inf, -np.inf], 0), ([np.inf, 3], 1), ([], 0)])
def test_a_line_without_a_finite_number_stands_in_the_legend_alone(y, points):
    drawn = chart("t", [Line("good", [1, 2], [1, 2]), Line("bad", [1, 2], y, 1)], "x", "y")
    assert drawn.count('stroke="#0072b2" stroke-width="1.8"') == 2 + 1 and "<span>bad</span>" in drawn
    assert drawn.count('stroke="#d55e00" stroke-width="1.8"') == points + 1  # one in the legend


def test_the_axes_hold_all_points():
    drawn = chart("t", [Line("l", [1, 2, 3], [5, 5, 5])], "x", "y")
    for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)[:3]:
        assert charts._LEFT <= float(x) <= charts._WIDTH and 0 <= float(y) <= charts._HEIGHT - charts._BOTTOM


def test_bars_have_the_lowest_first_and_all_behind_a_click():
    names, values = [f"name{k}" for k in range(40)], np.linspace(1, 0, 40)
    values[3] = np.nan
    told = bars.class_bars(names, "images", np.arange(40), {"F1": values})
    first, rest = told.split("<details>")
    assert re.findall(r"name\d+", first) == [f"name{k}" for k in range(39, 9, -1)]
    assert re.findall(r"name\d+", rest)[-1] == "name3" and rest.endswith("</details>") and "–" in rest
    few = bars.class_bars(names[:30], "images", np.arange(30), {"F1": values[:30]})
    assert "<details>" not in few and len(re.findall(r"name\d+", few)) == 30


def groups(k=40, size=4, wrong=5):
    """Counts in which the classes k, k + 10, k + 20 and k + 30 are taken for each other, and others never are."""
    counts = np.diag(np.full(k, 50))
    for a in range(k):
        for b in range(k):
            if a != b and a % (k // size) == b % (k // size):
                counts[a, b] = wrong + (a % 10 == 3)
    return counts


def test_classes_that_are_confused_come_together():
    counts = groups()
    order, tree = matrix.clustered(counts, counts.sum(axis=1))
    assert sorted(order.tolist()) == list(range(40))
    assert all(len({k % 10 for k in order[at : at + 4].tolist()}) == 1 for at in range(0, 40, 4))
    blocks = matrix.worst_blocks(counts, tree)
    assert len(blocks) == 6 and sorted(blocks[0]) == [3, 13, 23, 33]  # the one with most
    assert all(len(block) == 4 and len({k % 10 for k in block}) == 1 for block in blocks)


def test_no_block_of_classes_that_have_nothing_to_do_with_each_other():
    counts = np.diag(np.full(40, 50))
    counts[0, 1], counts[7, 30] = 9, 3
    tree = matrix.clustered(counts, counts.sum(axis=1))[1]
    assert [sorted(b) for b in matrix.worst_blocks(counts, tree)] == [[0, 1], [7, 30]]
    right = np.diag(np.full(40, 50))
    assert matrix.worst_blocks(right, matrix.clustered(right, right.sum(axis=1))[1]) == []
    assert "No two classes are confused" in matrix.confusion([f"n{k}" for k in range(40)], right, "images")


def test_cells_have_their_numbers():
    """A count; as shares the percent of the row, little ones as such; what has none is empty."""
    counts, names = np.array([[900, 99, 1], [0, 0, 0], [5, 0, 5]]), ["a", "b", "c"]
    told = matrix.confusion(names, counts, "pixels")
    assert re.findall(r">(\d*)</td>", told) == ["900", "99", "1", "", "", "", "5", "", "5"]
    shares = matrix.confusion(names, counts, "pixels", shares=True)
    assert re.findall(r">([^<>]*)</td>", shares) == ["90", "10", "&lt;1", "", "", "", "50", "", "50"]
    assert 'title="a taken for b: 99 pixels, 9.9%"' in told


def test_a_map_of_too_many_classes_has_those_with_most_mistakes():
    counts = np.zeros((1200, 1200), np.int64)
    counts[np.arange(1200), np.arange(1200)] = 3
    counts[np.arange(150, 1150), np.arange(151, 1151)] = 1
    chosen = matrix._most_confused(counts)
    assert len(chosen) == 1000 and (np.diff(chosen) > 0).all() and chosen[0] >= 150


def test_shares_of_a_map_are_of_all_classes():
    """Of 300 images of class 0 180 are taken for class 1, and 100 for classes that the map leaves out.

    There are 180 + 100 + 999 mistakes; the block of classes 0 and 1 has 181 of them, five others have 2 each.
    """
    counts, first = np.diag(np.full(1100, 3)), np.arange(1000)
    counts[first, first ^ 1] = 1
    counts[0, :2], counts[0, 1000:] = (20, 180), 1
    told = matrix.confusion([f"n{k}" for k in range(1100)], counts, "images")
    assert 'title="n0 taken for n1: 180 images, 60.0%"' in told and "n1050" not in told
    assert "15% of all mistakes lie in 6 blocks" in told
    assert told.count("the 1000 of 1100 classes with most mistakes") == 2


def test_the_whole_of_a_map_says_no_more_than_how_many_classes():
    told = matrix.confusion([f"n{k}" for k in range(40)], groups(), "images")
    assert told.count("of 40 classes") == 1 and "<output>40 classes</output>" in told
