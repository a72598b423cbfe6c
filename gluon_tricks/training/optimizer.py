"""The optimisers: MXNet's, and those that it has not or has otherwise; and the Trainer around one."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx

from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks.norms import length


def make_trainer(net: mx.gluon.Block, recipe: Settings, contexts: Sequence[mx.Context]) -> mx.gluon.Trainer:
    """What updates a network on its devices by the recipe's optimiser; it sums gradients over the devices of this rank.

    Raises:
        Refused: a trick of the recipe is not for its optimiser.
    """
    name, numbers = recipe.optimizer_and_numbers()
    numbers["multi_precision"] = recipe.dtype == "float16"  # the float32 master copy of section 3.2
    store = None if len(contexts) == 1 else "device" if contexts[0].device_type == "gpu" else "local"
    optimizer = _OWN[name](**numbers) if name in _OWN else mx.optimizer.create(name, **numbers)
    return mx.gluon.Trainer(net.collect_params(), optimizer, kvstore=store, update_on_kvstore=False)


class AdamW(mx.optimizer.Adam):
    """See tricks.DecoupledDecay and, with a coefficient, tricks.TrustRatio (LAMB).

    MXNet's operator of LAMB's first half computes u exactly as AdamW has it. Its adamw_update reads a scalar on the
    host for every array, and leaves the correction of the beginning to its caller, whose 1 - beta_2^t in float64 does
    not fit its own beta_2 in float32 (6e-6 of a step).

    Args:
        coefficient: of the trust ratio; None: there is none.
    """

    def __init__(self, coefficient: float | None = None, **numbers):
        super().__init__(**numbers)
        self.coefficient = coefficient

    def update(self, index, weight, grad, state):
        """One array, float32; state: mean and mean square, which it changes."""
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        change = mx.nd.lamb_update_phase1(
            weight, grad, *state, t=self._index_update_count[index], wd=wd, rescale_grad=self.rescale_grad,
            beta1=self.beta1, beta2=self.beta2, epsilon=self.epsilon, bias_correction=True,
        )  # fmt: skip
        if self.coefficient is not None and _adapts(self.param_dict[index]):
            of_weight, of_change = length([weight]), length([change])
            change = mx.nd.broadcast_mul(change, _ratio(self.coefficient, of_weight, of_change, of_change))
        mx.nd.sgd_update(weight, change, out=weight, lr=lr, wd=0.0)


class Lars(mx.optimizer.Optimizer):
    """See tricks.TrustRatio. Args: momentum, coefficient: of it."""

    def __init__(self, momentum: float, coefficient: float, **numbers):
        super().__init__(**numbers)
        self.momentum, self.coefficient = momentum, coefficient

    def create_state(self, index, weight):
        return mx.nd.zeros_like(weight)

    def update(self, index, weight, grad, state):
        """One array, float32; state: v, which it changes."""
        self._update_count(index)
        numbers = dict(lr=self._get_lr(index), momentum=self.momentum)
        wd = self._get_wd(index)
        if not _adapts(self.param_dict[index]):
            mx.nd.sgd_mom_update(weight, grad, state, out=weight, wd=wd, rescale_grad=self.rescale_grad, **numbers)
            return
        of_weight, of_gradient = length([weight]), length([grad]) * self.rescale_grad
        ratio = _ratio(self.coefficient, of_weight, of_gradient, of_gradient + wd * of_weight)
        change = mx.nd.broadcast_mul(grad * self.rescale_grad + wd * weight, ratio)
        mx.nd.sgd_mom_update(weight, change, state, out=weight, wd=0.0, rescale_grad=1.0, **numbers)


_OWN = {"adamw": AdamW, "lamb": AdamW, "lars": Lars}


def _ratio(coefficient: float, of_weight: mx.nd.NDArray, of_gradient: mx.nd.NDArray, of_change) -> mx.nd.NDArray:
    """The trust ratio, (1,): coefficient |w| / |change|, and 1 where a length is 0."""
    ratio = coefficient * of_weight / of_change
    return mx.nd.where(of_weight * of_gradient > 0, ratio, mx.nd.ones_like(ratio))


def _adapts(parameter: mx.gluon.Parameter) -> bool:
    return len(parameter.shape) > 1 and parameter.wd_mult != 0
