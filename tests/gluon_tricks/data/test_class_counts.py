"""What is told of the sizes of the training classes, whatever they are called."""

import logging

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.class_counts import ClassCounts


def counts(**classes):
    return ClassCounts(tuple(classes), tuple(classes.values()))


@pytest.mark.parametrize(
    "classes, line",
    [
        (counts(a=4, b=4), "training images of each class: 4"),
        (counts(good=60, crack=3), "training images of a class: 3 (crack) to 60 (good)"),
        (counts(a=5, b=0, c=7), "training images of a class: 0 (b) to 7 (c): a 5, b 0, c 7"),
        (
            counts(**{f"k{i}": i for i in range(1, 12)}),
            "training images of a class: 1 (k1) to 11 (k11); 6 in the middle",
        ),
        (
            ClassCounts(("<b>x</b>", "猫", "a\nb\x1b[2J"), (1, 2, 3)),
            r"training images of a class: 1 (<b>x</b>) to 3 (a\nb\x1b[2J): <b>x</b> 1, 猫 2, a\nb\x1b[2J 3",
        ),
    ],
)
def test_the_line(classes, line):
    assert classes.line() == line


def test_a_line_stays_a_line_whatever_the_names():
    classes = ClassCounts(tuple(f"{k}{'x' * 200}" for k in range(10)), tuple(range(10)))
    assert len(classes.line()) < 1000 and "9 (9xxx" in classes.line()


def warnings(classes, caplog, made_up_for=False):
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        classes.warn(made_up_for)
    return caplog.messages


def test_from_one_to_twenty_on_it_is_a_warning_that_names_both_flags(caplog):
    assert warnings(counts(a=39, b=2), caplog) == []
    (said,) = warnings(counts(a=40, b=2, c=30), caplog)
    assert "2 (b) to 40 (a)" in said and "--class-weights balanced or --sampling balanced" in said
    assert warnings(counts(a=40, b=2), caplog, made_up_for=True) == []


def test_classes_without_images_are_named(caplog):
    classes = counts(a=40, b=0, c=2, d=0)
    empty, unequal = warnings(classes, caplog)
    assert empty == "2 of 4 classes have no training image (b, d)"
    assert "2 (c) to 40 (a)" in unequal  # of those that have images
    with pytest.raises(Refused, match=r"^it draws each, and 2 of 4 classes have no training image \(b, d\): add some"):
        classes.require_all("it draws each")
    many = ClassCounts(tuple(map(str, range(14))), (0,) * 12 + (1, 1))
    assert warnings(many, caplog) == [
        "12 of 14 classes have no training image (0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)"
    ]
    counts(a=1, b=100).require_all("it draws each")
