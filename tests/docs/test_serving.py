"""docs/serving.md: its programs run where neither MXNet nor this project is, and say what gluon-tricks predict says."""

import base64
import contextlib
import http.client
import importlib.util
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import cv2
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.cli import export
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.trained.interface import predict
from gluon_tricks.trained.prediction_files import read_photo
from model_zoo.preprocessing import Preprocessing
from model_zoo.whole_images import WholeImages

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
PROGRAMS = {
    re.match(r"# (\w+\.py)", code)[1]: code
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}
# Of `make test`: without MXNet, and with a newer onnx than MXNet's exporter takes.
_SERVING = pathlib.Path(sys.prefix, "serving", "bin", "python")
OTHER = str(_SERVING) if _SERVING.is_file() else sys.executable
NAMES = ("dark", "straße <b>", "猫")
OWN = dict(classes=3, class_names=NAMES, data="/own")
RECIPES = {
    "classifier": Recipe(model="cifar_resnet20_v1", classes=10, data="shapes", input_size=32),
    "tagger": MultiLabelRecipe(model="cifar_resnet20_v1", classes=3, class_names=NAMES, data="folder", input_size=32),
    "detector": DetectionRecipe(model="mobilenet0.25", dataset="voc", short=64, long=96, roi="small", **OWN),
    "segmenter": SegmentationRecipe(model="mobilenet0.25", dataset="masks", crop=64, **OWN),
}
SIDES = {"wide": (60, 90), "tall": (200, 70), "strip": (30, 300), "small": (20, 17)}  # of photos, (height, width) px


@pytest.fixture(scope="module")
def folder(tmp_path_factory, missing, untrained_run, fewer_regions):
    """The page's programs, four networks as ONNX with their runs, and photos."""
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            missing(f"{name} is not installed: pip install '.[export]'")
    folder = tmp_path_factory.mktemp("serving")
    for name, code in PROGRAMS.items():
        (folder / name).write_text(code, encoding="utf-8")
    for module in ("mxnet", "gluon_tricks", "model_zoo", "gluoncv"):
        (folder / f"{module}.py").write_text(f"raise ImportError('{module} is not there')\n")
    with pytest.MonkeyPatch.context() as patch:
        fewer_regions(patch)
        for name, recipe in RECIPES.items():
            (folder / name).mkdir()
            untrained_run(recipe, folder / name)
            assert export.main([str(folder / name), str(folder / f"{name}.onnx"), "--to", "onnx"]) == 0
        rng = np.random.default_rng(3)
        (folder / "photos" / "ring").mkdir(parents=True)
        for name, sides in SIDES.items():
            image = cv2.resize(
                rng.integers(0, 256, (5, 5, 3)).astype(np.uint8), sides[::-1], interpolation=cv2.INTER_CUBIC
            )
            cv2.imwrite(str(folder / "photos" / "ring" / f"{name}.png"), image)
        yield folder


def photos(folder):
    return [folder / "photos" / "ring" / f"{name}.png" for name in SIDES]


def run(folder, *words, python=sys.executable):
    """What a program prints, in an interpreter that finds no MXNet."""
    words = [python, *map(str, words)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_has_these_programs():
    assert [*PROGRAMS] == ["answers.py", "ask.py", "many.py", "server.py", "int8.py", "score.py"]


def test_it_says_what_predict_says(folder):
    """Every kind of network on photos of several shapes; of batches the same as one by one."""
    ask = """
import json, sys, pathlib
try:
    import mxnet
except ImportError:
    pass
from answers import Network, pixels
def answers(name):
    network, photos = Network(f"{name}.onnx", threads=1), [pathlib.Path(path).read_bytes() for path in sys.argv[1:]]
    if name == "detector":  # one that has learned nothing is sure of nothing
        return [{"boxes": network.detect(pixels(photo), threshold=0.2)} for photo in photos]
    return [network.answer(photo) for photo in photos]
names = ["classifier", "tagger", "detector", "segmenter"]
print(json.dumps({**{name: answers(name) for name in names}, "mxnet": "mxnet" in sys.modules}))
"""
    said = json.loads(run(folder, "-c", ask, *photos(folder)))
    assert not said.pop("mxnet")
    for name in RECIPES:
        expected = predict(folder / name, photos(folder), threshold=0.2 if name == "detector" else None)
        for photo, answer, ours in zip(photos(folder), said[name], expected):
            globals()[f"compare_{name}"](answer, ours, photo)
    assert sum(len(answer["boxes"]) for answer in said["detector"]) > 3
    assert len({*map(str, said["segmenter"])}) == len(SIDES)


def encoded_photos():
    """Name -> bytes of an image: turned by its EXIF data in every way, and with every number of bits."""
    rng = np.random.default_rng(1)
    photo = cv2.resize(rng.integers(0, 256, (6, 4, 3)).astype(np.uint8), (32, 48))
    for kind in ("JPEG", "PNG", "WEBP"):
        for orientation in range(1, 9):
            exif, file = PIL.Image.Exif(), io.BytesIO()
            exif[0x010F], exif[0x0112] = "a maker", orientation
            PIL.Image.fromarray(photo).save(file, kind, exif=exif)
            yield f"{kind} {orientation}", file.getvalue()
    for bits in (8, 10, 12, 14, 16):
        deep = (photo.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
        for kind, image in ((".png", deep), (".tiff", deep), (".png", deep[..., 0])):
            yield f"{kind} of {bits} bits", cv2.imencode(kind, image)[1].tobytes()
    yield "plain WebP", cv2.imencode(".webp", photo)[1].tobytes()


def test_pixels_are_those_that_predict_sees(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))  # which this does not need
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "")  # the program sets it where it is not set
    program = {}
    exec(PROGRAMS["answers.py"], program)
    for name, data in encoded_photos():
        (tmp_path / "photo").write_bytes(data)
        np.testing.assert_array_equal(program["pixels"](data), read_photo(tmp_path / "photo"), err_msg=name)
    for cut in (b"", b"RIFF", data[:16], data[:40]):
        with pytest.raises(ValueError, match="this is no image that can be decoded"):
            program["pixels"](cut)


@pytest.mark.parametrize(
    "task, sides, padded",
    [("detection", (4, 96), (71, 96)), ("detection", (8, 5), (87, 71)), ("classification", (4, 4), (4, 4))],
)
def test_a_strip_is_as_high_as_a_detector_needs(task, sides, padded, monkeypatch):
    """CaffeNet's: 55 px, and (n - 7) // 16 places along n of them."""
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    program = {}
    exec(PROGRAMS["answers.py"], program)
    network = object.__new__(program["Network"])
    network.mean, network.steps = np.zeros(3, "float32"), Preprocessing(4).to_json()
    if task == "detection":
        places = dict(places=20, added=-7)
        network.steps = WholeImages(task, (0, 0, 0), (1, 1, 1), NAMES, {}, 96, 64, smallest_side=55, **places).to_json()
    assert network.input([np.ones((*sides, 3), np.uint8)]).shape == (1, 3, *padded)


def compare_classifier(answer, ours, photo):
    top = ours.values["classes"][:5]
    assert [name for name, _ in answer["classes"]] == [one["name"] for one in top]
    assert [score for _, score in answer["classes"]] == pytest.approx([one["score"] for one in top], abs=1e-4)


compare_tagger = compare_classifier


def compare_detector(answer, ours, photo):
    boxes = ours.values["boxes"]
    assert [box["name"] for box in answer["boxes"]] == [box["name"] for box in boxes]
    for seen, box in zip(answer["boxes"], boxes):
        assert seen["score"] == pytest.approx(box["score"], abs=1e-4)
        assert seen["box"] == pytest.approx(box["box"], abs=0.05)


def compare_segmenter(answer, ours, photo):
    mask = cv2.imdecode(np.frombuffer(base64.b64decode(answer["mask"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == cv2.imread(str(photo)).shape[:2] and [*answer["shares"]] == list(NAMES)
    assert (mask == ours.mask).mean() >= 0.999


def test_programs_of_the_page(folder):
    """What they print, of one network each; a batch says what single photos do."""
    single = run(folder, "ask.py", "classifier.onnx", *photos(folder)).splitlines()
    many = run(folder, "many.py", "classifier.onnx", *photos(folder)).splitlines()
    assert len(single) == len(many) == len(SIDES)
    for one, of_batch in zip(single, many):
        name, score = re.search(r"\[\('(\w+)', ([\d.e-]+)\)", one).groups()
        assert of_batch.split()[1] == name and float(of_batch.split()[2]) == pytest.approx(float(score), abs=1e-5)
    assert run(folder, "many.py", "segmenter.onnx", *photos(folder)).count("'shares'") == len(SIDES)
    told = json.loads(run(folder, "score.py", "photos", "classifier.onnx"))
    right = sum("ring" == line.split()[1] for line in many) / len(many)
    assert (told["images"], told["top1"], told["bytes"]) == (4, right, (folder / "classifier.onnx").stat().st_size)


@contextlib.contextmanager
def serving(folder, network):
    words = [sys.executable, "server.py", network, "0"]
    env = {**os.environ, "PYTHONPATH": ""}
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as one:
        try:
            yield int(one.stdout.readline().rpartition(":")[2])
        finally:
            one.terminate()


def asked(port, body, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body, headers or {})
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


def test_the_server_answers_photos_and_refuses_the_rest(folder):
    (photo, *_), (expected, *_) = photos(folder), predict(folder / "classifier", photos(folder)[0])
    with serving(folder, "classifier.onnx") as port:
        code, answer = asked(port, photo.read_bytes())
        assert code == 200
        compare_classifier(answer, expected, photo)
        for body in (b"", b"no image", photo.read_bytes()[:40]):
            assert asked(port, body) == (400, {"error": "this is no image that can be decoded"})
        assert asked(port, b"", {"Content-Length": "20000001"})[0] == 413
        assert asked(port, b"", {"Content-Length": "-1"})[0] == 411
        assert asked(port, photo.read_bytes())[0] == 200  # it is still there


def test_8_bit_integers(folder, missing):
    """The file is smaller, keeps its preprocessing, and says nearly the same."""
    ready = "from onnxruntime import quantization; import cv2"
    if subprocess.run([OTHER, "-c", ready], capture_output=True).returncode:
        missing("onnxruntime's quantisation needs a newer onnx: make test sets up .venv/serving")
    run(folder, "int8.py", "classifier.onnx", "int8.onnx", *photos(folder), python=OTHER)
    assert (folder / "int8.onnx").stat().st_size < (folder / "classifier.onnx").stat().st_size / 2
    told = [json.loads(line) for line in run(folder, "score.py", "photos", "classifier.onnx", "int8.onnx").splitlines()]
    assert [one["file"] for one in told] == ["classifier.onnx", "int8.onnx"]
    said = [run(folder, "ask.py", file, photos(folder)[0]) for file in ("classifier.onnx", "int8.onnx")]
    exact, rounded = (dict(re.findall(r"\('(\w+)', ([\d.e-]+)\)", line)) for line in said)
    assert exact != rounded
    for name in exact.keys() & rounded.keys():
        assert float(rounded[name]) == pytest.approx(float(exact[name]), abs=0.1)


def test_the_table_of_8_bit_integers_is_the_records():
    record = json.loads((ROOT / "results" / "serving" / "int8.json").read_text(encoding="utf-8"))
    table = PAGE.split("| network, images |")[1]
    for network in record["networks"]:
        exact, rounded = network["scores"]
        scores = " | ".join(f"{100 * one['top1']:.2f} %" for one in (exact, rounded))
        digits = 1 if exact["bytes"] > 1e7 else 2
        sizes = " | ".join(f"{one['bytes'] / 1e6:.{digits}f} MB" for one in (exact, rounded))
        ratio = rounded["images_per_cpu_second"] / exact["images_per_cpu_second"]
        assert f"| {scores} | {sizes} | {ratio:.1f} |" in table
