"""Divergence: what counts as one, and what a run does about it."""

import csv
import json
import math

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.checkpoint import Progress, list_checkpoints, read_checkpoint
from gluon_tricks.networks.of_recipe import initialised_network, parameters_by_name
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.training import loop
from gluon_tricks.training.divergence import Diverged, Watch
from gluon_tricks.training.job import Options
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.rollback import roll_back
from gluon_tricks.tricks import DataDependentInit, Distillation, LabelSmoothing, SigmoidLoss


def watched(losses, **numbers):
    watch = Watch(Recipe(**numbers))
    for step, loss in enumerate(losses, start=1):
        watch.look(step, loss)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_seen_at_once(bad):
    with pytest.raises(Diverged, match=f"the loss of step 3 is {bad}") as found:
        watched([1.0, 2.0, bad])
    assert found.value.step == 3


def test_a_high_loss_is_seen_when_it_stays():
    """Median 2: the limit is 6; of steps 31 to 50 each is over it, so what began with step 31 is seen at step 50."""
    with pytest.raises(Diverged, match="over 3 times its median of 2 for 20 steps up to 50") as found:
        watched([2.0] * 30 + [6.1] * 20)
    assert found.value.step == 31
    watched([2.0] * 30 + [6.1] * 19 + [2.0] + [6.1] * 19)  # never 20 in a row
    watched([2.0] * 30 + [6.0] * 100)  # not over
    watched([2.0] * 9 + [60.0] * 100)  # 9 losses are too few for a median
    with pytest.raises(Diverged):
        watched([2.0] * 30 + [4.1] * 5, divergence_factor=2.0, divergence_steps=5)


def test_what_explodes_in_the_first_steps_is_seen():
    """Up to 30 times the first loss or ln K, for networks leap at the beginning; 3 ln 1000 = 20.7."""
    with pytest.raises(Diverged, match="over 30 times that of the beginning, 2, for 20 steps up to 21") as found:
        watched([2.0] + [61.0] * 20)
    assert found.value.step == 2
    watched([2.0, *[1e9] * 19, 2.0] * 10)  # never 20 in a row
    watched([0.001] + [207.0] * 20, classes=1000)  # what it starts from had learnt all
    with pytest.raises(Diverged):
        watched([0.001] + [208.0] * 20, classes=1000)


def test_a_network_that_has_learnt_all_does_not_diverge():
    """Its losses are exactly 0 in float32, of which everything is a multiple: up to 3 x 0.01 they are small."""
    watched([0.0] * 299 + [1e-7] * 100)
    watched([0.0] * 30 + [0.03] * 100)
    with pytest.raises(Diverged, match="over 3 times its median of 0 for 20 steps up to 50"):
        watched([0.0] * 30 + [0.031] * 20)


def test_a_mean_over_the_classes_diverges_as_their_sum_does():
    """Over 1000 classes: all logits 0 give ln 2, chance is (ln 1000 + 1) / 1000 = 0.0079, and 1e-5 a nat's 100th."""
    mean, of_sum = (dict(classes=1000, tricks=(SigmoidLoss(over=over),)) for over in ("mean", "sum"))
    chance = (math.log(1000) + 1) / 1000
    with pytest.raises(Diverged, match="over 3 times its median of 0.002 for 20 steps up to 320") as found:
        watched([math.log(2)] * 20 + [0.01] * 80 + [0.002] * 200 + [chance] * 20, **mean)
    assert found.value.step == 301
    watched([0.0] * 299 + [1e-7] * 100, **mean)  # all is learnt, and small losses stay small
    watched([0.0] * 30 + [0.99 * 3e-5] * 100, **mean)
    with pytest.raises(Diverged):
        watched([0.0] * 30 + [1.01 * 3e-5] * 20, **mean)
    watched([0.0] * 30 + [0.03] * 100, **of_sum)
    for numbers, beginning in ((mean, math.log(2)), (of_sum, 1000 * math.log(2))):
        watched([0.001] + [29.9 * beginning] * 20, **numbers)
        with pytest.raises(Diverged, match="over 30 times that of the beginning"):
            watched([0.001] + [30.1 * beginning] * 20, **numbers)


@pytest.mark.parametrize("cut", [10, 30, 40, 49])
def test_a_run_that_goes_on_has_seen_what_it_had_seen(cut):
    """Wherever it was stopped, the divergence from step 31 on is seen at step 50."""
    losses, recipe, progress = [2.0] * 30 + [6.1] * 20, Recipe(), Progress()
    with pytest.raises(Diverged, match="over 3 times its median of 2 for 20 steps up to 50") as found:
        for part in (range(cut), range(cut, 50)):
            watch = Watch(recipe, progress)
            for k in part:
                watch.look(k + 1, losses[k])
            watch.record(progress)
    assert found.value.step == 31


def test_what_smoothed_labels_leave_does_not_hide_a_divergence():
    """eps 0.1 over 1000 classes: -0.9 ln 0.9 - 0.1 ln(0.1 / 999) = 1.0158 is the least. From 2.4 to the loss of chance,
    ln 1000 = 6.9, the loss grows to 2.9 times as much, and what can move to 4.2 times."""
    losses = [2.4] * 30 + [math.log(1000)] * 20
    watched(losses)
    with pytest.raises(Diverged, match="the loss, less the 1.02 that no network gets below, has been over 3 times"):
        watched(losses, classes=1000, tricks=(LabelSmoothing(0.1),))
    watched(losses, tricks=(LabelSmoothing(0.1),))  # of how many classes is not known yet


@pytest.mark.parametrize(
    "tricks, least",
    [
        ((), 0),
        ((LabelSmoothing(0.0),), 0),
        ((LabelSmoothing(0.5),), math.log(2)),  # of two classes each has one half
        ((LabelSmoothing(0.5, form="gluoncv"),), -0.75 * math.log(0.75) - 0.25 * math.log(0.25)),
        ((LabelSmoothing(0.5), Distillation("run")), math.log(2)),
        ((LabelSmoothing(0.5), Distillation("run", form="gluoncv", hard_weight=0.25)), math.log(2) / 4),
        ((Distillation("run", form="gluoncv", hard_weight=0.25), LabelSmoothing(0.5)), math.log(2) / 4),
    ],
    ids=["none", "no smoothing", "half", "gluoncv", "distilled", "distilled gluoncv", "distilled gluoncv first"],
)
def test_the_least_that_a_loss_can_be(tricks, least):
    assert Watch(Recipe(classes=2, tricks=tricks))._least == pytest.approx(least)


@pytest.fixture
def recipe(tiny_records):
    """4 epochs of 6 steps."""
    return Recipe(
        name="tiny", model="cifar_resnet20_v1", data="records", train=(str(tiny_records / "train.rec"),),
        val=(str(tiny_records / "val.rec"),), input_size=32, batch_size=8, epochs=4, lr=0.01, seed=5,
    )  # fmt: skip


def poison(monkeypatch, at):
    """Makes the losses of the updates of some numbers NaN; the numbers count every update that is made."""
    calls, step = iter(range(1, 1000)), loop.train_step

    def poisoned(*arguments):
        losses = step(*arguments)
        return [loss * math.nan for loss in losses] if next(calls) in at else losses

    monkeypatch.setattr(loop, "train_step", poisoned)


def events(run, kind):
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def rates_in(run):
    with open(run / "metrics.csv", newline="") as file:
        return [row["lr"] for row in csv.DictReader(file)]


def test_a_run_goes_back_and_on(recipe, tmp_path, monkeypatch):
    """NaN at step 16: back to the checkpoint of step 12, another shuffle, half the rate; the record says so."""
    poison(monkeypatch, {16})
    loop.train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    (back,) = events(tmp_path / "run", "rollback")
    assert (back["seen_at"], back["step"], back["lr_factor"]) == (16, 12, 0.5)
    assert back["shuffle_seed"] == 5 + 1_000_003 and "the loss of step 16 is nan" in back["reason"]
    assert rates_in(tmp_path / "run") == ["0.01", "0.01", "0.005", "0.005"]
    assert "back to step 12, with another shuffle and learning rates times 0.5" in (
        (tmp_path / "run" / "log.txt").read_text()
    )


@pytest.mark.parametrize("kept, rates", [(1.0, ["0.01"] * 4), (0.1, ["0.01", "0.01", "0.001", "0.001"])])
def test_a_recipe_says_what_a_rollback_makes_of_the_rate(kept, rates, recipe, tmp_path, monkeypatch):
    poison(monkeypatch, {16})
    loop.train_and_evaluate(
        apply_setting(recipe, f"rollback_lr={kept}"), tmp_path / "run", Options(contexts=[mx.cpu()])
    )
    (back,) = events(tmp_path / "run", "rollback")
    assert (back["lr_factor"], back["shuffle_seed"]) == (kept, 5 + 1_000_003)
    assert rates_in(tmp_path / "run") == rates


@pytest.mark.parametrize("rate", [0.0, -0.5, 1.5])
def test_a_rollback_raises_no_rate(rate, recipe):
    with pytest.raises(Refused, match=rf"rollback_lr is {rate}: it must lie in \(0, 1\], 1 keeping the rate"):
        recipe.set(rollback_lr=rate)


def test_before_the_first_checkpoint_it_starts_again(recipe, tmp_path, monkeypatch):
    poison(monkeypatch, {4})
    loop.train_and_evaluate(recipe.set(epochs=1), tmp_path / "run", Options(contexts=[mx.cpu()]))
    assert [event["step"] for event in events(tmp_path / "run", "rollback")] == [0]
    assert [event["epoch"] for event in events(tmp_path / "run", "epoch")] == [1]


def test_it_starts_again_from_what_the_images_gave(recipe, tmp_path, monkeypatch):
    """The algorithms are run once; the checkpoint of the rollback has what they gave, the biases and statistics too."""
    found, from_images = [], DataDependentInit.from_images

    def counted(self, net, *rest):
        from_images(self, net, *rest)
        found.append({name: p.data().asnumpy() for name, p in parameters_by_name(net).items()})

    monkeypatch.setattr(DataDependentInit, "from_images", counted)
    poison(monkeypatch, {4})
    recipe = recipe.set(epochs=1).add(DataDependentInit(images=8, rounds=1))
    loop.train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], keep=9))
    (start,) = found
    (back,) = events(tmp_path / "run", "rollback")
    arrays, _ = read_checkpoint(tmp_path / "run" / "checkpoints" / "step-000000000.safetensors")
    assert back["step"] == 0 and all(np.array_equal(arrays[f"parameter/{name}"], start[name]) for name in start)
    (begun,) = events(tmp_path / "run", "start")
    seconds = begun["initialised_from"].pop("seconds")
    assert begun["initialised_from"] == {"images": 8, "of": "training", "records": begun["records"]} and seconds > 0


@pytest.mark.parametrize("now", ["as it was", "gone", "another"])
def test_what_a_run_started_from_is_needed_to_start_again(now, recipe, tmp_path):
    """Of a run that is resumed. Where it is not there the checkpoint stays, to go on from when it is back."""
    run, file, options = tmp_path / "run", tmp_path / "start.params", Options(contexts=[mx.cpu()], resume=True)
    start, other = (initialised_network(recipe.set(classes=4, seed=seed), [mx.cpu()]) for seed in (1, 2))
    start.save_parameters(str(file))
    recipe = recipe.set(pretrained=str(file))
    job = prepare(recipe, run, options)
    with job.journal:
        job.net.head.weight.set_data(job.net.head.weight.data() * 0)
        job.checkpoint()
    if now == "gone":
        file.unlink()
    elif now == "another":
        other.save_parameters(str(file))
    job = prepare(recipe, run, options)
    with job.journal:
        if now == "as it was":
            roll_back(job, Diverged(1, "found by hand"))
            assert np.array_equal(job.net.head.weight.data().asnumpy(), start.head.weight.data().asnumpy())
        else:
            says = r"found by hand; no checkpoint is from before, .*: pretrained .*start.params is gone, or has other"
            with pytest.raises(Diverged, match=says):
                roll_back(job, Diverged(1, "found by hand"))
            (path,) = list_checkpoints(run / "checkpoints")
            assert not read_checkpoint(path)[0]["parameter/head.weight"].any()


@pytest.mark.parametrize("numbers", [{}, {"optimizer": "adam", "lr": 1e-3}], ids=["nag", "adam"])
def test_a_momentum_of_nan_goes_with_what_was_learnt(numbers, recipe, tmp_path, monkeypatch):
    """Twice before the first epoch's end: the second time back to a checkpoint in which nothing has been updated."""
    calls, step = iter(range(1, 1000)), loop.train_step

    def poisoned(job, batch):
        sums = step(job, batch)
        if next(calls) in (2, 7):
            for state in job.trainer._updaters[0].states.values():
                for array in state if isinstance(state, tuple) else (state,):
                    array[:] = math.nan
        return sums

    monkeypatch.setattr(loop, "train_step", poisoned)
    loop.train_and_evaluate(recipe.set(epochs=1, **numbers), tmp_path / "run", Options(contexts=[mx.cpu()]))
    assert [event["step"] for event in events(tmp_path / "run", "rollback")] == [0, 0]


def test_a_checkpoint_with_nan_is_passed_over(recipe, tmp_path, monkeypatch):
    """An endless loop would be: the newest checkpoint has the parameters that the loss is NaN for."""
    broken = []

    def stop():
        if len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 2 and not broken:
            net = train_job[0].net
            net.head.weight.set_data(net.head.weight.data() * math.nan)
            train_job[0].checkpoint()
            broken.append(train_job[0].progress.step)
        return False

    train_job, prepare = [], loop.prepare
    monkeypatch.setattr(loop, "prepare", lambda *a: train_job.append(prepare(*a)) or train_job[0])
    loop.train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], should_stop=stop))
    (back,) = events(tmp_path / "run", "rollback")
    assert broken == [13] and back["step"] == 12


def test_a_damaged_checkpoint_goes_where_a_rollback_goes_behind_it(recipe, tmp_path):
    """A run that is resumed would stop at it."""
    folder = tmp_path / "run" / "checkpoints"
    job = prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    with job.journal:
        job.checkpoint()
        for step in (6, 12):
            (folder / f"step-{step:09}.safetensors").write_bytes(b"half of it")
        roll_back(job, Diverged(9, "found by hand"))
    assert job.progress.step == 0
    assert [path.name for path in list_checkpoints(folder)] == ["step-000000000.safetensors"]


def test_a_checkpoint_that_cannot_be_read_now_is_not_deleted(recipe, tmp_path):
    """A drive that is away for a moment, or here no file, leaves its numbers as they are."""
    folder = tmp_path / "run" / "checkpoints"
    job = prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    with job.journal:
        job.checkpoint()
        (folder / "step-000000006.safetensors").mkdir()
        roll_back(job, Diverged(9, "found by hand"))
    assert job.progress.step == 0 and (folder / "step-000000006.safetensors").is_dir()


@pytest.mark.parametrize("checkpoint_steps", [0, 1])
def test_a_parameter_that_is_not_finite_is_seen_where_the_losses_stay_finite(
    checkpoint_steps, recipe, tmp_path, monkeypatch
):
    """A relu makes 0 of NaN. Seen at the end of the epoch, or before a checkpoint would keep it."""
    steps, step = iter(range(1, 1000)), loop.train_step

    def poisoned(job, batch):
        if next(steps) == 9:
            weight = job.net.stem[0].weight
            weight.set_data(weight.data() * math.nan)
        return step(job, batch)

    monkeypatch.setattr(loop, "train_step", poisoned)
    options = Options(contexts=[mx.cpu()], checkpoint_steps=checkpoint_steps)
    loop.train_and_evaluate(recipe.set(epochs=2), tmp_path / "run", options)
    (back,) = events(tmp_path / "run", "rollback")
    assert (back["seen_at"], back["step"]) == ((10, 8) if checkpoint_steps else (13, 6))
    assert "is not finite after step" in back["reason"] and "nan" not in (tmp_path / "run" / "metrics.csv").read_text()
    assert all(np.isfinite(p.asnumpy()).all() for p in mx.nd.load(str(tmp_path / "run" / "final.params")).values())


def test_in_float16_the_loss_scale_is_lowered(recipe, tmp_path):
    """A 16th of it, and the learning rate stays."""
    job = prepare(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    with job.journal:
        job.scale = LossScale(True, 1024.0)
        roll_back(job, Diverged(3, "found by hand"))
        assert (job.scale.value, job.lr_factor, job.progress.rollbacks) == (64.0, 1.0, [0])
    (back,) = events(tmp_path / "run", "rollback")
    assert back["loss_scale"] == 64.0 and back["reason"] == "found by hand"


def test_it_gives_up_after_so_many_times(recipe, tmp_path, monkeypatch):
    poison(monkeypatch, range(8, 1000))
    with pytest.raises(Diverged, match="the loss of step 1 is nan, after 2 of 2 rollbacks: use a lower --lr"):
        loop.train_and_evaluate(recipe.set(rollbacks=2), tmp_path / "run", Options(contexts=[mx.cpu()]))
    assert [event["step"] for event in events(tmp_path / "run", "rollback")] == [
        6,
        0,
    ]  # what step 7 was NaN for is step 6
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000000000.safetensors"]


def test_checkpoints_know_the_losses(recipe, tmp_path):
    """24 losses of 4 epochs: what the last checkpoint has is what a new Watch is given."""
    options = Options(contexts=[mx.cpu()], resume=True)
    loop.train_and_evaluate(recipe, tmp_path / "run", options)
    newest = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    progress = read_checkpoint(newest)[1]["progress"]
    with open(tmp_path / "run" / "steps.csv", newline="") as file:
        assert progress["losses"] == pytest.approx([float(row["loss"]) for row in csv.DictReader(file)], abs=1e-5)
    job = prepare(recipe, tmp_path / "run", options)
    with job.journal:
        assert [*job.watch._losses] == progress["losses"] and len(progress["losses"]) == 24
        job.watch._high = 7
        job.checkpoint()
    assert read_checkpoint(newest)[1]["progress"]["high_losses"] == 7
