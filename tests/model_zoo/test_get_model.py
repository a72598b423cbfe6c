"""The registry: every name builds, and what is misspelt is refused with what is near."""

import functools
import subprocess
import sys

import pytest

import model_zoo
from gluon_tricks.core.errors import Refused
from model_zoo import get_model, list_models


def test_the_resnets_are_listed():
    names = [name for name in list_models() if name.startswith("resnet")]
    assert len(names) == 6 * 4
    assert names[0] == "resnet18_v1" and names[-1] == "resnet152_v1d"


@pytest.mark.parametrize("name", ["resnet34_v1c", "ResNet34_v1c", "CIFAR_ResNet20_v1", "SqueezeNet1.0"])
def test_a_network_knows_its_name_whose_letters_may_be_capitals(name):
    assert model_zoo.is_model(name) and get_model(name).name == name.lower()
    assert model_zoo.keywords(name) == model_zoo.keywords(name.lower())


@pytest.mark.parametrize("name", [None, 5, ["resnet18_v1"]])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(Refused, match=r"the name of a network is a text such as 'resnet50_v1d', but got (None|5|\[)"):
        get_model(name)
    assert not model_zoo.is_model(name)


@pytest.mark.parametrize(
    "name, near", [("resnet50_v1dd", "resnet50_v1d"), ("ResNet50v1b", "resnet50_v1b"), ("resnet51_v1", "resnet50_v1")]
)
def test_unknown_names_are_refused_with_near_ones(name, near):
    with pytest.raises(Refused, match=rf"no model '{name.lower()}': did you mean (\w+, )*{near}(, \w+)*\?$"):
        get_model(name)


def test_a_name_like_no_other_is_told_where_all_are():
    every = rf"no model 'zzz': model_zoo.list_models\(\) has {len(list_models())} names, .* GluonCV's other 88$"
    with pytest.raises(Refused, match=every):
        get_model("zzz")


def test_unknown_arguments_are_refused_before_anything_is_built(monkeypatch):
    def build(depth, *, classes=1000, last_gamma=False):
        pytest.fail("built")

    monkeypatch.setitem(model_zoo._REGISTRY, "resnet50_v1d", functools.partial(build, 50))
    with pytest.raises(Refused, match=r"no argument 'last_gama' in resnet50_v1d: did you mean last_gamma\?$"):
        get_model("resnet50_v1d", last_gama=True)
    with pytest.raises(Refused, match="no argument 'depth' in resnet50_v1d"):  # part of the name
        get_model("resnet50_v1d", depth=18)


def test_model_zoo_may_be_the_first_import():
    """It prepares numpy for mxnet, and it pulls in no part of the training."""
    code = (
        "import sys, model_zoo; print(sorted({m.split('.')[1] for m in sys.modules if m.startswith('gluon_tricks.')}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=model_zoo.__path__[0] + "/.."
    )
    assert done.stdout.strip() == "['core']"
