"""The lines the house is built along: who may import whom."""

import ast
import functools
import graphlib
import inspect
import pathlib
import re
import runpy

import pytest

from gluon_tricks.recipes.kinds import KINDS
from gluon_tricks.tasks.protocol import Task
from gluon_tricks.tasks.registry import TASKS

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = {
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
    for package in ("gluon_tricks", "model_zoo", "benchmarks", "scripts")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_symlink()
} | {"gluon_tricks_command": ROOT / "gluon_tricks_command.py"}
# From the ground up: a room imports from itself and from those before it.
ROOMS = (
    *("core", "page", "initialise", "tricks", "recipes", "data", "ranks", "machine"),
    *("networks", "tasks", "trained", "inside", "report", "training", "paper", "cli"),
)


def room(module):
    """Its place in ROOMS; the package itself is on the ground, what is outside it (but the zoo) above all."""
    first, *rest = module.split(".")
    if first in ("scripts", "gluon_tricks_command", "benchmarks"):
        return len(ROOMS)
    return ROOMS.index(rest[0]) if rest and first == "gluon_tricks" else 0


@functools.cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    return imported_in(parsed(path))


def imported_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path):
    for name in imported(path):
        if name.split(".")[0] in ("gluon_tricks", "model_zoo", "benchmarks"):
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


# What a function may import, because the top of its file must not; and why.
DEFERRED = {
    "gluoncv": "takes seconds, and PyTorch has to be hidden from it first (core.foreign)",
    "tensorboardX": "the same",
    "matplotlib": "takes half a second, and drawing is the last thing that a command does",
    "scipy.cluster": "takes a tenth of a second, and only a page of many classes needs it",
    "scipy.spatial": "the same",
    "fontTools": "takes about 25 ms, and only a command that draws letters needs it",
    "torch": "need not be installed",
    "horovod": "need not be installed",
    "psutil": "is there with horovod",
    "huggingface_hub": "takes a third of a second, and only what asks the hub needs it",
    "gluon_tricks.tasks.detection.faster_rcnn": "imports gluoncv",
    "gluon_tricks.cli.main": "by gluon_tricks_command alone: signals are handled before numpy is imported",
}
THE_DOCTOR = ("gluon_tricks.machine.doctor", "gluon_tricks.machine.checks")  # runs where MXNet or OpenCV is broken


def test_an_import_in_a_function_has_a_reason():
    for module, path in FILES.items():
        functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
        deferred = {name for function in functions for name in imported_in(function)}
        allowed = tuple(DEFERRED) + ("gluon_tricks.",) * (module in THE_DOCTOR)
        assert {name for name in deferred if not name.startswith(allowed)} == set(), module


def test_no_command_waits_for_what_is_slow_to_import():
    """So the reasons above hold: one import at the top of a file would undo all that stand in functions."""
    slow = {"gluoncv", "tensorboardX", "matplotlib", "fontTools", "torch"}
    for module, path in FILES.items():
        if module.split(".")[0] in ("gluon_tricks", "model_zoo") and module not in DEFERRED:
            at_top = [node for node in parsed(path).body if isinstance(node, (ast.Import, ast.ImportFrom))]
            assert {name.split(".")[0] for node in at_top for name in imported_in(node)}.isdisjoint(slow), module


def test_what_is_installed(monkeypatch):
    """The two packages and the module where gluon-tricks begins: no scripts, no benchmarks, no tests."""
    setuptools, asked = pytest.importorskip("setuptools"), {}
    monkeypatch.setattr(setuptools, "setup", lambda **words: asked.update(words))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    assert {name.split(".")[0] for name in asked["packages"]} == {"gluon_tricks", "model_zoo"}
    assert asked["py_modules"] == ["gluon_tricks_command"]
    assert {f"gluon_tricks.{name}" for name in ROOMS} <= {*asked["packages"]}


def test_the_zoo_knows_nothing_of_training():
    zoo = [path for module, path in FILES.items() if module.split(".")[0] == "model_zoo"]
    below = {name for path in zoo for name in ours(path) if name.split(".")[0] != "model_zoo"}
    assert all(name == "gluon_tricks" or name.startswith("gluon_tricks.core") for name in below)


def test_what_is_installed_names_commands_as_they_are_installed():
    """gluon-tricks pack, not scripts/pack_records.py, which a wheel does not have; GluonCV's scripts are GluonCV's."""
    scripts = "|".join(path.stem for path in (ROOT / "scripts").glob("*.py"))
    ours = re.compile(rf"scripts/\w+\.py|(?<!GluonCV's )\b(?:{scripts})\.py\b")
    installed = [module for module in FILES if module.split(".")[0] in ("gluon_tricks", "model_zoo")]
    assert [m for m in installed if ours.search(FILES[m].read_text())] == ["gluon_tricks.cli.benchmark"]


def test_only_distributed_knows_horovod():
    assert [m for m, path in FILES.items() if any(n.startswith("horovod") for n in imported(path))] == [
        "gluon_tricks.ranks.distributed"
    ]


def test_the_loop_names_no_trick():
    for module in (
        "gluon_tricks.training.loop",
        "gluon_tricks.training.steps",
        "gluon_tricks.training.prepare",
        "gluon_tricks.training.requirements",
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
    """And recipes/kinds.py, the registry of their records; beside it no line but the records' own names."""
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


# Files that are opened elsewhere than in core/reading.py and core/files.py, which look first at what they are: the
# system's own, those in a scratch folder that the program has just made, and what was opened there already.
OPENED = {
    "gluon_tricks.core.commands": ("open(os.devnull, 'w')",),
    "gluon_tricks.core.wording": ("open(os.devnull, 'w')",),
    "gluon_tricks.core.environment": (
        "pathlib.Path(f'/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list').read_text('ascii')",
        "pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')",
    ),
    "gluon_tricks.core.scratch": (  # folders, for their locks
        "os.open(path, os.O_RDONLY | os.O_DIRECTORY)",
        "os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)",
    ),
    "gluon_tricks.data.annotations.annotated": ("PIL.Image.open(file)",),
    "gluon_tricks.data.annotations.mask_file": ("PIL.Image.open(stored)",),
    "gluon_tricks.data.record_writer": ("os.open(self.targets['.rec'].parent, os.O_RDONLY)",),
    "gluon_tricks.data.parallel": (
        "os.open(os.devnull, os.O_WRONLY)",
        "open(theirs, 'w', buffering=1, errors='backslashreplace', closefd=False)",
    ),
    "gluon_tricks.machine.devices": ("pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')",),
    "gluon_tricks.core.memory": (
        "(root / 'proc/meminfo').read_text(encoding='ascii')",
        "(root / 'proc/self/cgroup').read_text(encoding='utf-8')",
        "(place / name).read_text('ascii')",
        "(place / 'memory.stat').read_text('ascii')",
        "there.read_text('ascii')",
    ),
    "gluon_tricks.paper.contest": (
        "open(_errors(scratch, contestant.name), 'w')",
        "open(_output(scratch, contestant.name), 'w')",
        "_errors(scratch, name).read_text()",
        "output.read_text()",
        "pathlib.Path('/proc/self/status').read_text('ascii', 'replace')",
    ),
    "gluon_tricks.ranks.hosts": ("pathlib.Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii')",),
    "gluon_tricks.ranks.launcher": (
        "path.read_text(errors='replace')",  # /proc/PID/environ
        "status.read_text(errors='replace')",  # /proc/PID/status
    ),
    "model_zoo.catalogue": ("TARGET.read_text(encoding='utf-8')",),
    "model_zoo.formats": ("safetensors.safe_open(path, framework='np')",),  # begun with `opened`
    "model_zoo.download": (
        "members.open(member)",
        "open(target, 'wb')",
        "open(self.path, 'ab' if resumed else 'wb')",
    ),
    "model_zoo.caffe_files": ("np.load(target, allow_pickle=False)",),  # what its own process wrote
}
OPENERS = {"open", "safe_open", "read_text", "read_bytes", "fromfile", "memmap", "loadtxt", "imread", "loadmat"}
HOUSE = ("gluon_tricks.core.reading", "gluon_tricks.core.files")
OPENERS |= {"np.load", "mx.nd.load", "nd.load", "safetensors.numpy.load_file", "ElementTree.parse", "mmap.mmap"}


def test_files_are_opened_in_one_place():
    seen = {}
    for module, path in FILES.items():
        if module.split(".")[0] not in ("gluon_tricks", "model_zoo") or module in HOUSE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                function = ast.unparse(node.func)
                kind = function if function in OPENERS else function.rpartition(".")[2]
                ours = function in ("read_text", "read_bytes")  # those of core/reading.py
                if kind in OPENERS and not ours:
                    seen.setdefault(module, []).append(ast.unparse(node))
    assert {module: sorted(calls) for module, calls in seen.items()} == {
        module: sorted(calls) for module, calls in OPENED.items()
    }


def test_flags_that_are_paths_know_the_home_folder():
    """--save-dir=~/run is no folder called ~: a shell leaves that as it is."""
    assert [m for m, path in FILES.items() if "type=pathlib.Path" in path.read_text(encoding="utf-8")] == []


def test_everything_is_python_3_9():
    """Which setup.py promises: its grammar, and what is easily written that it does not have."""
    paths = [*FILES.values(), ROOT / "setup.py", *sorted((ROOT / "tests").rglob("*.py"))]
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        strict = [call for call in calls if any(keyword.arg == "strict" for keyword in call.keywords)]
        assert not [ast.unparse(call) for call in strict if ast.unparse(call.func) == "zip"], path
