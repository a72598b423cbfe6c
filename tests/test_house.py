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


# Files that are opened elsewhere than in core/reading.py and core/files.py, which look first at what they are: the
# system's own, those in a scratch folder that the program has just made, and what was opened there already.
OPENED = {
    "gluon_tricks.benchmarks.scaling": ("open(pathlib.Path(scratch) / 'said', 'w')", "out.read_text()"),
    "gluon_tricks.core.commands": ("open(os.devnull, 'w')",),
    "gluon_tricks.core.environment": (
        "pathlib.Path('/sys/devices/system/cpu/cpu0/topology/thread_siblings_list').read_text('ascii')",
        "pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')",
    ),
    "gluon_tricks.data.annotations.annotated": ("PIL.Image.open(file)",),
    "gluon_tricks.data.annotations.masks": ("PIL.Image.open(stored)",),
    "gluon_tricks.data.pack": ("os.open(self.targets['.rec'].parent, os.O_RDONLY)",),
    "gluon_tricks.data.parallel": (
        "os.open(os.devnull, os.O_WRONLY)",
        "open(theirs, 'w', buffering=1, errors='backslashreplace', closefd=False)",
    ),
    "gluon_tricks.machine.devices": ("pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')",),
    "gluon_tricks.machine.doctor": (
        "(root / 'proc/meminfo').read_text(encoding='ascii')",
        "(root / 'proc/self/cgroup').read_text(encoding='utf-8')",
        "(place / name).read_text('ascii')",
    ),
    "gluon_tricks.paper.contest": (
        "open('/proc/cpuinfo')",
        "open(_errors(scratch, contestant.name), 'w')",
        "_errors(scratch, name).read_text()",
    ),
    "gluon_tricks.ranks.hosts": ("pathlib.Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii')",),
    "gluon_tricks.ranks.launcher": ("path.read_text(errors='replace')",),  # /proc/PID/environ
    "model_zoo.catalogue": ("TARGET.read_text(encoding='utf-8')",),
    "model_zoo.formats": ("safetensors.safe_open(path, framework='np')",),  # begun with `opened`
    "model_zoo.published": (
        "members.open(member)",
        "open(target, 'wb')",
        "open(self.path, 'ab' if resumed else 'wb')",
    ),
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
