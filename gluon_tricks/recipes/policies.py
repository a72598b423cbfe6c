"""What a recipe's auto_augment means: a policy's name and its numbers."""

from __future__ import annotations

import re
from typing import NamedTuple

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted

POLICIES = ("autoaugment", "trivial", "rand")
LARGEST_MAGNITUDE, MOST_OPERATIONS = 30, 14
_RAND = re.compile(r"rand(?:-m(\d{1,2}))?(?:-n(\d{1,2}))?")


class Policy(NamedTuple):
    """Attributes: name: of POLICIES, or "": none; magnitude, count: M and N of "rand", else 0."""

    name: str = ""
    magnitude: int = 0
    count: int = 0


def policy_of(text: str) -> Policy:
    """The policy that a word names: "", "autoaugment", "trivial", "rand", or as "rand-m7-n3" with numbers.

    Raises:
        Refused: it names none, or a number is out of range.
    """
    found = _RAND.fullmatch(text)
    if not found and text not in ("", *POLICIES):
        raise Refused(
            f"auto_augment is {quoted(text)}: choose one of {', '.join(POLICIES)}, or rand with its numbers such as "
            "rand-m9-n2"
        )
    if not found:
        return Policy(text)
    magnitude, count = (int(number or usual) for number, usual in zip(found.groups(), (9, 2)))
    if magnitude > LARGEST_MAGNITUDE or not 1 <= count <= MOST_OPERATIONS:
        raise Refused(
            f"auto_augment is {text}: the magnitude m lies in 0 to {LARGEST_MAGNITUDE}, the number of operations n in "
            f"1 to {MOST_OPERATIONS}"
        )
    return Policy("rand", magnitude, count)
