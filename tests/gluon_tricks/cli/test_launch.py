"""What signals to gluon-tricks launch do to its job, without one."""

import os
import signal
import types

import pytest

from gluon_tricks.cli import launch
from gluon_tricks.ranks.failure import Failure


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


@pytest.mark.parametrize(
    "stops, failure, begun, code, said",
    [
        ([signal.SIGINT], Failure(0, -2), False, 130, "interrupted before a rank told of a step; the logs are in "),
        ([signal.SIGTERM, signal.SIGTERM], Failure(None, -15), False, 143, "interrupted before a rank told of a step;"),
        ([signal.SIGUSR1], Failure(0, 138), False, 138, "interrupted before a rank told of a step;"),
        ([signal.SIGINT], Failure(0, 75), False, 75, ""),
        ([signal.SIGINT], Failure(0, 2), False, 2, "rank 0 ended by exit code 2;"),
        ([signal.SIGINT, signal.SIGINT], Failure(0, -2), True, 1, "rank 0 ended by SIGINT;"),
        ([], Failure(0, -2), False, 1, "rank 0 ended by SIGINT;"),
    ],
)
def test_a_stop_before_anything_has_begun(stops, failure, begun, code, said, monkeypatch, capsys):
    job = types.SimpleNamespace(stop=print, stops=stops, has_begun=lambda: begun, wait=lambda stuck_after: failure)
    monkeypatch.setattr(launch.launcher, "horovodrun", lambda: "horovodrun")
    monkeypatch.setattr(launch.launcher, "Launch", lambda *words, **named: job)
    assert launch.main(["-np", "1", "--", "gluon-tricks", "train"]) == code
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("had_begun, code", [(True, 75), (False, 143)])
def test_a_stop_before_the_first_step_of_a_restart(had_begun, code, monkeypatch):
    """There is something to go on from where the start before had begun."""

    def job(stops, failure, begun):
        has_begun = lambda: begun  # noqa: E731
        lives = types.SimpleNamespace(has_begun=has_begun)
        return types.SimpleNamespace(
            stop=print, stops=stops, lives=lives, has_begun=has_begun, wait=lambda stuck_after: failure
        )

    jobs = [job([], Failure(0, -9), had_begun), job([signal.SIGTERM], Failure(0, 143), False)]
    monkeypatch.setattr(launch.launcher, "horovodrun", lambda: "horovodrun")
    monkeypatch.setattr(launch.launcher, "Launch", lambda *words, **named: jobs.pop(0))
    monkeypatch.setattr(launch, "_those_that_answer", lambda hosts, *others: (hosts, 1))
    words = ["-np", "1", "--max-restarts", "1", "--", "gluon-tricks", "train", "--save-dir", "run"]
    assert launch.main(words) == code
    assert not jobs


@pytest.mark.parametrize("had_begun, code", [(True, 75), (False, 138)])
def test_a_stop_between_two_starts(handlers, had_begun, code, monkeypatch, capsys):
    lives = types.SimpleNamespace(has_begun=lambda: had_begun)
    job = types.SimpleNamespace(stop=print, stops=[], lives=lives, wait=lambda stuck_after: Failure(0, -9))

    def asks(hosts, *others):
        os.kill(os.getpid(), signal.SIGUSR1)
        return hosts, 1

    monkeypatch.setattr(launch.launcher, "horovodrun", lambda: "horovodrun")
    monkeypatch.setattr(launch.launcher, "Launch", lambda *words, **named: job)
    monkeypatch.setattr(launch, "_those_that_answer", asks)
    words = ["-np", "1", "--max-restarts", "1", "--", "gluon-tricks", "train", "--save-dir", "run"]
    assert launch.main(words) == code
    assert "interrupted before it was started again" in capsys.readouterr().err
