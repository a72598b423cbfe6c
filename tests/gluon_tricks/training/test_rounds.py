"""The batch of a batch normalisation: what it sees decides the network, and a recipe can fix it."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.training import requirements
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_epoch
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.rounds import Rounds
from gluon_tricks.tricks import Mixup, StepContext

CPUS = [mx.cpu(k) for k in range(8)]


@pytest.fixture
def recipe(tiny_records):
    """Of 48 images three steps of 16; dropout, mixup by image and augmentation draw numbers for every group.

    With some seeds rounding takes a number across a ReLU's 0, and what was equal parts: not with 2.
    """
    return Recipe(
        model="cifar_resnet20_v1", data="records", train=(str(tiny_records / "train.rec"),),
        val=(str(tiny_records / "val.rec"),), input_size=32, epochs=1, batch_size=16, lr=1e-3, seed=2,
        tricks=(Mixup(1.0, per="image", partner="permuted"),),
    )  # fmt: skip


def trained(recipe, folder, devices):
    """The network's numbers after an epoch, and what the record says that it began with."""
    job = prepare(recipe, folder, Options(contexts=CPUS[:devices]))
    with job.journal:
        train_epoch(job, 0)
    values = {name: p.list_data()[-1].asnumpy() for name, p in parameters_by_name(job.net).items()}
    (start, *_) = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return values, start, (folder / "log.txt").read_text()


def apart(one, other):
    """The largest difference of parameters, and of running statistics."""
    by_name = {name: np.abs(other[name] - values).max() for name, values in one.items()}
    running = {name for name in by_name if "running" in name}
    return max(by_name[name] for name in by_name.keys() - running), max(by_name[name] for name in running)


def test_devices_do_not_decide_where_the_recipe_fixes_it(recipe, tmp_path):
    """Groups of 2 of 16 images: 8 rounds on one device, 4 on two, 1 on eight; without it each is another network."""
    fixed = {n: trained(recipe.set(bn_batch=2), tmp_path / f"fixed{n}", n) for n in (1, 2, 8)}
    for n in (2, 8):
        assert max(apart(fixed[1][0], fixed[n][0])) < 2e-5, n
    free = {n: trained(recipe, tmp_path / f"free{n}", n) for n in (1, 2)}
    assert min(apart(free[1][0], free[2][0])) > 1e-3
    assert [start["bn_batch"] for _, start, _ in (*fixed.values(), *free.values())] == [2, 2, 2, 16, 8]
    told = ["; batch normalisation over" in log for *_, log in (*fixed.values(), *free.values())]
    assert told == [True, True, True, False, True]
    assert "batch 16, float32, cpu(0), cpu(1); batch normalisation over 8 images\n" in free[2][2]


def test_dropout_draws_alike_for_a_group_wherever_it_is(recipe, tmp_path):
    """Half of what the head sees is dropped: other numbers on each number of devices would be another network."""
    recipe = recipe.set(model="resnet18_v1b", net={"final_drop": 0.5}, bn_batch=8)
    (one, *_), (two, *_) = (trained(recipe, tmp_path / str(n), n) for n in (1, 2))
    assert max(apart(one, two)) < 2e-5


def test_each_device_has_the_numbers_of_its_group(recipe, tmp_path, monkeypatch):
    """Seeded without a context, two GPUs draw other numbers; CPUs share a generator and cannot tell."""
    seeded = []
    monkeypatch.setattr(mx.random, "seed", lambda number, ctx="all": seeded.append((number, ctx)))
    job = prepare(recipe.set(bn_batch=4), tmp_path, Options(contexts=CPUS[1:3]))
    with job.journal:
        seeded.clear()
        train_epoch(job, 0)
    groups = [(number, ctx) for number, ctx in seeded if ctx != "all"]
    assert [ctx for _, ctx in groups] == CPUS[1:3] * 6  # two rounds of each of three steps
    assert len({number for number, _ in groups}) == 12


@pytest.mark.parametrize("hybrid", [False, True])
def test_running_statistics_move_once_a_step(hybrid):
    """Means of 1 and 5 in two groups: from 0 to 0.1 x 3, from there to 0.9 x 0.3 + 0.1 x 3; one by one 0.59 at once."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.BatchNorm(in_channels=1))
    net.initialize()
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    rounds = Rounds(Recipe(batch_size=4, bn_batch=2), net, 1)
    images = mx.nd.array([0.0, 2.0, 4.0, 6.0]).reshape((2, 2, 1))
    for _ in range(2):
        for group in rounds.each(images, StepContext(0, 0, None)):
            with mx.autograd.record():
                z = net(group)
            z.backward()
    assert net[0].running_mean.data().asscalar() == pytest.approx(0.57)
    assert net[0].running_var.data().asscalar() == pytest.approx(1)  # 0, 2 and 4, 6 alike


@pytest.mark.parametrize(
    "kind, fields, says",
    [
        (Recipe, {"bn_batch": 0}, "bn_batch is 0: it takes 1 or more"),
        (Recipe, {"bn_batch": 48}, "bn_batch is 48 and batch_size 256: make the batch a multiple of it"),
        (Recipe, {"bn_batch": 32, "accumulate": 2}, "bn_batch is 32 and accumulate 2: both say how many rounds"),
        (Recipe, {"bn_batch": 32, "net": {"norm_layer": "SyncBatchNorm"}}, "which takes the images of all ranks"),
        (SegmentationRecipe, {"bn_batch": 2}, "bn_batch is 2 and net.norm_layer SyncBatchNorm"),
        (DetectionRecipe, {"bn_batch": 2}, "bn_batch is 2: a detector's batch normalisation keeps its base's"),
    ],
)
def test_what_does_not_go_together_is_refused(kind: type[Settings], fields, says):
    with pytest.raises(Refused, match=says):
        kind().set(**fields)


def test_devices_that_do_not_divide_it_are_refused(recipe, tmp_path):
    """The paper's 32 on 16 devices of a batch of 256 would be 16."""
    says = r"a batch of 16 cannot be split over 8 devices in rounds of bn_batch 4 each: make it a multiple of 32, use"
    with pytest.raises(Refused, match=says):
        prepare(apply_setting(recipe, "bn_batch=4"), tmp_path / "run", Options(contexts=CPUS))
    assert apply_setting(recipe.set(bn_batch=4), "bn_batch=null").bn_batch is None


def test_a_norm_over_ranks_that_is_not_hybridized_is_refused(monkeypatch):
    """Of a classifier, and of a segmenter, which has it without being asked. One rank has nn.BatchNorm in its place."""
    asked = (
        Recipe(batch_size=4, mode="imperative", net={"norm_layer": "SyncBatchNorm"}),
        SegmentationRecipe(mode="imperative"),
    )
    for recipe in asked:
        requirements.require_one_device(recipe, CPUS[:1])
    monkeypatch.setattr(requirements.distributed, "ranks", lambda: 2)
    for recipe in asked:
        requirements.require_one_device(recipe.set(mode="hybrid"), CPUS[:1])
        with pytest.raises(Refused, match="SyncBatchNorm over ranks in the mode imperative: .*; give --mode hybrid"):
            requirements.require_one_device(recipe, CPUS[:1])
