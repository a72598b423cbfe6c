"""What classifiers ask of records, in the same words from training, evaluation and --check."""

import logging
import math
import shutil

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import evaluate, pack
from gluon_tricks.cli import train as training
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.class_counts import ClassCounts
from gluon_tricks.data.recipe_records import count_classes
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import class_labels, of_one_class, require_apart
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import Classification
from model_zoo import get_model, weights

JPEG = cv2.imencode(".jpg", np.full((32, 32, 3), 90, np.uint8))[1].tobytes()


def ours(path, labels, classes=("a", "b", "c")):
    with RecordWriter(path.with_suffix(""), classes) as writer:
        for k, label in enumerate(labels):
            writer.add(label, k, JPEG + bytes([k]), f"{classes[label]}/{k}.jpg")
    return path


def theirs(path, labels):
    """As im2rec packs: without manifest and names."""
    writer = mx.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for k, label in enumerate(labels):
        writer.write_idx(k, mx.recordio.pack(mx.recordio.IRHeader(0, label, k, 0), JPEG))
    writer.close()
    return path


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    net = get_model("cifar_resnet20_v1", classes=3)
    net.initialize(mx.init.Zero())
    path = tmp_path_factory.mktemp("net") / "net.params"
    weights.save(net, path)
    return path


@pytest.mark.parametrize(
    ("labels", "says", "checked"),
    [
        ([0, [1, 2], 1, [1, 2, 3]], r"image 1 \(id 1\) of .*has 2 labels \(2 of 4 records ", "2 of 4 records"),
        ([0, 1, math.inf], r"image 2 \(id 2\) of .* has label inf, and classification", "not whole: 1, first inf"),
        ([0, math.nan, 1], r"image 1 \(id 1\) of .* has label nan, and classification", "not whole: 1, first nan"),
        ([[1, 2], [1, 2]], r"image 0 \(id 0\) of .*has 2 labels \(2 of 2 records ", "2 of 2 records"),
    ],
)  # fmt: skip
def test_labels_that_are_no_classes(tmp_path, parameters, capsys, labels, says, checked):
    bad, val = theirs(tmp_path / "bad.rec", labels), ours(tmp_path / "val.rec", [0, 1, 2])
    words = ["--model", "cifar_resnet20_v1", "--num-gpus", "0"]
    train = ["--rec-train", bad, "--rec-val", val, "--save-dir", tmp_path / "run", *words]
    score = ["--pretrained", parameters, "--rec-val", bad, *words]
    for main, given in ((training.main, train), (evaluate.main, score)):
        assert main(list(map(str, given))) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1, said
        with pytest.raises(Refused, match=says):
            raise Refused(said)
    assert pack.main(["--check", str(bad)]) == 2
    said = capsys.readouterr().out
    assert checked in said and "0 to -1" not in said


def test_a_label_beyond_the_classes_is_named(tmp_path):
    gap, val = theirs(tmp_path / "gap.rec", [0, 1, 2, 7] * 3), ours(tmp_path / "val.rec", [0, 1, 2])
    with pytest.raises(
        Refused, match=r"image 3 \(id 3\) of .*gap.rec .* has label 7, and .*val.rec has the classes 0 to 2"
    ):
        count_classes(Records(gap), Records(val), None)
    few = theirs(tmp_path / "few.rec", [0, 1, 2])
    with pytest.raises(Refused, match="labels up to 7 and the recipe 3 classes: give --set classes=8"):
        count_classes(Records(gap), Records(few), 3)
    assert count_classes(Records(gap), Records(few), None) == 8


@pytest.mark.parametrize("classes, odd", [(("a", "c", "b"), "b and c"), (("a", "b"), "c and nothing")])
def test_validation_of_other_classes_is_told_by_the_first(tmp_path, classes, odd):
    """Also where they are the same in another order."""
    train, val = ours(tmp_path / "t.rec", [0, 1, 2]), ours(tmp_path / "v.rec", [0, 1], classes)
    with pytest.raises(Refused, match=rf"they are not the same \(the first difference: {odd}\): pack validation"):
        count_classes(Records(train), Records(val), None)


def test_an_image_is_told_by_its_name(tmp_path):
    rec = ours(tmp_path / "a.rec", [0, 1, 2])
    with pytest.raises(Refused, match=r"image 2 \(c/2.jpg, id 2\) of "):
        class_labels(Records(rec), 2, "the network")


def test_classes_without_training_images_are_told(tmp_path, caplog):
    train, val = ours(tmp_path / "t.rec", [0, 2]), ours(tmp_path / "v.rec", [0, 1])
    with caplog.at_level(logging.WARNING):
        ClassCounts.of(Records(train), count_classes(Records(train), Records(val), None)).warn(made_up_for=False)
    assert caplog.messages == ["1 of 3 classes have no training image (b)"]


def test_validation_of_one_class_is_told_by_all(tmp_path, parameters, capsys):
    one, train = ours(tmp_path / "one.rec", [1, 1, 1]), ours(tmp_path / "train.rec", [0, 1, 2])
    says = f"all 3 images of {one} have label 1 (b); if an unlabelled folder was packed as one class"
    assert of_one_class(Records(one)).startswith(says) and of_one_class(Records(train)) == ""
    words = ["--model", "cifar_resnet20_v1", "--pretrained", parameters, "--rec-val", one, "--num-gpus", 0]
    assert evaluate.main(list(map(str, words))) == 0
    assert capsys.readouterr().err.startswith(f"warning: {says}")
    assert pack.main(["--check", str(one)]) == 2 and says in capsys.readouterr().out
    with pytest.raises(Refused) as refusal:
        count_classes(Records(train), Records(one), None)
    assert str(refusal.value).startswith(says)


def test_the_same_records_are_refused_for_training_and_validation(tmp_path, capsys):
    a, b = ours(tmp_path / "a.rec", [0, 1, 2, 0]), ours(tmp_path / "b.rec", [0, 1, 2, 2])
    for ending in (".rec", ".idx"):  # without manifest: only the records themselves tell
        shutil.copy(a.with_suffix(ending), tmp_path / f"copy{ending}")
    copy = tmp_path / "copy.rec"
    words = ["--rec-train", a, b, "--rec-val", copy, "--save-dir", tmp_path / "run", "--num-gpus", 0]
    assert training.main(list(map(str, words))) == 2
    assert f"refused: {copy} is trained on too, as {a}: " in capsys.readouterr().err
    for train, val, says in (
        ([a, copy], [b], "hold the same images"),
        ([b], [a, copy], "hold the same images"),
        ([a, a], [b], "named twice"),
        ([a], [a], "too"),
    ):
        with pytest.raises(Refused, match=says):
            require_apart(Records(train), Records(val))
    with pytest.raises(Refused, match="is trained on too"):
        Classification.find_data(Recipe(data="records", train=(str(a),), val=(str(copy),)))
    require_apart(Records(a), Records(b))  # of the same sizes and offsets, but not the same


def test_a_folder_named_as_records(tmp_path, capsys):
    rec = ours(tmp_path / "train.rec", [0, 1, 2])
    (tmp_path / "photos" / "train").mkdir(parents=True)
    for folder, says in (
        (tmp_path, f"name the records in it, such as {rec}"),
        (tmp_path / "photos", f"gluon-tricks pack {tmp_path / 'photos' / 'train'} PREFIX` and name"),
    ):
        assert training.main(["--rec-train", str(folder), "--rec-val", str(rec)]) == 2
        said = capsys.readouterr().err
        assert f"--rec-train: {folder} is a folder: " in said and says in said
        assert pack.main(["--check", str(folder)]) == 2 and says in capsys.readouterr().err
