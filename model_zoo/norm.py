"""Which normalisation layers a network has: one argument of every constructor, and three keywords of get_model."""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
from collections.abc import Callable, Mapping

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_initialiser(value: object) -> bool:
    known = mx.registry.get_registry(mx.init.Initializer)
    return isinstance(value, mx.init.Initializer) or isinstance(value, str) and value.lower() in known


_SWITCH = "true or false", lambda value: isinstance(value, bool)
_INITIALISER = "the name of an initialiser such as 'ones'", _is_initialiser
# Arguments that MXNet's layers look at only when they compute: what each takes, and whether a value is such.
_TAKES = {
    "epsilon": ("a number from 0 on", lambda value: _is_number(value) and value >= 0),
    "momentum": ("a number of [0, 1]", lambda value: _is_number(value) and 0 <= value <= 1),
    "axis": ("a whole number", lambda value: _is_number(value) and isinstance(value, numbers.Integral)),
    **dict.fromkeys(("center", "scale", "use_global_stats"), _SWITCH),
    **dict.fromkeys(("beta_initializer", "gamma_initializer"), _INITIALISER),
    **dict.fromkeys(("running_mean_initializer", "running_variance_initializer"), _INITIALISER),
}


@dataclasses.dataclass(frozen=True)
class Norm:
    """norm(in_channels=64) makes a normalisation layer for 64 channels. The fields are get_model's keywords.

    Args:
        use_global_stats: normalise by the running statistics in training too.
        norm_layer: class of the layers, called with **norm_kwargs and, if it takes that, in_channels=...
        norm_kwargs: further arguments for it.

    Raises:
        Refused: no class, an argument of another kind than MXNet's layers take, or a class that does not take these
            arguments, such as GroupNorm with use_global_stats; the latter when a layer is made.
    """

    use_global_stats: bool = False
    norm_layer: Callable[..., HybridBlock] = nn.BatchNorm
    norm_kwargs: Mapping | None = None

    def __post_init__(self):
        if not callable(self.norm_layer) or not isinstance(self.norm_kwargs, (Mapping, type(None))):
            raise Refused(
                f"norm_layer={self.norm_layer!r}, norm_kwargs={self.norm_kwargs!r}: give a class such as "
                "mxnet.gluon.nn.BatchNorm, and a dictionary of its arguments"
            )
        for name, value in (self.norm_kwargs or {}).items():
            takes, is_right = _TAKES.get(name, ("", lambda _: True))
            if not is_right(value):
                raise Refused(f"norm_kwargs: {name} is {quoted(value)}, but it takes {takes}")

    def defaulting_to(self, **arguments) -> Norm:
        """With what the network itself asks for, such as epsilon; the user's norm_kwargs win."""
        return dataclasses.replace(self, norm_kwargs={**arguments, **(self.norm_kwargs or {})})

    def __call__(self, in_channels: int, **further) -> HybridBlock:
        parameters = inspect.signature(self.norm_layer).parameters.values()
        sized = any(p.name == "in_channels" or p.kind is p.VAR_KEYWORD for p in parameters)
        arguments = {**({"in_channels": in_channels} if sized else {}), **(self.norm_kwargs or {})}
        arguments |= {**({"use_global_stats": True} if self.use_global_stats else {}), **further}
        try:
            return self.norm_layer(**arguments)
        except (TypeError, AttributeError) as error:  # the latter of params that are none
            called = getattr(self.norm_layer, "__name__", repr(self.norm_layer))
            raise Refused(f"norm_layer={called} cannot be made with {', '.join(arguments)}: {error}") from error


BATCH_NORM = Norm()
KEYWORDS = tuple(field.name for field in dataclasses.fields(Norm))
