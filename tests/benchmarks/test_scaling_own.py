"""This repository's own records of scaling: what is read from them, what the model says of them, what is told."""

import dataclasses
import json

import pytest

from benchmarks import scaling_own, scaling_page
from benchmarks.scaling_own import COMMON, Own, loopback_rates, own


def test_own_measurements():
    """Two ranks without messages: 1.25 s for 1 s alone. The messages then end 0.1 s after them.

    ResNet-18's 44.7 MB (ten classes: 11.18 M parameters) are one message of 32 MiB and a rest that is ready at the end.
    """
    seconds = {"1 step": 1.0, "1 compute": 1.0, "2 step": 1.4, "2 compute": 1.25, "2 messages": 0.020 + 0.447}
    seconds = {part: [value] for part, value in seconds.items()}
    setting = COMMON | dict(model="resnet18_v1b", size=64, batch=8)
    record = Own("r", "a CPU", setting, seconds)
    size = sum(message.bytes for message in record.messages())
    assert record.rate() == pytest.approx(size / 0.447 / 1e9) and record.rate() == pytest.approx(0.1, rel=0.01)
    assert record.measured == pytest.approx(1 / 1.4)
    last = record.messages()[-1].bytes
    assert record.predicted(1.0) == pytest.approx(1 / (1.25 + 0.005 + last / 1e9))
    slow = dataclasses.replace(record, setting=setting | {"link": 1})
    assert slow.predicted(1.0) < record.predicted(1.0)


def test_records_with_their_setting_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling_own, "RECORDS", tmp_path)
    seconds = {f"{n} ranks, {part}, s": [1.0, 3.0, 2.0] for n in (1, 2) for part in ("step", "compute", "messages")}
    setting = dict(model="resnet18_v1b", size=64, batch=8, dtype="float32", ranks=2, bucket_bytes=2**25)
    for name, more in (
        ("a", {"setting": setting | dict(accumulate=1, link=10.0)}),
        ("b", {"setting": setting | dict(accumulate=4)}),
        ("c", {}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"seconds": seconds, "machine": {"cpu": "a CPU"}, **more}))
    (found,) = own()
    assert (found.name, found.cpu, found.setting["link"], found.setting["classes"]) == ("a", "a CPU", 10.0, 10)
    assert found.seconds["2 messages"] == 2.0


def test_an_efficiency_is_the_median_of_the_rounds_ratios():
    """Of 1.0, 0.5 and 0.8; the ratio of the medians is 0.5."""
    record = Own("r", "a CPU", COMMON, {"1 step": [1.0, 2.0, 4.0], "2 step": [1.0, 4.0, 5.0]})
    assert record.measured == record.efficiency("step") == pytest.approx(0.8)


def test_every_machine_has_the_rate_of_its_largest_messages():
    def of(name, cpu, model, seconds, **more):
        setting = COMMON | dict(model=model, size=64, batch=8) | more
        return Own(name, cpu, setting, {"2 messages": [0.020 + seconds]})

    large, small, slow = (
        of("a", "x", "resnet18_v1b", 0.1),
        of("b", "x", "cifar_resnet20_v1", 0.1),
        of("c", "y", "vgg16", 1),
    )
    found = loopback_rates([large, small, slow, of("d", "x", "vgg16", 9, link=1)])
    assert found == {"x": large.rate(), "y": slow.rate()}


def test_what_two_ranks_cost_is_told_by_the_medians(monkeypatch):
    def of(name, loop, messages):
        seconds = {"1 loop": 2.0, "2 loop": loop, "1 compute": 0.02, "2 compute": 0.025, "2 messages": messages}
        seconds = {part: [value] for part, value in seconds.items()}
        return Own(name, "x", COMMON | dict(model="vgg16", size=64, batch=8), seconds)

    monkeypatch.setattr(scaling_page, "COSTS", ("a",))
    lines = scaling_page.cost_table([of("a", 2.5, 0.1), of("a-link10", 4.0, 0.2), of("a-link1", 8.0, 1.5)])
    assert lines[2:] == [
        "| vgg16, 64 px, 8 images a rank: a step of the loop | 2.00 s | 2.50 s: 0.80 | 4.00 s: 0.50 | 8.00 s: 0.25 |",
        "| the same without messages | 20 ms | 25 ms: 0.80 | 25 ms: 0.80 | 25 ms: 0.80 |",
        "| messages alone |  | 100 ms | 200 ms | 1.50 s |",
    ]
