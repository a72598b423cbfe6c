import json
import time

import numpy as np
import pytest

from gluon_tricks.core.json_text import json_or_text, parse_json, to_json, to_lines


@pytest.mark.parametrize(
    "text, says",
    [
        (b"\xff{}", "no text in UTF-8"),
        ('{"a": 1, "b": 2, "a": 3}', "an object has the key 'a' twice"),
        ('{"x": {"k": [NaN]}}', "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        ("[1e400]", "the number '1e400' is too large"),
        ("[" + "9" * 5000 + "]", "Exceeds the limit"),
        ("[" * 100_000 + "]" * 100_000, "deeper than 64"),
        ('{"a":' * 65 + "1" + "}" * 65, "deeper than 64"),
        ('["]",' * 100_000 + "0" + "]" * 100_000, "deeper than 64"),  # a bracket in a text closes nothing
        ('{"a\\"]":' * 65 + "1" + "}" * 65, "deeper than 64"),
        ('["' + '\\"[' * 100_000, "no JSON: Unterminated string"),
        ("{", "no JSON: Expecting property name"),
        ("", "no JSON: Expecting value"),
    ],
)
def test_whatever_is_wrong_is_one_short_reason(text, says):
    with pytest.raises(ValueError, match=says) as error:
        parse_json(text)
    assert len(str(error.value)) < 150


def test_of_many_keys_the_one_that_comes_twice_is_found_at_once():
    text = "{" + ",".join(f'"{k}":0' for k in [*range(300_000), 299_999]) + "}"
    began = time.process_time()
    with pytest.raises(ValueError, match="the key '299999' twice"):
        parse_json(text)
    assert time.process_time() - began < 5  # each compared with all: an hour


def test_what_is_right_is_read():
    assert parse_json('{"a": [1, 2.5, null, "[[["], "b": {"a": true}}') == {
        "a": [1, 2.5, None, "[[["],
        "b": {"a": True},
    }
    assert parse_json("[" * 64 + "]" * 64)
    assert parse_json(json.dumps({"classes": ["[" * 100, '\\"' + "{" * 100]}))["classes"][0] == "[" * 100
    assert parse_json(b"[9007199254740993]") == [9007199254740993]
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]  # with the byte order mark of some editors


@pytest.mark.parametrize("write", [to_json, to_lines])
def test_a_number_that_is_not_finite_is_null(write):
    nan, inf = float("nan"), float("inf")
    value = {"loss": inf, "rows": [(1, -inf), [nan, 2.5]], "in": {"x": np.float64(nan), "text": "NaN"}, "n": 3}
    wanted = {"loss": None, "rows": [[1, None], [None, 2.5]], "in": {"x": None, "text": "NaN"}, "n": 3}
    assert parse_json(write(value)) == wanted and value["loss"] == inf


def test_behind_an_equals_sign_stands_json_or_a_text():
    assert [json_or_text(text) for text in ("3", "[1]", "mixup", "9" * 5000)] == [3, [1], "mixup", "9" * 5000]
