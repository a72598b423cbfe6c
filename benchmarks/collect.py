"""Copies what the shown tables need of finished cells into results/: `python -m benchmarks.collect RUNS TO PREFIX`.

    python -m benchmarks.collect runs/tables/small results/tables/small magic_table

Of each cell whose name begins with PREFIX: metrics.csv, recipe.json with the ends of the paths in it alone, and of
events.jsonl the scores at the end of the run; of a figure's also steps.csv; of one that failed, why.
`reproduce --show --runs results/tables` then shows the table.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from gluon_tricks.core.errors import REFUSED
from gluon_tricks.core.files import write_text
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import RECIPE_BYTES, TOLD_BYTES, read_bytes, read_text
from gluon_tricks.networks import moved

_DATA = ("data", "train", "val")


def collect(runs: pathlib.Path, to: pathlib.Path, prefix: str) -> int:
    """Copies every finished seed of every cell; returns how many.

    Args:
        runs: a scale's folder of runs, RUNS/SCALE.
        to: where they come to lie, by the same names.
        prefix: of the cells' names.
    """
    count = 0
    for final in sorted(runs.glob(f"{prefix}*/seed*/final.params")):
        folder = final.parent
        there = to / folder.parent.name / folder.name
        there.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.csv", *(["steps.csv"] if "figure" in folder.parent.name else [])):
            write_text(there / name, read_text(folder / name, TOLD_BYTES))
        recipe = parse_json(read_bytes(folder / "recipe.json", RECIPE_BYTES))
        write_text(there / "recipe.json", json.dumps(_without_folders(recipe), indent=2) + "\n")
        told = read_text(folder / "events.jsonl", TOLD_BYTES).splitlines(keepends=True)
        scores = [line for line in told if json.loads(line).get("event") == "final_scores"]
        if scores:
            write_text(there / "events.jsonl", "".join(scores))
        count += 1
    for failure in runs.glob(f"{prefix}*/seed*.failed"):
        (to / failure.parent.name).mkdir(parents=True, exist_ok=True)
        write_text(to / failure.parent.name / failure.name, read_text(failure, TOLD_BYTES))
    return count


def _without_folders(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe's JSON with the ends of the paths in it: of data the last name, of a run the last two."""
    shown = {**recipe, **{name: _end(recipe[name]) for name in _DATA if recipe.get(name)}}
    shown.update({name: _end(recipe[name], 2) for name in moved.PLACES if recipe.get(name)})
    if recipe.get("photos"):
        shown["photos"] = {**recipe["photos"], "folder": _end(recipe["photos"]["folder"])}
    shown["tricks"] = [
        {name: _end(value, 2) if f"{trick['trick']}.{name}" in moved.PLACES else value for name, value in trick.items()}
        for trick in recipe["tricks"]
    ]
    return shown


def _end(place: str | list[str], names: int = 1) -> str | list[str]:
    if isinstance(place, list):
        return [_end(one, names) for one in place]
    path = pathlib.PurePath(place)
    return str(pathlib.PurePath(*path.parts[-names - (names > 1 and path.name == "final.params") :]))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"{REFUSED}give RUNS TO PREFIX, such as runs/tables/small results/tables/small magic_table")
    runs, to, prefix = sys.argv[1:]
    print(f"{collect(pathlib.Path(runs), pathlib.Path(to), prefix)} runs are in {to}")
