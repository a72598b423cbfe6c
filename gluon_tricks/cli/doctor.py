"""Look at what a training needs, on this machine and in this environment, and say what to do where something is wrong.

    %(prog)s [--run-dir DIR] [--rec FILE.rec ...]

Prints a line per thing: ok, warning (training works, but less well than it could) or problem, with its remedy. Records
are read whole, as by gluon-tricks pack --check. Exit code: 0, or 2 if there is a problem.
"""

from __future__ import annotations

import pathlib

from gluon_tricks.core.arguments import Parser
from gluon_tricks.core.commands import command
from gluon_tricks.core.reading import expanded
from gluon_tricks.machine import checks, doctor


@command
def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    runs = pathlib.Path("runs")
    parser.add_argument("--run-dir", type=expanded, default=runs, metavar="DIR", help="folder of the runs (runs)")
    parser.add_argument("--rec", nargs="+", default=[], metavar="FILE", help="records to check (none)")
    options = parser.parse_args(argv)
    levels = []
    for finding in doctor.examine(options.run_dir, options.rec):
        print(finding, flush=True)
        levels.append(finding.level)
    print(", ".join(f"{level}: {levels.count(level)}" for level in (checks.OK, checks.WARNING, checks.PROBLEM)))
    return 2 if checks.PROBLEM in levels else 0
