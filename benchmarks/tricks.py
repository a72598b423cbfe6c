"""How much longer a training step takes with each refinement: beside one without, in turns."""

from __future__ import annotations

import statistics

from gluon_tricks.core.errors import Refused
from gluon_tricks.paper.contest import Contestant, measure
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tricks import TRICKS, DecoupledDecay, Trick, TrustRatio
from model_zoo import keywords

_PLAIN = "a plain training beside "
_SEVERAL = 4  # that take turns with a plain training: as many as have room in memory
# What changes no step: a rate, a start, what is looked up in a table, the size of its images, with which its time goes.
# Distillation adds its teacher's forward pass.
_OF_NO_STEP = {
    "linear_scaling", "warmup", "zero_gamma", "data_dependent_init", "no_bias_decay", "step_decay", "cosine",
    "exponential_decay", "linear_decay", "poly_decay", "plateau", "class_weights", "resizing",
    "distillation",
}  # fmt: skip


def run(model: str, size: int, batch_size: int, rounds: int) -> tuple[dict[str, list[float]], list[str]]:
    """Returns images/s of every contestant and round, and a line for each refinement: also for one that is left out, as
    the network lacks what it takes.

    Args:
        model: of the zoo; size: px of the images; batch_size: images per step.
    """
    plain = Recipe(name="plain", model=model, input_size=size, batch_size=batch_size, min_area=0.5, lr=0.01)
    recipes = {trick.label(): with_trick(plain, trick) for trick in TRICKS if trick.label() not in _OF_NO_STEP}
    lacking = {name: sorted({*recipe.net_kwargs()} - {*keywords(model)}) for name, recipe in recipes.items()}
    results: dict[str, list[float]] = {}
    names = [name for name, missing in lacking.items() if not missing]
    for first in range(0, len(names), _SEVERAL):
        some = names[first : first + _SEVERAL]
        beside = _PLAIN + ", ".join(some)
        refined = [_contestant(name, recipes[name], optional=True) for name in some]
        results |= measure([_contestant(beside, plain), *refined], rounds)
    what = f"{model} at {size} px, batch {batch_size}"
    lines = [f"{what}: a step with {name} takes {ratio:.2f} times as long" for name, ratio in ratios(results).items()]
    return results, lines + [
        f"{what}: {name} is left out: {model} has no {', '.join(missing)}"
        for name, missing in lacking.items()
        if missing
    ]


def ratios(results: dict[str, list[float]]) -> dict[str, float]:
    """Refinement -> the time of its step over that of a plain one, the median over the rounds. Args: of run."""
    plain = {name: rates for name, rates in results.items() if name.startswith(_PLAIN)}
    return {
        name: statistics.median(p / q for p, q in zip(rates, results[name]))
        for beside, rates in plain.items()
        for name in beside.removeprefix(_PLAIN).split(", ")
        if name in results
    }


def with_trick(plain: Recipe, trick: type[Trick]) -> Recipe:
    """A recipe with a refinement at its usual numbers, and the optimiser that it needs."""
    if trick in (DecoupledDecay, TrustRatio):
        both = (DecoupledDecay(), TrustRatio()) if trick is TrustRatio else (DecoupledDecay(),)
        return plain.set(optimizer="adam").add(*both)
    try:
        return plain.add(trick())
    except Refused as refused:
        raise Refused(f"{trick.label()} has no usual numbers ({refused}): name it in benchmarks/tricks.py") from None


def _contestant(name: str, recipe: Recipe, optional: bool = False) -> Contestant:
    drawn = task_of(recipe).drawn(recipe).set(epochs=999)
    return Contestant(name, "gluon_tricks.paper.speeds:training", {"recipe": drawn.to_json()}, optional=optional)
