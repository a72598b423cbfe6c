"""What a recipe says at a field: where it decides a result, and between which numbers it lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def free(
    *situations: str,
    default: Any = dataclasses.MISSING,
    found: bool = False,
    within: tuple[float, float] | None = None,
) -> Any:
    """A field that decides no result in some situations; a field without this decides it in all.

    Args:
        situations: "cells": a finished run counts as that of the recipe whatever its value; "resume": a run goes on
            with another value; "ranks": those of one run may differ.
        default: of the field.
        found: the data or the base network says it where the recipe leaves it open (None, ()); what was found then
            is no difference.
        within: the least and the most that it takes, as of core.bounds.within.
    """
    return dataclasses.field(default=default, metadata={"free": situations, "found": found, "within": within})


def declared(kind: type, name: str) -> Mapping[str, Any]:
    """What is said at a field of a recipe: in the first class that has it, those below changing its default only."""
    first = next(base for base in reversed(kind.__mro__) if name in getattr(base, "__dataclass_fields__", ()))
    return first.__dataclass_fields__[name].metadata
