"""The contest of networks: who takes part, and what is told of them."""

import sys

import pytest

from benchmarks import machine_rate, models, train
from gluon_tricks.core.errors import Refused


def test_resnet_d_is_measured_beside_the_vanilla_one(monkeypatch):
    """Rounds of 97, 90 and 97 images/s beside 100 each: 3 % slower, in turns of one contest, as GluonCV's is."""
    asked = []

    def measure(contestants, rounds):
        asked.append([contestant.arguments.get("model") for contestant in contestants])
        speeds = {"resnet50_v1d": [97.0, 90.0, 97.0], "resnet50_v1": [100.0] * 3, None: [5000.0] * 3}
        return {contestant.name: speeds[contestant.arguments.get("model")] for contestant in contestants}

    monkeypatch.setattr(models, "measure", measure)
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    _, lines = models._contest("resnet50_v1d", "training", "float32", 8, 2, 3)
    assert asked == [["resnet50_v1d", "resnet50_v1d", "resnet50_v1", None]]
    (slower,) = [line for line in lines if "slower" in line]
    assert slower == (
        "training with resnet50_v1d at 224 px, batch 8, float32: 3.0% slower than ours, resnet50_v1; "
        "the paper's ResNet-50-D (section 4.3): 3 %"
    )
    assert not any("slower" in line for line in models._contest("resnet50_v1d", "prediction", "bfloat16", 8, 2, 3)[1])


def test_who_has_a_network_is_measured_beside_it(monkeypatch):
    """GluonCV has no name for a ResNet-26, and neither library has the AlexNet of 2012."""
    sides = []

    def measure(contestants, rounds):
        sides.append([c.name.rpartition(": ")[2] for c in contestants if ": " in c.name])
        return {c.name: [10.0, 10.0] for c in contestants}

    monkeypatch.setattr(models, "measure", measure)
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: name)
    for name in ("resnet26_v1b", "alexnet_2012", "resnet34_v1b"):
        assert models._contest(name, "training", "float32", 8, 2, 2)[1]
    assert sides == [["ours", "timm"], ["ours"], ["ours", "GluonCV", "timm"]]
    with pytest.raises(Refused, match="GluonCV has no resnet26_v1b to be compared with"):
        train.run("none.rec", "resnet26_v1b", 64, 8, 1, 1, 1)


def test_a_network_is_told_as_a_fraction_of_the_machines_products(monkeypatch):
    """resnet18_v1 takes 1.814 G multiply-adds an image at 224 px: 20 images/s of training are 217.7 GFLOP/s."""

    def measure(contestants, rounds):
        of_machine = {
            "matrix products by MXNet, float32": [400.0, 435.4],
            "matrix products by PyTorch, float32": [435.4] * 2,
        }
        return {c.name: of_machine.get(c.name, [20.0, 20.0]) for c in contestants}

    monkeypatch.setattr(models, "measure", measure)
    found, lines = models._contest("resnet18_v1", "training", "float32", 16, 2, 2)
    what = "training with resnet18_v1 at 224 px, batch 16, float32: "
    assert what + "ours 218 GFLOP/s, 0.50 of the machine's 435" in lines
    assert found[what + "matrix products by PyTorch, float32"] == [435.4] * 2
    _, lines = models._contest("resnet18_v1", "prediction", "float32", 1, 2, 2)
    what = "prediction with resnet18_v1 at 224 px, batch 1, float32: "
    assert what + "ours 73 GFLOP/s, 0.17 of the machine's 435" in lines
    assert what + "ours, int8 50.00 ms an image" in lines


def test_a_form_that_mxnet_cannot_compute_is_left_out(monkeypatch):
    asked = {}

    def measure(contestants, rounds):
        asked.update({c.name.rpartition(": ")[2]: c.optional for c in contestants})
        return {c.name: [20.0, 20.0] for c in contestants if not c.name.endswith("ours, int8")}

    monkeypatch.setattr(models, "measure", measure)
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    found, lines = models._contest("cifar_resnet20_v2", "prediction", "float32", 1, 2, 2)
    assert {side for side, optional in asked.items() if optional} == {"ours, fused", "ours, int8"}
    what = "prediction with cifar_resnet20_v2 at 32 px, batch 1, float32: "
    assert what + "ours, fused 50.00 ms an image" in lines and not any("int8" in text for text in [*lines, *found])


def test_a_pytorch_that_does_not_work_is_left_out(monkeypatch):
    """Without torchvision timm cannot be imported; products of matrices need neither."""
    asked = {}

    def measure(contestants, rounds):
        asked.update({c.name: c.optional for c in contestants})
        return {c.name: [20.0, 20.0] for c in contestants if not c.optional}

    monkeypatch.setattr(models, "measure", measure)
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: object())
    found, lines = models._contest("resnet18_v1b", "training", "float32", 2, 2, 2)
    what = "training with resnet18_v1b at 224 px, batch 2, float32: "
    left_out = {what + "timm", "matrix products by PyTorch, float32"}
    assert {name for name, optional in asked.items() if optional} == left_out and not any("timm" in x for x in lines)
    assert any(text.startswith(what + "ours") and text.endswith("of the machine's 20") for text in lines)


def test_products_of_pytorch_need_no_torchvision(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(machine_rate, "SIDES", (8,))
    monkeypatch.setattr(machine_rate, "_SECONDS", 0)
    assert machine_rate.torch_products("float32")() > 0


@pytest.mark.parametrize("work, images", [("training", 2), ("prediction", 1)])
def test_auxiliary_classifiers_learn_and_predict_nothing(work, images):
    assert models.mxnet_network("ours", "googlenet_2014_aux", work, "float32", images, 191, 1)() > 0


def test_products_are_counted_as_two_operations_each(monkeypatch):
    """A product of n x n matrices that takes 1 ms is 2 n^3 / 1 ms: 2.147 TFLOP/s for n = 1024."""
    assert machine_rate.mxnet_products("float32")() > 0
    monkeypatch.setattr(machine_rate, "_per_second", lambda product: product())
    assert machine_rate._player({1024: lambda: 1000, 512: lambda: 1000})() == 2 * 1024**3 * 1000 / 1e9
