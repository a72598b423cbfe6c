"""The contest of detectors and segmenters: both sides do the same work, and what the lines say of the numbers."""

import itertools
import tempfile
import types

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from benchmarks import transfer
from benchmarks.gluoncv_transfer import gluoncv_detector, gluoncv_segmenter
from gluon_tricks.core.errors import Refused
from gluon_tricks.tasks.detection.settings import ROI_SETTINGS, RoISettings
from gluon_tricks.training import steps

FIELDS = {"Faster-RCNN": dict(roi="small", short=96, long=128), "FCN": dict(crop=32, base_size=48)}
TINY = RoISettings(
    **dict(short=96, longest=128, anchor_scales=(2, 4), anchor_samples=64, smallest_proposal=8, channels=64),
    **dict(candidates=200, candidates_in_prediction=200, proposals=32, proposals_in_prediction=12),
    **dict(roi_size=3, roi_samples=8),
)


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """network -> what its contestants take: a step of two small images on a ResNet-18."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(transfer.scenes.DATA_SETS, "few_scenes", (8, 2))
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ROI_SETTINGS, "small", TINY)
    data = tmp_path / "data"
    data.mkdir()
    transfer.arrange(data)
    common, opened, prepare = dict(batch_size=2, threads=1, steps=1, data=str(data)), [], transfer.prepare
    monkeypatch.setattr(transfer, "prepare", lambda *given: opened.append(prepare(*given)) or opened[-1])
    yield lambda network: dict(common, network=network, fields={"model": "resnet18_v1b", **FIELDS[network]})
    for job in opened:  # as the end of a contestant's process does
        job.journal.close()


def our_loss(job, batch):
    ((shard,),) = job.task.micro_batches(batch, job.step_context())
    X, y = job.task.preprocess(shard)
    mx.random.seed(3)  # of the dropout and of the sample of regions
    with autograd.record():
        return job.loss(X, job.task.forward(job.net, X), y).mean().asscalar()


def their_loss(theirs, shard):
    mx.random.seed(3)
    with autograd.record():
        return theirs.loss(*shard).mean().asscalar()


def test_gluoncvs_segmenter_does_what_ours_does(arguments):
    job = transfer.open_job(**arguments("FCN"))
    (batch,) = transfer.batches(job)
    theirs = gluoncv_segmenter(job.net, job.recipe)
    batch.masks[:] = np.abs(batch.masks)  # no void, of which GluonCV shows another loss
    shard = transfer.on_device(job, batch)
    (classes,) = transfer.predicted(job, *shard)
    assert classes.shape == (2, 32, 32) and len(np.unique(classes.asnumpy())) > 1
    assert (theirs.predict(*shard)[0] == classes).mean().asscalar() > 0.999
    ours, other = our_loss(job, batch), their_loss(theirs, shard)
    assert ours == pytest.approx(other, rel=1e-4)


def test_gluoncvs_detector_does_what_ours_does(arguments):
    job = transfer.open_job(**arguments("Faster-RCNN"))
    (batch,) = transfer.batches(job)
    shard = transfer.on_device(job, batch)
    theirs = gluoncv_detector(job.net, job.recipe)
    found = transfer.predicted(job, *shard)
    assert found[2].shape == (2, 120, 4) and (found[0] >= 0).sum().asscalar() > 10
    for ours, other in zip(found, theirs.predict(*shard)):
        assert np.abs(ours.asnumpy() - other.asnumpy().reshape(ours.shape)).max() < 1e-3
    learning = [sum(p.grad_req != "null" for p in net.collect_params().values()) for net in (job.net, theirs.net)]
    assert learning == [25, 25]  # 5 + 5 + 5 convolutions of stages 2 to 4, and weights and biases of 5 layers on them
    theirs.net.hybridize(static_alloc=True)  # as GluonCV's users do between prediction and training
    ours, other = our_loss(job, batch), their_loss(theirs, shard)
    assert ours == pytest.approx(other, rel=0.02)  # the samples of anchors differ


@pytest.mark.parametrize("network", ["Faster-RCNN", "FCN"])
def test_every_contestant_plays(arguments, network, monkeypatch):
    """On a clock that goes on by 12 s when it is read, 2 steps of 2 images take 3 s an image; training moves all."""
    arguments = arguments(network) | {"steps": 2}
    arguments["fields"]["lr"] = 0.01
    job, readings, theirs = transfer.open_job(**arguments), itertools.count(0, 12), []
    make = getattr(transfer, maker := {"Faster-RCNN": "gluoncv_detector", "FCN": "gluoncv_segmenter"}[network])
    clock = types.SimpleNamespace(monotonic=readings.__next__, perf_counter=readings.__next__)
    monkeypatch.setattr(transfer, "time", clock)
    monkeypatch.setattr(steps, "time", clock)
    monkeypatch.setattr(transfer, "open_job", lambda **_: job)
    monkeypatch.setattr(transfer, maker, lambda *words: theirs.append(make(*words)) or theirs[-1])
    # Detection: see above. Segmentation: 20 convolutions and 20 norms of 4 arrays, and two heads of 7.
    all_of_them = {"Faster-RCNN": 25, "FCN": 114}[network]
    for work, expected in (
        *(("training", all_of_them), ("gluoncv_training", all_of_them), ("loop", all_of_them)),
        *(("prediction", 0), ("gluoncv_prediction", 0), ("loader", 0)),
    ):
        play = getattr(transfer, work)(**arguments)
        parameters = (theirs[-1] if work.startswith("gluoncv") else job).net.collect_params().values()
        before = [parameter.data().asnumpy() for parameter in parameters]
        assert play() == 3, work
        moved = [(parameter.data().asnumpy() != old).any() for parameter, old in zip(parameters, before)]
        assert sum(moved) == expected, work


def test_a_base_without_residual_blocks_is_given_no_argument_of_theirs(monkeypatch):
    given = []
    monkeypatch.setattr(transfer, "prepare", lambda recipe, *words: given.append(recipe.net) or 1 / 0)
    for model in ("vgg16", "resnet18_v1b"):
        with pytest.raises(ZeroDivisionError):
            transfer.open_job("FCN", {"model": model}, 2, 1, 1, "data")
    assert given == [{}, {"last_gamma": True}]


def test_lines():
    """Ratios are of the same round: 2/1, 3/2 and 8/2 have the median 2, where the medians' ratio is 1.5."""
    found = {
        "training": {"ours": [2, 3, 8], "GluonCV": [1, 2, 2], "the loop": [3, 4.5, 8], "the loader": [0.02] * 3},
        "prediction": {"ours": [1, 1, 1], "GluonCV": [2, 2, 2]},
    }
    training, prediction, loop = transfer.compared("FCN", found)
    assert training.startswith("FCN, training: ours 3.000 s an image") and "takes 2.00 of" in training
    assert "GluonCV on the same base 2.000 s: ours takes 0.50 of" in prediction
    assert "4.500 s an image, 1.50 of a step" in loop and "0.0200 s, 0.7% of" in loop


def test_what_cannot_be_compared_is_refused(arguments):
    with pytest.raises(Refused, match="no scale 'smal'.*did you mean small"):
        transfer.run("resnet18_v1b", "smal", 2, 1, 2, 1)
    with pytest.raises(Refused, match="5 steps of 2 images are more than the 8"):
        transfer.run("resnet18_v1b", "small", 2, 1, 5, 1)
    with pytest.raises(Refused, match="GluonCV has no detector and no segmenter on vgg16: take a ResNet"):
        transfer.run("vgg16", "small", 2, 1, 1, 1)
    there_only = {**arguments("FCN"), "fields": {"model": "resnet18_v1d", "crop": 32}}
    with pytest.raises(Refused, match="GluonCV has no detector and no segmenter on resnet18_v1d"):
        transfer.gluoncv_training(**there_only)
