"""What a run has told of itself, read back from its folder: metrics.csv, steps.csv and events.jsonl."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import TOLD_BYTES, Unreadable, read_text
from gluon_tricks.core.wording import quoted


def read_metrics(folder: pathlib.Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, one for each finished epoch; of what its version did not count yet, nan.

    Raises:
        Refused: the file is damaged.
    """
    path = folder / "metrics.csv"
    if not os.path.lexists(path):
        return []
    try:
        rows = csv.DictReader(io.StringIO(read_text(path, TOLD_BYTES), newline=""))
        return [{name: _number(value) for name, value in row.items()} for row in rows]
    except Unreadable:
        raise
    except (ValueError, TypeError, csv.Error) as error:  # the last of a quote that nothing closes
        raise Refused(f"{path} is damaged ({error})") from None


def _number(text: str) -> float:
    return math.nan if text == "" else float(text)


def read_step_losses(folder: pathlib.Path, lenient: bool = False) -> dict[int, float]:
    """Step -> mean loss of its batch; {}: the run's version did not write them.

    Args:
        lenient: rows that are none, as the last of a killed run may be, are passed over.

    Raises:
        Refused: the file is damaged.
    """
    path = folder / "steps.csv"
    if not os.path.lexists(path):
        return {}
    found: dict[int, float] = {}
    for line in read_text(path, TOLD_BYTES, "backslashreplace").split("\n")[1:]:
        step, _, loss = line.partition(",")
        try:
            if line:
                found[int(step)] = float(loss)
        except ValueError:
            if not lenient:
                raise Refused(
                    f"{path} is damaged (a row {quoted(line)}): move the run away, or remove the row"
                ) from None
    return found


def read_events(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The events of a run, in order; none where only its metrics have been kept. Other lines are passed over."""
    path = folder / "events.jsonl"
    if os.path.lexists(path):
        for line in read_text(path, TOLD_BYTES, "backslashreplace").splitlines():
            with contextlib.suppress(ValueError, RecursionError):  # one that was cut short, or no event
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event


def networks_told(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Place -> digest of the trained networks that a run's newest start named; {}: it does not tell."""
    told = [event.get("networks") for event in events if event.get("event") == "start"][-1:]
    return told[0] if told and isinstance(told[0], dict) else {}


def scored_at_end(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """What a run scored at its end alone, by its name (Task.final_scores); {}: nothing, or it has gone on since."""
    last: object = {}
    for event in events:
        if event.get("event") in ("start", "resume"):
            last = {}
        elif event.get("event") == "final_scores":
            last = event.get("scores")
    return {name: float(value) for name, value in last.items() if is_number(value)} if isinstance(last, dict) else {}


def sessions(events: Iterable[Mapping[str, Any]], *needed: str) -> list[Mapping[str, Any]]:
    """The events with which a run has begun and gone on that tell its contexts and ranks rightly; others are left out.

    Args:
        needed: further counts that they must tell, such as "cores", which older versions do not.
    """
    counts = ("ranks", *needed)
    return [event for event in events if _are_contexts(event.get("contexts")) and tell(event, *counts)]


def tell(event: Mapping[str, Any], *counts: str) -> bool:
    """Whether an event has these, as numbers of 1 or more."""
    return all(is_number(event.get(name)) and event[name] >= 1 for name in counts)


def _are_contexts(value: object) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(context, str) for context in value)


def is_number(value: object) -> bool:
    """Whether a value of JSON is a number that can be reckoned with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300
