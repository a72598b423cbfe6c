#!/usr/bin/env python
"""Look at what a training needs, on this machine and in this environment, and say what to do where something is amiss.

    doctor.py [--run-dir DIR] [--rec FILE.rec ...]

Prints a line per thing: ok, warning (training works, but less well than it could) or problem, with its remedy. Records
are read whole, as by pack_records.py --check. Exit code: 0, or 2 if there is a problem.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupt  # first: a Ctrl-C during the imports below

import pathlib


def main(argv: list[str] | None = None) -> int:
    try:
        from gluon_tricks.core import arguments
        from gluon_tricks.machine import checks, doctor
    except ImportError as error:  # the doctor is for environments that are not in order
        print(f"problem  {error}; pip install '.[cpu]', or '.[cu117]' for GPUs, in a new environment")
        return 2
    parser = arguments.Parser(__doc__)
    runs = pathlib.Path("runs")
    parser.add_argument("--run-dir", type=pathlib.Path, default=runs, metavar="DIR", help="of trainings (runs)")
    parser.add_argument("--rec", nargs="+", default=[], metavar="FILE", help="records to look through (none)")
    options = parser.parse_args(argv)
    levels = []
    for finding in doctor.examine(options.run_dir, options.rec):
        print(finding, flush=True)
        levels.append(finding.level)
    print(", ".join(f"{level}: {levels.count(level)}" for level in (checks.OK, checks.WARNING, checks.PROBLEM)))
    return 2 if checks.PROBLEM in levels else 0


if __name__ == "__main__":
    interrupt.run(main)
