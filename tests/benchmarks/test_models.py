"""The contest of networks: who takes part, and what is told of them."""

from benchmarks import models


def test_resnet_d_is_measured_beside_the_vanilla_one(monkeypatch):
    """Rounds of 97, 90 and 97 images/s beside 100 each: 3 % slower, in turns of one contest, as GluonCV's is."""
    asked = []

    def measure(contestants, rounds):
        asked.append([contestant.arguments["model"] for contestant in contestants])
        speeds = {"resnet50_v1d": [97.0, 90.0, 97.0], "resnet50_v1": [100.0] * 3}
        return {contestant.name: speeds[contestant.arguments["model"]] for contestant in contestants}

    monkeypatch.setattr(models, "measure", measure)
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    _, lines = models._contest("resnet50_v1d", "training", "float32", 8, 2, 3)
    assert asked == [["resnet50_v1d", "resnet50_v1d", "resnet50_v1"]]
    assert lines[-1] == (
        "training with resnet50_v1d at 224 px, batch 8, float32: 3.0% slower than ours, resnet50_v1; "
        "the paper's ResNet-50-D (section 4.2): 3 %"
    )
    assert not any("slower" in line for line in models._contest("resnet50_v1d", "prediction", "bfloat16", 8, 2, 3)[1])
