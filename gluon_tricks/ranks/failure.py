"""How a job ended that did not end well: which rank was the first to go, and why."""

from __future__ import annotations

import dataclasses
import re
import signal

OTHER_ENDED = "another rank has ended, so this one cannot go on"  # what a rank says before it ends for that reason
# Before a rank's line, where horovodrun has --prefix-output-with-timestamp.
TIME = "(?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4})?"
_STOPPED = re.compile(f"{TIME} ?stopped: ")
_HARMLESS = {"SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"}
_ENDING = {number.value for number in signal.Signals if number.name not in _HARMLESS}  # signals that end a process
_UNKNOWN = 255  # ssh's own exit code, and that of exit(-1)


def signed(code: int) -> int:
    """The exit code as of subprocess.Popen: horovodrun shows a process that signal 9 ended as 256 - 9."""
    return code - 256 if code != _UNKNOWN and 256 - code in _ENDING else code


@dataclasses.dataclass
class Failure:
    """How a job ended that did not end well: the first rank to go, its exit code, the end of its log; or why it had to.

    Args:
        stuck: which ranks hung or fell silent, in words.
        host: where the rank ran, if that is another machine.
    """

    rank: int | None
    code: int
    tail: tuple[str, ...] = ()
    stuck: str = ""
    host: str = ""

    def consequence(self) -> int:
        """How much it looks like what the end of another rank has led to; the ends' order alone does not tell. 0: none.

        Of a rank that is lost the others hear at once: Horovod shuts down in them, or horovodrun ends them, or the ssh
        by which it started them.
        """
        if self.code in (-signal.SIGTERM, 128 + signal.SIGTERM):
            return 4
        if self.code in (-signal.SIGABRT, 128 + signal.SIGABRT):
            return 3
        if any(OTHER_ENDED in line or "Horovod has been shut down" in line for line in self.tail):
            return 2
        return int(self._is_lost_by_ssh())

    def _is_lost_by_ssh(self) -> bool:
        return bool(self.host) and self.code == _UNKNOWN

    def is_loss(self) -> bool:
        """Whether a rank was lost, so that starting again may help: it ended by a signal, hung, or has said why.

        A training that is refused or stops by itself ("stopped: ...") would do so again.
        """
        return bool(self.stuck) or self.code != 2 and not any(map(_STOPPED.match, self.tail))

    def __str__(self) -> str:
        if self.stuck:
            return self.stuck
        if self.rank is None:
            return f"horovodrun ended with exit code {self.code}"
        rank = f"rank {self.rank}" + (f" on {self.host}" if self.host else "")
        if self._is_lost_by_ssh():
            return f"{rank} was lost: its ssh connection has ended"
        number = -self.code if self.code < 0 else self.code - 128
        return f"{rank} ended by {signal.Signals(number).name if number in _ENDING else f'exit code {self.code}'}"
