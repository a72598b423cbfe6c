"""The fit of the model of scaling: it finds constants that made the numbers, and its stated errors are its errors."""

import dataclasses
import json
import statistics

import pytest

from benchmarks import scaling_fit
from benchmarks.scaling_fit import Constants, Own, Row, fit, left_out, off, own, published

STATED = json.loads((scaling_fit.RECORDS / "model.json").read_text())
CONSTANTS = Constants(**STATED["constants"])


def row(**given):
    usual = dict(source="s", model="vgg16", size=224, batch=64, dtype="float32", images_per_second=130.0, ranks=16)
    return Row(**{**usual, **dict(per_host=4, link=25, transport="rdma", inside=10, cycle_ms=5), **given})


def test_the_efficiency_of_published_rates():
    """1787.4 images/s of 16 that have 130.9 alone; 10723 of 8 that have 1376."""
    _, rows = published()
    measured = {
        (each.source, each.model, each.ranks, each.transport, each.note, each.dtype): each.measured for each in rows
    }
    assert measured["horovod-16", "vgg16", 16, "rdma", "", "float32"] == pytest.approx(0.8534, abs=1e-4)
    assert measured["nvidia", "resnet50_v1b", 8, None, "DGX-1", "float16"] == pytest.approx(0.9741, abs=1e-4)
    assert measured["horovod-512", "vgg16", 512, "rdma", "", "float32"] == 0.68


def test_every_source_says_where_and_what_was_assumed():
    sources, rows = published()
    assert {each.source for each in rows} == set(sources)
    assert all(source["where"].startswith("https://") and source["assumed"] for source in sources.values())


def test_a_fit_finds_the_constants_that_made_the_numbers():
    truth = Constants(rdma=0.6, tcp=0.3, jitter=0.01)
    cases = [row(ranks=n, transport=t, link=link) for n in (4, 16, 64) for t in ("rdma", "tcp") for link in (10, 25)]
    cases += [row(model="resnet18_v1b", ranks=n, link=100) for n in (8, 32)]
    made = [dataclasses.replace(each, efficiency=each.predicted(truth)) for each in cases]
    found = fit(made)
    assert off(made, found) < 0.01 < off(made, Constants())
    assert found.rdma == pytest.approx(0.6, rel=0.1) and found.tcp == pytest.approx(0.3, rel=0.1)


def test_constants_that_nothing_tells_of_stay():
    inside = dataclasses.replace(row(ranks=4, link=None, transport=None), efficiency=0.95)
    found = fit([inside])
    assert (found.tcp, found.tcp_step, found.rdma) == (Constants.tcp, Constants.tcp_step, Constants.rdma)


def test_a_prediction_knows_nothing_of_its_own_source(monkeypatch):
    """Horovod's three are one source: they share the machines."""
    asked = []
    monkeypatch.setattr(scaling_fit, "fit", lambda rows: asked.append({each.source for each in rows}) or Constants())
    left_out([row(source="horovod-16"), row(source="horovod-512"), row(source="a"), row(source="b")])
    assert asked == [{"a", "b"}, {"horovod-16", "horovod-512", "b"}, {"horovod-16", "horovod-512", "a"}]


def test_the_stated_errors_are_those_of_the_predictions():
    _, rows = published()
    again = left_out(rows)
    assert len(STATED["published"]) == len(rows)
    for each, told, found in zip(rows, STATED["published"], again):
        assert (told["source"], told["ranks"], told["model"]) == (each.source, each.ranks, each.model)
        assert told["measured"] == pytest.approx(each.measured, abs=6e-4)
        assert told["predicted"] == pytest.approx(found, abs=2e-3)
    errors = sorted(abs(told["predicted"] - told["measured"]) for told in STATED["published"])
    stated = STATED["errors"]
    assert stated["mean"] == pytest.approx(statistics.fmean(errors), abs=1e-3)
    assert stated["median"] == pytest.approx(statistics.median(errors), abs=1e-3)
    assert sum(error <= stated["nine_in_ten"] + 1e-3 for error in errors) >= 0.9 * len(errors)
    assert stated["largest"] == pytest.approx(errors[-1], abs=1e-3)


@pytest.mark.parametrize(
    "given, measured",
    [
        (dict(images_per_second=130.9, ranks=512), 0.68),  # arXiv:1802.05799's VGG-16 on 128 servers
        (dict(model="resnet101_v1", images_per_second=119.4, ranks=512), 0.90),
        (dict(model="inceptionv3", size=299, images_per_second=134.4, ranks=512), 0.90),
        (dict(images_per_second=130.9, transport="tcp"), 0.625),
        (
            dict(model="resnet50_v1b", dtype="float16", batch=192, images_per_second=1376, ranks=8, per_host=8)
            | dict(link=None, transport=None, inside=100, cycle_ms=1),
            0.974,
        ),
    ],
)
def test_published_figures_are_met_within_the_stated_error(given, measured):
    assert row(**given).predicted(CONSTANTS) == pytest.approx(measured, abs=STATED["errors"]["nine_in_ten"])


def test_own_measurements():
    """Two ranks without messages: 1.25 s for 1 s alone. The messages then end 0.1 s after them.

    ResNet-18's 44.7 MB (ten classes: 11.18 M parameters) are one message of 32 MiB and a rest that is ready at the end.
    """
    seconds = {"1 step": 1.0, "1 compute": 1.0, "2 step": 1.4, "2 compute": 1.25, "2 messages": 0.020 + 0.447}
    setting = scaling_fit.COMMON | dict(model="resnet18_v1b", size=64, batch=8)
    record = Own("r", "a CPU", setting, seconds)
    size = sum(message.bytes for message in record.messages())
    assert record.rate() == pytest.approx(size / 0.447 / 1e9) and record.rate() == pytest.approx(0.1, rel=0.01)
    assert record.measured == pytest.approx(1 / 1.4)
    last = record.messages()[-1].bytes
    assert record.predicted(1.0) == pytest.approx(1 / (1.25 + 0.005 + last / 1e9))
    slow = dataclasses.replace(record, setting=setting | {"link": 1})
    assert slow.predicted(1.0) < record.predicted(1.0)


def test_records_with_their_setting_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling_fit, "RECORDS", tmp_path)
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


def test_every_machine_has_the_rate_of_its_largest_messages():
    def of(name, cpu, model, seconds, **more):
        setting = scaling_fit.COMMON | dict(model=model, size=64, batch=8) | more
        return Own(name, cpu, setting, {"2 messages": 0.020 + seconds})

    large, small, slow = (
        of("a", "x", "resnet18_v1b", 0.1),
        of("b", "x", "cifar_resnet20_v1", 0.1),
        of("c", "y", "vgg16", 1),
    )
    found = scaling_fit.loopback_rates([large, small, slow, of("d", "x", "vgg16", 9, link=1)])
    assert found == {"x": large.rate(), "y": slow.rate()}


def test_what_two_ranks_cost_is_told_by_the_medians(monkeypatch):
    def of(name, loop, messages):
        seconds = {"1 loop": 2.0, "2 loop": loop, "1 compute": 0.02, "2 compute": 0.025, "2 messages": messages}
        return Own(name, "x", scaling_fit.COMMON | dict(model="vgg16", size=64, batch=8), seconds)

    monkeypatch.setattr(scaling_fit, "COSTS", ("a",))
    lines = scaling_fit.cost_table([of("a", 2.5, 0.1), of("a-link10", 4.0, 0.2), of("a-link1", 8.0, 1.5)])
    assert lines[2:] == [
        "| vgg16, 64 px, 8 images a rank: a step of the loop | 2.00 s | 2.50 s: 0.80 | 4.00 s: 0.50 | 8.00 s: 0.25 |",
        "| the same without messages | 20 ms | 25 ms: 0.80 | 25 ms: 0.80 | 25 ms: 0.80 |",
        "| messages alone |  | 100 ms | 200 ms | 1.50 s |",
    ]
