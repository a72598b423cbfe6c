"""The loop against Algorithm 1 written down plainly, without anything of the loop."""

import math

import mxnet as mx
import numpy as np
from mxnet import autograd

from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_epoch
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import Cosine, LabelSmoothing, LinearScaling, Mixup, NoBiasDecay, Warmup, ZeroGamma
from model_zoo import get_model

# Of an epoch, images, classes. With some seeds rounding takes a number across a ReLU's 0, and the two part: not with 4.
STEPS, B, K, EPOCHS, SEED = 5, 9, 4, 2, 4
MEAN, STD = (123.68, 116.779, 103.939), (58.393, 57.12, 57.375)


def lr_at(step):
    """0.1 x 9 / 32, reached linearly in two steps; then half a cosine, which would be 0 at step 10."""
    return 0.1 * B / 32 * ((step + 1) / 2 if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / 8)))


def algorithm_1(net, records):
    """Five updates: sample, preprocess, forward, loss, backward, update."""
    learning = [p for p in net.collect_params().values() if p.grad_req != "null"]
    velocity = {p.name: mx.nd.zeros_like(p.data()) for p in learning}
    batches = RecordLoader(records, size=32, batch_size=B, train=True, seed=SEED, area=(0.5, 1.0)).epoch(0)
    for step, batch in enumerate(batches):
        matrices = coefficients("paper", SEED, 0, batch.indices, MEAN, STD)
        x = NetworkInput()(batch.images, *matrices, mx.cpu())
        y = mx.nd.array(np.where(np.eye(K)[batch.labels] == 1, 1 - 0.1, 0.1 / (K - 1)))  # equation 4
        lam = float(generator(SEED, "mixup", step).beta(0.2, 0.2))
        x, y = (lam * part + (1 - lam) * part[::-1] for part in (x, y))  # equations 7 and 8
        with autograd.record():
            loss = -(net(x).log_softmax() * y).sum()  # equation 3
        loss.backward()
        for p in learning:  # Nesterov: v <- m v + lr g, w <- w - (lr g + m v)
            change = p.grad() / B + (1e-4 * p.data() if p.name.endswith("weight") else 0)  # no bias decay
            change = lr_at(step) * change
            velocity[p.name] = 0.9 * velocity[p.name] + change
            p.set_data(p.data() - change - 0.9 * velocity[p.name])


def test_the_loop_is_algorithm_1(tiny_records, tmp_path):
    """With the main recipe's refinements, the parameters after five updates differ by roundings only."""
    train, val = (str(tiny_records / f"{split}.rec") for split in ("train", "val"))
    recipe = Recipe(
        model="resnet18_v1b", classes=K, data="records", train=(train,), val=(val,), input_size=32, min_area=0.5,
        batch_size=B, epochs=EPOCHS, seed=SEED,
        tricks=(LinearScaling(32), Warmup(0.4), ZeroGamma(), NoBiasDecay(), Cosine(), LabelSmoothing(), Mixup()),
    )  # fmt: skip
    job = prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    plain = get_model("resnet18_v1b", classes=K, last_gamma=True)
    plain.initialize()
    ours, theirs = (net._collect_params_with_prefix() for net in (job.net, plain))
    start = {name: p.data().asnumpy() for name, p in ours.items()}
    for name, p in theirs.items():
        p.set_data(mx.nd.array(start[name]))
    assert not start["stage2.0.bn2.gamma"].any()
    with job.journal:
        train_epoch(job, 0)
    algorithm_1(plain, Records(train))
    assert job.progress.step == STEPS
    moved = {name: np.abs(p.data().asnumpy() - start[name]).max() for name, p in theirs.items()}
    assert min(moved.values()) > 4e-6
    for name, p in theirs.items():
        apart = np.abs(p.data().asnumpy() - ours[name].data().asnumpy()).max()
        assert apart < 2e-3 * moved[name] + 1e-6, name
