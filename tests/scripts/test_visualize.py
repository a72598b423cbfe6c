"""gluon-tricks look as a user runs it: what it draws, says and refuses."""

import json
import shutil

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import look as script
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from model_zoo import get_model

FEW = ["--num-gpus", "0", "--count", "12", "--channels", "2", "--photos", "2", "--stride", "8", "--batch-size", "8"]


def recipe_of(model, records):
    return Recipe(
        model=model, data="records", train=(str(records / "train.rec"),), val=(str(records / "val.rec"),),
        input_size=32, epochs=3, batch_size=16, dtype="float32", lr=0.05, augment="none", name="tiny",
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_records):
    """Three epochs of a chain with batch normalisation, a checkpoint each."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    train_and_evaluate(recipe_of("cifar_plain20", tiny_records), folder, Options(threads=1, keep=9, picture_epochs=0))
    return folder


@pytest.fixture(scope="module")
def looked(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("look") / "new" / "out"
    assert script.main([str(run), "--out", str(folder), *FEW, "--layers", "stage1.0.0", "stage3.0.0", "head"]) == 0
    return folder


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(words, capsys):
    code = script.main([str(word) for word in words])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert code == 2 and line.startswith("refused: ")
    return line.removeprefix("refused: ")


def test_a_run_is_looked_at_from_all_sides(looked):
    layers = ("head", "stage1.0.0", "stage3.0.0")
    assert names_in(looked) == [
        *(f"deconvolution-{layer}.png" for layer in layers),
        *("evolution-filters.png", *(f"evolution-{layer}.png" for layer in layers)),
        *("filters.png", "index.html", "invariance.png", "occlusion-1.png", "occlusion-2.png"),
    ]
    assert all(cv2.imread(str(path)).shape[1] >= 1200 for path in looked.glob("*.png"))
    page = (looked / "index.html").read_text()
    assert page.count("data:image/jpeg") == 11 and "Seen with 12 images: the first validation images." in page


def test_it_says_what_it_draws_and_the_same_twice(run, looked, tmp_path, capsys):
    words = [str(run), "--out", str(tmp_path), *FEW[:4], *FEW[6:8], "--views", "invariance", "filters"]
    assert script.main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "occlusion and invariance: 2 images, the first that the network gets right, of different classes where there "
        "are such"
    )
    assert said[1:3] == ["filters: 1 sheet", "invariance: 1 sheet"]
    assert said[3] == f"{tmp_path}/index.html shows them all: 2 sheets"
    for name in ("filters.png", "invariance.png"):
        assert (tmp_path / name).read_bytes() == (looked / name).read_bytes()


@pytest.mark.parametrize("words, count", [([], 4), (["--channels", "5"], 5), (["--pick", "1,2,3,5,7,9"], 6)])
def test_an_evolution_has_the_channels_that_are_asked_for(words, count, run, tmp_path, capsys, monkeypatch):
    titles, draw = [], script.show.sheets.evolution_sheet

    def seen(rows, names, *rest):
        titles.append(names)
        return draw(rows, names, *rest)

    monkeypatch.setattr(script.show.sheets, "evolution_sheet", seen)
    words = [str(run), "--out", str(tmp_path), "--views", "evolution", "--layers", "stage1.0.0", *FEW[:4], *words]
    assert script.main(words) == 0
    assert len(titles[0]) == count


def test_photos_and_a_parameter_file_of_a_network_with_branches(tmp_path, capsys):
    """It has no checkpoints and no way back; a file that is no image is left out."""
    net = get_model("cifar_resnet20_v1", classes=3)
    net.initialize(mx.init.Xavier())
    net.save_parameters(str(tmp_path / "net.params"))
    (tmp_path / "photos").mkdir()
    for k in range(2):
        cv2.imwrite(str(tmp_path / "photos" / f"{k}.png"), np.full((50, 40, 3), 100 * k, np.uint8))
    (tmp_path / "photos" / "2.png").write_bytes(b"no image")
    words = [tmp_path / "net.params", "--model", net.name, "--images", tmp_path / "photos", "--out", tmp_path / "out"]
    assert script.main([*map(str, words), *FEW]) == 1
    said = capsys.readouterr()
    assert said.err == f"{tmp_path}/photos/2.png is left out: no JPEG, PNG, BMP, WebP or TIFF\n"
    out = said.out.splitlines()
    assert out[0].startswith("deconvolution is left out: cifar_resnet20_v1 cannot be followed back, because it ")
    assert out[1] == (
        f"evolution is left out: {tmp_path}/net.params has 0 checkpoints: an evolution takes a run with two or more, "
        "which training keeps with --keep"
    )
    assert out[2] == "occlusion and invariance: 2 images, the first"
    assert names_in(tmp_path / "out") == [
        *("filters.png", "index.html", "invariance.png", "occlusion-1.png", "occlusion-2.png")
    ]


def test_what_is_asked_for_and_cannot_be_is_refused(run, tmp_path, tiny_records, capsys):
    net = get_model("cifar_resnet20_v1", classes=4)
    net.initialize()
    net.save_parameters(str(tmp_path / "net.params"))
    out = ["--out", tmp_path / "out", *FEW]
    branched = [tmp_path / "net.params", "--model", net.name, "--rec-val", tiny_records / "val.rec", *out]
    for words, says in (
        (
            [*branched, "--views", "deconvolution", "occlusion"],
            "because it branches at stage1.0: deconvolution views are of",
        ),
        (
            [*branched, "--views", "evolution", "occlusion"],
            "has 0 checkpoints: an evolution takes a run with two or more",
        ),
        ([*branched, "--patch", "32"], "the square has 32 px and the image 32: choose 1 to 31 (--patch)"),
        ([*branched[:3], *out], "belongs to no run, so images are missing: name photos (--images) or packed"),
        (["vgg16", *out], "vgg16 belongs to no run, so images are missing"),
        (["nowhere", *out[:4], "--views", "filters"], "there is no run or file nowhere"),
        *(
            ([run, *out[:4], "--views", *views, *words], f"{words[0]} is of ")
            for views, words in (
                (["filters"], ["--count", "7"]),
                (["filters"], ["--images", tmp_path]),
                (["filters"], ["--pick", "1"]),
                (["filters", "invariance"], ["--patch", "9"]),
                (["evolution"], ["--photos", "3"]),
                (["occlusion"], ["--checkpoints", "3"]),
                (["deconvolution", "evolution"], ["--fill", "1,2,3"]),
            )
        ),
        ([run, *out, "--layers", "stage9"], "cifar_plain20 has no layer 'stage9': there are stem.0, stage1.0.0,"),
        ([run, *out, "--layers", "stem.0", "--pick", "16"], "stem.0 has channels 0 to 15, and --pick names 16"),
        ([run, *out, "--pick", "1,x"], "--pick takes up to 300 whole numbers from 0 to 1048576 with commas"),
        ([run, *out, "--fill", "1,2"], "--fill takes 3 whole numbers from 0 to 255 with commas between them"),
        ([run, *out, "--fill", "1,2,256"], "--fill takes 3 whole numbers from 0 to 255"),
        ([run, *out, "--images", tmp_path, "--rec-val", "x"], "--images and --rec-val both say which images"),
        ([run, *out, "--images", tmp_path / "none"], "is no file or folder that can be read"),
        ([tmp_path / "nowhere", *out], "nowhere, and no published network of this name (NAME or NAME/TAG)"),
    ):
        assert says in refused(words, capsys)
    assert not (tmp_path / "out").exists()


def test_the_images_stay_as_they_are(run, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "filters.png"), np.zeros((40, 40, 3), np.uint8))
    said = refused([run, "--images", tmp_path / "filters.png", "--out", tmp_path], capsys)
    assert said == f"--out {tmp_path} is where images lie that are to be looked at: name another folder"


def test_the_sheets_may_lie_among_the_images(run, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((40, 40, 3), np.uint8))
    words = [str(run), "--images", str(tmp_path), "--out", str(tmp_path / "look"), *FEW[:4], *FEW[6:]]
    words += ["--views", "occlusion"]
    assert script.main(words) == 0 and script.main(words) == 0
    assert f"left out: 1 picture of an earlier look in --out {tmp_path}/look\n" in capsys.readouterr().err
    (tmp_path / "deep").mkdir()
    (tmp_path / "photo.png").rename(tmp_path / "deep" / "photo.png")
    words[2], words[4] = str(tmp_path / "deep"), str(tmp_path)  # above the photos: nothing of it lies among them
    assert script.main(words) == 0
    assert "--out" in refused([*words[:4], words[2], *words[5:]], capsys)


def test_a_diverged_network_is_refused(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    net = get_model("cifar_plain20", classes=4)
    net.load_parameters(str(run / "final.params"))
    net.head.bias.set_data(mx.nd.full((4,), np.nan))
    net.save_parameters(str(tmp_path / "run" / "final.params"))
    said = refused([tmp_path / "run", "--out", tmp_path / "out", *FEW], capsys)
    assert said.endswith("run holds NaN or infinity in head.bias: it is of a training that diverged, name another")


@pytest.mark.parametrize("recipe", [DetectionRecipe(), SegmentationRecipe()])
def test_what_is_no_classifier_is_refused(recipe, tmp_path, capsys):
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    (tmp_path / "final.params").touch()
    said = refused([tmp_path, "--out", tmp_path / "out", "--views", "filters"], capsys)
    assert said == f"{tmp_path} is a run of {recipe.task}, and this is for classifiers"
