"""The lines the house is built along: who may import whom."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = {
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
    for package in ("gluon_tricks", "model_zoo", "scripts")
    for path in sorted((ROOT / package).rglob("*.py"))
}
# From the ground up; a module may import from its own floor and those below. Longest prefix counts.
FLOORS = {
    "gluon_tricks": 0,  # the package itself imports runtime
    "gluon_tricks.runtime": 0,
    "gluon_tricks.arguments": 0,
    "gluon_tricks.wording": 0,
    "gluon_tricks.lettering": 1,
    "gluon_tricks.schedule": 1,
    "gluon_tricks.devices": 1,
    "gluon_tricks.distributed": 1,
    "gluon_tricks.loss_scale": 1,
    "gluon_tricks.pictures": 2,
    "gluon_tricks.photos": 9,
    "gluon_tricks.transfer_scores": 9,
    "gluon_tricks.class_names": 7,
    "gluon_tricks.prediction": 8,
    "gluon_tricks.disk": 1,
    "gluon_tricks.commands": 1,
    "gluon_tricks.heartbeat": 1,
    "gluon_tricks.hosts": 1,
    "gluon_tricks.launcher": 2,
    "gluon_tricks.gradients": 2,
    "gluon_tricks.sync_batch_norm": 2,
    "model_zoo": 1,
    "gluon_tricks.data": 2,
    "gluon_tricks.findings": 2,
    "gluon_tricks.doctor": 3,
    "gluon_tricks.tricks": 3,
    "gluon_tricks.settings": 4,
    "gluon_tricks.transfer": 4,
    "gluon_tricks.recipe": 4,
    "gluon_tricks.detection": 4,
    "gluon_tricks.segmentation": 4,
    "gluon_tricks.task": 4,
    "gluon_tricks.table": 4,
    "gluon_tricks.recipes": 5,
    "gluon_tricks.scales": 6,
    "gluon_tricks.cells": 7,
    "gluon_tricks.run_cells": 8,
    "gluon_tricks.comparison": 8,
    "gluon_tricks.data.catalog": 5,
    "gluon_tricks.network": 5,
    "gluon_tricks.journal": 5,
    "gluon_tricks.divergence": 5,
    "gluon_tricks.evaluate": 6,
    "gluon_tricks.optimizer_state": 6,
    "gluon_tricks.checkpoint": 6,
    "gluon_tricks.final": 6,
    "gluon_tricks.subject": 7,
    "gluon_tricks.trained": 7,
    "gluon_tricks.figures": 9,
    "gluon_tricks.tables": 9,
    "gluon_tricks.report": 7,
    "gluon_tricks.diagrams": 7,
    "gluon_tricks.job": 7,
    "gluon_tricks.detection.evaluation": 6,
    "gluon_tricks.segmentation.evaluation": 6,
    "gluon_tricks.base": 8,
    "gluon_tricks.detection.task": 8,
    "gluon_tricks.segmentation.task": 8,
    "gluon_tricks.classification": 8,
    "gluon_tricks.prepare": 9,
    "gluon_tricks.rollback": 9,
    "gluon_tricks.steps": 9,
    "gluon_tricks.train": 9,
    "gluon_tricks.flags": 8,
    "gluon_tricks.command_line": 9,
    "gluon_tricks.program": 10,
    "gluon_tricks.transfer_flags": 10,
    "gluon_tricks.benchmarks": 10,
    "gluon_tricks.estimate": 10,
    "scripts": 11,
}


def floor(module):
    parts = module.split(".")
    return next(FLOORS[name] for k in range(len(parts), 0, -1) if (name := ".".join(parts[:k])) in FLOORS)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path):
    for name in imported(path):
        if name.split(".")[0] in ("gluon_tricks", "model_zoo"):
            yield name if name in FILES else name.rpartition(".")[0]


@pytest.mark.parametrize("module", FILES)
def test_imports_run_one_way(module):
    above = [other for other in ours(FILES[module]) if floor(other) > floor(module)]
    assert not above


def test_no_module_needs_itself():
    """Nor by way of others, on one floor or in a function's import."""
    needs = {module: set(ours(path)) for module, path in FILES.items()}
    in_order = list(graphlib.TopologicalSorter(needs).static_order())  # CycleError if there is none
    place = {module: k for k, module in enumerate(in_order)}
    assert all(place[other] < place[module] for module, others in needs.items() for other in others)


def test_the_zoo_knows_nothing_of_training():
    zoo = [path for module, path in FILES.items() if module.split(".")[0] == "model_zoo"]
    below = {name for path in zoo for name in ours(path) if name.split(".")[0] != "model_zoo"}
    ground = ("runtime", "disk", "commands", "arguments")
    assert below <= {"gluon_tricks", *(f"gluon_tricks.{module}" for module in ground)}


def test_only_distributed_knows_horovod():
    assert [m for m, path in FILES.items() if any(n.startswith("horovod") for n in imported(path))] == [
        "gluon_tricks.distributed"
    ]


def test_the_loop_names_no_trick():
    for module in ("gluon_tricks.train", "gluon_tricks.steps", "gluon_tricks.prepare", "gluon_tricks.job"):
        concrete = [name for name in imported(FILES[module]) if name.startswith("gluon_tricks.tricks")]
        assert set(concrete) <= {"gluon_tricks.tricks.Draw", "gluon_tricks.tricks.Loss"}
