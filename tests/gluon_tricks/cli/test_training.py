"""What all training commands do before the first step."""

import json
import pathlib
import types

import mxnet as mx
import pytest

from gluon_tricks.cli import command_line, train, training
from gluon_tricks.core.errors import Refused
from gluon_tricks.training.requirements import require_place


class Began(Exception):
    pass


@pytest.mark.parametrize(
    "context, synchronised, often", [(mx.cpu(), False, False), (mx.cpu(), True, True), (mx.gpu(0), False, True)]
)
def test_messages_are_looked_for_often_where_that_takes_no_time(context, synchronised, often, monkeypatch):
    """The cores of a host whose GPUs compute are idle."""

    def start(chatty):
        assert chatty is often
        raise Began

    monkeypatch.setattr(training, "choose_contexts", lambda count, say: [context])
    monkeypatch.setattr(training.distributed, "start", start)
    monkeypatch.setattr(training.heartbeat, "start", lambda: None)
    args = types.SimpleNamespace(save_dir=None, logging_file=None, num_gpus=None)
    with pytest.raises(Began):
        training._what_to_train(args, None, None, synchronised)


def test_gpus_that_are_not_there_are_refused_before_ranks_meet(monkeypatch):
    monkeypatch.setattr(training.distributed, "start", lambda chatty: pytest.fail("the ranks met"))
    monkeypatch.setattr(training.heartbeat, "start", lambda: None)
    args = types.SimpleNamespace(save_dir=None, logging_file=None, num_gpus=99)
    with pytest.raises(Refused, match="99"):
        training._what_to_train(args, None, None, False)


@pytest.mark.parametrize(
    "events, devices",
    [
        ([("start", 1, ["gpu(0)", "gpu(1)"]), ("resume", 1, ["cpu(0)"])], 2),
        ([("warning", 7, []), ("start", 8, ["gpu(0)"]), ("start", 4, ["gpu(0)"])], 8),
        ([("resume", 4, ["gpu(0)"])], 0),
        ([("start", None, ["gpu(0)"]), ("start", 4, ["gpu(0)"])], 0),
        ([], 0),
    ],
)
def test_the_devices_that_a_run_began_on(events, devices, tmp_path):
    """Those of its first start: a run that was lost before its first checkpoint has two."""
    lines = [json.dumps(dict(event=kind, ranks=ranks, contexts=contexts)) for kind, ranks, contexts in events]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    assert training._began_on(tmp_path) == devices


def test_the_devices_that_a_run_began_on_are_told_of_its_recipe(tmp_path, monkeypatch):
    """A line of GluonCV's whose rate is a rank's: the run began on 8, and goes on with one."""
    args = command_line.parse(["--script", "train_horovod", "--recipe", "shapes", "--lr", "0.05"])
    begun, _ = command_line.recipe_from_flags(args, 8)
    (tmp_path / "recipe.json").write_text(json.dumps(begun.to_json()))
    (tmp_path / "events.jsonl").write_text('{"event": "start", "ranks": 8, "contexts": ["cpu(0)"]}')
    seen = []
    monkeypatch.setattr(training, "train_and_evaluate", lambda recipe, *_: seen.append(recipe) or 1 / 0)
    words = ["--script", "train_horovod", "--recipe", "shapes", "--lr", "0.05", "--batch-size", "128"]
    with pytest.raises(ZeroDivisionError):
        train.main([*words, "--resume", "auto", "--save-dir", str(tmp_path), "--num-gpus", "0"])
    assert seen == [begun]


@pytest.mark.parametrize(
    "run, log", [("a/b", "a/b/log.txt"), ("a/b", "a/log.txt"), ("a/b", "log.txt"), (None, "runs/log.txt")]
)
def test_a_log_may_lie_in_a_folder_that_is_made_for_the_run(run, log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_place(run and pathlib.Path(run), pathlib.Path(log), resume=False)
    assert not any(tmp_path.iterdir())
    with pytest.raises(Refused, match="--logging-file c/log.txt: there is no such folder"):
        require_place(run and pathlib.Path(run), pathlib.Path("c/log.txt"), resume=False)


def test_a_log_does_not_go_into_what_a_run_or_records_need(tmp_path):
    """The run's own log.txt may have it twice, as some restarted commands have it."""
    run, other = tmp_path / "run", tmp_path / "other"
    other.mkdir()
    for file in (other / "recipe.json", other / "events.jsonl", tmp_path / "val.rec", tmp_path / "val.json"):
        file.write_text("{}")
    for log in (other / "events.jsonl", other / "log.txt", run / "events.jsonl", tmp_path / "val.json"):
        with pytest.raises(Refused, match=f"--logging-file {log}: the .* a file of (?:its|their) own under that name"):
            require_place(run, log, resume=False)
    require_place(run, run / "log.txt", resume=False)
    require_place(other, other / "log.txt", resume=True)
