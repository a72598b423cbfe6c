"""Devices and precision: what the machine has, what MXNet's build can use of it, and what was asked for."""

from __future__ import annotations

import ctypes
import dataclasses
import logging
import os
import pathlib
import re
from collections.abc import Callable, Sequence

import mxnet as mx
from mxnet.contrib import amp

from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import distributed

# The machine code in libmxnet.so of mxnet-cu112 and mxnet-cu117 1.9.1; there is no PTX, so nothing newer runs.
_OLDEST, _NEWEST = (5, 0), (8, 9)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU as the driver names it: its index there, and its compute capability (major, minor)."""

    index: int
    capability: tuple[int, int]

    @property
    def usable(self) -> bool:
        return _OLDEST <= self.capability <= _NEWEST

    def __str__(self) -> str:
        return f"GPU {self.index} (compute capability {self.capability[0]}.{self.capability[1]})"


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine, asked of the CUDA driver; none without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    gpus = []
    for index in range(count.value):
        numbers = []
        for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
            number = ctypes.c_int()
            driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, index)
            numbers.append(number.value)
        gpus.append(Gpu(index, (numbers[0], numbers[1])))
    return gpus


def choose_contexts(
    num_gpus: int | None,
    *,
    gpus: Sequence[Gpu] | None = None,
    cuda_build: bool | None = None,
    say: Callable[[str], None] = print,
) -> list[mx.Context]:
    """The contexts to train on.

    Args:
        num_gpus: None: every usable GPU, else the CPU; 0: the CPU; more than there are is an error.
        gpus: the machine's GPUs (asked of the driver).
        cuda_build: whether this MXNet was built with CUDA (asked of MXNet).
        say: takes one line about a GPU that is there and cannot be used.

    Raises:
        Refused: fewer usable GPUs than num_gpus.
    """
    gpus = find_gpus() if gpus is None else gpus
    cuda_build = mx.runtime.Features().is_enabled("CUDA") if cuda_build is None else cuda_build
    if num_gpus == 0:
        return [mx.cpu()]
    problem = _why_unusable(gpus, cuda_build)
    usable = [gpu for gpu in gpus if gpu.usable] if cuda_build else []
    if num_gpus is not None and (num_gpus < 0 or num_gpus > len(usable)):
        raise Refused(
            f"--num-gpus {num_gpus}: this machine has {len(usable)} that MXNet can use"
            + (f" ({problem})" if problem else "")
            + (f"; give 0 to {len(usable)}, 0 being the CPU" if usable else "; give 0, the CPU")
        )
    if problem:
        say(problem)
    return [mx.gpu(gpu.index) for gpu in usable[:num_gpus]] or [mx.cpu()]


def _why_unusable(gpus: Sequence[Gpu], cuda_build: bool) -> str:
    if not cuda_build and any(gpu.usable for gpu in gpus):
        return "there is a GPU, but this MXNet is the CPU build: pip install '.[cu117]' in an environment of its own"
    new = [str(gpu) for gpu in gpus if not gpu.usable]
    if new:
        return f"{', '.join(new)} cannot be used: MXNet 1.9.1 has code for compute capability 5.0 to 8.9"
    return ""


def require_usable(contexts: Sequence[mx.Context], *, gpus: Sequence[Gpu] | None = None) -> None:
    """Refuses GPUs that MXNet's build has no code for, or whose arrays Horovod's build cannot send between ranks.

    Both would fail late, as "no kernel image" or as a crash.
    """
    distributed.require_messages_of_gpus()
    found = {gpu.index: gpu for gpu in (find_gpus() if gpus is None else gpus)}
    for context in contexts:
        if context.device_id not in found:
            raise Refused(f"there is no GPU {context.device_id}: this machine has {len(found)}")
        if not found[context.device_id].usable:
            raise Refused(
                f"{found[context.device_id]} cannot be used: MXNet 1.9.1 has code for compute capability 5.0 to 8.9"
            )


_VECTORS = ("AMX_BF16", "AVX512_BF16", "AVX512F", "AVX2", "AVX")  # the widest first


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 (AVX512_BF16 or AMX_BF16)."""
    text = _cpu_info()
    return "avx512_bf16" in text or "amx_bf16" in text


def cpu_name() -> str:
    """The CPU's model as it calls itself and its widest vectors, as "AMD EPYC (AVX2)"; "": not known.

    In virtual machines CPUs of several years have one name, and differ twofold in speed.
    """
    text = _cpu_info()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = set(re.findall(r"\w+", text))
    widest = next((vectors for vectors in _VECTORS if vectors.lower() in flags), "")
    return found[1].strip() + (f" ({widest})" if widest else "") if found else ""


def _cpu_info() -> str:
    try:
        return pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def choose_precision(
    dtype: str, contexts: Sequence[mx.Context], *, has_bfloat16: bool | None = None
) -> tuple[str, str]:
    """The precision a run will really use, and one line that says why where it is not the one asked for.

    Args:
        dtype: "float32", "float16" or "bfloat16".
        contexts: the devices; all GPUs or all CPUs.
        has_bfloat16: whether the CPU multiplies bfloat16 (read from the CPU's flags).

    Returns:
        (precision, line): line is "" where precision is dtype.

    Raises:
        Refused: bfloat16 on a GPU.
    """
    on_gpu = contexts[0].device_type == "gpu"
    if dtype == "float32" or (dtype == "float16" and on_gpu):
        return dtype, ""
    if on_gpu:
        raise Refused("bfloat16 runs on CPUs only with MXNet 1.9.1: use --dtype float16 on a GPU")
    has_bfloat16 = cpu_has_bfloat16() if has_bfloat16 is None else has_bfloat16
    if not has_bfloat16:
        return "float32", f"{dtype} was asked for; this CPU has no bfloat16, so float32 is used"
    if dtype == "float16":
        return "bfloat16", "float16 was asked for; MXNet has no float16 on CPUs, so bfloat16 is used"
    return dtype, ""


_precision_of_process = ["float32"]
_WITHOUT_INPUTS = ("_arange", "_eye", "_full", "_linspace", "_ones", "_random_", "_zeros")


def start_precision(precision: str, net: mx.gluon.HybridBlock | None = None) -> None:
    """Makes networks built from here on compute in bfloat16, if that is the precision.

    Args:
        precision: "float32", "float16" or "bfloat16".
        net: the network that this process is going to train, or a detector's or segmenter's base network, in which
            grouped and dilated convolutions are looked for.

    Raises:
        Refused: the process is in bfloat16 already (MXNet's AMP rewrites its operators and cannot be undone) and
            another precision is asked for.
    """
    if precision == "bfloat16" and net is not None and needs_amx_off(net):
        _leave_amx_off()
    if precision == "bfloat16" and _precision_of_process[0] != "bfloat16":
        # Of those that AMP runs in float32 its wrapper cannot take the ones without inputs, which are float32 anyway.
        in_float32 = amp.list_fp32_ops(amp.amp.bfloat16)
        handlers = logging.root.handlers[:]
        amp.init("bfloat16", fp32_ops=[name for name in in_float32 if not name.startswith(_WITHOUT_INPUTS)])
        logging.root.handlers[:] = handlers  # its logging.info adds one, which would tell each of our warnings again
        _precision_of_process[0] = "bfloat16"
    if precision != "bfloat16" and _precision_of_process[0] == "bfloat16":
        raise Refused(
            f"this process has switched to bfloat16, which cannot be undone: run {precision} in a process of its own"
        )


def needs_amx_off(block: mx.gluon.Block) -> bool:
    """Whether some convolution does not see all channels (MobileNet, ResNeXt) or is dilated (FCN's base networks).

    The second kind corrupts memory: a dilated ResNet-18 on images of 48 px ends the process, or hangs it.
    """
    if isinstance(block, mx.gluon.nn.Conv2D) and (block._kwargs["num_group"] > 1 or max(block._kwargs["dilate"]) > 1):
        return True
    return any(needs_amx_off(child) for child in block._children.values())


def _leave_amx_off() -> None:
    """oneDNN reads the variable at its first operator, so this works until then.

    Its AMX convolutions want channels last, its grouped ones blocks of 16 channels. A BatchNorm between the two gets
    its data in one layout and its gradient in the other, for which oneDNN 2.4 has only reference code: a training step
    of mobilenet1.0 took 15 times as long.
    """
    if os.environ.get("DNNL_MAX_CPU_ISA") == "AVX512_CORE_AMX":
        os.environ["DNNL_MAX_CPU_ISA"] = "AVX512_CORE_BF16"
