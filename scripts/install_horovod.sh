#!/bin/sh
# Builds Horovod for MXNet into a virtual environment that has MXNet: scripts/install_horovod.sh .venv
# Without a C++ compiler, or if the build fails, one line says so: training then runs as one process.
set -u
bin=$1/bin

# Horovod's build and horovodrun import MXNet themselves. Under numpy 1.24 and later (Python 3.12) that needs the
# names that gluon_tricks/runtime.py gives back, in every process of the environment.
"$bin/python" - <<'PY'
import pathlib, sysconfig
import numpy
if tuple(map(int, numpy.__version__.split(".")[:2])) >= (1, 24):
    line = "import numpy; numpy.bool, numpy.float, numpy.int, numpy.object = bool, float, int, object\n"
    pathlib.Path(sysconfig.get_path("purelib"), "mxnet_numpy_names.pth").write_text(line)
PY

if "$bin/python" -c 'import gluon_tricks, horovod.mxnet' >/dev/null 2>&1; then exit 0; fi
if ! command -v g++ >/dev/null 2>&1; then
  echo "Horovod is not built (there is no g++): training runs as one process"
  exit 0
fi
log=$1/horovod-build.log
# Gradients on GPUs travel by NCCL, which is compiled in where there is a CUDA compiler (not tried: no GPU was there).
if command -v nvcc >/dev/null 2>&1; then export HOROVOD_GPU_OPERATIONS=NCCL; fi
echo "building Horovod, about 70 seconds on 2 cores (log: $log)"
# setuptools 70 and later lack what Horovod's setup.py imports; CMake 4 rejects Horovod's copy of Gloo.
if "$bin/pip" install --quiet 'setuptools<70' wheel 'cmake>=3.13,<4' >"$log" 2>&1 &&
  PATH="$bin:$PATH" HOROVOD_WITH_MXNET=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 \
    HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 \
    "$bin/pip" install --quiet --no-build-isolation horovod==0.28.1 >>"$log" 2>&1; then
  exit 0
fi
echo "Horovod could not be built (see $log): training runs as one process"
