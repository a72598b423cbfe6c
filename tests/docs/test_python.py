"""docs/python.md and what it names: its code runs, top to bottom, and gluon_tricks exports exactly that."""

import dataclasses
import inspect
import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import gluon_tricks
from gluon_tricks.tricks import TRICKS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PUBLIC = [name for name in gluon_tricks.__all__ if name != "__version__"]


def test_the_page_runs(tmp_path, monkeypatch, capfd):
    """All blocks in one namespace, in a folder with photos/train and photos/val, two classes that are easy to learn."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 6)):
        for channel, name in ((0, "blue"), (2, "red")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                image = rng.integers(0, 60, (36, 40, 3)).astype(np.uint8)
                image[:, :, channel] += 150
                cv2.imwrite(str(folder / f"{k}.png"), image)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    scores = []
    for block in CODE:
        exec(compile(block, "docs/python.md", "exec"), names)
        scores += [names["scores"]] if "scores = " in block else []
    assert names["batch"].images.shape == (16, 32, 32, 3)
    assert names["plan"].steps == 200 and names["lr_at"](199) < 1e-4
    assert names["distilled"](names["images"], names["net"](names["images"]), names["target"]).shape == (16,)
    assert (tmp_path / "runs" / "mine" / "final.params").is_file()
    *_, trained, evaluated = scores  # of the blocks on train and on evaluate: one network on the same images
    assert evaluated is not trained and evaluated.loss == pytest.approx(trained.loss, rel=1e-5)  # of other batches
    assert dataclasses.replace(evaluated, loss=trained.loss) == trained and evaluated.images == 12
    said = capfd.readouterr().out
    line = r"^(?:red|blue) \d+\.\d %, (?:red|blue) \d+\.\d %; (?:right|wrong, it is red)$"
    assert len(re.findall(line, said, re.MULTILINE)) == 6


def test_every_refinement_is_exported():
    assert {trick.__name__ for trick in TRICKS} - {*PUBLIC} == set()


def test_the_page_names_what_is_exported():
    """Every public name stands on the page; what its code imports is public."""
    assert [name for name in PUBLIC if not re.search(rf"\b{name}\b", PAGE)] == []
    imported = {
        name
        for names in re.findall(r"^from gluon_tricks import (?:\((.*?)\)|(.*?)$)", "\n".join(CODE), re.M | re.S)
        for name in re.findall(r"\w+", "".join(names))
    }
    assert imported - set(PUBLIC) == set() and len(imported) > 20
    assert not re.search(r"from (?:gluon_tricks\.|model_zoo)", PAGE)  # their places may change


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is(name):
    """Its own docstring; of a function or class with arguments, each of them by name."""
    thing = getattr(gluon_tricks, name)
    said = inspect.getdoc(thing)
    assert said and thing.__doc__ and name in dir(gluon_tricks)
    if inspect.isfunction(thing) or "__init__" in vars(thing) and not issubclass(thing, Exception):
        whole = said + "".join(inspect.getdoc(base) or "" for base in getattr(thing, "__mro__", ())[1:-1])
        parameters = inspect.signature(thing).parameters
        assert [parameter for parameter in parameters if not re.search(rf"\b{parameter}\b", whole)] == []


def test_the_import_is_cheap():
    """Neither MXNet nor OpenCV is loaded before a name that needs it is used; a misspelt name is an AttributeError."""
    code = """
import sys, gluon_tricks
assert not {"mxnet", "cv2", "model_zoo", "PIL"} & {*sys.modules}
assert "train" in dir(gluon_tricks) and "mxnet" not in sys.modules
from gluon_tricks import Refused
assert "mxnet" not in sys.modules
from gluon_tricks import Plan
assert not hasattr(gluon_tricks, "trian")
try:
    from gluon_tricks import trian
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.startswith("cannot import name 'trian' from 'gluon_tricks'")
