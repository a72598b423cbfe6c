"""Which normalisation layers a network has: one argument of every constructor, and three keywords of get_model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping

from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused


@dataclasses.dataclass(frozen=True)
class Norm:
    """norm(in_channels=64) makes a normalisation layer for 64 channels. The fields are get_model's keywords.

    Args:
        use_global_stats: normalise by the running statistics in training too.
        norm_layer: class of the layers, called with **norm_kwargs and, if it takes that, in_channels=...
        norm_kwargs: further arguments for it.

    Raises:
        Refused: no class, or one that does not take these arguments, such as GroupNorm with use_global_stats; the
            latter when a layer is made.
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
        except TypeError as error:
            called = getattr(self.norm_layer, "__name__", repr(self.norm_layer))
            raise Refused(f"norm_layer={called} cannot be made with {', '.join(arguments)}: {error}") from error


BATCH_NORM = Norm()
KEYWORDS = tuple(field.name for field in dataclasses.fields(Norm))
