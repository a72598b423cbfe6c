"""What scripts/install_horovod.sh and install_opencv.sh decide, on pretended machines: nothing is really built."""

import os
import pathlib
import shutil
import subprocess

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
SYSTEM = (
    "sh",
    "awk",
    "sed",
    "cut",
    "tail",
    "env",
    "nproc",
    "mv",
    "rm",
    "touch",
    "mkdir",
    "ln",
    "cat",
)  # what the scripts and fakes call

# Stands for the environment's Python. The files beside it are the state of the machine: what is installed, what fails.
PYTHON = r"""#!/bin/sh
here=${0%/*}
case "$*" in
-) ;;  # the names for numpy
*"import gluon_tricks, horovod.mxnet"*)
  [ -e "$here/horovod" ] || { echo "ImportError: no Horovod" >&2; exit 1; }
  case "$*" in *'"mpi" == "mpi"'*) [ -e "$here/mpi" ] || { echo "ImportError: no MPI" >&2; exit 1; } ;; esac ;;
*"m.version('mxnet-cu117')"*) [ -e "$here/mxnet-cu117" ] ;;
*'m.version("opencv-python")'*) echo 4.11.0.86 ;;
"-c import cv2") [ ! -e "$here/no_cv2" ] || { echo "Traceback"; cat "$here/no_cv2"; exit 1; } >&2 ;;
"-m pip install"*opencv*) echo "$*" >>"$here/calls"; rm "$here/no_cv2" ;;
"-m pip install"*cmake*) [ ! -e "$here/no_network" ] || { cat "$here/no_network"; exit 1; } ;;
"-m pip install"*horovod==*)
  echo "$*" >>"$here/calls"
  echo "${HOROVOD_NCCL_LINK:-} ${HOROVOD_NCCL_INCLUDE:-} ${HOROVOD_NCCL_LIB:-}" \
    "${CPLUS_INCLUDE_PATH:-}" >>"$here/nccl_of"
  echo "NCCL=${HOROVOD_GPU_OPERATIONS:-} MPI=${HOROVOD_WITHOUT_MPI:-built} CMAKE=$HOROVOD_CMAKE" \
    "TOOLS=${CMAKE_TOOLCHAIN_FILE:-CUDA}" >>"$here/builds"
  if [ "${HOROVOD_GPU_OPERATIONS:-}" ]; then log=$here/nccl_fails; else log=$here/build_fails; fi
  [ ! -e "$log" ] || { cat "$log"; exit 1; }
  [ -e "$here/nothing_comes" ] || touch "$here/horovod"
  [ "${HOROVOD_WITHOUT_MPI:-}" ] || touch "$here/mpi" ;;
*) echo "an unexpected call: $*" >>"$here/calls" ;;
esac
"""

# Ends of logs as pip 23.2, CMake 3.31 and g++ 12 write them, shortened.
NO_TOOLKIT = """
      CMake Error at /e/share/cmake-3.31/Modules/FindPackageHandleStandardArgs.cmake:233 (message):
        Could NOT find CUDAToolkit (missing: CUDAToolkit_INCLUDE_DIR CUDA_CUDART)
        (found version "13.0.88")
      Call Stack (most recent call first):
        CMakeLists.txt:181 (find_package)
      subprocess.CalledProcessError: Command '['/e/bin/cmake', '/tmp/x']' returned non-zero exit status 1.
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
  ERROR: Failed building wheel for horovod
ERROR: Could not build wheels for horovod, which is required to install pyproject.toml-based projects
"""
NO_MEMORY = """
      c++: fatal error: Killed signal terminated program cc1plus
      make[2]: *** [CMakeFiles/mxnet.dir/build.make:76: common.cc.o] Error 1
      subprocess.CalledProcessError: Command '['/e/bin/cmake', '--build', '.']' returned non-zero exit status 2.
  ERROR: Failed building wheel for horovod
error: legacy-install-failure
ERROR: Failed to build installable wheels for some pyproject.toml based projects (horovod)
"""
NO_NETWORK = """
WARNING: Retrying (Retry(total=0)) after connection broken by '[Errno -2] Name or service not known'
ERROR: Could not find a version that satisfies the requirement cmake<4,>=3.13 (from versions: none)
ERROR: No matching distribution found for cmake<4,>=3.13
"""
INSTEAD = f": training runs as one process (sh {SCRIPTS}/install_horovod.sh venv tries again)"


class Machine:
    """A pretended machine: a PATH of its own, and an environment whose Python notes how it is called."""

    def __init__(self, folder: pathlib.Path):
        self.tools, self.venv = folder / "tools", folder / "venv"
        self.bin = self.venv / "bin"
        self.bin.mkdir(parents=True)
        self.tools.mkdir()
        for tool in SYSTEM:
            (self.tools / tool).symlink_to(shutil.which(tool))
        self.has(self.bin / "python", PYTHON)

    def has(self, path: pathlib.Path, text: str = "#!/bin/sh\nexit 1\n"):
        with path.open("x") as file:  # never through a link to a tool of the real machine
            file.write(text)
        path.chmod(0o755)

    def run(self, script: str, **variables: str) -> tuple[int, list[str]]:
        """The exit code and the lines printed. The environment is named by a relative path, as make names it."""
        done = subprocess.run(
            [self.tools / "sh", SCRIPTS / script, self.venv.name],
            cwd=self.venv.parent,
            env={"PATH": str(self.tools), **variables},
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    def noted(self, name: str) -> list[str]:
        path = self.bin / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def built(machine):
    """built(): the lines that tell of builds, of a machine with g++, after the script ended well."""

    def run(**variables):
        machine.has(machine.tools / "g++")
        code, lines = machine.run("install_horovod.sh", **variables)
        assert code == 0  # training as one process does not need Horovod
        assert lines[0] == f"building Horovod, about 70 seconds on 2 cores (log: {machine.venv}/horovod-build.log)"
        return lines[1:]

    return run


@pytest.mark.parametrize("tools", [(), ("cmake",), ("nvcc",), ("cmake", "nvcc")])
def test_cpu_build_takes_neither_nccl_nor_the_systems_cmake(machine, built, tools):
    for tool in tools:
        machine.has(machine.tools / tool)
    assert built(HOROVOD_GPU_OPERATIONS="NCCL") == []
    assert machine.noted("builds") == [f"NCCL= MPI=1 CMAKE={machine.bin}/cmake TOOLS={machine.venv}/no_cuda.cmake"]
    assert (machine.venv / "no_cuda.cmake").read_text().splitlines() == [
        'set(CMAKE_CUDA_COMPILER "")',
        "set(CMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit TRUE)",
    ]
    (call,) = machine.noted("calls")
    assert "--no-cache-dir --no-binary horovod" in call  # no wheel that was built for something else


def test_no_compiler(machine):
    said = [f"Horovod is not built, there is no g++{INSTEAD}"]
    assert machine.run("install_horovod.sh") == (0, said)
    assert machine.noted("builds") == []


def test_no_network(machine, built):
    (machine.bin / "no_network").write_text(NO_NETWORK)
    assert built() == [
        "Horovod could not be built: connection broken by '[Errno -2] Name or service not known' "
        f"(log: {machine.venv}/horovod-build.log){INSTEAD}"
    ]
    assert machine.noted("builds") == []


def test_cause_of_a_failed_build(machine, built):
    (machine.bin / "horovod").touch()  # one is installed: MPI is asked for, so it is built anew
    (machine.bin / "build_fails").write_text(NO_MEMORY)
    machine.has(machine.tools / "mpicxx")
    assert built(HOROVOD_WITH_MPI="1") == [
        "Horovod could not be built: c++: fatal error: Killed signal terminated program cc1plus "
        f"(log: {machine.venv}/horovod-build.log): the one with Gloo that was there stays "
        f"(HOROVOD=mpi sh {SCRIPTS}/install_horovod.sh venv tries again)"
    ]
    assert machine.noted("builds") == [f"NCCL= MPI=built CMAKE={machine.bin}/cmake TOOLS={machine.venv}/no_cuda.cmake"]


def test_a_word_that_is_none(machine):
    said = ["HOROVOD=mpo is not known: give gloo (the default) or mpi (MPI besides Gloo, for mpirun and srun)"]
    assert machine.run("install_horovod.sh", HOROVOD="mpo") == (2, said)
    made = subprocess.run(
        ["make", "--dry-run", "HOROVOD=mpo", "venv"],
        env={"PATH": os.environ["PATH"]},  # nothing of the make that may run the tests
        capture_output=True,
        text=True,
        cwd=SCRIPTS.parent,
    )
    assert made.returncode == 2 and said[0] in made.stderr and made.stdout == ""


@pytest.mark.parametrize(
    "there, extra, horovod",
    [
        ((), "cpu", "gloo"),
        (("cu117", "horovod-gloo"), "cu117", "gloo"),
        (("cpu", "horovod-mpi"), "cpu", "mpi"),
        (("cu117", "horovod-mpi", "horovod-gloo"), "cu117", "mpi"),
    ],
)
def test_what_an_environment_was_made_for_is_kept(tmp_path, there, extra, horovod):
    """Also when setup.py is newer, after which all is made anew; EXTRA=cpu by name makes another."""
    (tmp_path / "Makefile").write_text((SCRIPTS.parent / "Makefile").read_text())
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv").mkdir()
    for name in (
        "setup.py",
        "scripts/install_opencv.sh",
        "scripts/install_horovod.sh",
        *[f".venv/.{n}" for n in there],
    ):
        (tmp_path / name).touch()

    def would_do(*words):
        made = subprocess.run(
            ["make", "--dry-run", *words],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        return made.stdout

    for name in there:
        os.utime(tmp_path / ".venv" / f".{name}", (2e9, 2e9))
    assert ("rm -rf .venv" in would_do("train")) == (not there)
    for name in there:
        os.utime(tmp_path / ".venv" / f".{name}", (1, 1))
    made = would_do("train")
    assert f"--editable '.[{extra}]'" in made and f"HOROVOD={horovod} sh" in made
    assert "--editable '.[cpu]'" in would_do("EXTRA=cpu", "train")


def test_an_environment_made_anew_has_horovod_with_mpi_again(tmp_path):
    """What .venv was made for is looked up before the first recipe removes it."""
    (tmp_path / "Makefile").write_text((SCRIPTS.parent / "Makefile").read_text())
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv").mkdir()
    for name in (".venv/.cpu", ".venv/.horovod-mpi"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "setup.py").touch()
    (tmp_path / "scripts" / "install_opencv.sh").touch()
    (tmp_path / "scripts" / "install_horovod.sh").write_text('echo "$HOROVOD" > said\n')
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n[ $1 != -m ] || { mkdir -p .venv/bin; ln -s /bin/true .venv/bin/pip; }\n")
    python.chmod(0o700)
    words = ["make", f"PYTHON={python}", "venv"]
    made = subprocess.run(words, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 0 and "rm -rf .venv" in made.stdout, made.stderr
    assert (tmp_path / "said").read_text() == "mpi\n" and (tmp_path / ".venv" / ".horovod-mpi").exists()


def test_mpi_is_asked_for(machine, built):
    (machine.bin / "horovod").touch()  # one with Gloo alone
    machine.has(machine.tools / "mpicxx")
    assert built(HOROVOD="mpi") == []
    once = [f"NCCL= MPI=built CMAKE={machine.bin}/cmake TOOLS={machine.venv}/no_cuda.cmake"]
    assert machine.noted("builds") == once
    assert machine.run("install_horovod.sh", HOROVOD="mpi") == (0, [])
    assert machine.run("install_horovod.sh", HOROVOD="gloo") == (0, [])  # it has Gloo too
    assert machine.noted("builds") == once


def test_gloo_is_asked_for_by_name(machine, built):
    assert built(HOROVOD="gloo", HOROVOD_WITH_MPI="1") == []
    assert machine.noted("builds") == [f"NCCL= MPI=1 CMAKE={machine.bin}/cmake TOOLS={machine.venv}/no_cuda.cmake"]


def test_mpi_without_its_compiler(machine):
    machine.has(machine.tools / "g++")
    why = "Horovod is not built with MPI, there is no mpicxx (in Debian: libopenmpi-dev and openmpi-bin)"
    again = f"(HOROVOD=mpi sh {SCRIPTS}/install_horovod.sh venv tries again)"
    said = [f"{why}: training runs as one process {again}"]
    assert machine.run("install_horovod.sh", HOROVOD="mpi") == (1, said)  # asked for by name: make ends, too
    (machine.bin / "horovod").touch()
    said = [f"{why}: the one with Gloo that was there stays {again}"]
    assert machine.run("install_horovod.sh", HOROVOD="mpi") == (1, said)
    assert machine.noted("builds") == []


def test_another_build_is_asked_for(machine, built):
    (machine.bin / "horovod").touch()
    (machine.bin / "mxnet-cu117").touch()
    machine.has(machine.tools / "nvcc")
    assert built(HOROVOD_GPU_OPERATIONS="NCCL") == []
    assert machine.noted("builds") == [f"NCCL=NCCL MPI=1 CMAKE={machine.bin}/cmake TOOLS=CUDA"]


def test_nothing_is_built_where_horovod_works(machine):
    machine.has(machine.tools / "g++")
    (machine.bin / "horovod").touch()
    assert machine.run("install_horovod.sh") == (0, [])
    assert machine.noted("builds") == []


def test_build_that_does_not_import(machine, built):
    (machine.bin / "nothing_comes").touch()
    assert "Horovod could not be built: ImportError: no Horovod (log: " in built()[0]


def test_nccl_with_mxnet_for_cuda(machine, built):
    (machine.bin / "mxnet-cu117").touch()
    machine.has(machine.tools / "nvcc")
    assert built() == []
    assert machine.noted("builds") == [f"NCCL=NCCL MPI=1 CMAKE={machine.bin}/cmake TOOLS=CUDA"]


def test_nccl_and_headers_of_the_wheels(machine, built):
    """The wheel of NCCL has its header, and a library without the name to link by; another NCCL may be named."""
    (machine.bin / "mxnet-cu117").touch()
    machine.has(machine.tools / "nvcc")
    wheels = machine.venv / "lib" / "python3.11" / "site-packages" / "nvidia"
    for folder in ("nccl/lib", "nccl/include", "cublas/include"):
        (wheels / folder).mkdir(parents=True)
    (wheels / "nccl" / "lib" / "libnccl.so.2").touch()
    assert built() == []
    headers = f"{wheels}/cublas/include:{wheels}/nccl/include"
    assert machine.noted("nccl_of") == [f"SHARED {wheels}/nccl/include {machine.venv}/nccl {headers}"]
    assert (machine.venv / "nccl" / "libnccl.so").resolve() == wheels / "nccl" / "lib" / "libnccl.so.2"
    assert machine.run("install_horovod.sh", HOROVOD_GPU_OPERATIONS="NCCL", HOROVOD_NCCL_HOME="/mine")[0] == 0
    assert machine.noted("nccl_of")[1:] == [f"   {headers}"]


def test_without_nccl_where_it_fails(machine, built):
    (machine.bin / "mxnet-cu117").touch()
    machine.has(machine.tools / "nvcc")
    (machine.bin / "nccl_fails").write_text(NO_TOOLKIT)
    assert built() == [
        "Horovod is built without NCCL (Could NOT find CUDAToolkit (missing: CUDAToolkit_INCLUDE_DIR CUDA_CUDART)): "
        "ranks on GPUs exchange gradients through the CPU's memory, which is slower"
    ]
    assert [line.split()[0] for line in machine.noted("builds")] == ["NCCL=NCCL", "NCCL="]
    assert "CUDAToolkit" in (machine.venv / "horovod-nccl-build.log").read_text()


def test_mxnet_for_cuda_without_nvcc(machine, built):
    (machine.bin / "mxnet-cu117").touch()
    (machine.bin / "build_fails").write_text(NO_TOOLKIT)
    first, second = built()
    assert first.startswith("Horovod is built without NCCL (there is no nvcc): ")
    assert second.startswith("Horovod could not be built: Could NOT find CUDAToolkit (missing: ")
    assert [line.split()[0] for line in machine.noted("builds")] == ["NCCL="]


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0"])
def test_headless_opencv_where_a_library_is_missing(machine, library):
    (machine.bin / "no_cv2").write_text(f"ImportError: {library}: cannot open shared object file: No such file\n")
    said = [f"this machine has no {library}: opencv-python-headless 4.11.0.86 takes the place of opencv-python"]
    assert machine.run("install_opencv.sh") == (0, said)
    assert machine.noted("calls") == [
        "-m pip install --quiet --no-deps --force-reinstall opencv-python-headless==4.11.0.86"
    ]
    assert machine.run("install_opencv.sh") == (0, [])


def test_another_failure_of_opencv(machine):
    (machine.bin / "no_cv2").write_text("ImportError: numpy.core.multiarray failed to import\n")
    said = ["OpenCV cannot be imported: ImportError: numpy.core.multiarray failed to import"]
    assert machine.run("install_opencv.sh") == (1, said)
    assert machine.noted("calls") == []
