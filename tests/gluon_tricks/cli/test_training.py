"""What all training commands do before the first step."""

import types

import mxnet as mx
import pytest

from gluon_tricks.cli import training
from gluon_tricks.core.errors import Refused


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
