"""What each refinement costs: who takes part, and the ratio that is told."""

import pytest

from benchmarks import tricks
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tricks import TRICKS


def test_a_ratio_is_the_median_over_rounds_beside_a_plain_one(monkeypatch):
    """100/50, 100/40 and 90/45 are 2, 2.5 and 2."""
    rates = {"sam": [50.0, 40.0, 45.0]}
    asked = []

    def measure(contestants, rounds):
        asked.append([contestant.name for contestant in contestants])
        return {c.name: rates.get(c.name, [100.0, 100.0, 90.0]) for c in contestants}

    monkeypatch.setattr(tricks, "measure", measure)
    found, lines = tricks.run("resnet18_v1d", 64, 64, 3)
    assert "resnet18_v1d at 64 px, batch 64: a step with sam takes 2.00 times as long" in lines
    assert "resnet18_v1d at 64 px, batch 64: a step with mixup takes 1.00 times as long" in lines
    assert all(names[0] == "a plain training beside " + ", ".join(names[1:]) for names in asked)
    measured = {name for names in asked for name in names[1:]}
    assert measured | tricks._OF_NO_STEP == {trick.label() for trick in TRICKS} and not measured & tricks._OF_NO_STEP
    assert found["sam"] == rates["sam"]


def test_one_that_is_not_measured_costs_its_line_alone(monkeypatch):
    def measure(contestants, rounds):
        assert [one.optional for one in contestants] == [False] + [True] * (len(contestants) - 1)
        return {one.name: [1.0] for one in contestants if one.name != "sam"}

    monkeypatch.setattr(tricks, "measure", measure)
    _, lines = tricks.run("resnet18_v1d", 64, 64, 1)
    assert not any("sam" in line for line in lines) and any("a step with mixup takes" in line for line in lines)


def test_what_a_network_cannot_take_is_left_out_by_name(monkeypatch):
    monkeypatch.setattr(tricks, "measure", lambda contestants, rounds: {c.name: [1.0] for c in contestants})
    found, lines = tricks.run("caffenet", 67, 2, 1)
    says = "caffenet at 67 px, batch 2: stochastic_depth is left out: caffenet has no drop_path, drop_path_per"
    assert [line for line in lines if "left out" in line] == [says]
    assert "sam" in found and "stochastic_depth" not in found


@pytest.mark.parametrize("trick", [t for t in TRICKS if t.label() not in tricks._OF_NO_STEP], ids=lambda t: t.label())
def test_every_refinement_stands_alone_in_a_recipe(trick):
    recipe = tricks.with_trick(Recipe(model="resnet18_v1d", input_size=64, batch_size=64, lr=0.01), trick)
    assert any(isinstance(one, trick) for one in recipe.tricks)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert task_of(recipe).drawn(recipe).tricks == recipe.tricks  # else a plain step would be measured
