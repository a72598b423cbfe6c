"""A run as its folder tells of it: recipe, epochs, events, and what its newest evaluation found."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import RECIPE_BYTES, read_text
from gluon_tricks.recipes.fields import declared
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.registry import get_recipe, list_recipes
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.report.told import is_number, read_events, read_metrics, read_step_losses, scored_at_end, tell
from gluon_tricks.tasks.findings import FILE, Found, read_found
from gluon_tricks.tasks.protocol import Scores, Task, with_final
from gluon_tricks.tasks.registry import task_of


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run's folder tells.

    Args:
        rows: of metrics.csv, one at least.
        losses: step -> loss.
        found: of its newest evaluation; None: an earlier version trained it.
        text: of recipe.json.
    """

    folder: pathlib.Path
    recipe: Settings
    rows: Sequence[Mapping[str, float]]
    events: Sequence[Mapping[str, Any]]
    losses: Mapping[int, float]
    found: Found | None
    text: str

    @property
    def task(self) -> type[Task]:
        return task_of(self.recipe)

    def same_kind(self, other: Run) -> bool:
        """Whether both are of one task."""
        return type(self.recipe) is type(other.recipe)

    @property
    def name(self) -> str:
        return self.folder.absolute().name

    @property
    def scores(self) -> type[Scores]:
        return self.task.scores_of(self.recipe)

    def final(self) -> dict[str, float]:
        """Column -> score at the end of the run."""
        return with_final(dict(self.rows[-1]), self.scores, self._scored_at_end())

    def besides(self) -> dict[str, float]:
        """What was scored at the end alone and stands in no column's place, by its name in words."""
        placed = set(self.scores.at_end.values())
        return {name: value for name, value in self._scored_at_end().items() if name not in placed}

    def _scored_at_end(self) -> dict[str, float]:
        return scored_at_end(self.events)

    def begun(self) -> dict[str, Any]:
        """What its starts told of data, machine and versions, of each thing the newest."""
        told: dict[str, Any] = {}
        for event in self.events:
            if event.get("event") in ("start", "resume"):
                told.update(event)
        return told

    def steps_per_epoch(self) -> int:
        """0: it is not told."""
        told = self.begun()
        return int(told["steps_per_epoch"]) if tell(told, "steps_per_epoch") else 0

    def places(self, kind: str) -> list[float]:
        """At which epochs, such as 2.5, there were events of a kind that name a step."""
        each = self.steps_per_epoch()
        steps = [event.get("step") for event in self.events if event.get("event") == kind]
        return [step / each for step in steps if is_number(step)] if each else []

    def warnings(self) -> list[str]:
        """What it has warned of, each once."""
        told = [event.get("message") for event in self.events if event.get("event") == "warning"]
        return list(dict.fromkeys(message for message in told if isinstance(message, str)))

    def seconds(self) -> tuple[float, int]:
        """How long it was trained, the times between its sessions left out; and how many sessions there were."""
        sessions: list[list[datetime.datetime]] = []
        for event in self.events:
            if event.get("event") in ("start", "resume"):
                sessions.append([])
            if sessions and (time := _time(event)):
                sessions[-1].append(time)
        spans = [(max(times) - min(times)).total_seconds() for times in sessions if times]
        return sum(spans), len(sessions)

    def ended(self) -> datetime.datetime | None:
        return next((time for event in reversed(self.events) if (time := _time(event))), None)

    def changes(self) -> tuple[str, dict[str, tuple[Any, Any]]]:
        """What the recipe is compared with, and the settings that differ: the value there and the run's."""
        kind = type(self.recipe)
        known = self.recipe.name in list_recipes(kind)
        base = get_recipe(self.recipe.name) if known else kind()
        usual = base.set(model=self.recipe.model).resolved() if self.recipe.model else base
        differing = self.recipe.differences(usual, "")
        if base.model and base.model != self.recipe.model:
            differing = {"model": (base.model, self.recipe.model), **differing}
        decided = {field.name for field in dataclasses.fields(kind) if declared(kind, field.name).get("found")}
        decided |= {"name", "class_names"} | ({"model"} if not base.model else set())
        kept = {name: pair for name, pair in differing.items() if name not in decided}
        return (f"the recipe {self.recipe.name}" if known else "the defaults"), kept


def read_run(folder: pathlib.Path, found: bool = True) -> Run:
    """A run that has finished an epoch.

    Args:
        found: with what its newest evaluation found; False: it is to be evaluated, and a damaged file counts as none.

    Raises:
        Refused: it is no run, has no finished epoch, or one of its files is damaged.
    """
    if not os.path.lexists(folder / "recipe.json"):
        raise Refused(f"{folder} is no run: it has no recipe.json; name the folder that a training has written")
    recipe = read_recipe(folder / "recipe.json")
    rows, task = read_metrics(folder), task_of(recipe)
    if not rows:
        raise Refused(f"{folder} has no finished epoch yet: there is nothing to show")
    missing = {"epoch", "train_loss", "lr", *task.scores.columns} - {*rows[-1]}
    if missing or any(not math.isfinite(row["epoch"]) for row in rows):
        wrong = f"it has no column {sorted(missing)[0]}" if missing else "an epoch has no number"
        raise Refused(f"{folder / 'metrics.csv'} is damaged: {wrong}; copy it again")
    known = None
    with contextlib.suppress(*() if found else (Refused,)):
        known = read_found(folder, task.report.fields) if os.path.lexists(folder / FILE) else None
    text = json.dumps(json.loads(read_text(folder / "recipe.json", RECIPE_BYTES)), indent=2, ensure_ascii=False)
    return Run(folder, recipe, rows, [*read_events(folder)], read_step_losses(folder, True), known, text)


def _time(event: Mapping[str, Any]) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(str(event.get("time")))
    except ValueError:
        return None
    return time if time.tzinfo else None
