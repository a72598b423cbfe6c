"""What a process that is started sets for itself before it begins: that it ends with its parent, and on which core."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

_LIBC = ctypes.CDLL(None)
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG


def as_child(number: int, core: int | None = None) -> Callable[[], None]:
    """A preexec_fn of subprocess.Popen: the process gets a signal when its parent ends, however that ends.

    Linux sends it when the *thread* that started the process ends.

    Args:
        number: the signal.
        core: the logical core that the process and all its threads stay on; None: as the parent.
    """

    def before_it_begins() -> None:
        _LIBC.prctl(_PARENT_DEATH, number)
        if core is not None:
            os.sched_setaffinity(0, {core})

    return before_it_begins
