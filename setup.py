"""Packages, dependencies and their limits. `make venv` installs all of it; see README.md."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "gluon_tricks" / "__init__.py").read_text()).group(1)

# The libraries that mxnet-cu117's libmxnet.so is linked to, in the versions it was checked with; environment.py loads
# them, so no CUDA toolkit has to be installed. The driver's libcuda.so.1 is all that is left.
CUDA = [
    "nvidia-cuda-runtime-cu11==11.8.89",
    "nvidia-cuda-nvrtc-cu11==11.8.89",
    "nvidia-nvtx-cu11==11.8.86",
    "nvidia-cublas-cu11==11.11.3.6",
    "nvidia-cufft-cu11==10.9.0.58",
    "nvidia-curand-cu11==10.3.0.86",
    "nvidia-cusparse-cu11==11.7.5.86",
    "nvidia-cusolver-cu11==11.4.1.48",
    "nvidia-cudnn-cu11==8.9.6.50",
    "nvidia-nccl-cu11==2.16.5",
]

setup(
    name="gluon_tricks",
    version=VERSION,
    description="Bag of Tricks for Image Classification with Convolutional Neural Networks, in MXNet/Gluon",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["gluon_tricks*", "model_zoo*"]),
    py_modules=["gluon_tricks_command"],
    entry_points={"console_scripts": ["gluon-tricks=gluon_tricks_command:main"]},
    python_requires=">=3.9,<3.13",  # mxnet 1.9.1 fails to import on 3.13: modules it uses have left the library
    install_requires=[
        # np.bool and its like, which MXNet 1.9.1 uses, went in 1.24. Python 3.12 has nothing older than 1.26, where
        # environment.py gives them back; with numpy 2 even that does not help (np.PZERO and more are gone).
        "numpy>=1.23.5,<1.24; python_version < '3.12'",
        "numpy>=1.26,<2; python_version >= '3.12'",
        "gluoncv==0.10.5.post0",
        "opencv-python>=4.8,<4.12",  # 4.12 asks for numpy 2
        "scipy",
        "tqdm>=4.62",
        "matplotlib>=3.6",
        "tensorboardX>=2.6",
        "pillow",
        # Class names in any script are drawn in pictures (lettering.py): matplotlib's DejaVu Sans has Latin, Greek and
        # Cyrillic; these data-only wheels have Arabic, Hebrew, Indian scripts, Thai and emoji (4 MB), and Chinese,
        # Japanese and Korean (14 MB). All are Noto, under the SIL Open Font License. Pinned, for the same pictures.
        "manimgx-fonts==2026.9.26.post1",
        "noto-cjk-sans-jp-regular==0.0.1",
        "fonttools",  # what letters a font has; matplotlib needs it too
        "safetensors>=0.4",
        # Pretrained parameters, where GluonCV's server fails; 30 MB with all that it needs. 0.30 is the oldest tried.
        "huggingface_hub>=0.30",
    ],
    extras_require={
        "cpu": ["mxnet==1.9.1"],
        "cu117": ["mxnet-cu117==1.9.1", *CUDA],
        "horovod": ["horovod==0.28.1"],  # needs MXNet installed first: scripts/install_horovod.sh
        # The versions MXNet's exporter works with: onnx 1.16 and later lack a module that it imports.
        "export": ["onnx>=1.13.1,<1.16; python_version < '3.12'", "onnxruntime; python_version < '3.12'"],
        # To read and write files of PyTorch, and to test against timm and torchvision. torchvision fits one torch only.
        "interop": [
            f"{package}; python_version >= '3.10'"
            for package in ("torch==2.13.0", "torchvision==0.28.0", "timm==1.0.31")
        ],
        "fuzz": ["atheris==3.0.0; python_version >= '3.11'"],  # for tests/faults/fuzz.py, which no test needs
        "dev": [
            *("pytest>=7", "pytest-xdist>=3.7"),
            "ruff==0.17.5",  # another formats otherwise
            *("scikit-learn", "pycocotools"),  # what tests compare with
        ],
    },
)
