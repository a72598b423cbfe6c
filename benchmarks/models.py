"""Networks on one fixed batch: ours, GluonCV's and, where it is installed, timm's under PyTorch, taking turns.

Beside them large matrix products: what a network reaches of their rate is what it makes of the machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence

import mxnet as mx
import numpy as np

from benchmarks import machine_rate
from benchmarks.results import WITHOUT_BFLOAT16, compare, precisions
from gluon_tricks.core import foreign, keyed_random
from gluon_tricks.machine.devices import start_precision
from gluon_tricks.paper.contest import Contestant, measure
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.auxiliary import own, with_auxiliaries
from model_zoo import get_model
from model_zoo.inference import fuse, quantise
from model_zoo.summary import summarise

_PREDICTIONS = 4  # batches to predict in the time of one training step, roughly: rounds of equal length


def run(models: Sequence[str], batch_size: int, steps: int, rounds: int) -> tuple[dict[str, list[float]], list[str]]:
    """Returns images/s of every contestant and round, and a line per comparison; of matrix products GFLOP/s.

    Args:
        models: each runs at its native size, beside those of GluonCV's and timm's networks that are the same.
        batch_size: images per step; prediction is measured with single images too.
        steps: training steps in a round.
    """
    results, lines = {}, []
    for model in models:
        for work, images in (("training", batch_size), ("prediction", batch_size), ("prediction", 1)):
            for dtype in precisions():
                measured, compared = _contest(model, work, dtype, images, steps, rounds)
                results.update(measured)
                lines += compared
    return results, lines + ([] if "bfloat16" in precisions() else [WITHOUT_BFLOAT16])


def _contest(model, work, dtype, batch_size, steps, rounds):
    """One network in one precision, by all who have it."""
    net = get_model(model)
    common = dict(model=model, work=work, dtype=dtype, batch_size=batch_size, size=net.input_size, steps=steps)
    what = f"{work} with {model} at {net.input_size} px, batch {batch_size}, {dtype}"
    sides = {"ours": ("mxnet_network", {"zoo": "ours"})}
    if "gluoncv" in net.peers and net.peers["gluoncv"].model:  # it has a name for it
        sides["GluonCV"] = ("mxnet_network", {"zoo": "gluoncv"})
    if importlib.util.find_spec("timm") and "timm" in net.peers and net.peers["timm"].model:
        sides["timm"] = ("timm_network", {"name": net.peers["timm"].model})
    vanilla = f"ours, {model[:-1]}"  # of resnet50_v1d: resnet50_v1
    if model.endswith("_v1d") and work == "training":
        sides[vanilla] = ("mxnet_network", {"zoo": "ours", "model": model[:-1]})
    if work == "prediction" and dtype == "float32":  # in bfloat16 fused operators are slower, and other numbers
        sides.update({f"ours, {form}": ("mxnet_network", {"zoo": "ours", "form": form}) for form in ("fused", "int8")})
    names = {side: f"{what}: {side}" for side in sides}
    contestants = [
        Contestant(
            names[side], f"{__name__}:{function}", {**common, **extra}, optional="form" in extra or side == "timm"
        )
        for side, (function, extra) in sides.items()
    ]
    measured = measure([*contestants, *machine_rate.contestants(dtype)], rounds)
    short = {side: measured[name] for side, name in names.items() if name in measured}
    lines = [compare(short, what, "ours", other) for other in ("GluonCV", "timm") if other in short]
    lines += [compare(short, what, other, "ours") for other in ("ours, fused", "ours, int8") if other in short]
    if vanilla in sides:
        slower = 1 - statistics.median(d / v for d, v in zip(short["ours"], short[vanilla]))
        lines.append(f"{what}: {slower:.1%} slower than {vanilla}; the paper's ResNet-50-D (section 4.3): 3 %")
    short.pop(vanilla, None)  # of another number of products
    lines += _fractions(f"{what}: ", net, work, short, machine_rate.machine_rate(measured, dtype))
    if batch_size == 1:
        lines += [f"{what}: {side} {1000 / statistics.median(rates):.2f} ms an image" for side, rates in short.items()]
    return {name if name in names.values() else f"{what}: {name}": rates for name, rates in measured.items()}, lines


def _fractions(what: str, net, work: str, rates: dict[str, list[float]], machine: list[float]) -> list[str]:
    """A line on what each reaches of the machine's rate. A training step multiplies three times what prediction does.

    Args:
        rates: images/s of each round.
        machine: GFLOP/s of each round.
    """
    each = 2e-9 * summarise(net, net.input_size).total.multiply_adds * (3 if work == "training" else 1)  # of an image
    return [
        f"{what}{side} {each * statistics.median(found):.0f} GFLOP/s, "
        f"{statistics.median(each * rate / most for rate, most in zip(found, machine)):.2f} of the machine's "
        f"{statistics.median(machine):.0f}"
        for side, found in rates.items()
    ]


def mxnet_network(
    zoo: str, model: str, work: str, dtype: str, batch_size: int, size: int, steps: int, form: str = "plain"
) -> Callable[[], float]:
    """A hybridized network of ours or GluonCV's; form: as it is, with fused operators, or in 8-bit integers."""
    net = get_model(model) if zoo == "ours" else foreign.import_gluoncv().model_zoo.get_model(model)
    start_precision(dtype, net if work == "training" else None)
    net.initialize(mx.init.MSRAPrelu())
    images = mx.nd.array(_images(batch_size, size))
    labels = mx.nd.arange(batch_size)
    net.hybridize(static_alloc=True, static_shape=True)
    if form == "fused":
        fuse(net, images)
    elif form == "int8":
        net = quantise(net, [images])
    entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    loss = with_auxiliaries(lambda _, logits, target: entropy(logits.astype("float32"), target), Recipe.aux_weight)
    numbers = {"learning_rate": 1e-4, "wd": 1e-4, "momentum": 0.9}
    trainer = mx.gluon.Trainer(net.collect_params(), "nag", numbers) if work == "training" else None

    def train() -> None:
        with mx.autograd.record():
            value = loss(images, net(images), labels)
        value.backward()
        trainer.step(batch_size)
        mx.nd.waitall()

    def predict() -> None:
        own(net(images)).wait_to_read()

    return _player(train if work == "training" else predict, work, batch_size, steps)


def timm_network(
    name: str, model: str, work: str, dtype: str, batch_size: int, size: int, steps: int
) -> Callable[[], float]:
    """timm's network of the same architecture under PyTorch: channels_last, autocast for bfloat16."""
    import torch

    foreign.import_torchvision()
    options = {"act_layer": "relu"} if name.startswith("mobilenetv1") else {}  # its own default is ReLU6
    net = importlib.import_module("timm").create_model(name, pretrained=False, **options)
    net = net.to(memory_format=torch.channels_last)
    images = torch.from_numpy(_images(batch_size, size)).to(memory_format=torch.channels_last)
    labels = torch.arange(batch_size)
    loss = torch.nn.CrossEntropyLoss()
    numbers = {"lr": 1e-4, "weight_decay": 1e-4, "momentum": 0.9, "nesterov": True}
    optimiser = torch.optim.SGD(net.parameters(), **numbers)
    net.train(work == "training")

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16")

    def train() -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast():
            logits = net(images)
        loss(logits.float(), labels).backward()
        optimiser.step()

    def predict() -> None:
        with torch.inference_mode(), autocast():
            net(images)

    return _player(train if work == "training" else predict, work, batch_size, steps)


def _images(batch_size: int, size: int) -> np.ndarray:
    generator = keyed_random.generator(0, "benchmark images")
    return generator.standard_normal((batch_size, 3, size, size), dtype=np.float32)


def _player(step: Callable[[], None], work: str, batch_size: int, steps: int) -> Callable[[], float]:
    """play(): images/s over a round."""
    count = steps if work == "training" else steps * _PREDICTIONS

    def play() -> float:
        started = time.perf_counter()
        for _ in range(count):
            step()
        return count * batch_size / (time.perf_counter() - started)

    return play
