"""Devices by what a program names."""

import mxnet as mx
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo.contexts import context_of, contexts_of


def test_one_several_or_none():
    assert contexts_of(None) == [mx.cpu()] == contexts_of(mx.cpu()) == contexts_of((mx.cpu(),))
    assert contexts_of([mx.cpu(0), mx.cpu(1)]) == [mx.cpu(0), mx.cpu(1)] and context_of(mx.cpu(1)) == mx.cpu(1)


@pytest.mark.parametrize(
    "named, says",
    [
        ("cpu", r"ctx takes a context such as mx.cpu\(\) or mx.gpu\(0\), but got 'cpu'"),
        ([mx.cpu(), "cpu(0)"], r"but got 'cpu\(0\)'"),
        (0, "but got 0"),
        (mx.cpu, "but got a function"),
        (mx.gpu(99), r"ctx is gpu\(99\), and MXNet finds \d+ GPUs?: name another, or mx.cpu\(\)"),
        ([], "ctx is an empty list"),
    ],
)
def test_what_is_no_device_is_refused(named, says):
    with pytest.raises(Refused, match=says):
        contexts_of(named)


def test_one_is_not_several():
    with pytest.raises(Refused, match=r"context takes one context, but got \[cpu\(0\)\]"):
        context_of([mx.cpu()])
