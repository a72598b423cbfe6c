"""How fast this machine trains: measured in a bounded time, kept; what plans and the number of cells make of it."""

import dataclasses
import json
import os
import pathlib
import time
import types

import mxnet as mx
import pytest

from gluon_tricks.cli import train_cells
from gluon_tricks.core import environment
from gluon_tricks.core.errors import Refused
from gluon_tricks.paper import contest, estimate, how_many, speeds
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.contest import Contestant, Played, measure, play_together
from gluon_tricks.paper.scales import get_scale
from gluon_tricks.paper.speeds import Speed, Speeds, kept, kind_of, measured
from gluon_tricks.recipes.recipe import Recipe

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLAYER = """
import itertools, os, sys, time
def player(rounds, rest):
    count = itertools.count(1)
    def play():
        k = next(count)
        if k > rounds:
            if rest == "dies":
                sys.exit("out of breath")
            time.sleep(60)
        return 10.0 * k
    return play
def refusing():
    from gluon_tricks.core.errors import Refused
    raise Refused("nothing can be computed")
def crashing():
    print("out of memory", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)
def slow_start():
    time.sleep(60)
"""
RECIPE = Recipe(model="resnet18_v1d", input_size=64, batch_size=64)


@pytest.fixture
def player(tmp_path):
    """player(name, rounds, what then): a contestant whose k-th round has 10 k images/s."""
    (tmp_path / "players.py").write_text(PLAYER)
    paths = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def make(name, rounds, rest="sleeps"):
        return Contestant(name, "players:player", dict(rounds=rounds, rest=rest), paths)

    return make


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9.0, 9.0))
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speeds"


def test_those_that_play_together_play_until_each_has_enough(player):
    one, other = play_together([player("0", 1000), player("1", 1000)], 60, rounds=2)
    assert one.rounds[:3] == other.rounds[:3] == (10.0, 20.0, 30.0)
    assert len(one.memory) - len(one.rounds) in (1, 2) and 5e6 < one.memory[0] <= one.memory[-1] < 1e9


def test_what_was_played_at_the_deadline_counts(player, tmp_path):
    since = time.monotonic()
    played = play_together([player("0", 1), player("1", 2)], 20)
    assert [one.rounds for one in played] == [(10.0,), (10.0, 20.0)]
    late = Contestant("0", "players:slow_start", {}, player("0", 1).environment)
    assert play_together([late], 0.5) == [Played()]
    assert time.monotonic() - since < 50


def test_one_that_dies_says_of_what(player):
    with pytest.raises(RuntimeError, match="the contestant 1 died: .*out of breath"):
        play_together([player("0", 1000), player("1", 1, "dies")], 60, rounds=5, least=60)


@pytest.mark.parametrize(
    "rest, error, why",
    [
        ("refusing", Refused, "nothing can be computed"),
        ("crashing", RuntimeError, "the contestant 1 died of SIGKILL: out of memory"),
    ],
)
def test_one_that_cannot_play_ends_the_rounds_unless_it_is_optional(rest, error, why, player, monkeypatch, capfd):
    monkeypatch.setattr(contest, "_REST", 0.0)
    unable = Contestant("1", f"players:{rest}", {}, player("0", 1).environment)
    with pytest.raises(error, match=why):
        measure([player("0", 1000), unable], 1)
    optional = dataclasses.replace(unable, optional=True)
    assert measure([player("0", 1000), optional, player("2", 1000)], 2) == {"0": [20.0, 30.0], "2": [20.0, 30.0]}
    assert capfd.readouterr().err == f"1 is left out: {why}\n"


def playing(monkeypatch, *played):
    """What play_together returns next, and the list of what it was asked."""
    asked, answers = [], list(played)

    def play_together(contestants, seconds, least):
        asked.append((contestants, seconds))
        return answers.pop(0)

    monkeypatch.setattr(speeds, "play_together", play_together)
    monkeypatch.setattr(speeds, "task_of", lambda recipe: types.SimpleNamespace(drawn=lambda recipe: recipe))
    return asked


def test_a_speed_is_the_mean_over_processes_of_the_median_round(monkeypatch):
    """Without the first round: (20 + 40) / 2. Batch 64 at 64 px is measured whole, so memory is what it was."""
    monkeypatch.setattr(speeds, "cores_apart", lambda: [3, 5, 7])
    asked = playing(monkeypatch, [Played((1, 10, 20, 90), (5, 6, 8, 8, 8)), Played((9, 40, 40), (4, 7, 7, 7))])
    assert measured(RECIPE, 2, 12.0) == Speed(30.0, 8, 2, 0.5)
    ((one, other), seconds), *_ = asked
    assert (one.core, other.core, seconds) == (3, 5, 12.0) and one.environment == {"OMP_NUM_THREADS": "1"}
    assert one.arguments["recipe"]["batch_size"] == 64 and one.name != other.name


def test_alone_it_has_all_threads_and_a_large_batch_takes_more_memory(monkeypatch):
    """Of 64 images at 224 px 16 are measured: 1000 + (1600 - 1000) 64 / 16 bytes."""
    asked = playing(monkeypatch, [Played((1, 10, 20), (1000, 1500, 1600, 1600))])
    assert measured(RECIPE.set(input_size=224), 1) == Speed(15.0, 3400, 2, 0.5)
    ((one,), seconds), *_ = asked
    assert one.core is None and one.environment == {} and seconds == 30.0


def test_the_first_round_counts_if_it_is_all_there_is(monkeypatch):
    playing(monkeypatch, [Played((7.0,), (1, 1))], [Played((), ())])
    assert measured(RECIPE, 1) == Speed(7.0, 1, 0, 0.5)
    assert measured(RECIPE.set(batch_size=32), 1) is None
    assert kept(RECIPE, 1).rounds == 0 and kept(RECIPE.set(batch_size=32), 1) is None


def test_what_was_measured_is_kept_by_what_it_depends_on(monkeypatch, cache):
    playing(monkeypatch, [Played((1, 10), (1, 1))])
    measured(RECIPE, 1)
    assert (kept(RECIPE, 1).images_per_second, kept(RECIPE, 1).memory) == (10.0, 1)
    assert kept(RECIPE.set(epochs=7, seed=3), 1)  # which change no step
    assert kept(RECIPE, 2) is None and kept(RECIPE.set(dtype="bfloat16"), 1) is None
    assert kept(RECIPE.set(net={"use_se": True}), 1) is None
    monkeypatch.setenv("OMP_NUM_THREADS", str(environment.threads() + 1))
    assert kept(RECIPE, 1) is None
    monkeypatch.setenv("OMP_NUM_THREADS", str(environment.threads() - 1))
    assert kept(RECIPE, 1)
    monkeypatch.setattr(speeds, "cpu_name", lambda: "another")
    assert kept(RECIPE, 1) is None and len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda found: "", "it is no JSON"),
        (lambda found: json.dumps(found)[:-9], "it is no JSON"),
        (lambda found: "[1]", "it is of something else"),
        (lambda found: json.dumps({**found, "of": 1}), "it is of something else"),
        (lambda found: json.dumps({**found, "more": 1}), "it has other fields"),
        (lambda found: json.dumps({**found, "rounds": True}), "it has other fields"),
        (lambda found: json.dumps({**found, "images_per_second": 0}), "a number is out of its bounds"),
        (lambda found: json.dumps({**found, "load": "x"}), "it has other fields"),
        (lambda found: json.dumps({**found, "memory": -1}), "a number is out of its bounds"),
        (lambda found: json.dumps({**found, "images_per_second": "NaN"}).replace('"NaN"', "NaN"), "no number of JSON"),
        (lambda found: json.dumps({**found, "date": "x\x1b"}), "Invalid isoformat string"),
        (lambda found: " " * (1 << 17), "are the most"),
    ],
)
def test_a_damaged_file_is_told_and_measured_anew(damage, says, monkeypatch, cache, caplog):
    playing(monkeypatch, [Played((1, 10), (1, 1))], [Played((1, 12), (1, 1))])
    measured(RECIPE, 1)
    (file,) = cache.iterdir()
    file.write_text(damage(json.loads(file.read_text())))
    assert kept(RECIPE, 1) is None
    assert f"{file} is damaged" in caplog.text and says in caplog.text
    measured(RECIPE, 1)
    assert kept(RECIPE, 1).images_per_second == 12


def test_a_folder_or_pipe_in_its_place_is_no_traceback(monkeypatch, cache, caplog):
    playing(monkeypatch, [Played((1, 10), (1, 1))], [Played((1, 12), (1, 1))])
    measured(RECIPE, 1)
    (file,) = cache.iterdir()
    file.unlink()
    os.mkfifo(file)
    assert kept(RECIPE, 1) is None and "it is a pipe" in caplog.text
    file.unlink()
    file.mkdir()
    assert measured(RECIPE, 1).images_per_second == 12 and "is not kept for the next time" in caplog.text


def test_each_kind_is_told_before_it_is_measured_and_measured_once(monkeypatch):
    asked = playing(monkeypatch, [Played((1, 10), (1, 1))], [Played((5,), (1, 1))], [Played((1, 11), (1, 1))])
    said = []
    found = Speeds(said.append)
    assert [found.of(RECIPE, 1, 15, "1 of 3").images_per_second for _ in range(2)] == [10, 10]
    assert found.of(RECIPE, 2).images_per_second == 5
    what = "resnet18_v1d at 64 px, batch 64, float32"
    assert said == [
        f"measuring {what} (1 of 3, at most 15 s)",
        f"measuring {what}, 2 side by side (at most 30 s)",
        f"{what}, 2 side by side: measured, a guess from its first step alone, in which MXNet also gets ready",
    ]
    said.clear()
    assert Speeds(said.append).of(RECIPE, 1).images_per_second == 10 and len(asked) == 2
    date = kept(RECIPE, 1).date
    assert said == [f"{what}: measured before, on {date} (--measure measures anew)"]
    assert Speeds(said.append, anew=True).of(RECIPE, 1).images_per_second == 11


def test_a_busy_machine_is_told_of_now_and_the_next_time(monkeypatch):
    playing(monkeypatch, [Played((1, 10), (1, 1))])
    monkeypatch.setattr(os, "getloadavg", lambda: (16.8, 9.0, 9.0))
    monkeypatch.setattr(speeds, "usable_cores", lambda: 8)
    said = []
    for _ in range(2):
        Speeds(said.append).of(RECIPE, 1)
    what, busy = "resnet18_v1d at 64 px, batch 64, float32: measured", "while other programs were running (load 17)"
    assert said[1] == f"{what}, {busy}"
    assert said[2] == f"{what} before, on {kept(RECIPE, 1).date}, {busy} (--measure measures anew)"


def test_a_real_training_is_measured():
    """In its own process, one step and then more, on drawn pictures; another time it is known."""
    recipe = Recipe(model="mobilenet0.25", data="few_shapes", input_size=32, batch_size=16)
    found = measured(recipe, 1, 300)
    assert found.images_per_second > 1 and found.rounds >= 1 and 1e8 < found.memory < 8e9
    assert kept(recipe, 1).images_per_second == found.images_per_second


# ---- What a plan makes of it.


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """Three rows of ResNet-18-D and their teacher, of 1000 images and none for validation."""
    monkeypatch.setattr(estimate, "_images", lambda cell: (1000, 0))
    runs = Runs(tmp_path, get_scale("imagenette"), ("train.rec",), ("val.rec",))
    cosine, distill, mixup = (runs.cell(f"table6/resnet50_v1d/{row}", 0) for row in ("cosine", "distill", "mixup"))
    return [cosine, distill.source, distill, mixup]


class Known(Speeds):
    """Speeds by (model, jobs); and what was said."""

    def __init__(self, **rates):
        self.said = []
        super().__init__(self.said.append)
        self.rates = rates

    def of(self, recipe, jobs, seconds=30.0, place="", now=False):
        self.asked = [*getattr(self, "asked", []), (jobs, now)]
        rate = self.rates.get(f"{recipe.model}_{jobs}")
        return rate and Speed(rate, 1000, 3)


def test_a_plan_of_cells_side_by_side(cells):
    """6 epochs of 1000 images a row (mixup 10), 100 images/s: cosine 60 s; the teacher at 50/s 120 s; the student
    60 s and a third of 120 s for the teacher's part; mixup 100 s. Teacher 0-120 | cosine 0-60, mixup 60-160, student
    120-220."""
    assert [cell.recipe.epochs for cell in cells] == [6, 6, 6, 10]
    lines = estimate.plan(cells, 2, Known(resnet18_v1d_2=100.0, resnet34_v1d_2=50.0))
    assert [line.rpartition("about ")[2] for line in lines[:-1]] == [
        "1.0 minutes",
        "2.0 minutes",
        "1.7 minutes",
        "1.7 minutes",
    ]
    assert lines[-1].startswith("4 cells, about 3.7 minutes of training on this machine (")
    assert lines[-1].endswith("), 2 cells at a time with one thread each")
    one = estimate.plan(cells, 1, Known(resnet18_v1d_1=100.0, resnet34_v1d_1=50.0))[-1]
    assert one.startswith("4 cells, about 6.3 minutes of training") and one.endswith(")")  # 380 s


def test_a_plan_says_of_what_it_knows_no_time(cells):
    """Without the teacher's speed its own time and the student's are not known: 60 + 100 s are."""
    speeds = Known(resnet18_v1d_1=100.0)
    lines = estimate.plan(cells, 1, speeds)
    why, _ = speeds.said  # of its training and of its teaching, in float32
    assert why.startswith("resnet34_v1d at 64 px, batch 64, ")
    assert why.endswith(" cannot be measured: not even one step was over in 30 s; try again when the machine is idle")
    says = "resnet34_v1d could not be measured on this machine now"
    assert [line.endswith(says) for line in lines] == [False, True, True, False, False]
    assert lines[-1].startswith("4 cells, about 2.7 minutes of training on this machine (")
    assert lines[-1].endswith("), without 2 cells whose time is not known")
    none = estimate.plan(cells, 1, Known())[-1]
    assert none.startswith("4 cells, whose time is not known (")


def test_a_training_that_dies_when_it_is_measured_is_no_end_of_a_plan(cells, monkeypatch):
    """The teacher's own: the other rows' times are told, and why this one's is not."""
    known = Known.of

    def dies(self, recipe, *rest, **more):
        if recipe.model == "resnet34_v1d":
            raise RuntimeError("the contestant 0 died: Traceback\nMemoryError")
        return known(self, recipe, *rest, **more)

    monkeypatch.setattr(Known, "of", dies)
    speeds = Known(resnet18_v1d_1=100.0)
    lines = estimate.plan(cells, 1, speeds)
    assert [line.endswith("resnet34_v1d could not be measured on this machine now") for line in lines] == [
        *(False, True, True, False, False)
    ]
    why, _ = speeds.said  # of its training and of its teaching, in float32
    assert why.startswith("resnet34_v1d at 64 px, ") and why.endswith(" cannot be measured: MemoryError")


def test_a_record_whose_network_is_gone_counts_whole(cells):
    """28 epochs in all, the teacher's 6 among them: as those of a row that has a record and no checkpoint of it."""
    for cell, epochs in ((cells[1], 6), (cells[3], 4)):
        cell.folder.mkdir(parents=True)
        (cell.folder / "recipe.json").write_text(json.dumps({**cell.recipe.to_json(), "classes": 10}))
        (cell.folder / "metrics.csv").write_text("epoch,val_top1\n" + "1,0.5\n" * epochs)
    speeds = Known(resnet18_v1d_1=100.0, resnet34_v1d_1=50.0)
    assert cells[1].is_done() and estimate.amount(cells) == "4 cells, 28 epochs in all"
    assert estimate.plan(cells, 1, speeds)[1].endswith(": 6 epochs of 1000 images, about 2.0 minutes")
    (line,) = estimate.replaced(cells, cells)
    assert line.startswith("table6/resnet152_v1d/smooth, seed 0, is done, but its network, ")
    (cells[3].folder / "checkpoints").mkdir()
    (cells[3].folder / "checkpoints" / "step-000000004.safetensors").touch()
    assert estimate.work(cells) == [6000, 6000, 6000, 6000]


# ---- And the number of cells at a time.


def chosen(cells, monkeypatch, threads=2, memory=1e9, **rates):
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setattr(how_many, "available_memory", lambda: memory)
    known = Known(**rates)
    return how_many.cells_at_a_time(cells, known), known.said


def test_side_by_side_where_that_is_faster(cells, monkeypatch):
    """Two of one thread have 2 * 65 images/s where one with two threads has 100; of three cosine, mixup and a
    teacher, the pairs are of equal length."""
    jobs, said = chosen(cells[:2], monkeypatch, resnet18_v1d_1=100.0, resnet18_v1d_2=65.0)
    assert (jobs, said) == (
        2,
        [
            "measuring whether cells side by side are faster (at most 30 s)",
            "2 cells side by side, one thread each: 1.30 times the images/s of one after the other",
        ],
    )
    jobs, said = chosen(cells[:2], monkeypatch, resnet18_v1d_1=100.0, resnet18_v1d_2=45.0)
    assert jobs == 1 and said[-1].endswith("0.90 times the images/s of one after the other: " + how_many._ONE)


@pytest.mark.parametrize(
    "alone, beside, now",
    [
        (Speed(100.0, 1, 3), None, True),
        (None, Speed(65.0, 1, 3), True),
        (Speed(100.0, 1, 3), Speed(65.0, 1, 3, load=1.0), False),
        (Speed(100.0, 1, 3), Speed(65.0, 1, 0), True),  # a guess
        (Speed(9.0, 1, 3, load=64.0), Speed(65.0, 1, 3), True),  # of a busy machine
    ],
)
def test_only_what_was_measured_alike_is_compared(alone, beside, now, cells, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(how_many, "kept", lambda recipe, jobs: {1: alone, 2: beside}[jobs])
    monkeypatch.setattr(speeds, "usable_cores", lambda: 2)
    known = Known(resnet18_v1d_1=100.0, resnet18_v1d_2=65.0)
    assert how_many.cells_at_a_time(cells[:2], known) == 2 and known.asked == [(1, now), (2, now)]


def test_three_cells_in_pairs_may_end_no_sooner(cells, monkeypatch):
    """Three of 6000 images: one after the other 180 s; in pairs 2 * 6000 / 65 = 185 s."""
    runs = Runs(cells[0].folder, get_scale("imagenette"), ("train.rec",), ("val.rec",))
    three = [runs.cell("table6/resnet50_v1d/cosine", seed) for seed in range(3)]
    jobs, said = chosen(three, monkeypatch, resnet18_v1d_1=100.0, resnet18_v1d_2=65.0)
    assert jobs == 1
    assert said[-1].endswith("other, but as one is left alone at the end, these cells end no sooner: " + how_many._ONE)


def test_what_needs_no_measurement(cells, monkeypatch):
    assert chosen(cells, monkeypatch, threads=1) == (1, [])  # OMP_NUM_THREADS is a limit
    assert chosen(cells[:1], monkeypatch) == (1, [])
    assert chosen(cells[1:3], monkeypatch) == (1, [])  # a teacher and its student
    monkeypatch.setattr(how_many, "choose_contexts", lambda count, say: [mx.gpu(0)])
    assert chosen(cells, monkeypatch) == (1, [])


def test_memory_and_time_that_do_not_suffice(cells, monkeypatch):
    jobs, said = chosen(cells, monkeypatch, memory=1999, resnet18_v1d_1=100.0, resnet18_v1d_2=90.0)
    assert jobs == 1
    assert said[-1] == f"two cells at a time take about 2 kB of memory, and 2 kB are available: {how_many._ONE}"
    jobs, said = chosen(cells, monkeypatch)
    assert jobs == 1 and "resnet18_v1d at 64 px, batch 64" in said[-1]
    assert said[-1].endswith(f"could not be measured in 30 s on this machine now: {how_many._ONE}")
    jobs, said = chosen(cells, monkeypatch, resnet18_v1d_1=100.0)
    assert jobs == 1 and said[-1].startswith("2 side by side could not be measured in what was left of 30 s")


def test_a_measurement_that_fails_is_no_obstacle(cells, monkeypatch):
    def dies(self, *rest, **more):
        raise RuntimeError("the contestant 0 died: Traceback\nMemoryError")

    monkeypatch.setattr(Known, "of", dies)
    jobs, said = chosen(cells, monkeypatch)
    assert (jobs, said[-1]) == (1, f"that cannot be measured (MemoryError): {how_many._ONE}")


def begun(cell, **event):
    (cell.folder / "checkpoints").mkdir(parents=True)
    (cell.folder / "checkpoints" / "step-000000009.safetensors").touch()
    (cell.folder / "events.jsonl").write_text(json.dumps({"event": "start", **event}) + "\n")


@pytest.mark.parametrize("event, jobs", [({"threads": 1}, 2), ({"threads": 2}, 1), ({}, 1)])
def test_cells_go_on_with_as_many_threads_as_they_were_begun(event, jobs, cells, monkeypatch):
    """Of versions that did not say how many: all. So the result is bit for bit that without interruption."""
    begun(cells[1], **event)
    found, said = chosen(cells, monkeypatch, resnet18_v1d_1=100.0, resnet18_v1d_2=90.0)
    assert found == jobs and len(said) == 1 and said[0].endswith("as they were begun")


def test_cells_that_have_begun_are_no_more_than_the_memory_holds(cells, monkeypatch):
    """Of four cores and 1000 bytes a training 2999 bytes hold two; how much one takes may not be known."""
    runs = Runs(cells[0].folder, get_scale("imagenette"), ("train.rec",), ("val.rec",))
    four = [runs.cell("table6/resnet50_v1d/cosine", seed) for seed in range(4)]
    begun(four[0], threads=1)
    for memory, jobs, says in (
        (9e9, 4, "4 cells at a time with one thread each, as they were begun"),
        (2999, 2, "2 cells at a time with one thread each, as they were begun"),
        (1999, 1, f"two cells at a time take about 2 kB of memory, and 2 kB are available: {how_many._ONE}"),
    ):
        assert chosen(four, monkeypatch, threads=4, memory=memory, resnet18_v1d_1=100.0) == (jobs, [says])
    jobs, said = chosen(four, monkeypatch, threads=4)
    assert jobs == 1 and said[-1].endswith(f"could not be measured in 30 s on this machine now: {how_many._ONE}")


FEWER = "begun with 4 threads, it goes on with 2: the last bits of its result are others"


@pytest.mark.parametrize(
    "event, threads, given, kept, says",
    [
        ({"threads": 4}, 8, False, 4, "going on with 4 threads, as it was begun: with 8 the last bits would be others"),
        ({"threads": 1}, 8, False, 1, "going on with 1 thread, as it was begun: with 8 the last bits would be others"),
        ({"threads": 4}, 2, False, 0, FEWER),
        ({"threads": 4}, 2, True, 0, FEWER),
        ({"threads": 4}, 4, True, 0, ""),
        ({}, 8, False, 0, ""),
    ],
)
def test_a_cell_by_itself_keeps_its_threads(event, threads, given, kept, says, cells, monkeypatch, capsys):
    """Not more than there are, nor where OMP_NUM_THREADS says how many."""
    begun(cells[0], **event)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setattr(train_cells, "inherited_environment", lambda: {"OMP_NUM_THREADS": "x"} if given else {})
    assert train_cells._kept_threads(cells[0]) == kept and capsys.readouterr().out.strip() == says
    assert train_cells._kept_threads(cells[3]) == 0


def test_the_kind_of_a_training_has_no_epochs():
    assert kind_of(RECIPE) == kind_of(RECIPE.set(epochs=3)) != kind_of(RECIPE.set(input_size=96))


def test_all_rounds_that_are_asked_for_fit_a_pipe():
    assert contest._MOST_ROUNDS < 4096  # bytes, the least that one holds: writing cannot hang
