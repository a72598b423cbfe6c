"""--set FIELD=VALUE of every training: what names a network is kept as the flag for it would keep it."""

from __future__ import annotations

import json

from gluon_tricks.core.json_text import json_or_text
from gluon_tricks.networks.moved import PLACES
from gluon_tricks.networks.source import as_kept
from gluon_tricks.recipes.recipe import apply_setting
from gluon_tricks.recipes.settings import Settings


def with_setting(recipe: Settings, setting: str, begun: Settings | None) -> Settings:
    """The recipe with a --set, as apply_setting gives it.

    Args:
        begun: the recipe of a run that goes on, whose commit of a repository stays; None: a new run.
    """
    key, _, text = setting.partition("=")
    source = json_or_text(text) if key in PLACES else None
    if isinstance(source, str) and source:  # else it is none
        setting = f"{key}={json.dumps(as_kept(source, _place(begun, key)))}"
    return apply_setting(recipe, setting)


def _place(recipe: Settings | None, name: str) -> str:
    """What a recipe has of one of PLACES; "": nothing."""
    label, _, field = name.rpartition(".")
    holders = [trick for trick in getattr(recipe, "tricks", ()) if trick.label() == label] if label else [recipe]
    return getattr(holders[0], field, "") if holders else ""
