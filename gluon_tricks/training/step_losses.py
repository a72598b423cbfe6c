"""steps.csv of a run: the mean loss of every step, as it was read for the progress bar anyway."""

from __future__ import annotations

import pathlib

from gluon_tricks.core.files import opened_to_append, write_text, writing
from gluon_tricks.report.told import read_step_losses

_HEADING = "step,loss"


class StepLosses:
    """The file while a run writes it. A run that goes back to a step forgets the rows after it.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._path, self._file = folder, folder / "steps.csv", None

    def go_to(self, step: int) -> None:
        """Keeps the rows up to a step; of a run that was killed the last one may be incomplete."""
        self.close()
        kept = {k: loss for k, loss in read_step_losses(self._folder, lenient=True).items() if k <= step}
        write_text(self._path, "\n".join([_HEADING, *(_line(k, loss) for k, loss in kept.items()), ""]))
        with writing(self._path):
            self._file = opened_to_append(self._path)

    def add(self, step: int, loss: float) -> None:
        """One row. Args: step: updates done; loss: the mean over the batch that the last of them was made with."""
        with writing(self._path):
            print(_line(step, loss), file=self._file, flush=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _line(step: int, loss: float) -> str:
    return f"{step},{loss:.6g}"
