"""Bag of Tricks for Image Classification with Convolutional Neural Networks, in MXNet/Gluon."""

import gluon_tricks.core.environment  # noqa: F401  first: it prepares the process for `import mxnet`

__version__ = "0.5.0"
