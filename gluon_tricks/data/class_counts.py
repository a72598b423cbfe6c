"""How many training images each class has, as it is told before a training."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import printable, some
from gluon_tricks.data.records import Records

log = logging.getLogger("gluon_tricks.data")

UNEQUAL = 20  # times the images of the smallest class in the largest one: worth a warning
_FEW = 10  # classes that are named one by one
_LETTERS = 60  # of a name in a line


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """The training images of each class.

    Args:
        names: of the classes, in the order of their labels; where nobody says them 0, 1, ...
        counts: of the images of each, >= 0.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, records: Records, classes: int) -> ClassCounts:
        """Those of records whose labels lie in [0, classes)."""
        counts = np.bincount(records.labels().astype(int), minlength=classes)
        return cls(records.classes or tuple(map(str, range(classes))), tuple(counts.tolist()))

    def line(self) -> str:
        """The smallest class and the largest; where there are at most 10 all of them."""
        least, most = np.argmin(self.counts), np.argmax(self.counts)
        if self.counts[least] == self.counts[most]:
            return f"training images of each class: {self.counts[most]}"
        rest = f"; {np.median(self.counts):g} in the middle"
        if len(self.counts) <= _FEW:
            rest = ": " + ", ".join(f"{self._name(k)} {count}" for k, count in enumerate(self.counts))
        return f"training images of a class: {self._between(least, most)}{rest if len(self.counts) > 2 else ''}"

    def warn(self, made_up_for: bool) -> None:
        """Tells which classes have no image, and that others are of very unequal size.

        Args:
            made_up_for: by the recipe already; then the second is not told.
        """
        if self._empty:
            log.warning("%s", self._without_images())
        least, most = np.argmin([count or np.inf for count in self.counts]), np.argmax(self.counts)
        if not made_up_for and self.counts[most] >= UNEQUAL * self.counts[least]:
            log.warning(
                "the classes are of unequal size, %s training images, and the small ones may hardly be learnt: "
                "--class-weights balanced or --sampling balanced makes up for it",
                self._between(least, most),
            )

    def require_all(self, why: str) -> None:
        """Refuses classes without an image. Args: why: what needs one of each."""
        if self._empty:
            raise Refused(f"{why}, and {self._without_images()}: add some, or leave them out by --only-classes")

    def _name(self, k: int) -> str:
        return printable(self.names[k], _LETTERS)

    def _between(self, least: int, most: int) -> str:
        return f"{self.counts[least]} ({self._name(least)}) to {self.counts[most]} ({self._name(most)})"

    @property
    def _empty(self) -> Sequence[str]:
        return [name for name, count in zip(self.names, self.counts) if not count]

    def _without_images(self) -> str:
        named = some([printable(name, _LETTERS) for name in self._empty], _FEW)
        return f"{len(self._empty)} of {len(self.counts)} classes have no training image ({named})"
