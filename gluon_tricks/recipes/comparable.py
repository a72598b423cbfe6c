"""Comparing two recipes, what of each decides its result; and making one of them more like the other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, ClassVar

from gluon_tricks.recipes.fields import declared
from gluon_tricks.tricks import Trick


class Comparable:
    """The base of Settings: a recipe that can be compared with another.

    Attributes:
        task, tricks, epochs: as of Settings.
    """

    task: ClassVar[str]
    tricks: Sequence[Trick]
    epochs: int

    def deciding(self, situation: str) -> dict[str, Any]:
        """What decides the result: field -> value as in JSON, the tricks' names, and their numbers as mixup.alpha."""
        values: dict[str, Any] = {"task": self.task}
        for field in dataclasses.fields(self):
            if field.name != "tricks" and situation not in declared(type(self), field.name).get("free", ()):
                values[field.name] = getattr(self, field.name)
        values["tricks"] = [trick.label() for trick in self.tricks]
        for trick in self.tricks:
            for field in dataclasses.fields(trick):
                if situation not in field.metadata.get("free", ()):
                    values[f"{trick.label()}.{field.name}"] = getattr(trick, field.name)
        return json.loads(json.dumps(values))

    def differences(self, old: Comparable, situation: str) -> dict[str, tuple[Any, Any]]:
        """What decides the result and differs: field, or trick.number of a trick that both have -> its values.

        Args:
            old: the recipe of a run; self: the one that is wanted.
            situation: of SITUATIONS.

        Returns:
            the old value and this one's of each.
        """
        wanted, there = self.deciding(situation), old.deciding(situation)
        if wanted["task"] != there["task"]:  # they have other fields
            return {"task": (there["task"], wanted["task"])}
        left_open = {
            field.name
            for field in dataclasses.fields(self)
            if declared(type(self), field.name).get("found") and not getattr(self, field.name)
        }
        names = [name for name in wanted if name in there and name not in left_open]
        return {name: (there[name], wanted[name]) for name in names if there[name] != wanted[name]}

    def differences_going_on(self, old: Comparable, epoch: float) -> dict[str, tuple[Any, Any]]:
        """differences of the recipe of a run that goes on; for another number of epochs what is to come may differ.

        Args:
            epoch: where the run stands.
        """
        before = {trick.label(): trick for trick in old.tricks if old.epochs != self.epochs}
        there = [trick for trick in self.tricks if trick.label() in before]
        same = {trick.label() for trick in there if trick.same_until(before[trick.label()], epoch)}
        found = self.differences(old, "resume")
        return {name: both for name, both in found.items() if name.partition(".")[0] not in same}

    def with_free_fields_of(self, other: Comparable, situation: str) -> Comparable:
        """The recipe with what decides no result in a situation as another of its kind has it."""
        names = [field.name for field in dataclasses.fields(self)]
        taken = [name for name in names if situation in declared(type(self), name).get("free", ())]
        return dataclasses.replace(self, **{name: getattr(other, name) for name in taken})

    def in_order_of(self, other: Comparable) -> Comparable:
        """The recipe with its tricks in the order of another, if that has the same or others for the same work."""
        places = {trick.slot(): place for place, trick in enumerate(other.tricks)}
        if places.keys() != {trick.slot() for trick in self.tricks}:
            return self
        return dataclasses.replace(self, tricks=tuple(sorted(self.tricks, key=lambda trick: places[trick.slot()])))
