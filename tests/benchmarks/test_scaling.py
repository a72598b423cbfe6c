"""What a rank measures of itself, and where the jobs of a comparison run."""

import contextlib
import json

import pytest

from benchmarks import links, main, scaling
from benchmarks.train import usual_tricks
from gluon_tricks.ranks.hosts import Host

PARTS = {"step": 0.5, "compute": 0.4, "compute CPU": 0.4, "messages": 0.2, "loop": 0.5, "waiting loop": 0.6}
ALONE = {"step": 0.4, "compute": 0.4, "compute CPU": 0.5, "messages": 0.0, "loop": 0.3, "waiting loop": 0.3}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_one_rank_measures_itself(accumulate, tmp_path, monkeypatch):
    """The network has 272,474 parameters of four bytes."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    found = scaling.measure_rank("cifar_resnet20_v1", 32, 2, "float32", 1, 2**25, accumulate)
    assert (found.pop("bytes"), found.pop("buckets")) == (4 * 272_474, 1)
    assert set(found) == set(scaling.PARTS) and all(seconds >= 0 for seconds in found.values())


@pytest.fixture
def jobs(monkeypatch):
    """(hosts, ranks) of the jobs that were started, which have not run."""
    started = []

    def job(place, ranks, arguments):
        started.append((place, ranks, arguments["batch_size"]))
        return {**(ALONE if ranks == 1 else PARTS), "bytes": 1000, "buckets": 1}

    @contextlib.contextmanager
    def slowed(ranks, gbit):
        yield f"{ranks} ranks at {gbit} Gbit/s"

    monkeypatch.setattr(scaling, "_job", job)
    monkeypatch.setattr(links, "slowed", slowed)
    monkeypatch.setattr(links, "here", lambda ranks: Host("here", ranks))
    return started


def test_one_rank_is_on_this_machine_and_the_others_behind_the_link(jobs, tmp_path, monkeypatch):
    monkeypatch.delenv("HOROVOD_CYCLE_TIME", raising=False)
    out = tmp_path / "record.json"
    words = "scaling --model cifar_resnet20_v1 --input-size 32 --batch-size 4 --rounds 2 --link 10 --out"
    assert main.main([*words.split(), str(out)]) == 0
    assert jobs == [(Host("here", 1), 1, 4), ("2 ranks at 10.0 Gbit/s", 2, 4)] * 2
    setting = json.loads(out.read_text())["setting"]
    assert (setting["link"], setting["batch"], setting["model"]) == (10.0, 4, "cifar_resnet20_v1")
    assert (setting["bucket_bytes"], setting["ranks"], setting["cycle_ms"], setting["meetings"]) == (2**25, 2, 10.0, 0)


@pytest.mark.parametrize("cycle", ["5ms", "", "nan", "-1"])
def test_a_cycle_that_is_no_number_is_refused_before_the_measurement(cycle, jobs, tmp_path, monkeypatch, capsys):
    """It stands in the record, which is written last."""
    monkeypatch.setenv("HOROVOD_CYCLE_TIME", cycle)
    assert main.main(["scaling", "--rounds", "1", "--out", str(tmp_path / "record.json")]) == 2
    said = f"refused: HOROVOD_CYCLE_TIME is '{cycle}': give a number of milliseconds, such as 5\n"
    assert (jobs, capsys.readouterr().err) == ([], said)


def test_without_a_link_all_are_here(jobs, capsys):
    assert main.main(["scaling", "--ranks", "4", "--rounds", "1"]) == 0
    assert jobs == [(Host("here", 1), 1, 16), (Host("here", 4), 4, 16)]
    told = capsys.readouterr().out
    assert "Gbit/s" not in told
    assert "1 rank: 40.00 images/s; 4 ranks: 128.00 images/s; efficiency 0.800" in told  # 16 images in 0.4 and 0.5 s
    assert "waits for nothing: 1 rank 53.33 images/s; 4 ranks: 128.00 images/s; efficiency 0.600" in told  # 0.3 s
    assert "a rank alone computes on 1.25 cores at a time, one of 4 on 1.00" in told


def test_networks_without_residual_branches_have_the_usual_refinements_too():
    """Zero gamma is for those that have them."""
    names = {model: [trick.label() for trick in usual_tricks(model)] for model in ("vgg16", "resnet18_v1b")}
    assert names == {"vgg16": ["no_bias_decay"], "resnet18_v1b": ["no_bias_decay", "zero_gamma"]}


def test_a_link_beyond_its_bounds(capsys):
    with pytest.raises(SystemExit) as end:
        main.main(["scaling", "--link", "0"])
    assert end.value.code == 2 and "it takes 0.01 to 100" in capsys.readouterr().err
