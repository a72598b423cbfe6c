"""What a run tells while it goes: progress bar, log, events.jsonl, steps.csv, metrics.csv and TensorBoard files."""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import glob
import io
import itertools
import json
import logging
import math
import pathlib
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tqdm

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, opened_to_append, require_name, write_atomically, write_text, writing
from gluon_tricks.core.foreign import import_tensorboard
from gluon_tricks.core.json_text import to_json
from gluon_tricks.core.locks import lock
from gluon_tricks.core.reading import TOLD_BYTES, read_text
from gluon_tricks.core.wording import one_line
from gluon_tricks.ranks import heartbeat
from gluon_tricks.training.step_losses import StepLosses
from gluon_tricks.tricks.schedule import Plan

RUNS = pathlib.Path("runs")  # where runs lie that are given no place


def make_run_directory(name: str, root: pathlib.Path = RUNS) -> pathlib.Path:
    """root/name-N for the first N from 1 that is not there, made: two runs that start at once get one each."""
    stem = name.replace("/", "-")
    require_name(f"{stem}-1", "the recipe's name")
    for n in itertools.count(1):
        path = root / f"{stem}-{n}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise Refused(f"{path} cannot be made ({error.strerror}): name a place with --save-dir") from error
        return path


def newest_run_directory(name: str, root: pathlib.Path = RUNS) -> pathlib.Path | None:
    """root/name-N with the highest N in which a run has begun, if there is one."""
    stem = name.replace("/", "-")
    begun = [path.parent for path in root.glob(f"{glob.escape(stem)}-*/recipe.json")]
    runs = [path for path in begun if path.name[len(stem) + 1 :].isdigit()]
    return max(runs, key=lambda path: int(path.name[len(stem) + 1 :]), default=None)


def last_epoch(run: pathlib.Path) -> int:
    """The number of the last epoch in the metrics of a run."""
    return int(read_text(run / "metrics.csv", TOLD_BYTES).splitlines()[-1].partition(",")[0])


class Journal:
    """A run directory, held by one process, and what is written in it besides parameters.

    Args:
        folder: made if it is not there.
        silent: rank other than 0: nothing is written, printed or held.
        extra_log: one more file for the log lines (GluonCV's --logging-file).
        scores: the columns of metrics.csv that an evaluation gives.
        of_training: those that training gives.

    Raises:
        Refused: another process is working in the folder, or it cannot be written.
    """

    def __init__(
        self, folder: pathlib.Path, *, silent: bool = False, extra_log: pathlib.Path | None = None,
        scores: Iterable[str] = (), of_training: Iterable[str] = ("train_loss",),
    ):  # fmt: skip
        self.folder, self.silent, self._bar, self._files = folder, silent, None, []
        self._columns = ("epoch", *of_training, *scores, "lr", "images_per_second")
        if silent:
            return
        try:
            for name in ("checkpoints", "pictures", "tensorboard"):
                if (folder / name).is_symlink():  # what is written and deleted there would be elsewhere
                    raise OSError(errno.ELOOP, "it is a link: remove it", str(folder / name))
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            self._lock = opened_to_append(folder / ".lock")  # held until close
            lock(self._lock)  # the system lets go of it when the process dies
            self._events = opened_to_append(folder / "events.jsonl")
            self._files = [opened_to_append(folder / "log.txt")]
            self._files += [opened_to_append(extra_log, named=True)] if extra_log else []
            self._board = _Board(folder / "tensorboard")
            self._losses = StepLosses(folder)
        except BlockingIOError:
            raise Refused(f"{folder} is in use by another run: wait for it, or give another --save-dir") from None
        except OSError as error:
            where = f"{error.filename}: {error.strerror}" if error.filename else error
            raise Refused(f"the records of a run cannot be written ({where}): give another place for them") from error
        self._handler = _LogHandler(self.warn)
        logging.getLogger("gluon_tricks").addHandler(self._handler)

    def say(self, line: str) -> None:
        """One line for a person: on the terminal above the bar, and in the log."""
        if self.silent:
            return
        line = one_line(line)
        self._log(line)
        with heartbeat.heard_or_not():
            tqdm.tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()

    def warn(self, line: str) -> None:
        """say, and an event."""
        self.say(line)
        self.event("warning", message=line)

    def _log(self, line: str) -> None:
        for file in self._files:
            with writing(file.name):
                print(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}", file=file, flush=True)

    def event(self, kind: str, **values: Any) -> None:
        """One line of events.jsonl: the time (UTC), the kind, and what belongs to it (a number not finite as null)."""
        if self.silent:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        with writing(self.folder / "events.jsonl"):
            print(to_json({"time": now, "event": kind, **values}), file=self._events, flush=True)

    def start(self, recipe: dict[str, Any], rows: list[dict[str, float]]) -> None:
        """Writes the resolved recipe and the metrics so far (a resumed run forgets what came after its checkpoint)."""
        if self.silent:
            return
        text = json.dumps(recipe, indent=2) + "\n"
        write_text(self.folder / "recipe.json", text)
        self._write_metrics(rows)

    def start_steps(self, plan: Plan, batch_size: int, step: int, log_interval: int) -> None:
        """Starts the progress bar (a terminal) or the plain lines (anything else) at a step."""
        self._plan, self._batch_size, self._log_interval = plan, batch_size, log_interval
        if not self.silent and sys.stderr.isatty():
            total = plan.steps * batch_size
            self._bar = tqdm.tqdm(total=total, initial=step * batch_size, unit="img", dynamic_ncols=True, smoothing=0.1)
        self.go_to(step)

    def go_to(self, step: int) -> None:
        """From here on the pace is that of the steps after this one, and what steps.csv has of them is forgotten."""
        if not self.silent:
            self._losses.go_to(step)
        self._from, self._since = step, time.monotonic()
        if self._bar is not None:
            self._bar.n = step * self._batch_size
            self._bar.refresh()

    def step(self, step: int, loss: float, lr: float) -> None:
        """Tells of `step` updates done, with the mean loss of late."""
        if self.silent:
            return
        if self._bar is not None:
            self._bar.set_description(
                f"epoch {(step - 1) // self._plan.steps_per_epoch + 1}/{self._plan.epochs}", False
            )
            self._bar.set_postfix_str(f"loss {loss:.3f}, lr {lr:.4f}", False)
            self._bar.update(step * self._batch_size - self._bar.n)
        self._losses.add(step, loss)
        if step % self._log_interval == 0:
            self._board.add(step, **{"train/loss": loss, "train/lr": lr})
            self._tell_plainly(step, loss, lr)

    def _tell_plainly(self, step: int, loss: float, lr: float) -> None:
        pace = (time.monotonic() - self._since) / (step - self._from)
        epoch, within = (step - 1) // self._plan.steps_per_epoch + 1, (step - 1) % self._plan.steps_per_epoch + 1
        line = (
            f"epoch {epoch}/{self._plan.epochs}  step {within}/{self._plan.steps_per_epoch}  loss {loss:.3f}  "
            f"lr {lr:.4f}  {_rate(self._batch_size / pace)} images/s  {_clock((self._plan.steps - step) * pace)} left"
        )
        if self._bar is None:
            self.say(line)
        else:
            self._log(line)

    def epoch(self, rows: list[dict[str, float]], scores: str, per_class: dict[str, list] | None = None) -> None:
        """Tells of a finished epoch, its scores in words; metrics.csv is the rows so far, its event has the classes."""
        if self.silent:
            return
        self._write_metrics(rows)
        row = rows[-1]
        self._board.add(int(row["epoch"]), **{f"epoch/{name}": row[name] for name in self._columns[1:] if name in row})
        error = f", train error {row['train_error']:.2%}" if "train_error" in row else ""
        self.say(
            f"epoch {row['epoch']}/{self._plan.epochs}: {scores}, train loss {row['train_loss']:.3f}{error}, "
            f"{_rate(row['images_per_second'])} images/s"
        )
        self.event("epoch", **row, **(per_class or {}))

    def picture(self, epoch: int, name: str, png: bytes) -> None:
        """Shows a picture in TensorBoard. Args: png: as a PNG file has it."""
        if not self.silent:
            self._board.add_picture(epoch, name, png)

    def _write_metrics(self, rows: list[dict[str, float]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.folder / "metrics.csv", lambda temporary: temporary.write_bytes(text.getvalue().encode()))

    def close(self) -> None:
        if self.silent:
            return
        if self._bar is not None:
            self._bar.close()
        logging.getLogger("gluon_tricks").removeHandler(self._handler)
        for file in (self._board, self._losses, self._events, *self._files, self._lock):
            with contextlib.suppress(OSError):  # what a full disk did not take has been told of already
                file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if error is not None and not self.silent:
            with contextlib.suppress(CannotWrite):  # it may be what stopped the run
                self.event("stopped", error=f"{kind.__name__}: {error}")
                self._log(one_line(f"stopped by {kind.__name__}: {error}"))
        self.close()


class _Board:
    """TensorBoard's events, written at once: tensorboardX's own writer has a thread, which a full disk would hang."""

    def __init__(self, folder: pathlib.Path):
        import_tensorboard()
        from tensorboardX.event_file_writer import EventsWriter

        folder.mkdir(exist_ok=True)
        suffix = f".{secrets.token_hex(4)}"  # a name that nobody can know before
        self._folder, self._file = folder, EventsWriter(str(folder / "events"), suffix)
        self.close = self._file.close

    def add(self, step: int, **values: float) -> None:
        """Adds numbers that are finite: of others tensorboardX prints a line of its own."""
        from tensorboardX.summary import scalar

        self._write(step, [scalar(name, value) for name, value in values.items() if math.isfinite(value)])

    def add_picture(self, step: int, name: str, png: bytes) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))  # of the header
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._write(step, [Summary(value=[Summary.Value(tag=name, image=image)])])

    def _write(self, step: int, summaries: list) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with writing(self._folder):
            for summary in summaries:
                self._file.write_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._file.flush()


@contextlib.contextmanager
def early_warnings() -> Iterator[list[str]]:
    """Warnings of the packages while there is no journal yet: told when there is, or on stderr if it comes to none."""
    lines: list[str] = []
    handler = _LogHandler(lines.append)
    loggers = [logging.getLogger(name) for name in ("gluon_tricks", "model_zoo")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield lines
    except BaseException:
        for line in lines:
            print(line, file=sys.stderr)
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _LogHandler(logging.Handler):
    """Tells the warnings of the packages (an undecodable image, ...), line by line."""

    def __init__(self, tell: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(one_line(record.getMessage()))


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 5 else f"{value:.2f}"


def _clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    seconds = math.ceil(seconds)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
