"""Batch normalisation with the statistics of the whole batch, whichever ranks its images are on."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks import distributed


class SyncBatchNorm(mx.gluon.nn.BatchNorm):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, mean and var over the images of all ranks, here as in backward.

    With one rank it is nn.BatchNorm, slower; parameters have the same names. Every rank must give the same number of
    values. MXNet's own SyncBatchNorm knows only the devices of one process, and waits for ever on CPUs.

    Args:
        name: of its messages, unique among the layers of the network and the same on all ranks.
        axis, momentum, epsilon and the others: as of nn.BatchNorm; axis 1 only. With use_global_stats the running
            statistics are used, so that there is nothing to send.

    A hybridized network must have static_shape: without it the layer computes now and then from arrays that MXNet has
    overwritten (on CPUs, in float32: losses of 1e30). So does one that is not hybridized, from two such layers on.

    Raises:
        Refused: another axis.

    Source: Peng et al., MegDet (CVPR 2018), section 3.3; GluonCV's --syncbn in segmentation.
    """

    def __init__(self, name: str, axis: int = 1, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        if axis != 1:
            raise Refused(f"SyncBatchNorm was given axis {axis}: it knows channels in axis 1 only (NCHW)")
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self._numbers = {"label": name, "momentum": momentum, "epsilon": epsilon}

    def hybrid_forward(self, F, x, gamma, beta, running_mean, running_var):
        if self._kwargs["use_global_stats"]:
            return super().hybrid_forward(F, x, gamma, beta, running_mean, running_var)
        if self._kwargs["fix_gamma"]:  # scale=False: 1, whatever it was initialised to
            gamma = F.ones_like(gamma)
        return F.Custom(x, gamma, beta, running_mean, running_var, op_type="gluon_tricks_sync_bn", **self._numbers)


class _SyncBatchNorm(mx.operator.CustomOp):
    def __init__(self, label: str, momentum: float, epsilon: float):
        super().__init__()
        self.label, self.momentum, self.epsilon = label, momentum, epsilon

    def forward(self, is_train, req, in_data, out_data, aux):
        x, gamma, beta = _computed(in_data)
        mean, var = aux
        if is_train:
            self.mean, self.var = mean, var = self._moments(x)
            for running, batch in zip(aux, (mean, var)):
                running[:] = self.momentum * running + (1 - self.momentum) * batch
        self.assign(out_data[0], req[0], self._normalised(x, gamma, beta, mean, var).astype(out_data[0].dtype))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        """dx = gamma / std (dy - mean(dy) - xhat mean(dy xhat)), the means over all ranks; dgamma, dbeta: this rank's.

        Those of the ranks are summed with all gradients of parameters.
        """
        (dy,), (x, gamma, _) = _computed(out_grad), _computed(in_data)
        ones, zeros = mx.nd.ones_like(gamma), mx.nd.zeros_like(gamma)
        xhat = self._normalised(x, ones, zeros, self.mean, self.var)
        dbeta, dgamma = dy.sum(axis=(0, 2, 3)), (dy * xhat).sum(axis=(0, 2, 3))
        count = _count(x) * distributed.ranks()
        sums = distributed.sum_(mx.nd.concat(dbeta, dgamma, dim=0), f"{self.label}.backward") / count
        mean_dy, mean_dy_xhat = sums.split(2, axis=0)
        factor = gamma / (self.var + self.epsilon).sqrt()
        dx = (dy - _channels(mean_dy) - xhat * _channels(mean_dy_xhat)) * _channels(factor)
        for gradient, given, value in zip(in_grad, req, (dx, dgamma, dbeta)):
            self.assign(gradient, given, value.astype(gradient.dtype))

    def _moments(self, x):
        """Mean and (biased) variance of each channel over all ranks, which have equally many values.

        The ranks' variances are averaged, and the variance of their means is added: in float64, because it is found
        as E[m^2] - E[m]^2.
        """
        mean, var = mx.nd.moments(x, axes=(0, 2, 3))
        mean, var = mean.astype("float64"), var.astype("float64")
        own = mx.nd.concat(mean, var + mean**2, dim=0)
        mean, square = (distributed.sum_(own, f"{self.label}.forward") / distributed.ranks()).split(2, axis=0)
        return mean.astype(x.dtype), mx.nd.maximum(square - mean**2, 0).astype(x.dtype)

    def _normalised(self, x, gamma, beta, mean, var):
        numbers = dict(eps=self.epsilon, fix_gamma=False, use_global_stats=True)
        return mx.nd.BatchNorm(x, gamma, beta, mean, var, **numbers)


def _computed(arrays):
    return [array.astype("float32") if np.dtype(array.dtype).itemsize == 2 else array for array in arrays]


def _count(x) -> int:
    """Values of one channel."""
    return x.size // x.shape[1]


def _channels(values):
    return values.reshape((1, -1, 1, 1))


@mx.operator.register("gluon_tricks_sync_bn")
class _SyncBatchNormProp(mx.operator.CustomOpProp):
    def __init__(self, label: str, momentum: str, epsilon: str):
        super().__init__(need_top_grad=True)
        # nn.BatchNorm keeps both as float32, which running statistics in float64 show.
        self._numbers = label, float(np.float32(momentum)), float(np.float32(epsilon))

    def list_arguments(self):
        return ["data", "gamma", "beta"]

    def list_auxiliary_states(self):
        return ["moving_mean", "moving_var"]

    def infer_shape(self, in_shape):
        channels = (in_shape[0][1],)
        return [in_shape[0], channels, channels], [in_shape[0]], [channels, channels]

    def infer_type(self, in_type):
        data = in_type[0]
        kept = np.float32 if np.dtype(data).itemsize == 2 else data
        return [data, kept, kept], [data], [kept, kept]

    def create_operator(self, ctx, shapes, dtypes):
        return _SyncBatchNorm(*self._numbers)
