#!/bin/sh
# Builds Horovod for MXNet into a virtual environment that has MXNet: scripts/install_horovod.sh .venv
# HOROVOD=gloo, the default, is for launch.py and horovodrun; HOROVOD=mpi has MPI too, for mpirun and srun.
# Without a C++ compiler, or if the build fails, one line says so: training then runs as one process.
# One that works is kept, unless HOROVOD asks for MPI that it lacks, or HOROVOD_GPU_OPERATIONS=NCCL for another build.
# Exit codes: 0; 1 if HOROVOD=mpi cannot be had; 2 for another word.
set -u
wanted=${HOROVOD:-${HOROVOD_WITH_MPI:+mpi}} # HOROVOD_WITH_MPI is Horovod's own name for it
wanted=${wanted:-gloo}
case $wanted in
gloo | mpi) ;;
*)
  echo "HOROVOD=$wanted is not known: give gloo (the default) or mpi (MPI besides Gloo, for mpirun and srun)"
  exit 2
  ;;
esac
venv_given=$1
venv=$(cd "$1" && pwd) || exit 1
python=$venv/bin/python
log=$venv/horovod-build.log

# Horovod's build and horovodrun import MXNet themselves. Under numpy 1.24 and later (Python 3.12) that needs the
# names that gluon_tricks/environment.py gives back, in every process of the environment.
give_numpy_names() {
  "$python" - <<'PY'
import pathlib, sysconfig
import numpy
if tuple(map(int, numpy.__version__.split(".")[:2])) >= (1, 24):
    line = "import numpy; numpy.bool, numpy.float, numpy.int, numpy.object = bool, float, int, object\n"
    pathlib.Path(sysconfig.get_path("purelib"), "mxnet_numpy_names.pth").write_text(line)
PY
}

# works [gloo|mpi]: whether the Horovod that is there imports and has it.
works() {
  "$python" -c 'import gluon_tricks, horovod.mxnet as h; h.gloo_built() or exit("ImportError: Horovod has no Gloo")
if "'"$1"'" == "mpi" and not h.mpi_built(): exit("ImportError: Horovod has no MPI")'
}

# not_built WHY: says it, what training does instead, and ends. A build that fails leaves what was there.
not_built() {
  if works gloo >/dev/null 2>&1; then left="the one with Gloo that was there stays"; else left="training runs as one process"; fi
  if [ "$wanted" = mpi ]; then again="HOROVOD=mpi sh $0 $venv_given"; else again="sh $0 $venv_given"; fi
  echo "$1: $left ($again tries again)"
  if [ "${HOROVOD:-}" = mpi ]; then exit 1; fi
  exit 0
}

has() { "$python" -c "import importlib.metadata as m; m.version('$1')" >/dev/null 2>&1; }

# build [NAME=VALUE]: from source, since a wheel in pip's cache may be for another MXNet, or for PyTorch alone.
# The environment's CMake is named by its full path: the build would take the first one of the PATH.
build() {
  env "$@" HOROVOD_CMAKE="$venv/bin/cmake" MAKEFLAGS="-j$(nproc)" HOROVOD_WITH_MXNET=1 HOROVOD_WITH_GLOO=1 \
    HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 \
    "$python" -m pip install --quiet --no-build-isolation --no-cache-dir --no-binary horovod --force-reinstall \
    horovod==0.28.1 && works "$wanted"
}

# MXNet's NCCL, which a process loads anyway, unless a variable names another. Its wheel lacks the name to link by.
nccl_of_the_wheel() {
  if [ "${HOROVOD_NCCL_HOME:-}${HOROVOD_NCCL_INCLUDE:-}${HOROVOD_NCCL_LIB:-}" ]; then return; fi
  for nccl in "$venv"/lib/python3*/site-packages/nvidia/nccl; do
    if [ ! -e "$nccl/lib/libnccl.so.2" ]; then return; fi
    mkdir -p "$venv/nccl"
    ln -sf "$nccl/lib/libnccl.so.2" "$venv/nccl/libnccl.so"
    export HOROVOD_NCCL_INCLUDE="$nccl/include" HOROVOD_NCCL_LIB="$venv/nccl" HOROVOD_NCCL_LINK=SHARED
  done
}

# The last line of the log that names a cause, not what followed from it.
reason() {
  awk '
    NF { last = $0 }
    below && NF { cause = $0; below = 0; next }
    /CMake Error at/ { below = 1; next }
    /^ *error: [a-z-]+$|CalledProcess|[Ff]ailed (to build|building)|build wheels|ld returned/ { next }
    /from versions|No matching/ { next }
    /[Ee]rror: |ERROR: |cannot find|connection broken|No space left/ { cause = $0 }
    END { print cause ? cause : last }' "$log" | sed 's/^ *//; s/.*\(connection broken\)/\1/' | cut -c1-300
}

give_numpy_names
if [ -z "${HOROVOD_GPU_OPERATIONS:-}" ] && works "$wanted" >/dev/null 2>&1; then exit 0; fi
if ! command -v g++ >/dev/null 2>&1; then not_built "Horovod is not built, there is no g++"; fi
if [ "$wanted" = gloo ]; then
  unset HOROVOD_WITH_MPI
  export HOROVOD_WITHOUT_MPI=1
elif ! command -v mpicxx >/dev/null 2>&1; then
  not_built "Horovod is not built with MPI, there is no mpicxx (in Debian: libopenmpi-dev and openmpi-bin)"
else
  export HOROVOD_WITH_MPI=1 # a build that does not find MPI then fails, instead of doing without
fi
echo "building Horovod, about 70 seconds on 2 cores (log: $log)"
unset HOROVOD_GPU_OPERATIONS # asked of the CPU build of MXNet, it ends the build
# setuptools 70 and later lack what Horovod's setup.py imports; CMake 4 rejects Horovod's copy of Gloo.
if "$python" -m pip install --quiet 'setuptools<70' wheel 'cmake>=3.21,<4' >"$log" 2>&1; then
  if has mxnet-cu117; then
    # The build imports MXNet without gluon_tricks, which would have loaded the CUDA libraries.
    LD_LIBRARY_PATH=$(printf '%s:' "$venv"/lib/python*/site-packages/nvidia/*/lib)${LD_LIBRARY_PATH:-}
    # And its headers take in those of cuBLAS and others, which the same wheels have.
    CPLUS_INCLUDE_PATH=$(printf '%s:' "$venv"/lib/python*/site-packages/nvidia/*/include)${CPLUS_INCLUDE_PATH:-}
    CPLUS_INCLUDE_PATH=${CPLUS_INCLUDE_PATH%:} # an empty one would be this folder
    export LD_LIBRARY_PATH CPLUS_INCLUDE_PATH
    if ! command -v nvcc >/dev/null 2>&1; then
      why="there is no nvcc"
    elif nccl_of_the_wheel && build HOROVOD_GPU_OPERATIONS=NCCL >"$log" 2>&1; then # built, but never run: no GPU was there
      exit 0
    else
      why=$(reason)
      mv "$log" "$venv/horovod-nccl-build.log"
    fi
    echo "Horovod is built without NCCL ($why):" \
      "ranks on GPUs exchange gradients through the CPU's memory, which is slower"
  else
    # Keeps CMake from looking for CUDA: an nvcc that it finds and cannot use ends the build, though nothing needs it.
    cat >"$venv/no_cuda.cmake" <<'CMAKE'
set(CMAKE_CUDA_COMPILER "")
set(CMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit TRUE)
CMAKE
    export CMAKE_TOOLCHAIN_FILE="$venv/no_cuda.cmake"
  fi
  if build >"$log" 2>&1; then exit 0; fi
fi
not_built "Horovod could not be built: $(reason) (log: $log)"
