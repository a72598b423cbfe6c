"""bfloat16 as this CPU computes it (AMX tiles where it has them) against float32."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gluon_tricks.machine.devices import cpu_has_bfloat16

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
import logging, sys, json
import gluon_tricks, mxnet as mx, numpy as np
if sys.argv[1] == "bfloat16":
    from gluon_tricks.machine.devices import start_precision
    start_precision("bfloat16")
    assert not logging.root.handlers, "a warning of ours would be told twice"
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


TRANSFER_CHILD = """
import sys
import mxnet as mx, numpy as np
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tasks.detection.loss import detection_losses
from gluon_tricks.machine.devices import start_precision
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.tasks.segmentation.loss import segmentation_loss
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
common = dict(model="resnet18_v1d", classes=2, class_names=("a", "b"), dtype=sys.argv[1])
if sys.argv[2] == "detection":
    recipe = DetectionRecipe(short=128, long=160, roi="small", frozen_stages=0, **common)
else:
    recipe = SegmentationRecipe(crop=64, base_size=64, **common)
start_precision(sys.argv[1], task_of(recipe).architecture(recipe))
net = task_of(recipe).on_trained_base(recipe, [mx.cpu()])
rng = np.random.default_rng(0)
images = mx.nd.array(np.kron(rng.normal(size=(2, 3, 4, 5)), np.ones((32, 32))))
with mx.autograd.record():
    if sys.argv[2] == "detection":
        boxes = np.array([[[10, 20, 60, 90, 0], [80, 30, 150, 110, 1]], [[30, 30, 120, 120, 1], [-1] * 5]], "float32")
        parts = detection_losses(net, images, boxes, np.random.default_rng(1))
        assert all(part.dtype == np.float32 for part in parts)
        loss = parts.rpn_class + parts.rpn_box  # the regions that the others are of may change places
    else:
        masks = (images[:, 0] > 0) - (images[:, 1] > 1)  # -1 is void
        loss = segmentation_loss(net(images), masks, aux_weight=recipe.aux_weight)
loss.backward()
out = {name: p.grad().asnumpy() for name, p in parameters_by_name(net).items() if p.grad_req != "null"}
found = net(images[:1])
found = found[1:] if sys.argv[2] == "detection" else found[:1]
assert all(part.dtype == np.float32 for part in found) or sys.argv[2] == "segmentation"
np.savez(sys.argv[3], loss=loss.asnumpy(), found=found[0].astype("float32").asnumpy(), **out)
"""


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16")
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_detectors_and_segmenters_agree_with_float32(task, tmp_path):
    """Boxes are computed in float32; what comes before differs by roundings and by what each flips, most in
    the gradients of the first layers, where normalisation is over a batch of two."""
    arrays = {}
    for precision in ("float32", "bfloat16"):
        path = str(tmp_path / f"{precision}.npz")
        subprocess.run([sys.executable, "-c", TRANSFER_CHILD, precision, task, path], check=True, timeout=300)
        arrays[precision] = np.load(path)
    want, got = arrays["float32"], arrays["bfloat16"]
    assert got["loss"] == pytest.approx(want["loss"], rel=0.02) and not np.array_equal(got["loss"], want["loss"])
    assert got["found"].shape == want["found"].shape
    off = {
        name: np.linalg.norm(got[name] - want[name]) / np.linalg.norm(want[name])
        for name in want.files
        if np.any(want[name])
    }
    heads = [part for name, part in off.items() if name.startswith(("head.block.4", "aux_head.block.4", "rpn."))]
    assert len(heads) >= 4 and max(heads) < 0.2
    assert max(off.values()) < {"detection": 0.3, "segmentation": 0.7}[task]  # 1.4 were another direction


ROUNDS_CHILD = """
import mxnet as mx, numpy as np
from gluon_tricks.machine.devices import start_precision
from gluon_tricks.ranks.gradients import Gradients
start_precision("bfloat16")
net = mx.gluon.nn.HybridSequential()
net.add(mx.gluon.nn.Conv2D(2, 1, in_channels=1), mx.gluon.nn.Dense(1, in_units=8))
net.initialize(mx.init.One())
net.hybridize(static_alloc=True, static_shape=True)
gradients = Gradients(list(net.collect_params().values()), accumulate=True)
gradients.clear()
for pixel in (1, 2):  # of 4 in an image
    with mx.autograd.record():
        out = net(mx.nd.full((1, 1, 2, 2), pixel))
    out.backward()
    gradients.add_round()
for parameter in net.collect_params().values():
    print(*parameter.grad().asnumpy().ravel().tolist())
"""


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16")
def test_rounds_add_up_in_bfloat16():
    """y = sum of 2 x 4 pixels p of two channels: dy/dw = 4 p a channel, 4 for its bias, dy/dv = p; p is 1, then 2."""
    done = subprocess.run([sys.executable, "-c", ROUNDS_CHILD], check=True, timeout=300, capture_output=True, text=True)
    conv, conv_bias, dense, dense_bias = done.stdout.splitlines()
    assert (conv, conv_bias, dense, dense_bias) == ("12.0 12.0", "8.0 8.0", " ".join(["3.0"] * 8), "2.0")
