"""Patterns of names: which parameters and parts of a network they mean."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted


def matching(patterns: Sequence[str]) -> Callable[[Any, str], bool]:
    """(Gluon network, name of a parameter or block) -> whether a pattern names it, or what it is in.

    A pattern is a name or the beginning of one up to a dot (stage1, stage1.0), or has *, ? and [...] as file names do.
    In every network `output` is what gives its results and follows from the classes, and `features` is all the rest.
    """

    def named(net, name: str) -> bool:
        part = "output" if name.split(".")[0] in getattr(net, "output_parts", ("output",)) else "features"
        called = name, f"{part}.{name}"
        return any(fnmatch.fnmatchcase(c, pattern + end) for pattern in patterns for end in ("", ".*") for c in called)

    return named


def named_parts(net, pattern: str, field: str) -> dict[str, Any]:
    """The parameters by structural name that a pattern of a recipe's field names; Refused: it names none."""
    parameters, named = net._collect_params_with_prefix(), matching([pattern])
    found = {name: parameter for name, parameter in parameters.items() if named(net, name)}
    if not found:
        parts = list(dict.fromkeys(name.split(".")[0] for name in parameters))
        parts += [part for part in ("features", "output") if part not in parts]
        near = difflib.get_close_matches(pattern, parts, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise Refused(f"{field} {quoted(pattern)} names nothing of {net.name}{meant}: its parts are {', '.join(parts)}")
    return found
