"""The lines the house is built along: who may import whom."""

import ast
import graphlib
import inspect
import pathlib
import re

import pytest

from gluon_tricks.recipes.recipe import KINDS
from gluon_tricks.tasks.protocol import Task
from gluon_tricks.tasks.registry import TASKS

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = {
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
    for package in ("gluon_tricks", "model_zoo", "scripts")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_symlink()
} | {"gluon_tricks_command": ROOT / "gluon_tricks_command.py"}
# From the ground up: a room imports from itself and from those before it.
ROOMS = (
    *("core", "tricks", "recipes", "data", "ranks", "machine", "networks", "tasks", "trained", "training", "paper"),
    *("benchmarks", "cli"),
)


def room(module):
    """Its place in ROOMS; the scripts and where they begin stand above all, the package itself on the ground."""
    first, *rest = module.split(".")
    if first in ("scripts", "gluon_tricks_command"):
        return len(ROOMS)
    return ROOMS.index(rest[0]) if rest and first == "gluon_tricks" else 0


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
    assert not [other for other in ours(FILES[module]) if room(other) > room(module)]


def test_no_module_needs_itself():
    """Nor by way of others, on one floor or in a function's import."""
    needs = {module: set(ours(path)) for module, path in FILES.items()}
    in_order = list(graphlib.TopologicalSorter(needs).static_order())  # CycleError if there is none
    place = {module: k for k, module in enumerate(in_order)}
    assert all(place[other] < place[module] for module, others in needs.items() for other in others)


def test_the_zoo_knows_nothing_of_training():
    zoo = [path for module, path in FILES.items() if module.split(".")[0] == "model_zoo"]
    below = {name for path in zoo for name in ours(path) if name.split(".")[0] != "model_zoo"}
    assert all(name == "gluon_tricks" or name.startswith("gluon_tricks.core") for name in below)


def test_only_distributed_knows_horovod():
    assert [m for m, path in FILES.items() if any(n.startswith("horovod") for n in imported(path))] == [
        "gluon_tricks.ranks.distributed"
    ]


def test_the_loop_names_no_trick():
    for module in (
        "gluon_tricks.training.loop",
        "gluon_tricks.training.steps",
        "gluon_tricks.training.prepare",
        "gluon_tricks.training.job",
    ):
        concrete = [name for name in imported(FILES[module]) if name.startswith("gluon_tricks.tricks")]
        assert set(concrete) <= {
            f"gluon_tricks.tricks.{name}" for name in ("StepContext", "Loss", "schedule.Plan", "schedule.Schedule")
        }


_NAMES = "|".join(kind.task for kind in KINDS.values())
_CLASSES = "|".join(kind.__name__ for kind in KINDS.values())
ASKS_WHICH_TASK = re.compile(
    rf"(isinstance|issubclass)\([^)]*({_CLASSES}|TransferRecipe)\b"
    rf"|\b(is|is not|==|!=) ({_CLASSES}|Classification|Detection|Segmentation)\b"
    r"|\btask (==|!=|is|in [\[({\w.\"]+[^:]*[\])}])|(==|!=|\bin|\bis) [\w.]*\.task\b(?!\.)"
    r"|\[[\w.]*\.task\]|\.get\([\w.]*\.task\b"
    rf"|(==|!=|\bin) [\[({{]?\"({_NAMES})\"|\"({_NAMES})\" (==|!=|in) |\"({_NAMES})\"(:|\])"
)


@pytest.mark.parametrize(
    "line",
    [
        "if isinstance(trained.recipe, DetectionRecipe):",
        "first = names(isinstance(recipe, (TransferRecipe)))",
        'if recipe is not None and recipe.task != "classification":',
        "if recipe.task == Recipe.task:",
        "if wanted == table.task:",
        'few = task == "segmentation" and small',
        'return {"detection": find_boxes, "segmentation": find_masks}[recipe.task](recipe)',
        "words = COMMANDS[cell.recipe.task]",
        "photos.get(table.task, table.photos)",
        '    "segmentation": ("val_pix_acc", "val_miou"),',
        'if "detection" == kind:',
        'if task in ("detection", "segmentation"):',
        "if task_of(recipe) is Detection:",
        "if type(recipe) is SegmentationRecipe:",
    ],
)
def test_a_question_about_the_task_is_found(line):
    assert ASKS_WHICH_TASK.search(line)


def test_only_tasks_ask_which_task_it_is():
    """And recipes/recipe.py, which is the registry of their records; beside it no line but the records' own names."""
    asking = [
        f"{module}:{number}: {line.strip()}"
        for module, path in FILES.items()
        if not module.startswith("gluon_tricks.tasks.")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ASKS_WHICH_TASK.search(line)
    ]
    assert asking == []


def test_every_task_has_its_record_and_all_of_the_protocol():
    assert [task.kind for task in TASKS] == list(KINDS.values())
    wanted = {name for name in vars(Task) | Task.__annotations__ if not name.startswith("_")}
    of_an_object = {"recipe", "train", "val", "open_files"}
    for task in TASKS:
        assert wanted - of_an_object <= set(dir(task)), task
        assert {*task.prediction_options} <= {*inspect.signature(task.look).parameters}
