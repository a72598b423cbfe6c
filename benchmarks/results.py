"""What is said and kept of the contestants' rounds."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from typing import Any

from gluon_tricks.core.environment import usable_cores
from gluon_tricks.machine.devices import cpu_has_bfloat16, cpu_name

WITHOUT_BFLOAT16 = "bfloat16 is left out: this CPU does not multiply it (AVX512_BF16 or AMX_BF16)"


def precisions() -> tuple[str, ...]:
    """What this CPU multiplies; in what it does not, a network would be measured in float32, or not at all."""
    return ("float32", "bfloat16") if cpu_has_bfloat16() else ("float32",)


def comparisons(results: dict[str, list[float]], what: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of those pairs (ours, theirs) of which both were measured."""
    return [compare(results, what, *pair) for pair in pairs if {*pair} <= results.keys()]


def compare(results: dict[str, list[float]], what: str, ours: str, theirs: str) -> str:
    """One line: what, ours, theirs, and the median over the rounds of ours / theirs."""
    ratio = statistics.median(a / b for a, b in zip(results[ours], results[theirs]))
    return (
        f"{what}: {ours} {statistics.median(results[ours]):.1f} images/s, "
        f"{theirs} {statistics.median(results[theirs]):.1f} images/s: {ratio:.2f}x"
    )


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {"cpu": cpu_name(), "cores": usable_cores(), "python": platform.python_version()}


def in_page(page: str, lines: Sequence[str], marks: tuple[str, str]) -> str:
    """The page with these lines between its marks, two lines of it."""
    before, rest = page.split(marks[0])
    return before + marks[0] + "\n" + "\n".join(lines) + "\n\n" + marks[1] + rest.split(marks[1])[1]
