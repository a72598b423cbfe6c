"""Arguments of programs: what is taken as it is meant, and what is refused in a sentence."""

import pathlib

import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import (
    require_function,
    require_indices,
    require_kind,
    require_names,
    require_number,
    require_numbers,
    require_path,
    require_whole,
)


def test_what_is_meant_comes_as_pythons_own():
    whole, number = require_whole("n", np.int32(3), 0, 9), require_number("n", np.float32(0.5), 0, 1)
    assert (whole, type(whole), number, type(number)) == (3, int, 0.5, float)
    assert require_numbers("mean", np.arange(3), 3, 0, 255) == (0, 1, 2)
    assert require_path("file", pathlib.Path("a") / "b") == "a/b" == require_path("file", "a/b")
    assert require_names("classes", iter(["red", "blue"])) == ("red", "blue")
    indices = require_indices("labels", [0.0, 2.0], (2,), 3, "labels")
    assert indices.tolist() == [0, 2] and indices.dtype == np.int64
    require_function("tell", print, "a function")


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: require_whole("n", 2.5), "n takes a whole number, but got 2.5"),
        (lambda: require_whole("n", True), "n takes a whole number, but got True"),
        (lambda: require_whole("n", "3"), "n takes a whole number, but got '3'"),
        (lambda: require_whole("n", 10, 0, 9), "n is 10: it takes 9 or less"),
        (lambda: require_number("x", None), "x takes a number, but got None"),
        (lambda: require_number("x", float("nan")), "x must be finite"),
        (lambda: require_number("x", np.zeros(3)), "x takes a number, but got an ndarray"),
        (lambda: require_numbers("mean", (1, 2), 3, 0, 255), r"mean takes 3 numbers, but got \(1, 2\)"),
        (lambda: require_numbers("mean", 5, 3, 0, 255), "mean takes 3 numbers, but got 5"),
        (lambda: require_numbers("mean", "abc", 3, 0, 255), "mean takes 3 numbers, but got 'abc'"),
        (lambda: require_numbers("mean", [[1, 2], [3]], 2, 0, 255), r"mean takes a number, but got \[1, 2\]"),
        (lambda: require_path("file", 3), "file takes the name of a file or folder, but got 3"),
        (lambda: require_names("classes", "red"), "classes takes a list of names, but got 'red'"),
        (lambda: require_names("classes", [0, 1]), r"classes takes a list of names, but got \[0, 1\]"),
        (lambda: require_names("classes", pathlib.Path("x")), "classes takes a list of names"),
        (lambda: require_function("tell", 3, "a function"), "tell takes a function, but got 3"),
        (lambda: require_kind("net", int, str, "a text"), "net takes a text, but got the class int"),
        (lambda: require_indices("labels", [0, 3], (2,), 3, "labels"), r"labels takes labels, but got \[0, 3\]"),
        (lambda: require_indices("labels", [0, -1], (2,), 3, "labels"), r"labels takes labels, but got \[0, -1\]"),
        (lambda: require_indices("labels", [0.5, 1], (2,), 3, "labels"), "labels takes labels"),
        (lambda: require_indices("labels", ["a", "b"], (2,), 3, "labels"), "labels takes labels"),
        (
            lambda: require_indices("labels", [[0, 1], [2]], (2,), 3, "labels"),
            r"labels takes labels, but got \[\[0, 1\]",
        ),
        (lambda: require_indices("labels", None, (2,), 3, "labels"), "labels takes labels, but got None"),
    ],
)
@pytest.mark.filterwarnings("error")  # which numpy gives for lists of differing lengths
def test_what_is_not_meant_is_refused(call, says):
    with pytest.raises(Refused, match=says):
        call()
