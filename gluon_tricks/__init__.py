"""Bag of Tricks for Image Classification with Convolutional Neural Networks, in MXNet/Gluon."""

from gluon_tricks import runtime as _runtime  # first: it prepares the process for `import mxnet`

__version__ = "0.1.0"
__all__ = ["__version__"]
