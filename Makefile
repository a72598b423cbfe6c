# make train | make test | make test-fast | make lint | make venv: each makes .venv first if it is missing or setup.py has changed.
# PYTHON=python3.12 picks the interpreter, EXTRA=cu117 the build of MXNet for NVIDIA GPUs, HOROVOD=mpi Horovod with MPI;
# a .venv that is there keeps the last two.

PYTHON ?= python3
VENV := .venv
# What .venv was made for, where nothing else is asked for; found out once, as what is made anew begins by removing it.
ifndef EXTRA
EXTRA := $(patsubst .%,%,$(notdir $(firstword $(wildcard $(VENV)/.cu[0-9]*) .cpu)))
endif
ifndef HOROVOD
HOROVOD := $(patsubst .horovod-%,%,$(notdir $(firstword $(wildcard $(VENV)/.horovod-mpi) .horovod-gloo)))
endif
TEST_EXTRAS ?= dev,export,interop
RUN := $(VENV)/bin/python
# One worker more than cores, at most eight: tests of several hosts and ranks wait for each other for most of their time.
WORKERS := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 8 ? cores + 1 : 8)))
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

ifeq ($(filter $(HOROVOD),gloo mpi),)
$(error HOROVOD=$(HOROVOD) is not known: give gloo (the default) or mpi (MPI besides Gloo, for mpirun and srun))
endif

# The programs of docs/serving.md run without MXNet, and with a newer onnx than MXNet's exporter takes.
SERVING := $(PYTHON) -m venv $(VENV)/serving && \
  $(VENV)/serving/bin/pip install --quiet onnxruntime onnx opencv-python-headless

.PHONY: train test test-fast lint venv clean

train: venv
	$(RUN) scripts/train_imagenet.py --mode hybrid --dtype float16

test: $(VENV)/.dev
	$(PYTEST)

test-fast: $(VENV)/.dev  # what one runs while working: nothing that starts processes or trains for long
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

venv: $(VENV)/.horovod-$(HOROVOD)

$(VENV)/.$(EXTRA): setup.py scripts/install_opencv.sh scripts/install_horovod.sh
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) --version): MXNet needs Python 3.9 to 3.12, such as make PYTHON=python3.11"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[$(EXTRA)]'
	@sh scripts/install_opencv.sh $(VENV)
	@touch $@

$(VENV)/.horovod-$(HOROVOD): $(VENV)/.$(EXTRA)
	@HOROVOD=$(HOROVOD) sh scripts/install_horovod.sh $(VENV)
	@touch $@

$(VENV)/.dev: $(VENV)/.horovod-$(HOROVOD)
	$(VENV)/bin/pip install --quiet --editable '.[$(TEST_EXTRAS)]'
	@sh scripts/install_opencv.sh $(VENV)
	$(if $(findstring export,$(TEST_EXTRAS)),$(SERVING))
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
