"""The average of the weights: its numbers, its place beside them, and in theirs at the end."""

import contextlib
import csv
import itertools
import types

import mxnet as mx
import numpy as np
import pytest
import torch

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.checkpoint import list_checkpoints, named, read_checkpoint
from gluon_tricks.networks.load import starting_point
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.ranks.gradients import Gradients
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.evaluation import ClassificationScores
from gluon_tricks.trained.load import load_network
from gluon_tricks.training import loop
from gluon_tricks.training.average import Average
from gluon_tricks.training.divergence import Diverged
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate, train_step
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.steps import Interrupted, Steps
from gluon_tricks.tricks import Ema, LinearScaling, Mixup, StepContext
from gluon_tricks.tricks.schedule import Plan
from model_zoo import formats

OPTIONS = dict(contexts=[mx.cpu()], threads=1, picture_epochs=0)


@pytest.fixture
def recipe(tiny_records):
    """12 images of 32 px a step, 4 steps an epoch, mixup and dropout on."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=12, epochs=2, lr=0.05, seed=5,
        tricks=(LinearScaling(), Mixup(), Ema(0.9)),
    )  # fmt: skip


def columns(run, *names):
    with open(run / "metrics.csv") as file:
        return [tuple(float(row[name]) for name in names) for row in csv.DictReader(file)]


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


def values(net):
    mx.nd.waitall()
    return {name: p.list_data()[0].asnumpy().copy() for name, p in parameters_by_name(net).items()}


def stepped(job):
    """The network's numbers after each step of the first epoch, and before it."""
    found = [values(job.net)]
    with Steps(job) as steps:
        for batch in job.batches(0):
            steps.begin()
            steps.end(train_step(job, batch))
            found.append(values(job.net))
    return found


def test_of_four_steps_against_pytorch(recipe, tmp_path):
    """PyTorch averages the same numbers, running statistics among them; its first update is a copy."""
    job = prepare(recipe.add(Ema(0.75, warmup=1)), tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        found = stepped(job)
    holder = torch.nn.BatchNorm1d(16)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.75)
    averaged = torch.optim.swa_utils.AveragedModel(holder, multi_avg_fn=ema, use_buffers=True)
    first = "stage1.0.bn1."
    assert first + "running_mean" in found[0]
    pairs = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}
    for numbers in found:
        with torch.no_grad():
            for theirs, ours in pairs.items():
                getattr(holder, theirs).copy_(torch.from_numpy(numbers[first + ours]))
        averaged.update_parameters(holder)
    average = job.average.arrays()
    for theirs, ours in pairs.items():
        want = getattr(averaged.module, theirs).detach().numpy()
        np.testing.assert_allclose(average[first + ours], want, rtol=2e-6, atol=1e-7, err_msg=ours)
        assert np.abs(want - found[-1][first + ours]).max() > 1e-4  # and it is not what training has come to


def test_every_number_by_its_formula(recipe, tmp_path):
    """In float64: 1/10, 2/11, 3/12, 4/13 of the average stay."""
    job = prepare(recipe, tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        want, *found = stepped(job)
    for stays, numbers in zip((1 / 10, 2 / 11, 3 / 12, 4 / 13), found):
        want = {name: stays * old + (1 - stays) * numbers[name].astype("float64") for name, old in want.items()}
    average = job.average.arrays()
    assert average.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_allclose(average[name], array, rtol=1e-5, atol=2e-6, err_msg=name)


def test_of_float16_it_is_float32():
    """w = 1, 1.001, ...: float16 has 2^-10 between them, and the average is finer than that."""
    net = mx.gluon.nn.Dense(1, use_bias=False, in_units=1)
    net.initialize(mx.init.One())
    net.cast("float16")
    Gradients(list(net.collect_params().values()))
    average = Average(Recipe(tricks=(Ema(0.75, warmup=1),)), net, ClassificationScores)
    average.begin()
    net.weight.set_data(mx.nd.array([[1 + 2**-10]], dtype="float16"))
    average.add(StepContext(0, 0, Plan(1, 9)))
    (array,) = average.arrays().values()
    assert array.dtype == np.float32 and array.item() == 1 + 2**-12
    with average.in_place():
        assert net.weight.data().dtype == np.float16 and net.weight.data().asscalar() == 1.0
    assert net.weight.data().asscalar() == 1 + 2**-10


def test_a_network_of_float16_does_not_round_what_is_written(recipe, tmp_path, monkeypatch):
    """There is no float16 on CPUs: the network is rounded by hand, as often as the average is in its place."""
    in_place = Average.in_place

    @contextlib.contextmanager
    def rounded(self):
        with in_place(self):
            for parameter in parameters_by_name(self._net).values():
                for array in parameter.list_data():
                    array[:] = array.astype("float16").astype("float32")
            yield

    monkeypatch.setattr(Average, "in_place", rounded)
    train_and_evaluate(recipe.set(epochs=1), tmp_path / "run", Options(**OPTIONS))
    arrays, _ = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert same(formats.read(tmp_path / "run" / "final.params"), named(arrays, "average"))


def test_what_does_not_learn_stays_to_the_last_bit(recipe, tmp_path):
    job = prepare(recipe.set(freeze=("features",)), tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        first, *_, last = stepped(job)
    average = job.average.arrays()
    moved = {name for name in last if not np.array_equal(first[name], last[name])}
    assert moved and all(name.startswith("head") for name in moved)
    assert {name for name in average if not np.array_equal(first[name], average[name])} == moved


def test_both_are_evaluated_and_the_average_is_written(recipe, tmp_path):
    run = tmp_path / "run"
    scores = train_and_evaluate(recipe, run, Options(**{**OPTIONS, "picture_epochs": 1}))
    arrays, header = read_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    average, trained = named(arrays, "average"), named(arrays, "parameter")
    assert average.keys() == trained.keys() and not same(average, trained)
    assert same(formats.read(run / "final.params"), average)
    (*_, last) = columns(run, "val_top1", "val_top1_average", "val_top1_raw")
    assert last[0] == last[1] == scores.top1
    told = f"(the average's; top-1 of the average {last[1]:.2%}, of the trained weights {last[2]:.2%})"
    assert told in (run / "log.txt").read_text() or last[1] == 0
    newest = list_checkpoints(run / "checkpoints")[-1]
    both = {"": average, "#average": average, "#parameter": trained}
    for source, meant in [(run, average), *((f"{newest}{part}", array) for part, array in both.items())]:
        assert same(values(load_network(source)), meant)
    for wrong in ("optimizer", "bogus"):
        with pytest.raises(Refused, match=f"has no network '{wrong}': name .*#parameter or .*#average"):
            load_network(f"{newest}#{wrong}")
        with pytest.raises(Refused, match=f"has no network '{wrong}'"):
            starting_point(f"{newest}#{wrong}", recipe.model)
    for part, ends in (("", "#average"), ("#parameter", "#parameter")):
        assert starting_point(f"{newest}{part}", recipe.model).endswith(f"{newest.name}{ends}")
    assert (run / "curves.png").exists() and (run / "report.html").exists()


def test_its_scores_are_those_of_the_network_that_is_loaded(recipe, tmp_path):
    """Whatever layout training leaves weights in: the network, put together anew, gets the loss that was told."""
    train_and_evaluate(recipe, tmp_path / "run", Options(**OPTIONS))
    job = prepare(recipe.without("ema").set(epochs=9), tmp_path / "other", Options(**OPTIONS))
    with job.journal:
        arrays = formats.read(tmp_path / "run" / "final.params")
        for name, parameter in parameters_by_name(job.net).items():
            parameter.set_data(mx.nd.array(arrays[name]))
        scores = job.task.evaluate(job.net, job.task.val.epoch())
    ((*_, loss),) = columns(tmp_path / "run", "val_loss")[-1:]
    assert scores.loss == pytest.approx(loss, rel=1e-5)


def test_the_averaged_statistics_fit_the_averaged_weights(tiny_records, recipe, tmp_path):
    """Statistics computed anew, over all training images, give about the same validation loss; those of the trained
    network do not belong to the average."""
    longer = recipe.set(epochs=12, tricks=(Ema(0.9),))
    train_and_evaluate(longer, tmp_path / "run", Options(**OPTIONS))
    job = prepare(longer.without("ema"), tmp_path / "other", Options(**OPTIONS))
    newest = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])[0]
    average, parameters = named(newest, "average"), parameters_by_name(job.net)
    losses = {}
    with job.journal:
        for name, parameter in parameters.items():
            parameter.set_data(mx.nd.array(average[name]))
        losses["averaged"] = job.task.evaluate(job.net, job.task.val.epoch()).loss
        for _ in range(12):
            for batch in job.batches(0):
                for shards in job.task.micro_batches(batch, job.step_context()):
                    with mx.autograd.record(train_mode=True):
                        job.task.forward(job.net, job.task.preprocess(shards[0])[0]).wait_to_read()
        losses["anew"] = job.task.evaluate(job.net, job.task.val.epoch()).loss
        for name, parameter in parameters.items():
            if "running" in name:
                parameter.set_data(mx.nd.array(np.full(parameter.shape, 1.0)))
        losses["wrong"] = job.task.evaluate(job.net, job.task.val.epoch()).loss
    assert losses["averaged"] == pytest.approx(losses["anew"], abs=0.15)
    assert abs(losses["wrong"] - losses["anew"]) > 2 * abs(losses["averaged"] - losses["anew"])


@pytest.mark.parametrize("keep", ["raw", "better"])
def test_another_network_is_kept(recipe, tmp_path, keep):
    """With decay 0.9999 from the start the average is still the first weights: of four classes it knows nothing."""
    run = tmp_path / "run"
    recipe = recipe.set(epochs=12, tricks=(Ema(0.9999, warmup=1, keep=keep),))
    train_and_evaluate(recipe, run, Options(**OPTIONS))
    kept, average, raw = columns(run, "val_top1", "val_top1_average", "val_top1_raw")[-1]
    assert kept == raw > average
    newest = list_checkpoints(run / "checkpoints")[-1]
    trained = named(read_checkpoint(newest)[0], "parameter")
    assert same(formats.read(run / "final.params"), trained) and same(values(load_network(newest)), trained)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_goes_on_bit_for_bit(recipe, tmp_path, devices):
    """Stopped in the middle of an epoch, and in the evaluation of the average.

    Each step asks once, each batch of an evaluation once: after step 3 come step 4, two batches of the trained network
    and the first of the average. Of several devices the first checkpoint has the statistics of each.
    """
    options = dict(OPTIONS, contexts=[mx.cpu(k) for k in range(devices)])
    train_and_evaluate(recipe, tmp_path / "whole", Options(**options))
    for stop in (3, 4):
        asked = itertools.count(1)
        with pytest.raises(Interrupted):
            train_and_evaluate(
                recipe, tmp_path / "parts",
                Options(**options, resume=True, should_stop=lambda a=asked, at=stop: next(a) >= at),
            )  # fmt: skip
        kinds = {
            name.split("/")[0] for name in read_checkpoint(list_checkpoints(tmp_path / "parts/checkpoints")[-1])[0]
        }
        of_devices = {"parameter_of_devices", "average_of_devices"} if devices > 1 and stop == 3 else set()
        assert kinds == {"parameter", "optimizer", "average"} | of_devices
    train_and_evaluate(recipe, tmp_path / "parts", Options(**options, resume=True))
    newest = [list_checkpoints(tmp_path / run / "checkpoints")[-1] for run in ("whole", "parts")]
    one, other = (read_checkpoint(path)[0] for path in newest)
    assert {name.split("/")[0] for name in one} == {"parameter", "optimizer", "average"} and same(one, other)
    assert same(*(formats.read(tmp_path / run / "final.params") for run in ("whole", "parts")))
    names = ("val_loss", "val_top1_raw", "val_top1_average")
    assert columns(tmp_path / "whole", *names) == columns(tmp_path / "parts", *names)


def test_a_stop_while_the_average_is_evaluated(recipe, tmp_path):
    """The checkpoint has the trained weights, which are not those in place at that moment."""
    seen, plain = [], loop.until_stopped

    def stopping(job, batches):
        seen.append(job)
        if len(seen) == 2:
            job.options = types.SimpleNamespace(**{**vars(job.options), "should_stop": lambda: True})
        return plain(job, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "until_stopped", stopping)
        with pytest.raises(Interrupted, match="after step 4 of 8"):
            train_and_evaluate(recipe, tmp_path / "parts", Options(**OPTIONS))
    train_and_evaluate(recipe, tmp_path / "parts", Options(**OPTIONS, resume=True))
    train_and_evaluate(recipe, tmp_path / "whole", Options(**OPTIONS))
    one, other = (
        read_checkpoint(tmp_path / run / "checkpoints/step-000000008.safetensors")[0] for run in ("whole", "parts")
    )
    assert same(one, other)


@pytest.mark.parametrize("first", [False, True])
def test_a_rollback_takes_the_average_back(recipe, tmp_path, first):
    """To the checkpoint of epoch 1, or to the start where there is none yet."""
    job = prepare(recipe, tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        begun = job.average.arrays()
        loop.train_epoch(job, 0)
        if not first:
            loop.finish_epoch(job, 0, loop.evaluate(job))
            begun = job.average.arrays()
            loop.train_epoch(job, 1)
        assert not same(begun, job.average.arrays())
        loop.roll_back(job, Diverged(7 if not first else 2, "for a test"))
        assert same(begun, job.average.arrays()) and job.progress.step == (0 if first else 4)


def test_two_devices_have_the_average_of_one(recipe, tmp_path):
    """Without batch statistics two shards of 6 images are the step on 12; and with them the devices are averaged."""
    norm = {"norm_layer": "GroupNorm", "norm_kwargs": {"num_groups": 4}}
    plain = recipe.set(net=norm, epochs=1, input_size=16, tricks=(Ema(0.9),))
    found = []
    for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]):
        train_and_evaluate(plain, tmp_path / str(len(contexts)), Options(**{**OPTIONS, "contexts": contexts}))
        found.append(formats.read(tmp_path / str(len(contexts)) / "final.params"))
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, atol=2e-4, err_msg=name)


def test_imperative_mode_gives_the_same(recipe, tmp_path):
    grouped = recipe.set(epochs=1, input_size=16, net={"norm_layer": "GroupNorm", "norm_kwargs": {"num_groups": 4}})
    hybrid, imperative = (
        train_and_evaluate(grouped.set(mode=mode), tmp_path / mode, Options(**OPTIONS)).loss
        for mode in ("hybrid", "imperative")
    )
    assert imperative == pytest.approx(hybrid, rel=1e-3)


def test_a_norm_of_the_input_that_learns_nothing(recipe, tmp_path):
    """GluonCV's networks of version 2 begin with one. It has no backward, by which MXNet's CPU moves statistics."""
    job = prepare(recipe.set(model="cifar_resnet20_v2"), tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        first, *_, last = stepped(job)
    average = job.average.arrays()
    for name in ("features.0.running_mean", "features.0.running_var"):
        np.testing.assert_array_equal(last[name], first[name])
        np.testing.assert_array_equal(average[name], first[name])
    assert not np.array_equal(average["features.1.weight"], last["features.1.weight"])


def test_a_checkpoint_without_a_whole_average_is_refused(recipe, tmp_path):
    job = prepare(recipe, tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        arrays = job.average.arrays()
        name = "stem.0.weight"
        for odd in ({key: array for key, array in arrays.items() if key != name}, {**arrays, name: arrays[name][:1]}):
            with pytest.raises(Refused, match=r"file is damaged \(the average of stem.0.weight\): use an older one"):
                job.average.restore(odd, [], "file")


@pytest.mark.parametrize("keep", ["average", "better", "raw"])
def test_a_finished_run_that_is_resumed_writes_the_same_network(recipe, tmp_path, keep):
    run, recipe = tmp_path / "run", recipe.set(epochs=1).add(Ema(0.9, keep=keep))
    train_and_evaluate(recipe, run, Options(**OPTIONS))
    before = formats.read(run / "final.params")
    (run / "final.params").unlink()
    train_and_evaluate(recipe, run, Options(**OPTIONS, resume=True))
    assert same(formats.read(run / "final.params"), before)
