"""What signals to gluon-tricks launch do to its job, without one."""

import os
import signal
import types

import pytest

from gluon_tricks.cli import launch


@pytest.fixture
def handlers():
    """The handlers that a test sets are of no concern to the next."""
    before = {number: signal.getsignal(number) for number in launch._STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number, passed_on", [(signal.SIGINT, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)])
@pytest.mark.parametrize("ignored", [True, False])
def test_what_is_ignored_stays_so(handlers, number, passed_on, ignored):
    """SIGHUP after nohup, SIGINT in the background of a shell's script; others are for the job."""
    signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    stops = []
    job = types.SimpleNamespace(stop=stops.append, wait=lambda stuck_after: os.kill(os.getpid(), number))
    assert launch._wait(job, 600) is None
    assert stops == ([] if ignored else [passed_on])
    assert signal.getsignal(number) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
