"""The model of scaling: steps worked out by hand, the messages of real networks, what limits and what would help."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from benchmarks.scaling_model import (
    Cluster,
    Message,
    Prediction,
    Work,
    all_reduce,
    expected_maximum,
    messages_of,
    predict,
    remedies,
)
from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks.gradients import Gradients
from model_zoo import get_model

LATE = Work((Message(100_000_000, 1.0),), batch=100, images_per_second=100)  # a step of 1 s, 100 MB at its end


def test_one_rank_is_as_fast_as_one_rank():
    found = predict(Cluster(1, link=1e-3, latency=1, jitter=0.5, cycle=1, beside=0.5), LATE)
    assert (found.efficiency, found.step, found.limit) == (1, 1, "compute")


@pytest.mark.parametrize("count, mean", [(2, 0.56419), (5, 1.16296), (10, 1.53875), (100, 2.50759), (1000, 3.24144)])
def test_the_slowest_of_many(count, mean):
    """Expected maxima of normal samples, Harter (Biometrika 1961), table 1."""
    assert expected_maximum(count) == pytest.approx(mean, abs=1e-5)


def test_without_messages_that_take_time_the_slowest_rank_is_waited_for():
    """Two ranks, deviation 10 %: 1 + 0.1 / sqrt(pi) s."""
    found = predict(Cluster(2, jitter=0.1), LATE)
    assert found.step == pytest.approx(1 + 0.1 / np.sqrt(np.pi)) and found.limit == "jitter"
    assert (found.bandwidth, found.latency, found.sharing) == (0, 0, 0)


def test_a_message_that_nothing_hides():
    """4 ranks, 8 Gbit/s = 1 GB/s: 2 * 3/4 * 0.1 s = 0.15 s for the bytes, 2 * 3 ms for the steps of the ring."""
    cluster = Cluster(4, link=8, latency=0.001)
    found = predict(cluster, LATE)
    assert (found.bandwidth, found.latency) == (pytest.approx(0.15), pytest.approx(0.006))
    assert all_reduce(1e8, cluster) == pytest.approx(0.156)
    assert found.efficiency == pytest.approx(1 / 1.156) and found.limit == "bandwidth"


def test_a_share_of_the_link_is_what_messages_get():
    assert predict(Cluster(4, link=16, share=0.5), LATE).bandwidth == pytest.approx(0.15)


def test_what_backward_hides():
    """Backward begins at 0.5 s. At 1 GB/s (two ranks: factor 1) 100 MB are done at 0.6 s, 50 MB at 0.8 s: all hidden.

    At 0.25 GB/s the first lasts until 0.9 s, so the second waits for it and ends at 1.1 s.
    """
    work = Work((Message(100_000_000, 0.0), Message(50_000_000, 0.5)), 100, 100, backward=0.5)
    assert predict(Cluster(2, link=8), work).step == 1
    assert predict(Cluster(2, link=2), work).bandwidth == pytest.approx(0.1)


def test_horovod_looks_half_a_cycle_later():
    """0.1 s of bytes are there without it, so its 5 ms count as latency."""
    found = predict(Cluster(2, link=8, cycle=0.010), LATE)
    assert (found.bandwidth, found.latency) == (pytest.approx(0.1), pytest.approx(0.005))


def test_horovod_sends_what_is_ready_as_one_message():
    """Two messages of 2 * 10 ms each; fused, they pay once; three that fit by twos pay twice."""
    two = Work((Message(60, 1.0), Message(40, 1.0)), 1, 1)
    three = dataclasses.replace(two, messages=(*two.messages, Message(10, 1.0)))
    for work, fusion, times in ((two, 0, 2), (two, 99, 2), (two, 100, 1), (three, 100, 2)):
        found = predict(Cluster(2, latency=0.01, fusion=fusion), work)
        assert found.latency == pytest.approx(0.02 * times), fusion


def test_the_ranks_of_one_machine_use_no_link():
    """8 ranks, 2 GB/s inside: 2 * 7/8 * 0.05 s."""
    inside = Cluster(8, per_host=8, link=1e-3, inside=2)
    assert predict(inside, LATE).bandwidth == pytest.approx(0.0875)
    across = dataclasses.replace(inside, ranks=16, link=8)  # 1 GB/s: the slower part rules; 2 * 15/16 * 0.1 s
    assert predict(across, LATE).bandwidth == pytest.approx(0.1875)


def test_ranks_that_share_a_machine():
    """At half the speed a step takes 2 s; its backward hides what it did not hide in 1 s."""
    found = predict(Cluster(2, per_host=2, beside=0.5), LATE)
    assert (found.compute, found.sharing, found.efficiency, found.limit) == (1, 1, 0.5, "sharing")


def test_more_ranks_are_never_more_efficient():
    cluster = Cluster(2, link=25, latency=2e-5, jitter=0.02, cycle=0.005)
    found = [predict(dataclasses.replace(cluster, ranks=2**k), LATE).efficiency for k in range(12)]
    assert found == sorted(found, reverse=True) and len(set(found)) == 12


@pytest.mark.parametrize(
    "wrong, says",
    [
        (dict(ranks=0), "ranks is 0: it takes 1 or more"),
        (dict(link=0), "link is 0: it takes more than 0 Gbit/s"),
        (dict(link=float("nan")), "link is nan"),
        (dict(jitter=-0.1), "jitter is -0.1: it takes 0 or more"),
        (dict(beside=1.5), "beside is 1.5: it takes more than 0 and at most 1"),
    ],
)
def test_a_cluster_that_cannot_be(wrong, says):
    with pytest.raises(Refused, match=says):
        predict(Cluster(**{"ranks": 2, **wrong}), LATE)


@pytest.mark.parametrize("model, size", [("cifar_resnet20_v1", 32), ("resnet18_v1d", 64), ("mobilenet0.25", 64)])
@pytest.mark.parametrize("bucket", [1, 2**18, 2**25])
def test_messages_are_the_buckets_of_training(model, size, bucket):
    net = get_model(model)
    net.initialize()
    net(mx.nd.zeros((1, 3, size, size)))
    gradients = Gradients(list(net.collect_params().values()), bucket_bytes=bucket)
    found = messages_of(model, size, bucket_bytes=bucket)
    assert [message.bytes for message in found] == [4 * array.size for array in gradients.first()]
    assert sum(message.bytes for message in messages_of(model, size, "float16", bucket)) == gradients.bytes // 2


def test_when_a_gradient_is_ready():
    """VGG-16's last layer has 4096 * 1000 of 15.470 G multiply-adds; its first ends the backward."""
    found = messages_of("vgg16", 224, bucket_bytes=1)
    assert [message.bytes for message in found[:2]] == [4 * 1000, 4 * 4096 * 1000]  # the bias comes first
    assert found[1].ready == pytest.approx(4096 * 1000 / 15_470_264_320)
    assert found[-1].ready == 1 and sorted(found, key=lambda message: message.ready) == list(found)


def test_other_classes_are_other_messages():
    whole, ten = (messages_of("resnet18_v1d", 64, classes=classes) for classes in (None, 10))
    assert sum(m.bytes for m in whole) - sum(m.bytes for m in ten) == 4 * 990 * 513


@pytest.mark.parametrize("name", ["sharing", "jitter", "bandwidth", "latency"])
def test_the_limit_is_the_largest_loss(name):
    losses = dict(sharing=0.01, jitter=0.01, bandwidth=0.01, latency=0.01)
    assert Prediction(compute=1, **{**losses, name: 0.02}).limit == name
    assert Prediction(compute=1, **dict.fromkeys(losses, 0.004)).limit == "compute"


def test_what_would_help():
    """1 s of backward that hides nothing, 2 ranks, 8 Gbit/s: 0.1 s of bytes, and 2 ms for each of two messages.

    Twice the link, twice the batch and half the bytes leave 0.05 s each of what is lost for a second; one message in
    place of two saves 2 ms, which is not worth a line.
    """
    work = Work((Message(50_000_000, 1.0), Message(50_000_000, 1.0)), 100, 100)
    cluster = Cluster(2, link=8, latency=0.001)
    now, merged = 1 / 1.104, [Message(100_000_000, 1.0)]
    assert predict(cluster, work).efficiency == pytest.approx(now)
    found = dict(remedies(cluster, work, "float32", merged))
    assert found == {
        "a batch of 200 on each rank, or --accumulate 2": pytest.approx(2 / 2.104),
        "gradients of 16 bits": pytest.approx(1 / 1.054),
        "a link of 16 Gbit/s": pytest.approx(1 / 1.054),
    }
    assert list(found.values()) == sorted(found.values(), reverse=True)
    slow = dataclasses.replace(cluster, latency=0.01, cycle=0.020)
    found = dict(remedies(slow, work, "float16", merged))
    assert found["one message in place of 2 messages"] == pytest.approx(1 / 1.130)
    assert found["HOROVOD_CYCLE_TIME=1, where cores are idle"] == pytest.approx(1 / 1.1405)
    assert "gradients of 16 bits" not in found
    assert remedies(Cluster(2), LATE, "float32", LATE.messages) == []
