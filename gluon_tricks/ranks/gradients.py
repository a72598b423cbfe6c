"""A network's gradients in a few flat buffers, which the ranks sum where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mxnet as mx
import numpy as np
from mxnet import autograd

from gluon_tricks.ranks import distributed

BUCKET_BYTES = 2**25  # of one message: small enough that the first leaves while backward still computes the rest


class Gradients:
    """The gradients of parameters as views of a few flat arrays, the buckets.

    Backward writes into the views; a bucket is summed over the ranks in place, so nothing is gathered before and
    nothing scattered after. It leaves as soon as the last of its gradients is there: MXNet's engine knows what each
    array waits for. Buckets are therefore filled from the last parameter to the first, as backward goes.

    Args:
        parameters: of a network, initialised, in the order of their layers; a float16 network's have two dtypes.
        accumulate: a step has several rounds, whose gradients are to be summed: call `clear` before the first and
            `add_round` after the backward of each. MXNet's own way, grad_req "add", gives weights that bfloat16 casts
            the gradient 0.
        bucket_bytes: a bucket is closed when it has so many.

    Attributes:
        trained: the parameters that have gradients.
        buckets: for each bucket its array on every device, (n,).

    Source: Li et al., PyTorch Distributed (VLDB 2020), section 3.2, for buckets that leave during backward.
    """

    def __init__(
        self, parameters: Sequence[mx.gluon.Parameter], accumulate: bool = False, bucket_bytes: int = BUCKET_BYTES
    ):
        self.trained = [parameter for parameter in parameters if parameter.grad_req != "null"]
        self.accumulate = accumulate
        self.buckets = [_flattened(part) for part in in_buckets(self.trained[::-1], bucket_bytes)]
        self._sums = [[mx.nd.zeros_like(array) for array in bucket] for bucket in self.buckets] if accumulate else []

    def clear(self) -> None:
        """Before the first round of a step; needed only where gradients accumulate."""
        for sums in self._sums:
            for array in sums:
                array[:] = 0

    def add_round(self) -> None:
        """The gradients become the sum over the rounds so far; where none accumulate nothing is done."""
        for bucket, sums in zip(self.buckets, self._sums):
            for gradient, total in zip(bucket, sums):
                total += gradient
                total.copyto(gradient)

    def sum_over_ranks(self) -> None:
        """Sums the gradients of all ranks in place, without waiting for it.

        Several devices of one rank hold the sum over them already (Trainer.allreduce_grads); they get the result.
        """
        if distributed.ranks() == 1:
            return
        for k, (first, *others) in enumerate(self.buckets):
            distributed.sum_(first, f"gradients.{k}", priority=-k)
            for other in others:
                first.copyto(other)

    def first(self) -> list[mx.nd.NDArray]:
        """The buckets on the first device."""
        return [bucket[0] for bucket in self.buckets]

    @property
    def bytes(self) -> int:
        """What a rank sends in each sum."""
        return sum(array.size * array.dtype().itemsize for array in self.first())


def in_buckets(parameters: Sequence[mx.gluon.Parameter], bucket_bytes: int) -> Iterator[list[mx.gluon.Parameter]]:
    """The parameters in order, cut into parts of one dtype (np.float32 is "float32") and about so many bytes.

    Args:
        parameters: or whatever else has a shape and a dtype; the last one comes first, as in backward.
        bucket_bytes: a part is closed when it has so many.
    """
    for dtype in dict.fromkeys(np.dtype(parameter.dtype) for parameter in parameters):
        part, size = [], 0
        for parameter in (parameter for parameter in parameters if np.dtype(parameter.dtype) == dtype):
            part.append(parameter)
            size += int(np.prod(parameter.shape)) * dtype.itemsize
            if size >= bucket_bytes:
                yield part
                part, size = [], 0
        if part:
            yield part


def _flattened(part: Sequence[mx.gluon.Parameter]) -> list[mx.nd.NDArray]:
    """Moves the gradients of some parameters into one array on each device; returns these arrays."""
    sizes = [int(np.prod(parameter.shape)) for parameter in part]
    arrays = [mx.nd.zeros(sum(sizes), ctx=context, dtype=part[0].dtype) for context in part[0].list_ctx()]
    for parameter, start, size in zip(part, np.cumsum([0, *sizes]).tolist(), sizes):
        parameter._grad = [array[start : start + size].reshape(parameter.shape) for array in arrays]
        autograd.mark_variables(parameter.list_data(), parameter._grad, parameter.grad_req)
    return arrays
