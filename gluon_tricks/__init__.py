"""Bag of Tricks for Image Classification with Convolutional Neural Networks, in MXNet/Gluon.

What a program of your own needs is here by name (`__all__`); docs/python.md shows it. Each name is imported when it is
first used, so that `import gluon_tricks` itself costs no more than numpy.
"""

import importlib

import gluon_tricks.core.environment  # noqa: F401  first: it prepares the process for `import mxnet`

__version__ = "0.9.12"

# Where each public name comes from: a module, or an object in it.
_PUBLIC = {
    # networks
    "get_model": "model_zoo:get_model",
    "list_models": "model_zoo:list_models",
    # data
    "class_folders": "gluon_tricks.data.folders:class_folders",
    "pack": "gluon_tricks.data.pack:pack",
    "RecordWriter": "gluon_tricks.data.record_writer:RecordWriter",
    "Records": "gluon_tricks.data.records:Records",
    "RecordLoader": "gluon_tricks.data.loader:RecordLoader",
    "ReadOptions": "gluon_tricks.data.base_loader:ReadOptions",
    "augmented": "gluon_tricks.data.augment:augmented",
    "normalised": "gluon_tricks.data.augment:normalised",
    # the refinements, and what their hooks take
    **{
        name: f"gluon_tricks.tricks:{name}"
        for name in (
            *("LinearScaling", "Warmup", "ZeroGamma", "DataDependentInit", "NoBiasDecay", "StepDecay", "Cosine"),
            *("ExponentialDecay", "LinearDecay", "PolyDecay", "Plateau", "LabelSmoothing", "Distillation", "Mixup"),
            *("CutMix", "MixupOrCutMix", "RandomErasing", "SigmoidLoss", "StochasticDepth", "ClassWeights", "Resizing"),
            *("Ema", "ClipGradients", "DecoupledDecay", "TrustRatio", "Sam", "Trick", "StepContext"),
        )
    },
    "initialise_from_data": "gluon_tricks.initialise.data:initialise_from_data",
    "change_rates": "gluon_tricks.initialise.data:change_rates",
    "Plan": "gluon_tricks.tricks.schedule:Plan",
    "schedule": "gluon_tricks.tricks.schedule",
    # recipes
    "Recipe": "gluon_tricks.recipes.recipe:Recipe",
    "DetectionRecipe": "gluon_tricks.recipes.transfer:DetectionRecipe",
    "SegmentationRecipe": "gluon_tricks.recipes.transfer:SegmentationRecipe",
    "MultiLabelRecipe": "gluon_tricks.recipes.multi_label:MultiLabelRecipe",
    "get_recipe": "gluon_tricks.recipes.registry:get_recipe",
    "list_recipes": "gluon_tricks.recipes.registry:list_recipes",
    # training
    "train": "gluon_tricks.training.loop:train_and_evaluate",
    "Options": "gluon_tricks.training.job:Options",
    # trained networks
    "load_network": "gluon_tricks.trained.load:load_network",
    "evaluate": "gluon_tricks.trained.interface:evaluate",
    "predict": "gluon_tricks.trained.interface:predict",
    # a trained classifier seen from inside
    "open_viewed": "gluon_tricks.inside.viewed:open_viewed",
    "strongest": "gluon_tricks.inside.deconvolution:strongest",
    "project": "gluon_tricks.inside.deconvolution:project",
    "occlusion_map": "gluon_tricks.inside.occlusion:occlusion_map",
    "invariance": "gluon_tricks.inside.invariance:invariance",
    # errors
    "Refused": "gluon_tricks.core.errors:Refused",
    "Interrupted": "gluon_tricks.training.steps:Interrupted",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    """Imports a public name when it is first asked for (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    found = importlib.import_module(module)
    globals()[name] = getattr(found, attribute) if attribute else found
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
