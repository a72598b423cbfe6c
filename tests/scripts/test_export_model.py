import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys

import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.cli import export as script
from gluon_tricks.data import crop
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained.predict import open_predictor
from gluon_tricks.trained.prediction_files import read_photo
from model_zoo import get_model, load_model, published, weights

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def net():
    mx.random.seed(3)
    net = get_model("resnet18_v1", classes=10)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    return net


@pytest.fixture
def run_directory(net, tmp_path):
    """What a finished run leaves."""
    recipe = Recipe(model="resnet18_v1", classes=10, data="shapes", input_size=48, crop_ratio=0.8, mean=(1.0, 2.0, 3.0))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
    net.save_parameters(str(folder / "final.params"))
    return folder


def main(*arguments) -> int:
    return script.main([str(argument) for argument in arguments])


def test_a_run_brings_its_preprocessing(net, run_directory, tmp_path, capsys):
    assert main(run_directory, tmp_path / "out", "--to", "symbol") == 0
    out = capsys.readouterr().out
    assert "resnet18_v1, 48x48 px; read back" in out and "of the run" in out
    steps = json.loads((tmp_path / "out-preprocessing.json").read_text())
    assert steps["resize"]["shorter_edge"] == 60 and steps["mean"] == [1.0, 2.0, 3.0]
    assert len(steps["classes"]) == 10 and "triangle" in steps["classes"]
    read = mx.gluon.SymbolBlock.imports(str(tmp_path / "out-symbol.json"), ["data"], str(tmp_path / "out-0000.params"))
    images = mx.nd.random.normal(shape=(3, 3, 48, 48))
    np.testing.assert_allclose(read(images).asnumpy(), net(images).asnumpy(), rtol=0, atol=1e-5)


def test_a_parameter_file_with_its_flags(run_directory, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("\n".join("abcdefghij"))
    flags = ["--model", "resnet18_v1", "--classes", 10, "--input-size", 32, "--rgb-std", "4,5,6", "--crop-ratio", 1]
    source = shutil.copy(run_directory / "final.params", tmp_path / "elsewhere.params")  # in the run its recipe counts
    assert main(source, tmp_path / "out", "--to", "symbol", *flags, "--class-names", names) == 0
    said = "preprocessing assumed but for --rgb-std: mean (123.68, 116.779, 103.939), std (4.0, 5.0, 6.0)"
    assert said in capsys.readouterr().out
    steps = json.loads((tmp_path / "out-preprocessing.json").read_text())
    assert steps["std"] == [4, 5, 6] and steps["crop"]["width"] == 32 == steps["resize"]["shorter_edge"]
    assert steps["classes"] == list("abcdefghij")


def test_onnx(run_directory, tmp_path, missing, capsys):
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[export]'")
    assert main(run_directory, tmp_path / "out.onnx", "--to", "onnx", "--batch-size", 2) == 0
    assert "read back, its logits differ by at most" in capsys.readouterr().out
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [2, 3, 48, 48]


def run_documented_script(folder, photos) -> list[str]:
    """What docs/export.md's script prints of the folder's net.onnx."""
    document = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (folder / "net.py").write_text(document[document.index("```python\n") + 10 :].partition("```")[0])
    words = [sys.executable, "net.py", "net.onnx", *map(str, photos)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_documented_script_names_several_classes_of_a_long_photo(tmp_path, missing, untrained_run):
    """A tagger's by their sigmoid, of the middle 8 : 1."""
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[export]'")
    names = ("ant", "bee", "cat", "dog", "elk", "fox")
    about = dict(classes=6, class_names=names, data="folder", input_size=32)
    untrained_run(MultiLabelRecipe(model="cifar_resnet20_v1", **about), tmp_path)
    assert main(tmp_path, tmp_path / "net.onnx", "--to", "onnx") == 0
    photo = np.random.default_rng(0).integers(0, 256, (20, 400, 3)).astype(np.uint8)
    PIL.Image.fromarray(photo).save(tmp_path / "photo.png")
    (line,) = run_documented_script(tmp_path, [tmp_path / "photo.png"])
    found = open_predictor(str(tmp_path)).predict(photo).values["classes"]
    scores = {one["index"]: one["score"] for one in found}
    words = line.removeprefix(f"{tmp_path}/photo.png ").split(" ")
    assert {k: float(words[-6:][k]) for k in scores} == pytest.approx(scores, abs=1e-4)
    sure = [k for k in range(6) if float(words[-6:][k]) >= 0.5]
    assert words[:-6] == [word for k in sure for word in (str(k), names[k])] and len(sure) != 1


def test_the_documented_script_says_what_predict_says(shared_data, tmp_path, missing):
    """docs/export.md's script, with Pillow and onnxruntime alone, on photos of their own sizes."""
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[export]'")
    model, pixels = "cifar_resnet20_v1", {"mean": (125.3, 123.0, 113.9), "std": (51.6, 50.8, 51.3)}
    recipe = Recipe(model=model, classes=10, data="shapes", input_size=160, **pixels)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    shutil.copy(shared_data / "gluoncv_params" / f"{model}-0000.params", tmp_path / "final.params")
    assert main(tmp_path, tmp_path / "net.onnx", "--to", "onnx") == 0
    photos = sorted((shared_data / "imagenet_photos").glob("*.J*"))[::4]
    lines, predictor = run_documented_script(tmp_path, photos), open_predictor(str(tmp_path))
    assert len(lines) == len(photos) > 10
    assert json.loads((tmp_path / "net-preprocessing.json").read_text())["longest_aspect"] == crop._MAX_ASPECT
    for line, photo in zip(lines, photos):
        expected = predictor.predict(read_photo(photo)).values["classes"]
        words = line.removeprefix(f"{photo} ").split(" ")
        assert words[:2] == [str(expected[0]["index"]), expected[0]["name"]]
        seen = np.array(words[-10:], float)
        for likely in expected:
            assert seen[likely["index"]] == pytest.approx(likely["score"], abs=1e-3)


def test_an_exported_symbol_says_no_size(run_directory, tmp_path, capsys):
    assert main(run_directory, tmp_path / "out", "--to", "symbol") == 0
    assert main(tmp_path / "out-symbol.json", tmp_path / "told", "--to", "symbol") == 0  # the file beside it does
    assert (
        "told: resnet18_v1, 48x48 px" in (out := capsys.readouterr().out) and "of the file: mean (1.0, 2.0, 3.0)" in out
    )
    (tmp_path / "out-preprocessing.json").unlink()
    assert main(tmp_path / "out-symbol.json", tmp_path / "again", "--to", "symbol") == 2
    assert "give --input-size" in capsys.readouterr().err
    assert main(tmp_path / "out-symbol.json", tmp_path / "again", "--to", "symbol", "--input-size", 48) == 0


def test_an_export_of_an_export_says_the_same(tmp_path):
    """Its network and how it was built, by which its parameters are read."""
    norms = {"norm_layer": mx.gluon.nn.GroupNorm, "norm_kwargs": {"num_groups": 4}}
    net = get_model("resnet18_v1b", classes=3, blur=True, **norms)
    net.initialize()
    weights.save(net, tmp_path / "net.safetensors")
    assert main(tmp_path / "net.safetensors", tmp_path / "one", "--to", "symbol", "--input-size", 64) == 0
    assert main(tmp_path / "one-symbol.json", tmp_path / "two", "--to", "symbol") == 0
    one, two = (json.loads((tmp_path / f"{name}-preprocessing.json").read_text()) for name in ("one", "two"))
    assert one == two and one["model"] == "resnet18_v1b" and one["keywords"]["norm_kwargs"] == {"num_groups": 4}
    images = mx.nd.random.normal(shape=(1, 3, 64, 64))
    np.testing.assert_allclose(load_model(tmp_path / "two-0000.params")(images).asnumpy(), net(images).asnumpy(), 1e-5)


@pytest.mark.parametrize("first", ["symbol", "onnx"])
def test_the_file_beside_one_form_is_not_anothers(first, run_directory, tmp_path, missing, capsys):
    """Both forms of one network share it; of another network it would say wrong mean, size and classes."""
    if importlib.util.find_spec("onnx") is None:
        missing("onnx is not installed: pip install '.[export]'")
    forms = {"symbol": tmp_path / "net", "onnx": tmp_path / "net.onnx"}
    (other,) = {*forms} - {first}
    assert main(run_directory, forms[first], "--to", first) == 0
    assert main(run_directory, forms[other], "--to", other, "--rgb-std", "4,5,6") == 2
    said = capsys.readouterr().err
    assert re.search("net-preprocessing.json belongs to net.* too, of which it says another std than", said)
    assert main(run_directory, forms[other], "--to", other) == 0
    (tmp_path / "net-symbol.json").unlink()
    assert main(run_directory, forms["onnx"], "--to", "onnx", "--rgb-std", "4,5,6") == 0


def test_a_published_name_is_asked_for_by_tag(net, run_directory, tmp_path, monkeypatch):
    asked = []

    def fetch(name, tag):
        asked.append((name, tag))
        return run_directory.parent / "published.params"

    net.save_parameters(str(run_directory.parent / "published.params"))
    monkeypatch.setattr(published, "fetch", fetch)
    assert main("resnet18_v1/a0666292", tmp_path / "a", "--to", "symbol", "--input-size", 32) == 0
    assert main("resnet18_v1", tmp_path / "b", "--to", "symbol", "--input-size", 32, "--classes", 10) == 0
    assert asked == [("resnet18_v1", "a0666292"), ("resnet18_v1", None)]
    assert (tmp_path / "a-0000.params").read_bytes() == (tmp_path / "b-0000.params").read_bytes()


def test_a_converted_file_says_its_network(net, tmp_path):
    weights.save(net, tmp_path / "x.safetensors", "gluoncv")
    assert main(tmp_path / "x.safetensors", tmp_path / "a", "--to", "symbol", "--input-size", 32) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere", "out", "--to", "symbol"], "no run or file nowhere, and no published network"),
        (["resnet18_v1/recipe.json", "out", "--to", "symbol"], "'recipe.json' is no tag (8 hex digits)"),
        (["RUN", "out", "--to", "symbol", "--model", "vgg16"], "--model vgg16 contradicts"),
        (["RUN", "out", "--to", "symbol", "--classes", "7"], "--classes 7 contradicts"),
        (["RUN", "out.bin", "--to", "onnx"], "ends in .onnx"),
        (["RUN", "out", "--to", "symbol", "--rgb-mean", "1,2"], "--rgb-mean takes three numbers"),
        (["RUN", "out", "--to", "symbol", "--rgb-mean", "1,2,nan"], "mean (1.0, 2.0, nan), std (58.393, "),
        (["RUN", "out", "--to", "symbol", "--rgb-std", "1,1,inf"], "all of them take finite numbers"),
        (["RUN", "missing/out", "--to", "symbol"], "no folder"),
        (["RUN", "run", "--to", "symbol"], "run is a folder: add the beginning of the files' names, such as run/"),
        (["RUN", "run/", "--to", "symbol"], "run/ is a folder"),
        (["RUN", "missing/", "--to", "symbol"], "missing/ is a folder"),
        (["RUN", ".", "--to", "symbol"], ". is a folder"),
        (["RUN", "run/", "--to", "onnx"], "ends in .onnx"),
    ],
)
def test_refused(run_directory, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    if message == "ends in .onnx" and importlib.util.find_spec("onnx") is None:
        pytest.skip("needs onnx")
    assert main(*[str(run_directory) if a == "RUN" else a for a in arguments]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("flag", "number", "says"),
    [("--crop-ratio", 2, "2.0, but it takes 0 to 1"), ("--input-size", 0, "0, but it takes 1 to 4096")],
)
def test_a_number_out_of_its_range_is_refused(flag, number, says, capsys):
    with pytest.raises(SystemExit) as ended:
        main("run", "out", "--to", "symbol", flag, number)
    assert ended.value.code == 2 and capsys.readouterr().err == f"refused: argument {flag}: {says}\n"


def test_a_symbol_has_no_batch_size(capsys):
    with pytest.raises(SystemExit):
        main("run", "out", "--to", "symbol", "--batch-size", 2)
    assert "belongs to --to onnx" in capsys.readouterr().err
