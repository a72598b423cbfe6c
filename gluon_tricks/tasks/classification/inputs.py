"""What a classifier's network sees of the images of a batch."""

from __future__ import annotations

import contextlib

import mxnet as mx
import numpy as np

from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.loader import Batch, RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.pixel_mean import PixelMean
from gluon_tricks.networks.of_recipe import input_dtype
from gluon_tricks.recipes.recipe import Recipe
from model_zoo.mean_image import MeanImage

_AHEAD = 4  # rounds of a device of which some work may be pending


class Inputs:
    """Batches of uint8 pixels as the network of a recipe sees them.

    Args:
        recipe: resolved.
        mean_image: subtracted where the recipe says so, else None.
    """

    def __init__(self, recipe: Recipe, mean_image: MeanImage | None):
        self._recipe, self._pixel_mean = recipe, PixelMean(mean_image, recipe.mean, recipe.std)
        dtype, hybrid, one_size = input_dtype(recipe.dtype), recipe.mode == "hybrid", len(recipe.training_sizes) == 1
        self._training = NetworkInput(dtype, hybrid, one_shape=one_size, reuse=_AHEAD)
        self._evaluation = NetworkInput(dtype, hybrid)

    def drawn(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """The augmentation of a batch's images, see augment.coefficients: matrices (N, 3, 7), flips (N,)."""
        recipe = self._recipe
        return coefficients(recipe.augment, recipe.seed, batch.epochs, batch.indices, recipe.mean, recipe.std)

    def of_training(
        self, images: np.ndarray, matrix: np.ndarray, flip: np.ndarray, context: mx.Context
    ) -> mx.nd.NDArray:
        """Augmented and normalised, (n, 3, H, W) in the network's dtype. Args: as of NetworkInput."""
        return self._pixel_mean(self._training(images, matrix, flip, context))

    def of_evaluation(self, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
        """Normalised, not augmented. Args: images: (n, H, W, 3) uint8."""
        matrix, flip = coefficients("none", 0, 0, range(len(images)), self._recipe.mean, self._recipe.std)
        return self._pixel_mean(self._evaluation(images, matrix, flip, context))

    def sample(self, loader: RecordLoader, context: mx.Context) -> mx.nd.NDArray:
        """A loader's first batch as training sees it, (N, 3, H, W) float32, whatever the recipe's batch."""
        with contextlib.closing(loader.epoch()) as batches:
            batch = next(batches)
        (matrix, flip), normalised, found = self.drawn(batch), NetworkInput("float32", hybrid=False), []
        each = self._recipe.batch_size
        for first in range(0, loader.batch_size, each):
            some = slice(first, first + each)
            found.append(self._pixel_mean(normalised(batch.images[some], matrix[some], flip[some], context)))
        return mx.nd.concat(*found, dim=0)
