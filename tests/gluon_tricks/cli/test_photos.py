"""--data PHOTOS: from a folder of photos to a run, and back to the photos when the cache is emptied."""

import json
import os
import pathlib
import shutil

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks import load_network
from gluon_tricks.cli import main
from gluon_tricks.cli.command_line import parse, recipe_from_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.data.own_photos import OwnPhotos
from gluon_tricks.data.recipe_records import find_records
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.kinds import read_recipe, recipe_from_json
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import Distillation

TINY = "--model mobilenet0.25 --input-size 32"
FROM_500 = f"--data photos {TINY} --init data:kmeans --set data_dependent_init.images=500"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def photograph(folder, **counts):
    """Photos of 40 x 48 px: a colour for each class, with noise."""
    rng = np.random.default_rng(0)
    for k, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for j in range(count):
            image = rng.integers(0, 60, (40, 48, 3)).astype(np.uint8)
            image[:, :, k % 3] += 150
            cv2.imwrite(str(folder / name / f"{j}.png"), image)
    return folder


@pytest.fixture
def photos(tmp_path):
    return photograph(tmp_path / "photos", red=20, green=16, blue=9)


def meant(*words, devices=1, begun=None):
    return recipe_from_flags(parse([*map(str, words)]), devices, begun)


def test_the_recipe_of_own_photos(photos):
    got, said = meant("--data", photos)
    assert (got.name, got.data, got.model, got.input_size) == ("photos", "records", "resnet18_v1d", 128)
    train, val = find_records(got)
    assert len(train) + len(val) == 45 and train.classes == ("blue", "green", "red")
    assert got.epochs == 100 and got.batch_size == 8 and got.base_lr() == 0.1 * 8 / 64
    assert got.photos["folder"] == str(photos) and got.photos["val_split"] == 0.2
    assert got.photos["digests"] == [train.digest, val.digest]
    assert recipe_from_json(json.loads(json.dumps(got.to_json()))) == got
    assert f"recipe photos on {len(train)} training photos: 100 epochs of {len(train) // 8} steps, batch 8" in said[-1]
    assert get_recipe("photos").epochs == 30  # without photos nothing is known of their number
    other, _ = meant("--data", photos, "--batch-size", 4, "--num-epochs", 3, "--val-split", 0.5, *TINY.split())
    assert (other.batch_size, other.epochs, other.photos["val_split"], other.input_size) == (4, 3, 0.5, 32)
    assert meant("--data", photos, "--set", "batch_size=64", "--set", "epochs=2")[0].batch_size == 64
    assert meant("--data", "~/photos/", "--recipe", "imagenette")[0].name == "imagenette"
    few, _ = meant("--data", photos, "--only-classes", "red,blue", "--per-class", 4)
    assert few.batch_size == 8 and len(find_records(few)[0]) == 8
    assert len(list(pathlib.Path("cache/photos").iterdir())) == 2  # of the two splits


@pytest.mark.parametrize("counts, batch", [((2, 2), 2), ((3, 3), 2), ((8, 8), 8), ((100, 100), 32)])
def test_a_batch_is_no_larger_than_there_are_photos(tmp_path, counts, batch):
    folder = photograph(tmp_path / "few", **dict(zip("ab", counts)))
    recipe, _ = meant("--data", folder)
    train, _ = find_records(recipe)
    assert recipe.batch_size == batch <= len(train)
    assert meant("--data", folder, devices=2)[0].batch_size == batch  # whatever the number of devices
    assert meant("--data", folder, "--recipe", "imagenette")[0].batch_size <= len(train)


def test_gluoncvs_flag_keeps_its_defaults(photos, tiny_records):
    got, _ = meant("--data-dir", photos, "--model", "resnet18_v1d", devices=2)
    assert (got.name, got.epochs, got.augment, got.data) == ("imagenet", 3, "gluoncv", "records")
    assert got.train == meant("--data", photos)[0].train
    records = ("--rec-train", tiny_records / "train.rec", "--rec-val", tiny_records / "val.rec")
    assert meant("--data-dir", "/nowhere", "--use-rec", *records)[0].train == (str(tiny_records / "train.rec"),)
    own, said = meant("--data", tiny_records)
    assert own.train == (str(tiny_records / "train.rec"),) and own.photos == {} and "48 training photos" in said[-1]


@pytest.mark.parametrize(
    "words, says",
    [
        ("--data photos --rec-train a.rec", "--data photos and --rec-train name two sets"),
        ("--data photos --data-dir photos", "--data photos and --data-dir name two sets"),
        ("--data photos --use-rec", "--data photos and --use-rec name two sets"),
        ("--data=", "--data names no folder"),
        ("--data-dir=", "--data-dir names no folder"),
        ("--data photos --val-split 0", "--val-split 0: it takes a fraction between 0 and 1"),
        ("--data photos --val-split 1", "--val-split 1: it takes a fraction"),
        ("--data photos --val-split -0.5", "--val-split -0.5: it takes a fraction"),
        ("--data photos --val-split nan", "--val-split nan: it takes a fraction"),
        ("--val-split 0.3", "--val-split 0.3 goes with --data PHOTOS"),
        ("--recipe shapes --val-split 0.3", "--val-split 0.3 goes with --data PHOTOS"),
        ("--recipe imagenette --rec-train a.rec --rec-val b.rec --val-split 0.3", "--val-split 0.3 goes with --data"),
        ("--data nowhere", "--data nowhere: there is no such folder"),
        ("--data photos --model resnet18", "resnet18"),
        ("--data photos --only-classes red", "name two classes or more"),
        ("--data photos --only-classes red,gren", "no class 'gren' in .*photos: did you mean green"),
        ("--data photos --per-class 10", "photos has 7 images of the class blue, and 10 are asked for"),
        ("--data photos --class-weights weights.csv", "no class 'gren' in the training images"),
        ("--data photos --set classes=7", "the records have 3 classes and the recipe 7"),
        ("--data photos --batch-size 64", "29 training photos are not one batch of 64"),
        ("--data photos --teacher none", "none"),
        ("--data photos --mean-of channels --teacher none", "none"),
        ("--data photos --freeze stage9", "freeze 'stage9' names nothing of resnet"),
        ("--data photos --lr-mult stage9=2", "lr_mult 'stage9' names nothing of resnet"),
        ("--data photos --use-pretrained none", "none"),
        (FROM_500, "the network starts from 500 images, and there are 29: set images to fewer"),
        (f"{FROM_500} --plan", "the network starts from 500 images, and there are 29"),
    ],
)
def test_mistakes_take_one_sentence_and_no_packing(photos, words, says):
    pathlib.Path("weights.csv").write_text("red,1\ngren,2\nblue,1\n")
    with pytest.raises(Refused, match=says) as error:
        meant(*words.split())
    assert "\n" not in str(error.value) and not pathlib.Path("cache").exists()


def test_a_start_from_more_photos_than_are_packed_is_planned_with_its_refusal(photos, capsys):
    meant("--data", photos)
    assert main.main(["train", *FROM_500.split(), "--plan"]) == 2
    assert "the network starts from 500 images, and there are 29" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, says",
    [("--only-classes gren,rde", "no class 'gren' in .*: did you mean green"), ("--per-class 10", "and 10 are asked")],
)
def test_what_is_packed_is_planned_with_the_same_refusals(photos, words, says):
    meant("--data", photos)
    with pytest.raises(Refused, match=says):
        meant("--data", photos, "--plan", *words.split())


@pytest.mark.parametrize(
    "words, says",
    [
        ("--save-dir run", "run holds a run already: continue it with --resume auto, or give another --save-dir"),
        ("--save-dir run/log.txt", "--save-dir run/log.txt: {here}/run/log.txt is no folder"),
        ("--save-dir /proc/x", "refused: /proc/x cannot be written: "),
        ("--logging-file nowhere/log.txt", "--logging-file nowhere/log.txt: there is no such folder"),
        ("--logging-file run", "--logging-file run: it is a folder"),
    ],
)
def test_a_place_that_a_run_cannot_have_is_refused_before_packing(photos, tmp_path, words, says, capsys):
    (tmp_path / "run").mkdir()
    for name in ("recipe.json", "log.txt"):
        (tmp_path / "run" / name).write_text("{}")
    assert main.main(["train", "--data", str(photos), "--num-gpus", "0", *words.split()]) == 2
    err = capsys.readouterr().err
    assert says.format(here=tmp_path) in err and "packing" not in err
    assert not pathlib.Path("cache").exists() and not pathlib.Path("runs").exists()


def test_a_disk_without_room_for_checkpoints_is_refused_before_packing(photos, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**6}))
    with pytest.raises(Refused, match="has 1 MB free and the checkpoints need"):
        meant("--data", photos, *TINY.split(), "--save-dir", "run")
    assert not pathlib.Path("cache").exists()


@pytest.mark.parametrize("more", ["", "--set name=birds"])
@pytest.mark.parametrize("name", ["photos", "imagenette", "own.json"])
def test_the_same_command_goes_on(photos, name, more):
    """As a job script has it, whose first start begins the run: what followed from the photos' number stays."""
    pathlib.Path("own.json").write_text(json.dumps(get_recipe("imagenette").to_json()))
    words = ("--data", photos, "--recipe", name, *more.split())
    begun, _ = meant(*words)
    again, _ = meant(*words, begun=begun)
    assert (again.epochs, again.batch_size) == (begun.epochs, begun.batch_size) == (100 if name == "photos" else 10, 8)
    longer, _ = meant(*words, "--num-epochs", 120, "--batch-size", 4, begun=begun)
    assert (longer.epochs, longer.batch_size) == (120, 4)


def test_records_go_on_by_the_same_command_too(tiny_records):
    words = ("--data", tiny_records, "--recipe", "photos")
    begun, _ = meant(*words)
    again, _ = meant(*words, begun=begun)
    assert (again.epochs, again.batch_size) == (begun.epochs, begun.batch_size) == (100, 8)


def test_a_recipe_file_says_its_own_epochs(photos, tmp_path):
    """Changed in the file, the run goes on for more."""
    begun, _ = meant("--data", photos, "--recipe", "imagenette")
    (tmp_path / "own.json").write_text(json.dumps(begun.set(epochs=20).to_json()))
    assert meant("--data", photos, "--recipe", tmp_path / "own.json", begun=begun)[0].epochs == 20


def test_records_without_a_manifest_are_taken_as_they_are(tiny_records, tmp_path):
    """As MXNet's im2rec writes them."""
    (tmp_path / "own").mkdir()
    for split in ("train", "val"):
        for suffix in ("rec", "idx"):
            shutil.copy(tiny_records / f"{split}.{suffix}", tmp_path / "own")
    got, said = meant("--data", tmp_path / "own")
    assert got.train == (str(tmp_path / "own" / "train.rec"),) and "48 training photos" in said[-1]


def test_a_manifest_that_is_gone_is_packed_again(photos):
    train, _ = find_records(meant("--data", photos)[0])
    (gone,) = pathlib.Path("cache/photos").glob("*/train.json")
    gone.unlink()
    again, _ = find_records(meant("--data", photos)[0])
    assert again.digest == train.digest and gone.is_file()


def test_a_plan_packs_nothing(photos, capsys):
    assert main.main(["train", "--data", str(photos), "--plan"]) == 0
    out, err = capsys.readouterr()
    recipe = recipe_from_json(json.loads(out))
    assert not pathlib.Path("cache").exists()
    assert f"all would be packed into {pathlib.Path('cache/photos').absolute()}" in err and "batch 8" in err
    pathlib.Path("plan.json").write_text(out)
    same, _ = meant("--recipe", "plan.json")  # and now it is packed
    assert same.set(photos={}, name="") == recipe.set(photos={}, name="")
    assert find_records(recipe)[0].digest == same.photos["digests"][0]


def test_a_plan_refuses_what_training_would(photos, capsys):
    """And a smaller batch is chosen only where it can be split as the flags say."""
    for words, says in (
        ("--batch-size 128", "training photos are not one batch of 128: make the batch smaller (--batch-size), or"),
        ("--batch-size 9 --num-gpus 2 --set batch_size=9", "a batch of 9 cannot be split evenly over 2 devices"),
        ("--set batch_size=9 --accumulate 2", "a batch of 9 cannot be split evenly over 1 device "),
    ):
        assert main.main(["train", "--data", str(photos), "--plan", *words.split()]) == 2
        assert says in capsys.readouterr().err
    assert meant("--data", photos)[0].batch_size == 8 == meant("--data", photos, "--accumulate", 4)[0].batch_size
    assert meant("--data", photos, "--accumulate", 16)[0].batch_size == 16
    assert meant("--data", photos, devices=3)[0].batch_size == 6
    assert meant("--data", photos, "--accumulate", 8, "--mixup")[0].batch_size == 16  # none has one to mix with itself


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of photos, and a run on them by the command."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLUON_TRICKS_CACHE", str(folder / "cache"))
        photos = photograph(folder / "photos", red=12, green=12, blue=4)
        words = ["--data", photos, *TINY.split(), "--epochs", 1, "--save-dir", folder / "run", "--picture-epochs", 0]
        words += ["--dtype", "float32"]  # bfloat16 would stay for the whole process
        assert main.main(["train", *map(str, words), "--num-gpus", "0"]) == 0
    return folder


@pytest.mark.parametrize(
    "words, says",
    [
        ("--teacher", "the teacher {run} was trained on other classes than {here}/photos has"),
        ("--per-class 5 --only-classes red,blue --teacher", "the teacher {run} has 3 classes and the data has 2"),
        ("--rgb-mean 1,2,3 --use-pretrained", "final.params takes images of mean [123.68, "),
    ],
)
def test_what_does_not_go_with_the_photos_is_refused_before_packing(photos, trained, tmp_path, words, says):
    (photos / "green").rename(photos / "grey")
    with pytest.raises(Refused) as error:
        meant("--data", photos, *TINY.split(), *words.split(), trained / "run")
    assert says.format(run=trained / "run", here=tmp_path) in str(error.value)
    assert "--classes" not in str(error.value) and not pathlib.Path("cache").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        ("--set batch_size=9", "a batch of 9 cannot be split evenly over 2 devices"),
        (
            "--set batch_size=12 --set bn_batch=4",
            "a batch of 12 cannot be split over 2 devices in rounds",
        ),
        ("--set batch_size=2 --mixup", "mixup: a device has one image at a time and none to mix it with"),
        ("--set net.norm_layer=SyncBatchNorm", "SyncBatchNorm is over ranks and this one has 2 devices"),
    ],
)
def test_what_the_devices_cannot_train_is_refused_before_packing(photos, words, says):
    with pytest.raises(Refused, match=says):
        meant("--data", photos, *TINY.split(), *words.split(), devices=2)
    assert not pathlib.Path("cache").exists()


def test_photos_that_are_packed_have_no_other_advice(photos, trained, tmp_path):
    """Of a teacher that knows other classes: what is packed by training is not to be packed by hand."""
    (photos / "green").rename(photos / "grey")
    recipe, _ = meant("--data", photos, *TINY.split())
    with pytest.raises(Refused, match="than .*photos has .*: train it on these photos, or call the class folders as"):
        prepare(
            recipe.add(Distillation(str(trained / "run"))).set(dtype="float32"),
            tmp_path / "student",
            Options(contexts=[mx.cpu()]),
        )


def go_on(run, *words):
    return main.main(["train", "--resume", "auto", "--save-dir", str(run), "--num-gpus", "0", *map(str, words)])


@pytest.fixture
def copied(trained, tmp_path, monkeypatch):
    """A copy of the photos' run; a test may empty the cache and touch the photos."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(trained / "cache"))
    shutil.copytree(trained / "run", tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in (trained / "photos").rglob("*.png")}
    yield tmp_path / "run"
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    find_records(read_recipe(trained / "run" / "recipe.json"))  # packed again


def test_a_run_tells_of_its_photos(trained):
    recipe = read_recipe(trained / "run" / "recipe.json")
    record = json.loads((trained / "run" / "photos.json").read_text())
    assert record["folder"] == recipe.photos["folder"] == str(trained / "photos")
    assert record["classes"].keys() == {*recipe.photos["classes"]} == {"red", "green", "blue"}
    assert all(line in (trained / "run" / "log.txt").read_text() for line in record["said"])


def test_an_emptied_cache_costs_a_packing(trained, copied, capsys):
    before = read_recipe(copied / "recipe.json").photos["digests"]
    shutil.rmtree(trained / "cache" / "photos")
    assert load_network(copied, ctx=[mx.cpu()]).preprocessing.classes == ("blue", "green", "red")
    assert not (trained / "cache" / "photos").exists()  # names need no photos
    assert main.main(["evaluate", "--pretrained", str(copied), "--num-gpus", "0"]) == 0
    assert "packing" in capsys.readouterr().err
    shutil.rmtree(trained / "cache" / "photos")
    for path in (trained / "photos").rglob("*.png"):
        path.touch()  # as a copy of them has other times
    assert go_on(copied, "--epochs", 2) == 0
    assert read_recipe(copied / "recipe.json").photos["digests"] == before
    records = [record.digest for record in find_records(read_recipe(copied / "recipe.json"))]
    assert records == before


def test_a_run_keeps_its_photos_when_more_are_added(trained, copied, capsys):
    more = photograph(trained / "photos" / "later", green=2)
    (more / "green").rename(trained / "photos" / "green" / "more")
    more.rmdir()
    try:
        assert go_on(copied, "--epochs", 2, "--data", trained / "photos") == 0
        assert "has changed: the run goes on with the photos as it began with them" in capsys.readouterr().out
        assert go_on(copied, "--epochs", 3, "--val-split", 0.3) == 2
        assert "the run was begun with 0.2" in capsys.readouterr().err
        shutil.rmtree(trained / "cache" / "photos")
        assert go_on(copied, "--epochs", 3) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("refused")]
        assert "train.rec is gone, and " in line and "has other photos than were packed there" in line
    finally:
        shutil.rmtree(trained / "photos" / "green" / "more")


@pytest.mark.parametrize("error", [Refused("one"), CannotWrite("full")])
def test_all_ranks_end_when_one_cannot_pack(photos, monkeypatch, error):
    """The one that packs says why; the others wait for it, and end too."""

    def fails(self):
        raise error

    monkeypatch.setattr(OwnPhotos, "pack", fails)
    with pytest.raises(type(error), match=str(error)):
        meant("--data", photos)
    monkeypatch.setattr(distributed, "local_rank", lambda: 1)
    monkeypatch.setattr(distributed, "agree", lambda asked: True)
    with pytest.raises(Refused, match="another rank could not pack the photos"):
        meant("--data", photos)


@pytest.mark.parametrize("here, there", [(True, True), (True, False), (False, True)])
def test_ranks_pack_again_together_where_records_are_gone(photos, monkeypatch, here, there):
    """The first rank of one machine has them, that of another not: both go through the same collectives."""
    begun, _ = meant("--data", photos)
    for path in () if here else pathlib.Path("cache/photos").glob("*/train.rec"):
        path.unlink()
    asked = []

    def agree(mine):
        asked.append(mine)
        return len(asked) == 1 and (mine or not there)  # packing fails nowhere

    monkeypatch.setattr(distributed, "agree", agree)
    again, _ = meant("--data", photos, begun=begun)
    assert asked == ([False] if here and there else [not here, False])
    assert (again.train, again.val) == (begun.train, begun.val) and pathlib.Path(again.train[0]).is_file()


def test_a_hostile_recipe_is_refused():
    for photos in ({"folder": 5}, {"folder": "a", "val_split": "x", "at_most": 1, "classes": [], "digests": []}):
        with pytest.raises(Refused, match="photos is"):
            get_recipe("photos").set(photos=photos)
