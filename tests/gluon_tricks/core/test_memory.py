"""How much memory a process may take, read from files of other machines."""

import pytest

from gluon_tricks.core.memory import available_memory, whole_memory


def machine(root, cgroup, limits):
    """A machine with 8000 kB available, and these files under /sys/fs/cgroup."""
    for name, text in {
        "proc/meminfo": "MemTotal: 16000 kB\nMemFree: 10 kB\nMemAvailable: 8000 kB\n",
        "proc/self/cgroup": cgroup,
        **{f"sys/fs/cgroup/{name}": text for name, text in limits.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return available_memory(root)


@pytest.mark.parametrize(
    "cgroup, limits, available",
    [
        ("0::/\n", {}, 8192000),
        ("0::/\n", {"memory.max": "1000000\n"}, 1000000),
        ("0::/job/step\n", {"job/memory.max": "5000\n", "job/step/memory.max": "max\n"}, 5000),
        ("4:memory:/job\n1:cpu:/\n", {"memory/job/memory.limit_in_bytes": "7000\n"}, 7000),
        (
            "0::/job\n",
            {
                **{"job/memory.max": "5000\n", "job/memory.current": "3000\n"},
                "job/memory.stat": "anon 2000\nfile 1000\ninactive_file 700\n",
            },
            2700,
        ),
        ("0::/job\n", {"job/memory.max": "5000\n", "job/memory.current": "5100\n"}, 0),
        (
            "4:memory:/job\n",
            {
                **{"memory/job/memory.limit_in_bytes": "7000\n", "memory/job/memory.usage_in_bytes": "4000\n"},
                "memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
            },
            3500,
        ),
        ("4:memory:/elsewhere\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8192000),
    ],
)
def test_memory_is_that_of_the_container_or_job(tmp_path, cgroup, limits, available):
    assert machine(tmp_path, cgroup, limits) == available
    (limit,) = [int(text) for name, text in limits.items() if "max" in name or "limit" in name if text != "max\n"] or [
        0
    ]
    assert whole_memory(tmp_path) == min(limit or 16384000, 16384000)
