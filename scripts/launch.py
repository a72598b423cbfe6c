#!/usr/bin/env python
"""Start a training as several ranks with Horovod, on this machine or on several.

    launch.py -np 2 -- scripts/train_imagenet.py --batch-size 64 ...
    launch.py -np 8 -H node1:4,node2:4 -- scripts/train_imagenet.py ...

It is a front of horovodrun: the build and the hosts are checked first, each rank takes its share of its machine's
cores, its output goes to LOGS/rank.N.log (rank 0's is shown too), and the rank that failed is named. Hosts need ssh
without a password, and the same folder with the same environment. SIGINT, SIGTERM and SIGUSR1 stop all ranks after
their step, with a checkpoint; a second one ends them.

Exit codes: 0 done, 2 refused, 75 interrupted and resumable, 1 anything else.
"""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
import time

from gluon_tricks import launcher
from gluon_tricks.runtime import Refused


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-np", "--ranks", type=int, required=True, metavar="N", help="how many")
    parser.add_argument("-H", "--hosts", metavar="HOST:RANKS,...", help="where (this machine)")
    parser.add_argument("--ssh-port", type=int, metavar="PORT")
    parser.add_argument("--logs", type=pathlib.Path, metavar="DIR", help="default runs/launch-<date>-<time>")
    parser.add_argument("command", nargs="+", metavar="-- SCRIPT ...", help="a Python script and its arguments")
    return parser.parse_args(argv)


def launch(args: argparse.Namespace) -> int:
    script = pathlib.Path(args.command[0])
    if not script.is_file():
        raise Refused(f"there is no script {script}: name one after --, such as scripts/train_imagenet.py")
    hosts = launcher.parse_hosts(args.hosts, args.ranks)
    wrong = launcher.check_hosts(hosts, script, args.ssh_port)
    if wrong:
        raise Refused(f"{'; '.join(wrong)}: mend it, or leave the host out of -H")
    runner = launcher.horovodrun()
    logs = args.logs or pathlib.Path("runs") / time.strftime("launch-%Y%m%d-%H%M%S")
    job = launcher.Launch([sys.executable, *args.command], args.ranks, hosts, logs, runner, args.ssh_port)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: job.stop(number))
    failure = job.wait()
    if failure is None:
        return 0
    if failure.code == launcher.RESUMABLE:
        return launcher.RESUMABLE
    print(f"{failure}; the end of its log in {logs}:", *failure.tail, sep="\n  ", file=sys.stderr)
    return failure.code if failure.code == 2 else 1


def main(argv: list[str] | None = None) -> int:
    try:
        return launch(parse(argv))
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
