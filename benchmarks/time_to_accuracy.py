"""Seconds of training until the validation images reach a top-1: a fast recipe, the paper's, and a PyTorch loop.

Whole trainings from scratch take turns, seed by seed, each with the machine to itself. Only training counts, as in
DAWNBench, with an initialisation from images, and not the validation after each epoch, which says in which of them the
top-1 was there first.
"""

from __future__ import annotations

import importlib.util
import json
import math
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping

import mxnet as mx

from benchmarks.torch_loop import network_name
from gluon_tricks.core.commands import words_of
from gluon_tricks.core.environment import inherited_environment
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.reading import TOLD_BYTES, read_text
from gluon_tricks.data.packed import packed_photos
from gluon_tricks.data.recipe_records import count_classes
from gluon_tricks.data.records import Records
from gluon_tricks.machine.devices import choose_precision
from gluon_tricks.paper.cells import Cell
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe
from gluon_tricks.report.told import read_events, read_metrics
from gluon_tricks.tasks.registry import require_task

Rows = list[dict[str, float]]  # of each epoch: seconds of training since the start, top1


def run(
    data: pathlib.Path, fast: str, paper: str, top1: float, seeds: int, scratch: pathlib.Path, keep: Callable
) -> tuple[dict[str, list[float]], list[str]]:
    """Returns the seconds of every contestant and seed (inf: it never got there), and a line per comparison.

    Args:
        data: photos, as reproduce.py takes them.
        fast, paper: recipes, by name or file; PyTorch trains what `paper` says.
        top1: to be reached, a fraction.
        seeds: 0 to seeds - 1.
        scratch: where the runs lie; what is done there already is not done again.
        keep: is given all rows after each training: name -> a list of rows for each seed.
    """
    read = [_with_data(name, data, scratch) for name in (fast, paper)]
    fast, paper = (recipe.name for recipe in read)
    if fast == paper:
        raise Refused(f"--recipe and --against are both {fast}: give two recipes of different names")
    recipes = dict(zip((fast, paper), read))
    sides: dict[str, Callable[[int], Rows]] = {
        name: lambda seed, name=name: _ours(recipes[name].set(seed=seed), scratch / f"{name}-{seed}")
        for name in (fast, paper)
    }
    if importlib.util.find_spec("torch") and importlib.util.find_spec("timm"):
        network_name(recipes[paper])  # refuses what it has not, before any training
        asked = recipes[paper].dtype
        dtype = asked if choose_precision(asked, [mx.cpu()])[0] != "float32" else "float32"  # as ours has it
        sides[f"PyTorch, {paper}"] = lambda seed: _torch(
            recipes[paper].set(seed=seed, dtype=dtype), scratch / f"torch-{paper}-{seed}"
        )
    rows: dict[str, list[Rows]] = {side: [] for side in sides}
    for seed in range(seeds):
        for side, train in sides.items():
            print(f"--- {side}, seed {seed}", flush=True)
            rows[side].append(train(seed))
            keep(rows)
    seconds = {side: [seconds_to(of_seed, top1) for of_seed in found] for side, found in rows.items()}
    return seconds, lines_of(seconds, rows, top1, fast)


def seconds_to(rows: Rows, top1: float) -> float:
    """When a top-1 was reached first; inf: never."""
    return next((row["seconds"] for row in rows if row["top1"] >= top1), math.inf)


def lines_of(seconds: Mapping[str, list[float]], rows: Mapping[str, list[Rows]], top1: float, ours: str) -> list[str]:
    """What each took, and the median over the seeds of the fast recipe's seconds over another's."""
    lines = []
    for side, found in seconds.items():
        best = max(row["top1"] for of_seed in rows[side] for row in of_seed)
        each = ", ".join("never" if math.isinf(value) else f"{value:.0f} s" for value in found)
        lines.append(f"{top1:.1%} top-1: {side} {each}; best {best:.2%}")
    for side in [side for side in seconds if side != ours]:
        pairs = [(a, b) for a, b in zip(seconds[ours], seconds[side]) if math.isfinite(a)]
        if len(pairs) == len(seconds[ours]) and all(math.isfinite(b) for _, b in pairs):
            lines.append(
                f"{top1:.1%} top-1: {ours} in {statistics.median(a / b for a, b in pairs):.2f} of {side}'s time"
            )
    return lines


def _with_data(name: str, data: pathlib.Path, scratch: pathlib.Path) -> Recipe:
    recipe = get_recipe(name)
    require_task(recipe, Recipe, name)
    train, val = packed_photos(data, scratch / "data", "--photos")
    classes = count_classes(Records(train), Records(val), recipe.classes)
    return recipe.set(data="records", train=train, val=val, classes=classes).resolved()


def _ours(recipe: Recipe, folder: pathlib.Path) -> Rows:
    """Trained by the command, in a process of its own."""
    digests = (Records(files).digest for files in (recipe.train, recipe.val))
    if not Cell(recipe.name, recipe, folder, None, *digests).is_done():
        path = folder.with_name(f"{folder.name}.json")
        write_text(path, json.dumps(recipe.to_json(), indent=1) + "\n")
        _train([*words_of("train"), "--recipe", str(path), "--save-dir", str(folder), "--resume", "auto"], folder)
    start = next(event for event in read_events(folder) if "steps_per_epoch" in event)
    steps, rows = start["steps_per_epoch"], []
    seconds = start.get("initialised_from", {}).get("seconds", 0.0)
    for row in read_metrics(folder):
        seconds += steps * recipe.batch_size / row["images_per_second"]
        rows.append({"seconds": seconds, "top1": row["val_top1"]})
    return rows


def _torch(recipe: Recipe, folder: pathlib.Path) -> Rows:
    """Trained by benchmarks.torch_loop, in a process of its own."""
    path, rows = folder.with_name(f"{folder.name}.recipe.json"), folder.with_name(f"{folder.name}.json")
    images = folder.with_name(f"{folder.name}.images.json")
    asked = {path: recipe.to_json(), images: [Records(files).digest for files in (recipe.train, recipe.val)]}
    done = json.loads(read_text(rows, TOLD_BYTES)) if rows.is_file() else []
    for file, values in asked.items():
        text = json.dumps(values, indent=1) + "\n"
        if done and (not file.is_file() or read_text(file, TOLD_BYTES) != text):
            raise Refused(f"{rows} is of another recipe or of other images ({file.name}): move it away, or use --runs")
        write_text(file, text)
    if len(done) < recipe.epochs:
        _train([sys.executable, "-m", "benchmarks.torch_loop", str(path), str(rows)], folder)
        done = json.loads(read_text(rows, TOLD_BYTES))
    return done


def _train(words: list[str], folder: pathlib.Path) -> None:
    code = subprocess.run(words, env=inherited_environment()).returncode
    if code:
        raise Refused(f"the training {folder.name} has ended with exit code {code}: it has said why above")
