"""bfloat16 as this CPU computes it (AMX tiles where it has them) against float32."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gluon_tricks.devices import cpu_has_bfloat16

SHAPES = [  # channels, size, filters, kernel, stride, pad, dilation
    (3, 33, 32, 3, 2, 1, 1),
    (3, 64, 64, 7, 2, 3, 1),
    (32, 17, 64, 3, 1, 1, 1),
    (64, 16, 256, 1, 1, 0, 1),
    (48, 15, 40, 1, 2, 0, 1),
    (128, 9, 128, 3, 2, 1, 1),
    (64, 12, 64, 3, 1, 2, 2),
]

CHILD = """
import sys, json
import gluon_tricks, mxnet as mx, numpy as np
if sys.argv[1] == "bfloat16":
    from gluon_tricks.devices import start_precision
    start_precision("bfloat16")
rng, out = np.random.default_rng(0), {}
def bf16(a):  # cut to bfloat16's 8 significant bits, so that both precisions start from the same numbers
    return (np.asarray(a, "float32").view("uint32") & 0xFFFF0000).view("float32")
for k, (c, s, f, kernel, stride, pad, dilation) in enumerate(json.loads(sys.argv[2])):
    net = mx.gluon.nn.Conv2D(f, kernel, stride, pad, dilation, use_bias=False, in_channels=c)
    net.initialize()
    net.weight.set_data(mx.nd.array(bf16(rng.normal(size=net.weight.shape))))
    net.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.array(bf16(rng.normal(size=(4, c, s, s))))
    x.attach_grad()
    with mx.autograd.record():
        y = net(x).astype("float32")
    head = mx.nd.array(bf16(rng.normal(size=y.shape)))
    y.backward(head)
    for name, value in (("y", y), ("dx", x.grad), ("dw", net.weight.grad())):
        out[f"{k}/{name}"] = value.asnumpy()
np.savez(sys.argv[3], **out)
"""


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16")
def test_convolutions_agree_with_float32(tmp_path):
    """Products of bfloat16 are exact and summed in float32, so only the result is rounded: to 2**-8 of its size."""
    arrays = {}
    for precision in ("float32", "bfloat16"):
        path = str(tmp_path / f"{precision}.npz")
        subprocess.run([sys.executable, "-c", CHILD, precision, json.dumps(SHAPES), path], check=True, timeout=120)
        arrays[precision] = np.load(path)
    exact = 0
    for name in arrays["float32"].files:
        want, got = arrays["float32"][name], arrays["bfloat16"][name]
        assert np.abs(got - want).max() <= 2**-8 * np.abs(want).max(), name
        exact += np.array_equal(got, want)
    assert exact < len(arrays["float32"].files)  # the child did compute in bfloat16
