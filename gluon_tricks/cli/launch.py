"""Start a training as several ranks with Horovod, on this machine or on several.

    %(prog)s -np 2 -- gluon-tricks train --batch-size 64 ...
    %(prog)s -np 8 -H node1:4,node2:4 -- gluon-tricks detect ...
    %(prog)s -np 2 -- my_training.py ...

It is a front of horovodrun: the build and the hosts are checked first, each rank takes its part of its machine's
cores, its output goes to LOGS/rank.N.log (rank 0's is shown too), and the rank that failed is named. Hosts need ssh
without a password, and the same folder with the same environment. SIGINT, SIGTERM and SIGUSR1 stop all ranks after
their step, with a checkpoint; a second one ends them. --max-restarts starts a job whose rank was lost again, from its
newest checkpoint and on the hosts that still answer.

Exit codes: 0 done, 2 refused, 75 interrupted and resumable, 130, 143 and 138 interrupted before anything was
started (Ctrl-C, SIGTERM, SIGUSR1), 1 anything else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from gluon_tricks.core.arguments import Parser, real, whole
from gluon_tricks.core.commands import command, words_of
from gluon_tricks.core.errors import RESUMABLE, Refused
from gluon_tricks.core.files import require_name
from gluon_tricks.core.reading import expanded, why_unseen
from gluon_tricks.core.wording import plural, quoted
from gluon_tricks.ranks import launcher
from gluon_tricks.ranks.environment import of_ranks
from gluon_tricks.ranks.failure import Failure
from gluon_tricks.ranks.hosts import Host, check_hosts, has_file, parse_hosts, require_plain_folder

_STOPS = {number: number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}  # and what the ranks get
_STOPS[signal.SIGHUP] = signal.SIGTERM  # the terminal is gone


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "-np", "--ranks", type=whole(1, 100_000), required=True, metavar="N", help="number of ranks (no default)"
    )
    parser.add_argument("-H", "--hosts", metavar="HOST:RANKS,...", help="hosts, and ranks on each (this machine)")
    parser.add_argument("--ssh-port", type=whole(1, 65535), metavar="PORT", help="ssh port of the hosts (22)")
    parser.add_argument(
        "--max-restarts", type=whole(0), default=0, metavar="R", help="start a lost job again at most R times (0)"
    )
    parser.add_argument(
        "--stuck-after",
        type=real(1e-3, 1e9),
        default=600,
        metavar="S",
        help="end a job in which a rank hangs for S seconds (600)",
    )
    parser.add_argument(
        "--horovodrun", default="", metavar="WORDS", help="more words for horovodrun: --horovodrun=--verbose (none)"
    )
    parser.add_argument(
        "-x", "--pass-on", action="append", default=[], metavar="NAME[=VALUE]",
        help="a variable that ranks get beside PATH, PYTHONPATH, MXNET_*, HOROVOD_*, ... (see docs/multi_node.md)",
    )  # fmt: skip
    parser.add_argument(
        "--logs", type=expanded, metavar="DIR", help="folder of the ranks' logs (runs/launch-<date>-<time>-<pid>)"
    )
    parser.add_argument(
        "command", nargs="+", metavar="-- COMMAND ...", help="gluon-tricks train or a Python file, and its arguments"
    )
    return parser.parse_args(argv)


def what_to_start(words: Sequence[str]) -> tuple[pathlib.Path | None, list[str]]:
    """The Python file that the words begin with, if it is one, and what each rank runs."""
    if words[0] == "gluon-tricks" and len(words) > 1:
        return None, [*words_of(words[1]), *words[2:]]
    if words[0] == sys.executable:  # as reproduce --launch puts it
        return None, [*words]
    script = pathlib.Path(words[0])
    if not os.path.isfile(script):
        raise Refused(
            f"there is no script {script}{why_unseen(script)}: after -- comes gluon-tricks train or a Python file"
        )
    return script, [sys.executable, *words]


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """What the job's words give a flag, as argparse reads them: --flag VALUE, --flag=VALUE, or with a name cut short.

    None: they do not have it. A name of three letters and fewer may be another flag's.
    """
    for place in reversed(range(len(words))):  # the last one counts
        name, equals, value = words[place].partition("=")
        if len(name) > len("--abc") and flag.startswith(name):
            return value if equals else "".join(words[place + 1 : place + 2])
    return None


def launch(args: argparse.Namespace) -> int:
    """Starts the job, and starts it again as often as that was asked for."""
    script, command = what_to_start(args.command)
    if args.max_restarts and not value_of("--save-dir", command):
        raise Refused("--max-restarts goes on in the job's run directory: name it with --save-dir after --")
    if args.logs:
        require_name(args.logs, "--logs")
    try:
        more_words = shlex.split(args.horovodrun)
    except ValueError as error:  # a quotation mark without its other
        raise Refused(f"--horovodrun {quoted(args.horovodrun)}: {error}") from None
    hosts = parse_hosts(args.hosts, args.ranks)
    hosts = hosts if args.max_restarts else launcher.with_ranks(hosts, args.ranks)  # the others are there to go on with
    of_ranks(os.environ, args.pass_on)
    require_plain_folder(hosts)
    runner = [launcher.horovodrun(), *(["-p", str(args.ssh_port)] if args.ssh_port else []), *more_words]
    wrong = check_hosts(hosts, script, args.ssh_port)
    if wrong:
        raise Refused(f"{'; '.join(wrong.values())}: fix it, or leave the host out of -H")
    logs = args.logs or pathlib.Path("runs") / time.strftime(f"launch-%Y%m%d-%H%M%S-{os.getpid()}")
    resumes = value_of("--resume", command) is not None
    ranks, more, begun = args.ranks, {}, resumes
    for restart in range(args.max_restarts + 1):
        job = launcher.Launch(
            command, ranks, hosts, logs, runner, more=more, passed=args.pass_on, ssh_port=args.ssh_port
        )
        failure = _wait(job, args.stuck_after)
        if failure is None:
            return 0
        if failure.code == RESUMABLE and not failure.stuck:
            return RESUMABLE
        if job.stops and failure.code != 2 and (failure.code == 128 + job.stops[0] or not job.has_begun()):
            print(f"interrupted before a rank told of a step; the logs are in {logs}", file=sys.stderr, flush=True)
            return RESUMABLE if restart and begun else 128 + job.stops[0]
        print(f"{failure}; the logs are in {logs}", *failure.tail, sep="\n  ", file=sys.stderr, flush=True)
        if not failure.is_loss() or job.stops or restart == args.max_restarts:
            return 2 if failure.code == 2 else 1
        begun = begun or job.lives.has_begun()
        stops = []
        with _signals_to(stops.append):
            hosts, ranks = _those_that_answer(hosts, args, script, begun)
        if stops:
            print(f"interrupted before it was started again; the logs are in {logs}", file=sys.stderr, flush=True)
            return RESUMABLE if begun else 128 + stops[0]
        if not resumes:
            command, resumes = [*command, "--resume", "auto"], True
        more = {launcher.RESTARTED: f"restart {restart + 1} of {args.max_restarts}, {failure}"}
        print(f"starting it again ({restart + 1} of {args.max_restarts}) with {plural(ranks, 'rank')}", flush=True)
    return 1


def _wait(job: launcher.Launch, stuck_after: float) -> Failure | None:
    """Until the job ends; signals are for the job, and again for this process when there is none to stop."""
    with _signals_to(job.stop):
        return job.wait(stuck_after)


@contextlib.contextmanager
def _signals_to(stop: Callable[[int], None]) -> Iterator[None]:
    """A function gets the signals that end this process otherwise, as the ranks are to get them.

    One that is ignored stays so: SIGHUP after nohup, SIGINT in the background of a shell's script.
    """
    before = {number: signal.getsignal(number) for number in _STOPS}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda number, frame: stop(_STOPS[number]))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _those_that_answer(
    hosts: Sequence[Host], args: argparse.Namespace, script: pathlib.Path | None, begun: bool = False
) -> tuple[list[Host], int]:
    """The hosts that are still there, and how many ranks they take.

    Args:
        begun: there is a run to go on with, on the first host's disk at least.
    """
    wrong = check_hosts(hosts, script, args.ssh_port)
    left = [host for host in hosts if host.name not in wrong]
    if not left:
        raise Refused(
            f"no host is left ({'; '.join(wrong.values())}): fix one, then give the same command with --resume auto"
        )
    for line in wrong.values():
        print(f"left out: {line}", file=sys.stderr)
    if begun and left[0] != hosts[0]:
        _require_the_run(args, hosts[0], left[0])
    return left, min(args.ranks, sum(host.slots for host in left))


def _require_the_run(args: argparse.Namespace, lost: Host, first: Host) -> None:
    """Refuses to go on where the run is not: another would begin there."""
    run = expanded(value_of("--save-dir", args.command))
    if not has_file(first, args.ssh_port, run / "recipe.json"):
        raise Refused(
            f"the run {run} is on {lost.name} and not on {first.name}, which would be the first host now: once "
            f"{lost.name} answers, give the same command with --resume auto"
        )


@command
def main(argv: list[str] | None = None) -> int:
    return launch(parse(argv))
