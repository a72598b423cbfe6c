"""Where gluon-tricks and scripts/*.py begin: before the package, whose import needs numpy and takes a while.

From here on Ctrl-C and SIGTERM (and SIGUSR1 to ranks) lead to one line. Left alone, Python raises an exception wherever
the program happens to be: it is lost where a library that is being imported catches everything (the run then goes to
its end), and it is a traceback where nothing does. What is imported here has been imported by Python's own start, or is
small.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

_STOPS = (signal.SIGINT, signal.SIGTERM)


def _handle(handler: Callable) -> None:
    for number in _STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as in the background of a shell's script
            signal.signal(number, handler)
    if "GLUON_TRICKS_LAUNCH" in os.environ:  # a rank of gluon-tricks launch, which inherits SIGUSR1 ignored
        signal.signal(signal.SIGUSR1, handler)


def _leave(number: int, frame) -> None:
    os.write(2, b"interrupted before anything was started\n")
    os._exit(128 + number)


def main(word: str = "", *flags: str) -> None:
    """Runs gluon-tricks as it was called, or (for a script) the command of that name and flags; ends the process.

    A command is a module of gluon_tricks.cli with main(argv) -> exit code. Its INTERRUPTED is what an interruption
    says; None: until it has handlers of its own, a signal ends the process as during the imports.
    """
    _open_streams()
    _handle(_leave)
    words = [word] * bool(word) + [*flags] + sys.argv[1:]
    try:
        from gluon_tricks.cli.main import find

        command, rest = find(words, "" if word else "gluon-tricks")
    except (ImportError, OSError) as error:
        if (getattr(error, "name", None) or "").startswith(("gluon_tricks.", "model_zoo.")):
            raise  # a fault of ours
        sys.exit(_cannot_start(error, words))
    interrupted = getattr(command, "INTERRUPTED", "interrupted")
    if interrupted is None:
        sys.exit(_stopped_or_not(command.main(rest)))
    run(lambda: command.main(rest), interrupted)


def _open_streams() -> None:
    """What a shell has closed (>&-) leads to nowhere: else a file would get its number, and what is printed besides."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))


def _cannot_start(error: Exception, words: list[str]) -> int:
    """Says what is missing or broken in this environment; the doctor says it where all that it finds is said."""
    doctor = words[:1] == ["doctor"]
    remedy = "pip install '.[cpu]', or '.[cu117]' for GPUs, in a new environment"
    wrong = " ".join(str(error).split())
    if doctor:
        print(f"problem  {wrong}; {remedy}")
    else:
        print(f"refused: {wrong}: {remedy}; gluon-tricks doctor examines this one", file=sys.stderr)
    return 2


def _stopped_or_not(code: int) -> int:
    """A rank that has stopped resumably keeps its exit code while Python ends.

    Of several ranks one is the first to be gone, and srun and mpirun then send SIGTERM to the others.
    """
    if code == os.EX_TEMPFAIL:  # 75, RESUMABLE of gluon_tricks.core.errors
        for number in (*_STOPS, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    return code


def run(main: Callable[[], int], interrupted: str = "interrupted") -> None:
    """Ends the process with main's exit code; or, when a signal ends it, with a line and 130 (Ctrl-C) or 143 (SIGTERM).

    main sees the signal as KeyboardInterrupt, so that its `finally` removes what is half-written.
    """
    request = _Request()
    _handle(request)
    signal.signal(signal.SIGALRM, request)
    try:
        code = main()
    except KeyboardInterrupt:
        code = 128 + request.number
        print(interrupted, file=sys.stderr, flush=True)
    except SystemExit as end:  # of --help and of a mistake in the flags
        code = end.code
    signal.setitimer(signal.ITIMER_REAL, 0)
    _handle(signal.SIG_IGN)  # all is done and said; a handler would go before Python's own end is over
    sys.exit(code)


class _Request:
    """Raises KeyboardInterrupt as soon as it cannot be swallowed; a second signal, a second later, ends at once."""

    def __init__(self) -> None:
        self.number, self._since = 0, 0.0

    def __call__(self, number: int, frame) -> None:
        if number != signal.SIGALRM:
            if self.number and time.monotonic() - self._since > 1:
                os._exit(128 + number)
            if self.number:
                return
            self.number, self._since = number, time.monotonic()
        if _swallows(frame):
            signal.setitimer(signal.ITIMER_REAL, 0.02)  # SIGALRM comes here again
        else:
            raise KeyboardInterrupt


def _swallows(frame) -> bool:
    """Whether an exception raised here would come to an import (libraries try some) or a __del__, which drops it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


if __name__ == "__main__":  # of a process that the package starts (commands.words_of)
    sys.path.append(sys.path.pop(0))  # this folder, which may be site-packages: behind the standard library
    main()
