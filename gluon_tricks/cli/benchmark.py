"""Measure speed side by side. The benchmarks belong to the repository: run scripts/benchmark.py --help there."""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
from collections.abc import Sequence

from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Hands over to benchmarks/main.py of the repository."""
    root = _repository()
    if root is None:
        Parser(__doc__).parse_known_args(argv)  # --help
        raise Refused(
            "the benchmarks are not installed with the package: get the repository and run scripts/benchmark.py there"
        )
    _make_importable(root)
    return importlib.import_module("benchmarks.main").main(argv)


def _repository() -> pathlib.Path | None:
    """The folder with scripts/ and benchmarks/: that of the script which runs, or that which the package lies in."""
    script = pathlib.Path(getattr(sys.modules["__main__"], "__file__", None) or __file__)
    for root in (script.resolve().parents[1], pathlib.Path(__file__).resolve().parents[2]):
        if (root / "scripts" / "benchmark.py").is_file() and (root / "benchmarks" / "main.py").is_file():
            return root
    return None


def _make_importable(root: pathlib.Path) -> None:
    """For this process and for the contestants, which are processes of their own."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(root) not in inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, inherited)])
