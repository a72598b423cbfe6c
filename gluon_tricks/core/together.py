"""When it is looked at whether values go together: each time one of them is set, or once all are."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_being_set: contextvars.ContextVar[bool] = contextvars.ContextVar("being_set", default=False)


@contextlib.contextmanager
def one_after_another() -> Iterator[None]:
    """Within it values need not go together, as the next one may change that; who enters it looks at the result."""
    before = _being_set.set(True)
    try:
        yield
    finally:
        _being_set.reset(before)


def must_go_together() -> bool:
    """Whether values are looked at now."""
    return not _being_set.get()
