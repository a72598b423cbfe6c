"""Ctrl-C and SIGTERM, from a script's first moment on: each script imports this file before everything else.

Python raises an exception wherever the program happens to be. That loses it where a library that is being imported
catches everything (the run then goes to its end), and shows a traceback where nothing does. What is imported here has
been imported by Python's own start, or is small.
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


def _leave(number: int, frame) -> None:
    os.write(2, b"interrupted before anything was started\n")
    os._exit(128 + number)


_handle(_leave)  # until run, or until a training has its own handler (program.StopRequest)


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
