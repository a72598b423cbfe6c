"""Parts of a network by patterns of names: what does not learn, and what learns at a rate of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.named_parts import matching, named_parts
from gluon_tricks.core.wording import plural, quoted
from gluon_tricks.networks.of_recipe import parameters_by_name

MOST_PATTERNS = 1000  # each is compared with all names of a network, and a recipe's file may have a million
_STATISTICS = ("running_mean", "running_var")


def freeze(net: mx.gluon.HybridBlock, patterns: Sequence[str]) -> str:
    """Makes parts of a network a fixed function: they compute in training what they compute in prediction.

    Their parameters get grad_req "null", and so no gradient, update, weight decay or message. Their batch
    normalisations use their running statistics and do not change them; so do those of which neither gamma nor beta
    learns any more. Their dropout drops nothing.

    Args:
        net: before its first batch.
        patterns: see core.named_parts.matching.

    Returns: a line on what is frozen; "" without patterns.

    Raises:
        Refused: a pattern freezes nothing, they freeze everything, or there are more than 1000.
    """
    if not patterns:
        return ""
    _require_few("freeze", patterns)
    learning = _learning(net)
    for pattern in patterns:
        if not _freezes(net, pattern):
            raise Refused(f"freeze {quoted(pattern)} names nothing of {net.name} that learns: leave it out")
    frozen = matching(patterns)
    for name, parameter in parameters_by_name(net).items():
        if frozen(net, name):
            parameter.grad_req = "null"
    if all(parameter.grad_req == "null" for parameter in learning.values()):
        raise Refused(
            f"freeze {', '.join(map(quoted, patterns))}: nothing of {net.name} would learn: leave out what is to be "
            "trained, such as output"
        )
    norms = [_fix_in_training(block) for path, block in _blocks(net) if _is_frozen(net, path, block, frozen)]
    net.apply(_forget_graph)
    still = [parameter for parameter in learning.values() if parameter.grad_req == "null"]
    numbers = f"{_millions(still)} of {_millions(learning.values())} M"
    kept = f"; {plural(sum(norms), 'batch normalisation')} with running statistics" if sum(norms) else ""
    return f"frozen: {len(still)} of {plural(len(learning), 'parameter')}, {numbers}{kept}"


def _freezes(net: mx.gluon.HybridBlock, pattern: str) -> bool:
    """Whether it names something that changes in training: a parameter that learns, or running statistics."""
    named = matching([pattern])
    norms = [(path, block) for path, block in _blocks(net) if isinstance(block, mx.gluon.nn.BatchNorm)]
    moving = [(path, norm) for path, norm in norms if not norm._kwargs["use_global_stats"]]
    learns = any(parameter.grad_req != "null" for parameter in named_parts(net, pattern, "freeze").values())
    return learns or any(_is_frozen(net, path, norm, named) for path, norm in moving)


def multiply_rates(net: mx.gluon.HybridBlock, factors: Mapping[str, float]) -> list[str]:
    """Multiplies the learning rates (lr_mult) of parts of a network; returns a line for each pattern.

    Args:
        factors: pattern (see core.named_parts.matching) -> factor. Where several patterns name a parameter, all their
            factors count, as does the one that the task itself gives to it (head_lr).

    Raises:
        Refused: a pattern names nothing that learns, or there are more than 1000.
    """
    _require_few("lr_mult", factors)
    lines, learning = [], _learning(net)
    for pattern, factor in factors.items():
        found = {id(p): p for p in named_parts(net, pattern, "lr_mult").values() if p.grad_req != "null"}
        if not found:
            raise Refused(f"lr_mult {quoted(pattern)} names nothing of {net.name} that learns: leave it out")
        for parameter in found.values():
            parameter.lr_mult *= factor
        of_all = f"{len(found)} of {plural(len(learning), 'parameter')}"
        lines.append(f"{pattern}: learning rate times {factor:g} ({of_all}, {_millions(found.values())} M)")
    return lines


def _require_few(field: str, patterns: Collection[str]) -> None:
    if len(patterns) > MOST_PATTERNS:
        raise Refused(f"{field} has {len(patterns)} patterns, and {MOST_PATTERNS} are the most: * names several parts")


def _learning(net: mx.gluon.HybridBlock) -> dict[int, mx.gluon.Parameter]:
    """What could learn, each once: no running statistics, constants, or gammas that are fixed at 1."""
    parameters = parameters_by_name(net).values()
    return {id(p): p for p in parameters if p._differentiable and not isinstance(p, mx.gluon.Constant)}


def _blocks(block: mx.gluon.Block, path: str = "") -> Iterator[tuple[str, mx.gluon.Block]]:
    yield path, block
    for name, child in block._children.items():
        yield from _blocks(child, f"{path}.{name}" if path else name)


def _is_frozen(net: mx.gluon.HybridBlock, path: str, block: mx.gluon.Block, frozen: Callable) -> bool:
    if not isinstance(block, mx.gluon.nn.BatchNorm):
        return frozen(net, path)
    own = [parameter for parameter in (block.gamma, block.beta) if parameter._differentiable]
    nothing_learns = bool(own) and all(parameter.grad_req == "null" for parameter in own)
    return nothing_learns or any(frozen(net, f"{path}.{name}") for name in _STATISTICS)


def _fix_in_training(block: mx.gluon.Block) -> int:
    """Makes a layer compute as in prediction; returns how many batch normalisations that are (0 or 1)."""
    if isinstance(block, mx.gluon.nn.Dropout):
        block._rate = 0
    if hasattr(block, "droprate"):  # GluonCV's wide ResNets drop in their blocks, without a layer for it
        block.droprate = 0
    if not isinstance(block, mx.gluon.nn.BatchNorm):
        return 0
    block._kwargs["use_global_stats"] = True
    return 1


def _forget_graph(block: mx.gluon.Block) -> None:
    if isinstance(block, mx.gluon.HybridBlock):
        block._clear_cached_op()


def _millions(parameters) -> str:
    return f"{sum(math.prod(parameter.shape) for parameter in parameters) / 1e6:.3g}"
