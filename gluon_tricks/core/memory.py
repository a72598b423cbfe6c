"""The memory that there is: of the machine, or of the container or batch job."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator


def available_memory(root: pathlib.Path = pathlib.Path("/")) -> int:
    """Bytes that processes can still take: of the machine, and of what a container or batch job (cgroups) may have.

    Args:
        root: where /proc and /sys are.
    """
    return _memory(root, "MemAvailable:", _taken)


def whole_memory(root: pathlib.Path = pathlib.Path("/")) -> int:
    """The same, if nothing were taken yet."""
    return _memory(root, "MemTotal:", lambda place: 0)


def _memory(root: pathlib.Path, field: str, taken: Callable[[pathlib.Path], int]) -> int:
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    there = [1024 * int(line.split()[1]) for line in lines if line.startswith(field)]
    return min([*there, *(max(limit - taken(place), 0) for place, limit in _memory_limits(root))])


def _taken(place: pathlib.Path) -> int:
    """What a control group has, in bytes, but for files that are kept in memory as long as there is room."""
    with contextlib.suppress(OSError, ValueError):
        there = place / "memory.current"
        if not there.is_file():  # version 1
            there = place / "memory.usage_in_bytes"
        rows = (place / "memory.stat").read_text("ascii").splitlines() if (place / "memory.stat").is_file() else ()
        files = {name: int(size) for name, _, size in (row.partition(" ") for row in rows) if "inactive_file" in name}
        cached = files.get("total_inactive_file", files.get("inactive_file", 0))
        return int(there.read_text("ascii")) - cached
    return 0


def _memory_limits(root: pathlib.Path) -> Iterator[tuple[pathlib.Path, int]]:
    """The limits of this process's control group and of those around it, in bytes, and where each is."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for _, controllers, group in (line.split(":", 2) for line in groups):
        if controllers in ("", "memory"):  # version 2, version 1
            base = root / "sys/fs/cgroup" / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            folder = base / group.lstrip("/")  # in a container this may be the name that the group has outside
            for place in (folder, *folder.parents):
                if (place / name).is_file() and (text := (place / name).read_text("ascii").strip()) != "max":
                    yield place, int(text)
