"""What a program gives as an argument: of the kind that is taken, or refused in a sentence that names the argument."""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from gluon_tricks.core.bounds import LARGEST, require_bounds
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import described


def require_kind(name: str, value: object, kind: type | tuple[type, ...], takes: str) -> None:
    """Refuses a value of another kind.

    Args:
        name: of the argument, for the message.
        takes: what it takes, for the message, such as "a whole number".
    """
    if not isinstance(value, kind) or isinstance(value, bool):  # a bool is an int, to Python
        raise Refused(f"{name} takes {takes}, but got {described(value)}")


def require_whole(name: str, value: object, least: int = -LARGEST, most: int = LARGEST) -> int:
    """A whole number of [least, most], as one of Python's. Raises: Refused."""
    require_kind(name, value, numbers.Integral, "a whole number")
    require_bounds(name, int(value), (least, most))
    return int(value)


def require_number(name: str, value: object, least: float = -LARGEST, most: float = LARGEST) -> float:
    """Any number of [least, most], as one of Python's. Raises: Refused."""
    require_kind(name, value, numbers.Real, "a number")
    require_bounds(name, float(value), (least, most))
    return float(value)


def require_numbers(name: str, values: object, count: int, least: float, most: float) -> tuple[float, ...]:
    """So many numbers of [least, most], as Python's. Raises: Refused."""
    several = isinstance(values, (list, tuple)) or isinstance(values, np.ndarray) and values.ndim == 1
    if not several or len(values) != count:
        raise Refused(f"{name} takes {count} numbers, but got {described(values)}")
    return tuple(require_number(name, value, least, most) for value in values)


def require_path(name: str, value: object, takes: str = "the name of a file or folder") -> str:
    """The text of a path. Raises: Refused."""
    require_kind(name, value, (str, os.PathLike), takes)
    return os.fspath(value)


def require_names(name: str, values: object) -> tuple[str, ...]:
    """Several texts. Raises: Refused, also of one alone, whose letters would be taken for them."""
    several = isinstance(values, Iterable) and not isinstance(values, (str, bytes))
    names = tuple(values) if several else (values,)
    if not several or not all(isinstance(one, str) for one in names):
        raise Refused(f"{name} takes a list of names, but got {described(values)}")
    return names


def require_function(name: str, value: object, takes: str) -> None:
    """Refuses what cannot be called."""
    require_kind(name, value, Callable, takes)


def require_indices(
    name: str, values: object, shape: tuple[int, ...], below: int | Sequence[int], takes: str, least: int = 0
) -> np.ndarray:
    """Whole numbers from `least` as an array int64 of a shape, those along its last axis less than `below`.

    Args:
        values: a list or an array, numpy's or MXNet's.
        takes: as of require_kind.

    Raises:
        Refused
    """
    found = _as_array(values.asnumpy() if hasattr(values, "asnumpy") else values)
    fitting = found.dtype.kind in "iuf" and found.shape == shape and ((least <= found) & (found < below)).all()
    if not fitting or (found != found.astype(np.int64)).any():
        raise Refused(f"{name} takes {takes}, but got {described(values)}")
    return found.astype(np.int64)


def _as_array(values: object) -> np.ndarray:
    """The array of values; of lists of differing lengths, which numpy warns of or refuses by its version, none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.asarray(values)
    except (ValueError, Warning):
        return np.empty(0, object)
