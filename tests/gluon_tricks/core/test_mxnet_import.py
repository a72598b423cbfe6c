"""What `import mxnet` leaves out is there when it is used."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc, sys
import gluon_tricks, mxnet as mx
assert not {"sklearn", "pandas", "scipy.stats"} & {*sys.modules}, "imported in vain"
assert gc.isenabled() and issubclass(mx.model.FeedForward, object)
assert abs(mx.test_utils.ss.norm.ppf(0.975) - 1.959964) < 1e-6
from mxnet.contrib import quantization
assert quantization.stats.entropy([0.5, 0.5]) > 0.69
import scipy.stats, sklearn.base
assert scipy.stats.norm.cdf(0) == 0.5 and sklearn.base.BaseEstimator
"""


def test_mxnet_without_what_it_hardly_uses():
    pytest.importorskip("sklearn")  # its import takes long, so it is looked for in vain where it is installed
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
