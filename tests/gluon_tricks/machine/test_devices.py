"""Which devices and which precision a machine gets, for machines that are not here."""

import json
import pathlib
import subprocess
import sys
import types

import mxnet as mx
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.machine import devices
from gluon_tricks.machine.devices import Gpu, choose_contexts, choose_precision, require_usable
from gluon_tricks.ranks import distributed

ROOT = pathlib.Path(__file__).resolve().parents[3]
V100, H100 = Gpu(0, (7, 0)), Gpu(1, (9, 0))


def choose(num_gpus, gpus, cuda_build=True):
    said = []
    return choose_contexts(num_gpus, gpus=gpus, cuda_build=cuda_build, say=said.append), said


def test_every_usable_gpu_else_the_cpu():
    assert choose(None, [V100, Gpu(1, (8, 9))]) == ([mx.gpu(0), mx.gpu(1)], [])
    assert choose(None, []) == ([mx.cpu()], [])
    assert choose(0, [V100]) == ([mx.cpu()], [])
    assert choose(1, [V100, Gpu(1, (8, 0))])[0] == [mx.gpu(0)]


def test_hopper_is_left_out_and_named():
    contexts, said = choose(None, [H100])
    assert contexts == [mx.cpu()] and "compute capability 9.0" in said[0] and "5.0 to 8.9" in said[0]


def test_a_cpu_build_is_told_of_the_cuda_build_only_where_that_would_help():
    assert "cu117" in choose(None, [V100, H100], cuda_build=False)[1][0]
    contexts, (said,) = choose(None, [H100], cuda_build=False)
    assert contexts == [mx.cpu()] and "cannot be used" in said and "cu117" not in said
    with pytest.raises(Refused, match="compute capability 9.0. cannot be used"):
        choose(1, [H100], cuda_build=False)


@pytest.mark.parametrize("nccl, cuda", [(21605, True), (0, True), (0, False)])
def test_ranks_on_gpus_need_a_horovod_that_can_send_from_them(nccl, cuda, monkeypatch):
    """Built with NCCL; with CUDA alone, which copies through the CPU; with Gloo only. One rank needs none."""
    require_usable([mx.gpu(0)], gpus=[V100])
    horovod = types.SimpleNamespace(nccl_built=lambda: nccl, cuda_built=lambda: cuda)
    monkeypatch.setattr(distributed, "_horovod", horovod)
    if cuda:
        require_usable([mx.gpu(0)], gpus=[V100])
    else:
        with pytest.raises(Refused, match="built without CUDA .* HOROVOD_GPU_OPERATIONS=NCCL"):
            require_usable([mx.gpu(0)], gpus=[V100])


def test_contexts_given_by_hand_are_checked():
    require_usable([mx.gpu(0)], gpus=[V100, H100])
    with pytest.raises(Refused, match="GPU 1 .compute capability 9.0. cannot be used"):
        require_usable([mx.gpu(0), mx.gpu(1)], gpus=[V100, H100])
    with pytest.raises(Refused, match="there is no GPU 2: this machine has 2"):
        require_usable([mx.gpu(2)], gpus=[V100, H100])


def test_more_than_there_are_is_an_error():
    with pytest.raises(Refused, match="has 1 that MXNet can use .*compute capability 9.0.* give 0 to 1"):
        choose(2, [V100, H100])
    with pytest.raises(Refused, match="CPU build"):
        choose(1, [V100], cuda_build=False)
    with pytest.raises(Refused, match="has 0 that MXNet can use; give 0, the CPU$"):
        choose(-1, [])


@pytest.mark.parametrize(
    "dtype, context, bfloat16, used",
    [
        ("float32", mx.cpu(), True, "float32"),
        ("float16", mx.gpu(0), False, "float16"),
        ("float16", mx.cpu(), True, "bfloat16"),
        ("float16", mx.cpu(), False, "float32"),
        ("bfloat16", mx.cpu(), True, "bfloat16"),
        ("bfloat16", mx.cpu(), False, "float32"),
    ],
)
def test_precision(dtype, context, bfloat16, used):
    got, line = choose_precision(dtype, [context], has_bfloat16=bfloat16)
    assert got == used
    assert bool(line) == (used != dtype) and (not line or (dtype in line and used in line))


@pytest.mark.parametrize(
    "info, name, bfloat16",
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx f16c avx2 bmi2\n", "AMD EPYC (AVX2)", False),
        ("model name\t: AMD EPYC\nflags\t\t: avx avx2 avx512f avx512_bf16\n", "AMD EPYC (AVX512_BF16)", True),
        ("model name : Xeon(R)\nflags : avx2 avx512f avx512_bf16 amx_bf16\n", "Xeon(R) (AMX_BF16)", True),
        ("model name\t: Neoverse-N1\nFeatures\t: fp asimd\n", "Neoverse-N1", False),
        ("", "", False),
    ],
)
def test_the_name_of_a_cpu_says_what_it_multiplies(info, name, bfloat16, monkeypatch):
    monkeypatch.setattr(devices, "_cpu_info", lambda: info)
    assert devices.cpu_name() == name and devices.cpu_has_bfloat16() is bfloat16


def test_bfloat16_on_a_gpu_is_refused():
    with pytest.raises(Refused, match="use --dtype float16"):
        choose_precision("bfloat16", [mx.gpu(0)])


def test_amx_is_left_off_where_grouped_convolutions_are_trained_in_bfloat16():
    """In processes of their own, as bfloat16 cannot be left again: what oneDNN will read at its first operator."""
    code = """
import json, os, sys
import gluon_tricks
os.environ["DNNL_MAX_CPU_ISA"] = "AVX512_CORE_AMX"
from gluon_tricks.machine.devices import start_precision
from model_zoo import get_model
for model, precision in json.loads(sys.argv[1]):
    if os.fork() == 0:
        start_precision(precision, get_model(model) if model else None)
        print(os.environ["DNNL_MAX_CPU_ISA"], flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""
    expected = {
        ("mobilenet0.25", "bfloat16"): "AVX512_CORE_BF16",
        ("resnext50_32x4d", "bfloat16"): "AVX512_CORE_BF16",
        ("mobilenet0.25", "float32"): "AVX512_CORE_AMX",
        ("resnet18_v1d", "bfloat16"): "AVX512_CORE_AMX",
        ("", "bfloat16"): "AVX512_CORE_AMX",  # for prediction AMX is the faster one
    }
    words = [sys.executable, "-c", code, json.dumps([*expected])]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert dict(zip(expected, done.stdout.split())) == expected
