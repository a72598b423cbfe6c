"""The memory that there is: of the machine, or of the container or batch job."""

import pathlib
from collections.abc import Iterator


def available_memory(root: pathlib.Path = pathlib.Path("/")) -> int:
    """Bytes that processes can still take: the machine's, or what a container or batch job (cgroups) may have at most.

    Args:
        root: where /proc and /sys are.
    """
    return _memory(root, "MemAvailable:")


def whole_memory(root: pathlib.Path = pathlib.Path("/")) -> int:
    """The same, if nothing were taken yet."""
    return _memory(root, "MemTotal:")


def _memory(root: pathlib.Path, field: str) -> int:
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    there = [1024 * int(line.split()[1]) for line in lines if line.startswith(field)]
    return min([*there, *_memory_limits(root)])


def _memory_limits(root: pathlib.Path) -> Iterator[int]:
    """The limits of this process's control group and of those around it, in bytes."""
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
                    yield int(text)
