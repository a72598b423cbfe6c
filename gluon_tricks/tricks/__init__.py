"""Every refinement of the paper, and some that came after it, one file each.

Recipes are read back from JSON against TRICKS and nothing else.
"""

from __future__ import annotations

from gluon_tricks.tricks.base import Loss, StepContext, Trick
from gluon_tricks.tricks.class_weights import ClassWeights
from gluon_tricks.tricks.clip_gradients import ClipGradients
from gluon_tricks.tricks.cosine import Cosine
from gluon_tricks.tricks.cut_mix import CutMix
from gluon_tricks.tricks.data_dependent_init import DataDependentInit
from gluon_tricks.tricks.decoupled_decay import DecoupledDecay
from gluon_tricks.tricks.distillation import Distillation
from gluon_tricks.tricks.ema import Ema
from gluon_tricks.tricks.exponential_decay import ExponentialDecay
from gluon_tricks.tricks.label_smoothing import LabelSmoothing
from gluon_tricks.tricks.linear_decay import LinearDecay
from gluon_tricks.tricks.linear_scaling import LinearScaling
from gluon_tricks.tricks.mixup import Mixup
from gluon_tricks.tricks.mixup_or_cut_mix import MixupOrCutMix
from gluon_tricks.tricks.no_bias_decay import NoBiasDecay
from gluon_tricks.tricks.plateau import Plateau
from gluon_tricks.tricks.poly_decay import PolyDecay
from gluon_tricks.tricks.random_erasing import RandomErasing
from gluon_tricks.tricks.resizing import Resizing
from gluon_tricks.tricks.sam import Sam
from gluon_tricks.tricks.sigmoid_loss import SigmoidLoss
from gluon_tricks.tricks.step_decay import StepDecay
from gluon_tricks.tricks.trust_ratio import TrustRatio
from gluon_tricks.tricks.warmup import Warmup
from gluon_tricks.tricks.zero_gamma import ZeroGamma

TRICKS: tuple[type[Trick], ...] = (
    LinearScaling,
    Warmup,
    ZeroGamma,
    DataDependentInit,
    NoBiasDecay,
    StepDecay,
    Cosine,
    ExponentialDecay,
    LinearDecay,
    PolyDecay,
    Plateau,
    LabelSmoothing,
    Distillation,
    Mixup,
    CutMix,
    MixupOrCutMix,
    RandomErasing,
    SigmoidLoss,
    ClassWeights,
    Resizing,
    Ema,
    ClipGradients,
    DecoupledDecay,
    TrustRatio,
    Sam,
)

__all__ = ["TRICKS", "StepContext", "Loss", "Trick", *(trick.__name__ for trick in TRICKS)]
