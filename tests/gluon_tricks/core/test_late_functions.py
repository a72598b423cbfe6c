"""Functions compiled at their first call: those of MXNet's operators, and what they are called with."""

import inspect
import subprocess
import sys
import threading

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.late_functions import define

TWICE = '''
def twice(x, times=2, *, name="twice", **rest):
    """x, so many times."""
    called.append(name)
    return x * times, rest'''


def late(code=TWICE, **globals):
    local = {}
    define(code, globals, local)
    (function,) = local.values()
    return function


def test_it_is_compiled_when_it_is_called():
    called = []
    function = late(called=called)
    before = function.__code__
    assert function(3) == (6, {}) and function.__code__ is not before
    assert function(3, 4, name="again", more=1) == (12, {"more": 1}) and called == ["twice", "again"]
    with pytest.raises(TypeError, match="twice.*missing 1 required positional argument: 'x'"):
        function()


def test_its_signature_is_known_before_and_after():
    function = late(called=[])
    before = str(inspect.signature(function))
    function(1)
    assert before == str(inspect.signature(function)) == "(x, times=2, *, name='twice', **rest)"


def test_an_error_of_its_own_is_raised_every_time():
    function = late("\ndef fails(x):\n    return 1 / x")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            function(0)
    assert function(4) == 0.25


def test_many_threads_call_it_first():
    for _ in range(50):
        function, ready, found = late(called=[]), threading.Barrier(8), []

        def call(function=function, ready=ready, found=found):
            ready.wait()
            found.append(function(2, times=5))

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [(10, {})] * 8


# In a process of its own, in which nothing has called them.
OF_MXNET = """
import inspect, re
import gluon_tricks, mxnet as mx
spaces = [part for s in (mx.nd, mx.sym) for part in (s, s.contrib, s._internal, s.linalg, s.image)]
late = {f for space in spaces for f in vars(space).values() if hasattr(f, "__wrapped__")}
assert len(late) > 1500, len(late)
for function in late:  # each definition is compiled for it
    assert inspect.signature(function).parameters and function.__doc__
for function in mx.nd.Convolution, mx.sym.Convolution:
    assert hasattr(function, "__wrapped__")
    assert [*inspect.signature(function).parameters][:5] == ["data", "weight", "bias", "kernel", "stride"]
    assert "Compute *N*-D convolution on *(N+2)*-D input." in function.__doc__
assert mx.nd.relu(mx.nd.array([-1, 2])).asnumpy().tolist() == [0, 2]
assert not hasattr(mx.nd.relu, "__wrapped__") and mx.nd.relu.__name__ == "relu"
assert mx.sym.relu(mx.sym.Variable("x")).list_arguments() == ["x"]
try:
    mx.nd.relu("x")
except AssertionError as error:
    assert "Argument data must have NDArray type, but got x" in str(error)
else:
    raise SystemExit("no error")
"""


def test_those_of_operators_are_compiled_late_and_each_can_be():
    done = subprocess.run([sys.executable, "-c", OF_MXNET], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_call_by_keywords_and_out():
    x = mx.nd.array([1.0, -2.0])
    out = mx.nd.zeros(2)
    mx.nd.abs(data=x, out=out)
    assert np.array_equal(out.asnumpy(), [1, 2])
