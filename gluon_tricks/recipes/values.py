"""Tricks as a file or a person names them."""

from __future__ import annotations

import dataclasses
from typing import Any

from gluon_tricks import tricks
from gluon_tricks.core.errors import require_known
from gluon_tricks.core.given import require_kind
from gluon_tricks.tricks import Trick


def trick_named(label: str) -> type[Trick]:
    """The trick of a label."""
    require_kind("the label of a trick", label, str, "a text such as 'mixup'")
    by_label = {trick.label(): trick for trick in tricks.TRICKS}
    return by_label[require_known(label, list(by_label), "trick")]


def trick_from_json(values: dict[str, Any]) -> Trick:
    trick = trick_named(str(values.get("trick")))
    numbers = {name: value for name, value in values.items() if name != "trick"}
    for name in numbers:
        require_known(name, [field.name for field in dataclasses.fields(trick)], "number", f"the trick {trick.label()}")
    return trick(**numbers)
