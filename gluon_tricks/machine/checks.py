"""What the doctor makes of what it sees: functions from numbers and words to a Finding, for any machine."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gluon_tricks.core.wording import byte_size, plural

if TYPE_CHECKING:
    from gluon_tricks.data.check import Report
    from gluon_tricks.machine.devices import Gpu

OK, WARNING, PROBLEM = "ok", "warning", "problem"

_GB = 10**9
_DESCRIPTORS = 256  # of a training besides its records: libraries, TensorBoard, the other ranks
_SLOW = 100  # images/s per core: photos of 110 KB came at 800


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Args:
        level: "ok"; "warning": training works, but less well than it could; "problem": it does not, or not on the GPUs
            that MXNet was installed for.
        what: what was seen.
        remedy: what to do; "" where there is nothing to do, or where `what` is a refusal, which says it.
    """

    level: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level:7}  {self.what}" + (f"; {self.remedy}" if self.remedy else "")


def check_python(version: tuple[int, ...]) -> Finding:
    """3.9 to 3.12 run MXNet 1.9.1."""
    what, fits = f"Python {'.'.join(map(str, version))}", (3, 9) <= version[:2] <= (3, 12)
    return Finding(OK, what) if fits else Finding(PROBLEM, what, "MXNet 1.9.1 needs Python 3.9 to 3.12")


def check_numpy(version: str) -> Finding:
    """1.23 to 1.26 fit MXNet 1.9.1, from 1.24 on with the type names that environment.py gives back."""
    what, (major, minor) = f"numpy {version}", map(int, version.split(".")[:2])
    if (major, minor) >= (2, 0):
        return Finding(PROBLEM, what, "MXNet 1.9.1 does not import under numpy 2: pip install 'numpy<2'")
    if not (1, 23) <= (major, minor) <= (1, 26):
        return Finding(WARNING, what, "only 1.23 to 1.26 were tried: pip install 'numpy>=1.23.5,<2'")
    return Finding(OK, what)


def check_mxnet(version: str, error: str, installed: Sequence[str]) -> Finding:
    """Whether MXNet is there, alone, and in the version that was measured.

    Args:
        version: "" if it could not be imported.
        error: why not.
        installed: the packages that bring it, such as "mxnet-cu117".
    """
    names = " and ".join(installed) or "no MXNet package"
    if not version:
        if "libcuda.so" in error:
            remedy = "install the NVIDIA driver, or the CPU build in an environment of its own: pip install '.[cpu]'"
        else:
            remedy = "pip install '.[cpu]', or '.[cu117]' for GPUs, in a new environment"
        return Finding(PROBLEM, f"MXNet cannot be imported ({names} installed): {error}", remedy)
    if len(installed) > 1:
        return Finding(
            WARNING,
            f"{names} overwrite each other",
            f"pip uninstall {' '.join(installed)}, then install one of them again",
        )
    if version != "1.9.1":
        return Finding(
            WARNING, f"MXNet {version} ({names})", "only 1.9.1 was tried: pip install '.[cpu]' or '.[cu117]'"
        )
    return Finding(OK, f"MXNet {version} ({names})")


def check_opencv(version: str, error: str) -> Finding:
    """Whether images can be decoded; version is "" if OpenCV could not be imported, error says why."""
    if version:
        return Finding(OK, f"OpenCV {version}")
    remedy = "pip install 'opencv-python>=4.8,<4.12'"
    if "cannot open shared object file" in error:  # libGL, libglib
        remedy = f"in the repository, sh scripts/install_opencv.sh {sys.prefix}"
    return Finding(PROBLEM, f"OpenCV cannot be imported: {error}", remedy)


def check_gpus(found: Sequence[Gpu], cuda_build: bool) -> Finding:
    """The GPUs that the driver names against the machine code in MXNet's build."""
    from gluon_tricks.machine.devices import choose_contexts  # imports mxnet

    names = ", ".join(map(str, found))
    if not found and cuda_build:
        return Finding(
            WARNING, "MXNet is a CUDA build, and the driver shows no GPU", "look at nvidia-smi; training takes the CPU"
        )
    if not found:
        return Finding(OK, "no GPU, and MXNet's CPU build: training takes the CPU")
    said: list[str] = []
    some = any(gpu.usable for gpu in found)
    choose_contexts(None, gpus=found, cuda_build=cuda_build, say=said.append)
    if not said:
        return Finding(OK, names)
    if not some:
        return Finding(PROBLEM if cuda_build else WARNING, said[0], "take another GPU, or the CPU with --num-gpus 0")
    return Finding(WARNING, said[0], "training takes the others" if cuda_build else "training takes the CPU")


def check_cuda_libraries(cuda_build: bool, missing: Collection[str], imported: bool) -> Finding:
    """cuDNN, NCCL and the rest of CUDA.

    Args:
        cuda_build: whether MXNet's package is one for CUDA.
        missing: file names of the libraries that do not load.
        imported: whether MXNet could be imported all the same.
    """
    if not cuda_build:
        return Finding(OK, "cuDNN and NCCL: not needed by MXNet's CPU build")
    if not missing:
        return Finding(OK, "cuDNN, NCCL and the other CUDA libraries are found")
    level, what = WARNING if imported else PROBLEM, f"CUDA libraries not found: {', '.join(missing)}"
    return Finding(level, what, "pip install '.[cu117]' brings them")


def check_horovod(refusal: str, built: Sequence[str] = ("Gloo",)) -> Finding:
    """Horovod's build; refusal: why horovodrun cannot start ranks, "" if it can; built: see launcher.built_with."""
    if not refusal:
        launchers = "gluon-tricks launch, mpirun and srun" if "MPI" in built else "gluon-tricks launch"
        return Finding(OK, f"Horovod, with MXNet and {', '.join(built)}: ranks are started by {launchers}")
    return Finding(WARNING, f"no training as several ranks: {refusal}")


def check_cpu(cores: int, has_bfloat16: bool) -> Finding:
    """Cores and bfloat16; there is no remedy for either."""
    precision = "multiplies bfloat16" if has_bfloat16 else "no bfloat16 (--dtype bfloat16 computes in float32)"
    return Finding(OK, f"CPU: {plural(cores, 'core')} for this process, {precision}")


def check_disk(folder: pathlib.Path, free: int, writable: bool, needed: int = 2 * _GB) -> Finding:
    """Where runs are written.

    Args:
        free, needed: bytes; the checkpoints of a run of ResNet-50 need about 2 GB.
    """
    what = f"{folder}: {byte_size(free)} free"
    if not writable:
        return Finding(
            PROBLEM, f"{folder} cannot be written", "change its permissions, or name another folder (--save-dir)"
        )
    if free < needed:
        level = PROBLEM if free < needed / 10 else WARNING
        remedy = "make room, or name another folder (--save-dir)"
        return Finding(level, f"{what}, and a run of ResNet-50 needs {byte_size(needed)}", remedy)
    return Finding(OK, what)


def check_memory(available: int, needed: int = 4 * _GB) -> Finding:
    """What processes can still take, in bytes."""
    what = f"memory: {byte_size(available)} available"
    if available >= needed:
        return Finding(OK, what)
    level = PROBLEM if available < needed / 4 else WARNING
    return Finding(
        level,
        what,
        "take a smaller --batch-size, or end other programs: Linux kills a training that runs out of memory",
    )


def check_descriptors(soft: int, hard: int, files: int = 0) -> Finding:
    """The limits on open files (-1: none) against those of a training that reads so many record files."""
    wanted = files + _DESCRIPTORS
    what = f"{soft if soft >= 0 else 'any number of'} files may be open at once"
    if soft < 0 or soft >= wanted:
        return Finding(OK, what)
    within = hard < 0 or hard >= wanted
    remedy = f"ulimit -n {wanted}" if within else f"ask the administrator for more (hard limit: {hard})"
    return Finding(PROBLEM if soft < files + _DESCRIPTORS // 4 else WARNING, f"{what}, and {wanted} are needed", remedy)


def check_report(path: str, report: Report) -> list[Finding]:
    """The report on records as findings."""
    more = f"gluon-tricks pack --check {path} --verbose lists the records"
    if report.problems:
        return [Finding(PROBLEM, f"{path}: {problem}", more) for problem in report.problems]
    undecodable = len(report.found["undecodable"])
    if undecodable:
        return [
            Finding(WARNING, f"{path}: cannot be decoded and will be left out: {plural(undecodable, 'image')}", more)
        ]
    return [Finding(OK, f"{path}: {report.lines()[0]}")]


def check_loader(path: str, images_per_second: float, cores: int) -> Finding:
    """How fast batches of 224 px come out of the loader, nothing else going on."""
    what = f"{path}: {images_per_second:.0f} images/s from the loader alone, {plural(cores, 'thread')}"
    if images_per_second >= _SLOW * cores:
        return Finding(OK, what)
    return Finding(WARNING, what, "a faster disk, or smaller images: gluon-tricks pack --resize 480")
