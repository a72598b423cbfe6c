"""What the machine itself can multiply: the rate of large matrix products, which a network's rate is a fraction of."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence

import mxnet as mx

from gluon_tricks.machine.devices import start_precision
from gluon_tricks.paper.contest import Contestant

SIDES = (512, 1024, 2048)  # of square matrices: which of them is fastest depends on the caches
_SECONDS = 0.3  # for each of them in a round
NAME = "matrix products by {}, {}"  # whose, precision


def contestants(dtype: str) -> list[Contestant]:
    """Those who multiply: MXNet and, where it is installed, PyTorch, each GFLOP/s in a round."""
    makers = {"MXNet": "mxnet_products", **({"PyTorch": "torch_products"} if importlib.util.find_spec("torch") else {})}
    return [
        Contestant(NAME.format(who, dtype), f"{__name__}:{maker}", {"dtype": dtype}, optional=who != "MXNet")
        for who, maker in makers.items()
    ]


def machine_rate(results: Mapping[str, Sequence[float]], dtype: str) -> list[float]:
    """GFLOP/s of the machine in each round: those of the faster library, of those that are among the results."""
    found = [results[name] for who in ("MXNet", "PyTorch") if (name := NAME.format(who, dtype)) in results]
    return [max(of_round) for of_round in zip(*found)]


def mxnet_products(dtype: str) -> Callable[[], float]:
    """Dense layers (n, n) x (n, n), in the precision as networks have it."""
    start_precision(dtype, None)
    layers = {}
    for n in SIDES:
        layer = mx.gluon.nn.Dense(n, in_units=n, use_bias=False)
        layer.initialize(mx.init.Normal(0.01))
        layer.hybridize(static_alloc=True, static_shape=True)
        layers[n] = layer, mx.nd.random.normal(shape=(n, n))
    return _player({n: lambda pair=pair: pair[0](pair[1]).wait_to_read() for n, pair in layers.items()})


def torch_products(dtype: str) -> Callable[[], float]:
    """The same products by PyTorch."""
    import torch

    pairs = {n: [torch.randn(n, n, dtype=getattr(torch, dtype)) for _ in range(2)] for n in SIDES}
    return _player({n: lambda pair=pair: torch.mm(*pair) for n, pair in pairs.items()})


def _player(products: dict[int, Callable[[], object]]) -> Callable[[], float]:
    """play(): GFLOP/s of the fastest size."""

    def play() -> float:
        return max(2 * n**3 * _per_second(product) / 1e9 for n, product in products.items())

    return play


def _per_second(work: Callable[[], object]) -> float:
    work()
    count, started = 0, time.perf_counter()
    while not count or time.perf_counter() - started < _SECONDS:
        work()
        count += 1
    return count / (time.perf_counter() - started)
