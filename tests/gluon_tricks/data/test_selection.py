"""A part of packed images: which ones, in which order, by which names; that it trains and is scored as a whole is."""

import types

import numpy as np
import pytest

from gluon_tricks.cli import command_line, train
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.pack import RecordWriter
from gluon_tricks.data.recipe_records import find_records
from gluon_tricks.data.records import Records
from gluon_tricks.data.selection import Selection, _numbers, selected
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained.interface import evaluate


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """24 records: image k has label k % 4 and the id 100 + k."""
    path = tmp_path_factory.mktemp("part") / "train"
    with RecordWriter(path, ["red", "green", "blue", "grey"]) as writer:
        for k in range(24):
            writer.add(k % 4, 100 + k, bytes([k]))
    return Records(f"{path}.rec")


def contents(part):
    return [part.read(i) for i in range(len(part))]


def test_two_classes_in_the_order_named(records):
    """blue is 0 and green 1: images 1, 2, 5, 6, ... with labels 1, 0, 1, 0, ..."""
    part = Selection(records, ["blue", "green"])
    kept = [k for k in range(24) if k % 4 in (1, 2)]
    assert contents(part) == [({1: 1.0, 2: 0.0}[k % 4], 100 + k, bytes([k])) for k in kept]
    assert part.classes == ("blue", "green") and part.kept.tolist() == kept
    assert part.labels().tolist() == [{1: 1.0, 2: 0.0}[k % 4] for k in kept]
    assert part.label_counts().tolist() == [1] * 12 and part.place(0) == records.place(1)
    assert part.describe(1, 102) == records.describe(2, 102).replace("image 2", "image 1")
    with pytest.raises(IndexError):
        part.read(12)


def test_a_class_is_found_by_either_unicode_form_of_its_name():
    one, two = "caf\u00e9", "cafe\u0301"
    whole = types.SimpleNamespace(classes=("ant", two), paths=("train.rec",))
    assert _numbers(whole, [one]) == _numbers(whole, [two]) == [1]


def test_images_of_each_class_are_nested_and_follow_from_the_seed(records):
    """Two of each within three of each, the same whichever other classes there are; other seeds take others."""
    two, three = (Selection(records, (), n, seed=5) for n in (2, 3))
    assert {*two.kept} < {*three.kept} and len(two) == 8 and len(three) == 12
    assert np.bincount(two.labels().astype(int)).tolist() == [2, 2, 2, 2]
    green = {k for k in three.kept if k % 4 == 1}
    assert {k for k in Selection(records, ["green", "red"], 3, seed=5).kept if k % 4 == 1} == green
    assert len({tuple(Selection(records, (), 2, seed).kept) for seed in range(6)}) > 4
    assert Selection(records, (), 6, 0).kept.tolist() == list(range(24))


def test_many_classes_are_found_at_once():
    """Going through a list for each would take half an hour."""
    names = tuple(map(str, range(1 << 19)))
    whole = types.SimpleNamespace(classes=names, paths=("train.rec",))
    assert _numbers(whole, names[::-1]) == [*range(len(names))][::-1]


def test_a_part_has_an_identity_of_its_own(records):
    digests = {
        selected(records, classes, count, seed).digest
        for classes, count, seed in (
            ((), 0, 0), (("red", "blue"), 0, 0), (("blue", "red"), 0, 0), ((), 2, 0), ((), 2, 1), ((), 3, 0),
        )
    }  # fmt: skip
    assert len(digests) == 6 and selected(records) is records
    assert selected(records, ("red", "blue"), 0, 7).digest == selected(records, ("red", "blue"), 0, 0).digest


def test_records_without_names_of_classes(records, tmp_path):
    for ending in ("rec", "idx"):
        (tmp_path / f"bare.{ending}").write_bytes(records.paths[0].with_suffix(f".{ending}").read_bytes())
    part = Selection(Records(tmp_path / "bare.rec"), ["3", "0"])
    assert part.labels()[:3].tolist() == [1.0, 0.0, 1.0] and part.classes == ("3", "0")
    with RecordWriter(tmp_path / "val", records.classes) as writer:
        writer.add(3, 0, b"3")
    (tmp_path / "val.json").unlink()
    val = Records(tmp_path / "val.rec")  # it has no image of the class 0, and does not tell that there is one
    assert selected(val, ["3", "0"], least=0).labels().tolist() == [0.0]
    with pytest.raises(Refused, match="val.rec has no image of the classes 1, 0"):
        selected(val, ["1", "0"], least=0)
    for name, least in (("0", 1), ("red", 0), ("03", 0)):
        with pytest.raises(Refused, match=f"there is no class '{name}' in .*val.rec"):
            selected(val, ["3", name], least=least)


@pytest.mark.parametrize(
    "classes, count, says",
    [
        (["red", "gren"], 0, "there is no class 'gren' in .*train.rec: did you mean green"),
        (["red", "green"], 7, "train.rec has 6 images of the class red, and 7 are asked for: set per_class to fewer"),
        ((), 7, "6 images of the class red, and 7"),
    ],
)
def test_what_is_not_there_is_refused(records, classes, count, says):
    with pytest.raises(Refused, match=says):
        Selection(records, classes, count)


def test_validation_may_lack_a_class(records, tmp_path):
    """As without only_classes; training may not, and neither may have no image at all."""
    with RecordWriter(tmp_path / "val", records.classes) as writer:
        for k in (0, 1, 2, 0):
            writer.add(k, writer.size, bytes([k]))
    val = Records(tmp_path / "val.rec")
    recipe = Recipe(data="records", train=(str(records.paths[0]),), val=(str(val.paths[0]),))
    train, part = find_records(recipe.set(only_classes=("grey", "red", "blue")))
    assert part.labels().tolist() == [1, 2, 1] and np.bincount(train.labels().astype(int)).tolist() == [6, 6, 6]
    with pytest.raises(Refused, match="val.rec has 0 images of the class grey, and 1 are asked for"):
        find_records(recipe.set(only_classes=("red", "grey"), train=recipe.val))
    with pytest.raises(Refused, match="val.rec has no image of the classes grey"):
        selected(val, ("grey",), least=0)


@pytest.mark.parametrize(
    "fields, says",
    [
        (dict(only_classes=("a",)), "only_classes are a: name two classes or more"),
        (dict(only_classes=("a", "a")), "each once"),
        (dict(only_classes=("caf\u00e9", "cafe\u0301")), "each once"),
        (dict(only_classes=("a", "b\x1b")), "without control characters"),
        (dict(only_classes=("a", "b"), classes=3), "classes is 3 and only_classes are 2: leave one out"),
        (dict(per_class=-1), "per_class is -1: it takes 0 or more"),
    ],
)
def test_recipes_that_make_no_sense(fields, says):
    with pytest.raises(Refused, match=says):
        Recipe(**fields)
    with pytest.raises(Refused, match="only_classes and per_class take images of one class each"):
        MultiLabelRecipe(per_class=3)


def test_flags(tmp_path):
    (tmp_path / "names.txt").write_text("grey\nblue\n")
    places = "a/airfield,s/swimming_pool/outdoor"  # of Places365
    named = {"grey,blue": ("grey", "blue"), str(tmp_path / "names.txt"): ("grey", "blue"), places: places.split(",")}
    for given, names in named.items():
        args = command_line.parse(["--recipe", "shapes", "--only-classes", given, "--per-class", "10"])
        recipe, _ = command_line.recipe_from_flags(args, 1)
        assert (recipe.only_classes, recipe.per_class) == (tuple(names), 10)
    for given in ("none.txt", "a/airfield", "a,b/none.txt"):
        with pytest.raises(Refused, match=f"--only-classes {given}: there is no such file"):
            command_line.recipe_from_flags(command_line.parse(["--only-classes", given]), 1)
    with pytest.raises(Refused, match="--new-head goes with --use-pretrained"):
        command_line.recipe_from_flags(command_line.parse(["--recipe", "shapes", "--new-head"]), 1)


def test_a_network_of_two_classes_is_trained_transferred_and_scored(tiny_records, tmp_path, capsys):
    """Two colours are learnt, then from the frozen features the two others, with a head of their own."""
    words = ["--rec-train", str(tiny_records / "train.rec"), "--rec-val", str(tiny_records / "val.rec")]
    words += ["--model", "cifar_resnet20_v1", "--input-size", "32", "--batch-size", "8", "--lr", "0.02", "-j", "1"]
    words += ["--num-epochs", "2", "--picture-epochs", "0"]
    base, new = tmp_path / "base", tmp_path / "new"
    assert train.main([*words, "--only-classes", "red,blue", "--save-dir", str(base)]) == 0
    assert "on 24 images of 2 classes" in capsys.readouterr().out
    more = ["--only-classes", "grey,green", "--per-class", "8", "--use-pretrained", str(base), "--freeze", "features"]
    assert train.main([*words, *more, "--new-head", "--save-dir", str(new)]) == 0
    said = capsys.readouterr().out
    assert "on 16 images of 2 classes" in said and "frozen: " in said and "on 10 held-out images" in said
    scores = evaluate(new)
    assert scores.images == 10 and scores == evaluate(new, tiny_records / "val.rec")
    assert evaluate(base).images == 10
