"""The devices that a program names for a network, or for images."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import described, plural


def contexts_of(named: mx.Context | Sequence[mx.Context] | None, called: str = "ctx") -> list[mx.Context]:
    """The devices that an argument names: one or a list of them; None: the CPU.

    Args:
        called: the argument, for the message.

    Raises:
        Refused: an empty list, on which a network would have no parameters, what is no context, or a GPU that there is
            not.
    """
    found = list(named) if isinstance(named, (list, tuple)) else [mx.cpu() if named is None else named]
    if not found:
        raise Refused(f"{called} is an empty list: name at least one context in it, or leave it out for the CPU")
    for context in found:
        if not isinstance(context, mx.Context):
            raise Refused(f"{called} takes a context such as mx.cpu() or mx.gpu(0), but got {described(context)}")
        if context.device_type == "gpu" and context.device_id >= (count := _gpus()):
            raise Refused(f"{called} is {context}, and MXNet finds {plural(count, 'GPU')}: name another, or mx.cpu()")
    return found


def context_of(named: mx.Context | None, called: str = "context") -> mx.Context:
    """The one device that an argument names. Args and Raises: as of contexts_of."""
    if isinstance(named, (list, tuple)):
        raise Refused(f"{called} takes one context, but got {described(named)}")
    return contexts_of(named, called)[0]


def _gpus() -> int:
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # of a build for GPUs, where there is no driver
        return 0
