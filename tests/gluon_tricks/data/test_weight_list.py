"""Weights of classes in a file: the same from every form, and one sentence for each mistake."""

import json

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.weight_list import read_weights

WEIGHTS = {"good": 1.0, "猫 <b>": 10.0, "a, b": 0.5, " x ": 2e-3, 'say "hi"': 3.0, "n" * 200: 7.0}
ODD = {"{x}": 1.0, "{y}": 2.0}  # no JSON


def lines(separator, quote=False):
    named = {f'"{name}"' if quote and "," in name else name: weight for name, weight in WEIGHTS.items()}
    return [f"{name}{separator}{weight}" for name, weight in named.items()]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(lines("\t")) + "\n",
        "\n".join(lines(",")),
        "\ufeff" + "\r\n".join(lines(",", quote=True)) + "\r\n\r\n",
        "\r".join(lines("\t")),
        json.dumps(WEIGHTS),
        "\n\n" + json.dumps(WEIGHTS, ensure_ascii=False, indent=2),
    ],
)
def test_every_form_says_the_same(tmp_path, text):
    (tmp_path / "w").write_bytes(text.encode())
    assert dict(zip(*read_weights(tmp_path / "w", 1e-6, 1e6))) == WEIGHTS


def test_names_in_braces_are_no_json(tmp_path):
    (tmp_path / "w").write_text("".join(f"{name},{weight}\n" for name, weight in ODD.items()))
    assert dict(zip(*read_weights(tmp_path / "w", 1e-6, 1e6))) == ODD


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "has no weights: each line is a class, a tab or a comma, and its weight"),
        ("cat,1\ndog\n", "line 2 is 'dog': each line is a class, a tab or a comma, and its weight, such as cat,2.5"),
        ("class,weight\ncat,1\n", "line 1 is 'class,weight': each line is"),
        ("cat,1\n,2\n", "line 2 is ',2'"),
        ("cat,1\ndog,1\n\ncat,2\n", r"names the class 'cat' twice \(line 4 is the second\)"),
        (b"cat,1\rdog,2.5\n", "line 1 is "),
        ("cat," + 140_000 * "1", "line 1 is "),
        ("cat,0\n", "line 1 gives 'cat' the weight 0: it takes 1e-06 to 1e"),
        ("cat\t-1\n", "line 1 gives 'cat' the weight -1"),
        ("cat\tnan\n", "line 1 gives 'cat' the weight nan"),
        ("cat\tinf\n", "line 1 gives 'cat' the weight inf"),
        ("cat\t1,5\n", "line 1 is 'cat.t1,5': each line is"),
        ('{"cat": "1"}', "the weight of 'cat' is '1': give each class a number"),
        ('{"cat": true}', "the weight of 'cat' is True"),
        ('{"cat": null}', "the weight of 'cat' is None"),
        ('{"cat": 1, "cat": 2}', "has the key 'cat' twice"),
        ('{"cat": NaN}', "NaN is no number"),
        ('{"cat": 1' + 400 * "0" + "}", "the weight inf"),
        ('{"cat": 1', "line 1 is"),
        ('{"cat": 1, }', "it is no JSON"),
        ("{}", "has no weights"),
        ("cat,1".encode("utf-16"), "cannot read .* UTF-16"),
        (b"cat,1\n\xff,1\n", "line 2 is not UTF-8"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, words):
    (tmp_path / "w").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Refused, match=words) as refusal:
        read_weights(tmp_path / "w", 1e-6, 1e6)
    assert "\n" not in str(refusal.value)
