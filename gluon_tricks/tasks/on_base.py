"""What the tasks have in common whose network stands on a base network: a classifier that has been trained before."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.augment import normalised
from gluon_tricks.networks.load import (
    Trained,
    model_of,
    open_classifier,
    require_classifier,
    require_same_normalisation,
)
from gluon_tricks.networks.of_recipe import (
    input_dtype,
    network_keywords,
    parameters_by_name,
    require_images,
    set_parameters,
    training_shape,
)
from gluon_tricks.networks.source import require_there
from gluon_tricks.networks.start import starts
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.transfer import TransferRecipe
from gluon_tricks.tasks.annotated_validation import AnnotatedValidation, open_validation
from gluon_tricks.tasks.findings import Arrays
from gluon_tricks.tasks.protocol import Loader, Scores, ScoringOptions
from model_zoo import built_with, formats, get_model
from model_zoo.classifier import Classifier

DRAWN = dict(dataset="few_scenes", data="", base_params="", classes=None, class_names=())  # fields of a recipe


class OnBase(abc.ABC):
    """The half of a Task that is the same for all of them.

    What differs are the abstract methods, and `validation_loader` and `score` of AnnotatedTask.
    """

    train_error: ClassVar[None] = None
    exported: ClassVar[bool] = False
    open_files: ClassVar[int] = 0
    told: ClassVar[Sequence[str]] = ()
    recorded: ClassVar[Mapping[str, Any]] = {}
    run_files: ClassVar[Mapping[str, str]] = {}
    found: Arrays = {}  # of no evaluation yet
    learnt_from: ClassVar[str] = ""
    recipe: TransferRecipe
    contexts: Sequence[mx.Context]
    val: Loader

    @staticmethod
    @abc.abstractmethod
    def base_traits(model: str) -> dict[str, Any]:
        """Keywords by which a base network gets the form that is needed. Raises Refused if it has no such form."""

    @staticmethod
    @abc.abstractmethod
    def build(recipe: TransferRecipe, base: Classifier, norm_layers: dict[str, Any]) -> mx.gluon.HybridBlock:
        """The recipe's network on a base network that has its parameters; those of the rest are random.

        Args:
            norm_layers: of base_network.
        """

    @staticmethod
    @abc.abstractmethod
    def outputs(classes: int) -> int:
        """How many outputs the layer has that finds so many classes."""

    @classmethod
    def told_of(cls, recipe: TransferRecipe) -> Sequence[str]:
        """See Task."""
        return ()

    @classmethod
    def scores_of(cls, recipe: TransferRecipe) -> type[Scores]:
        """See Task."""
        return cls.scores

    @classmethod
    def drawn(cls, recipe: TransferRecipe) -> TransferRecipe:
        """See Task."""
        return recipe.set(**DRAWN)

    @classmethod
    def class_names(cls, trained: Trained) -> Sequence[str] | None:
        """See Task."""
        return trained.recipe.class_names or None

    @classmethod
    def names_one(cls, trained: Trained) -> bool:
        """Several things, or a class for each pixel."""
        return False

    @classmethod
    def place(cls, recipe: TransferRecipe) -> str:
        """Where its validation images come from, in words."""
        return recipe.data or recipe.dataset

    @classmethod
    def open_validation(
        cls, source: str, contexts: Sequence[mx.Context], options: ScoringOptions, trained: Trained | None = None
    ) -> AnnotatedValidation:
        """See Task."""
        return open_validation(cls, source, contexts, options, trained)

    @classmethod
    def architecture(cls, recipe: TransferRecipe) -> Classifier:
        """See Task: of these tasks it is the base network."""
        return get_model(recipe.model, **cls._base_keywords(recipe, False))

    @classmethod
    def outline(cls, recipe: TransferRecipe) -> mx.gluon.HybridBlock:
        """See Task."""
        if recipe.base_params:
            require_there(recipe.base_params, _model_to_name(recipe))
        return cls.on_trained_base(recipe.starting_from(""), ())

    @classmethod
    def restored(
        cls, recipe: TransferRecipe, source: str | os.PathLike, contexts: Sequence[mx.Context],
        arrays: dict[str, np.ndarray] | None = None,
    ) -> mx.gluon.HybridBlock:  # fmt: skip
        """See Task."""
        arrays = formats.read(source) if arrays is None else arrays
        classes = len(recipe.class_names) or recipe.classes or 1
        if cls.outputs(classes) not in {array.shape[0] for array in arrays.values() if array.ndim}:
            raise Refused(f"{source} has no layer for the {classes} classes that its recipe says: it is another run's")
        net = cls.build(recipe, *cls.base_network(recipe, 1000, list(contexts)))
        set_parameters(net, arrays, source)
        return net

    @classmethod
    def base_network(
        cls, recipe: TransferRecipe, classes: int, ctx=None, to_train: bool = False
    ) -> tuple[Classifier, dict[str, Any]]:
        """The base network with random parameters, and the keywords of its normalisation layers.

        Args:
            classes: K of it as a classifier; its head is not used.

        Raises:
            Refused: a network that has not the form that is needed.
        """
        kwargs = cls._base_keywords(recipe, to_train)
        base = get_model(recipe.model, classes=classes, **kwargs)
        if recipe.sides[0] < base.smallest_for_features:
            raise Refused(
                f"{recipe.model} takes images of at least {base.smallest_for_features} px, and these have "
                f"{recipe.sides[0]}"
            )
        base.initialize(ctx=ctx or mx.cpu())
        return base, {name: kwargs[name] for name in ("norm_layer", "norm_kwargs") if name in kwargs}

    @classmethod
    def _base_keywords(cls, recipe: TransferRecipe, to_train: bool) -> dict[str, Any]:
        return {**cls.base_traits(recipe.model), **network_keywords(recipe, to_train, ("classes",))}

    @classmethod
    def on_trained_base(
        cls, recipe: TransferRecipe, contexts: Sequence[mx.Context], restored: bool = False,
        begins: Callable[[Classifier], None] | None = None,
    ) -> mx.gluon.HybridBlock:  # fmt: skip
        """The recipe's network before its first step: the base trained, the rest random by the recipe's seed.

        Args:
            contexts: devices of this rank; (): the CPU, whose memory is not looked at.
            restored: its numbers are going to be a checkpoint's: the base's file is not read.
            begins: changes the base's parameters, once nothing of the network can be refused any more.

        Raises:
            Refused: base_params is nothing trained, or another network than recipe.model, or it computes something
                else by its keywords.
        """
        mx.random.seed(recipe.seed)
        if recipe.base_params and not restored:
            opened = open_base(recipe)
            trained = require_classifier(opened, recipe.base_params)
            require_same_normalisation(recipe, opened, recipe.base_params)
            base, layers = cls.base_network(recipe, trained.classes, list(contexts), to_train=True)
            built_with.require_alike(recipe.base_params, trained.keywords, base)
            arrays = {name: parameter.data().asnumpy() for name, parameter in parameters_by_name(trained).items()}
            set_parameters(base, arrays, recipe.base_params)
        else:
            classes = recipe.classes if recipe.init and recipe.classes else 1000
            base, layers = cls.base_network(recipe, classes, list(contexts), to_train=True)
            if recipe.init:
                _start_anew(base, recipe, list(contexts))
        require_images(
            base.features_at(base.stages),
            training_shape(recipe, contexts, *recipe.sides),
            next(iter(contexts), None),
            to_train=True,
            copies=recipe.copies(),
        )
        net = cls.build(recipe, base, layers)
        if begins is not None:
            begins(base)
        for trick in recipe.tricks:
            trick.after_initialize(net)
        net.cast(input_dtype(recipe.dtype))
        if recipe.mode == "hybrid":
            # Not static_shape, as the shapes of images differ; but see SyncBatchNorm.
            over_ranks = distributed.ranks() > 1 and recipe.net.get("norm_layer") == "SyncBatchNorm"
            net.hybridize(static_alloc=True, static_shape=over_ranks)
        return net

    def score_pictures(self) -> dict[str, np.ndarray]:
        """See Task."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        """See Task."""
        return tuple(self.recipe.class_names)

    @property
    def final_val(self) -> Loader:
        """See Task."""
        return self.val

    def network(self, restored: bool = False) -> mx.gluon.HybridBlock:
        """See Task."""
        begins = self._begin_from_images if not restored and distributed.rank() == 0 else None
        return self.on_trained_base(self.recipe, self.contexts, restored, begins)

    def _begin_from_images(self, base: Classifier) -> None:
        """What tricks make of the base from the first training images, cropped as a classifier is validated with."""
        recipe, seen = self.recipe, base.preprocessing

        def sample(count: int) -> mx.nd.NDArray:
            images = self.train.first_images(count, seen.input_size, seen.crop_ratio)
            return normalised(images, self.contexts[0], recipe.mean, recipe.std)

        for trick in recipe.tricks:
            trick.from_images(base, sample, recipe.seed)


def _start_anew(base: Classifier, recipe: TransferRecipe, contexts: list[mx.Context]) -> None:
    """Gives the base's parameters the numbers that the recipe's init says."""
    parameters = base.collect_params()
    for name, start in starts(recipe, base).items():
        parameters[name].initialize(start, contexts, mx.init.MSRAPrelu(), force_reinit=True)


def open_base(recipe: TransferRecipe) -> Trained:
    """What the base network of a recipe starts from."""
    model = _model_to_name(recipe)
    return open_classifier(recipe.base_params, model=model, why=": a base network is a classifier")


def _model_to_name(recipe: TransferRecipe) -> str | None:
    """The base's model, where base_params does not say it. Raises Refused: it says another."""
    source, said = recipe.base_params, model_of(recipe.base_params)
    if said not in (None, recipe.model):
        raise Refused(f"{source} is a {said}, and the base is to be a {recipe.model}: use --base {said}")
    return None if said else recipe.model
