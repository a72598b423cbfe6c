"""docs/measured.md: its tables are those of the records, and what they show is worked out by hand."""

import json

import pytest

from benchmarks import measured_page
from benchmarks.machine_rate import NAME
from model_zoo import get_model
from model_zoo.summary import summarise


def test_the_page_has_what_the_records_have():
    assert measured_page.main(["--check"]) == 0


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setattr(measured_page, "RESULTS", tmp_path)

    def write(name, rates, **more):
        (tmp_path / f"{name}.json").write_text(json.dumps({"images_per_second": rates, **more}))

    return write


@pytest.fixture
def of_one_network(records, monkeypatch):
    """ResNet-18 at 10 times what a machine of 1000 GFLOP/s predicts in a second; timm has it in float32 alone."""
    net = get_model("resnet18_v1b")
    each = 2e-9 * summarise(net, net.input_size).total.multiply_adds
    monkeypatch.setattr(measured_page, "NETWORKS", ("resnet18_v1b",))
    rates = {}
    for dtype in ("float32", "bfloat16"):
        for work, batch, rate in (("training", 16, 10.0), ("prediction", 16, 200.0), ("prediction", 1, 100.0)):
            what = f"{work} with resnet18_v1b at 224 px, batch {batch}, {dtype}"
            rates |= {f"{what}: ours": [rate, rate, 5 * rate], f"{what}: GluonCV": [rate / 2, rate, rate]}
            rates |= {f"{what}: {NAME.format(who, dtype)}": [1000.0] * 3 for who in ("MXNet", "PyTorch")}
            if dtype == "float32":
                rates[f"{what}: timm"] = [rate * 2] * 3
                if work == "prediction":
                    rates |= {f"{what}: ours, fused": [4 * rate] * 3, f"{what}: ours, int8": [8 * rate] * 3}
    records("benchmark-models-m-resnet18_v1b", rates)
    return each


def test_networks_are_beside_their_peers(of_one_network):
    """Ratios are medians over the rounds of ours / theirs; of fused and 8-bit networks theirs / ours."""
    head, _, single, half = measured_page.networks("m-")
    assert head.count("|") == single.count("|") == half.count("|") == 10
    assert single == (
        "| resnet18_v1b, float32 | 10.0 | 10.0 (2.00x) | 20.0 (0.50x) "
        "| 200 | 200 (2.00x) | 400 (0.50x) | 800 (4.00x) | 1600 (8.00x) |"
    )
    assert half == "| resnet18_v1b, bfloat16 | 10.0 | 10.0 (2.00x) | | 200 | 200 (2.00x) | | | |"


def test_fractions_are_of_the_machines_products(of_one_network):
    """A training step counts three times what prediction does."""
    _, _, single, half = measured_page.fractions("m-")
    cells = [cell.strip() for cell in single.split("|")[1:-1]]
    part = [f"{share * of_one_network / 1000:.2f}" for share in (30, 30, 60, 200, 200, 400, 800, 1600)]
    assert cells == ["resnet18_v1b, float32", "1000 GFLOP/s", *part, "10.0 ms", "5.0 ms", "2.5 ms", "1.2 ms"]
    assert [cell.strip() for cell in half.split("|")[1:-1]][-4:] == ["10.0 ms", "", "", ""]


def test_the_loader_is_beside_each_of_the_others(records):
    records("a", {"ours, crop": [300, 100], "ImageRecordIter, crop": [100, 100], "DALI, crop": [50, 50], "alone": [1]})
    assert measured_page.loader({"a": "photos"})[2:] == [
        "| photos, crop | 200 | ImageRecordIter 100 | 2.00x |",
        "| photos, crop | 200 | DALI 50.0 | 4.00x |",
    ]
    records("b", {"ours, augmented": [100], "DALI, augmented": [50], "ours, reduced": [300], "ours, trivial": [9]})
    assert measured_page.loader({"b": "photos"})[2:] == [
        "| photos, augmented | 100 | DALI 50.0 | 2.00x |",
        "| photos, augmented, decoded smaller | 300 | DALI 50.0 | 6.00x |",
    ]


def test_a_machine_without_bfloat16_has_rows_of_float32_alone(of_one_network, records):
    rates = {name: found for name, found in measured_page._read("benchmark-models-m-resnet18_v1b").items()}
    records("benchmark-models-n-resnet18_v1b", {k: found for k, found in rates.items() if "bfloat16" not in k})
    for made in (measured_page.networks, measured_page.fractions):
        assert made("n-") == made("m-")[:3]


def test_what_was_printed_is_shown_as_it_is(records):
    records("a", {}, what=["one", "two"])
    assert measured_page.told("a") == ["```", "one", "two", "```"]
