"""From the loader's uint8 batch to the network's input: flip, colour, PCA noise and normalisation.

Every colour operation is affine in RGB, so they compose to one 3x7 matrix per image, and one small product of each
pixel does them all:

    y = A x + B m + c,    matrix = [A | B | c],    x: a pixel's RGB, m: the mean RGB of its image

`coefficients` draws and composes, `network_input.NetworkInput` applies; `augmented` is both, for a loop of one's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_indices, require_kind, require_numbers, require_whole
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import described
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.pixel_mean import PixelMean
from gluon_tricks.data.pixels import as_images
from model_zoo.contexts import context_of
from model_zoo.mean_image import MeanImage
from model_zoo.preprocessing import IMAGENET

MEAN_RGB, STD_RGB = IMAGENET["mean"], IMAGENET["std"]

# RGB to YIQ (NTSC, 1953). The rows of I and Q sum to 0: a grey pixel has no chroma and hue leaves it alone.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
# Replaces R, G and B by the pixel's grey.
_GREY = np.tile(_YIQ[0], (3, 1))

# Principal components of ImageNet's RGB values, on the scale 0..255; a column is an eigenvector.
_PCA_VALUES = np.array([55.46, 4.794, 1.148])
_PCA_VECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


@dataclasses.dataclass(frozen=True)
class Augment:
    """How far each operation may go; 0 leaves it out.

    Args:
        flip: probability of a horizontal flip.
        brightness, contrast, saturation, hue: the coefficient is uniform in [1 - value, 1 + value].
        pca_noise: standard deviation of the coefficient of each principal component.
    """

    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    pca_noise: float = 0.0


AUGMENTS = {
    "paper": Augment(flip=0.5, brightness=0.4, saturation=0.4, hue=0.4, pca_noise=0.1),
    "gluoncv": Augment(flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4, pca_noise=0.1),
    "alexnet": Augment(flip=0.5, pca_noise=0.1),
    "flip": Augment(flip=0.5),
    "none": Augment(),
}


def saturation_matrix(coefficient: np.ndarray) -> np.ndarray:
    """Blends a pixel with its grey: s x + (1 - s) grey(x); 0 is grey, 1 the identity. (N,) -> (N, 3, 3).

    Differs: the grey of `mx.nd.image.random_saturation` (1.9.1) is 0.114 times blue, red and green forgotten.
    `mx.image.SaturationJitterAug` agrees with this.
    """
    s = np.asarray(coefficient, np.float64)[:, None, None]
    return s * np.eye(3) + (1 - s) * _GREY


def hue_matrix(coefficient: np.ndarray) -> np.ndarray:
    """Turns the chroma (I, Q) by (coefficient - 1) x 360 degrees, red towards yellow. (N,) -> (N, 3, 3).

    Differs: `mx.nd.image.random_hue` turns by the same angle in the same direction in HLS, which is not affine:
    lightness stays and saturated colours come out otherwise. `mx.image.HueJitterAug` turns in YIQ like this,
    by -180 degrees x its coefficient.
    """
    angle = 2 * np.pi * (np.asarray(coefficient, np.float64) - 1)
    turn = np.tile(np.eye(3), (len(angle), 1, 1))
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 1, 2] = np.sin(angle)
    turn[:, 2, 1] = -np.sin(angle)
    return np.linalg.inv(_YIQ) @ turn @ _YIQ


def pca_offset(coefficient: np.ndarray) -> np.ndarray:
    """What PCA noise adds to every pixel: eigenvectors (coefficient * eigenvalues). (N, 3) -> (N, 3) levels."""
    return (np.asarray(coefficient, np.float64) * _PCA_VALUES) @ _PCA_VECTORS.T


def compose(
    brightness: np.ndarray,
    contrast: np.ndarray,
    saturation: np.ndarray,
    hue: np.ndarray,
    pca: np.ndarray,
    mean: Sequence[float] = MEAN_RGB,
    std: Sequence[float] = STD_RGB,
) -> np.ndarray:
    """All the colour operations of each image and its normalisation as one affine map.

        y = (b (c S H x + (1 - c) grey(m)) + pca_offset - mean) / std

    with brightness b, contrast c (about the image's mean grey), saturation S and hue H. The order of these four is
    immaterial: S and H keep a pixel's grey, and keep a grey pixel, so all of them commute while nothing is clipped.

    Args:
        brightness, contrast, saturation, hue: coefficients, (N,); 1 changes nothing.
        pca: coefficients of the principal components, (N, 3); 0 changes nothing.
        mean, std: of R, G and B, in levels 0..255.

    Returns: (N, 3, 7) float32, [A | B | c] of the module's formula.
    """
    brightness, contrast = (np.asarray(value, np.float64)[:, None, None] for value in (brightness, contrast))
    matrix = np.empty((len(brightness), 3, 7))
    matrix[:, :, :3] = brightness * contrast * (saturation_matrix(saturation) @ hue_matrix(hue))
    matrix[:, :, 3:6] = brightness * (1 - contrast) * _GREY
    matrix[:, :, 6] = pca_offset(pca) - mean
    return (matrix / np.reshape(std, (3, 1))).astype(np.float32)


def normalised(
    images: np.ndarray,
    context: mx.Context | None = None,
    mean: Sequence[float] = MEAN_RGB,
    std: Sequence[float] = STD_RGB,
    mean_image: MeanImage | None = None,
) -> mx.nd.NDArray:
    """Images for evaluation as a network takes them, (pixels - mean) / std.

    Args:
        images: (n, H, W, 3) uint8, RGB.
        context: the device; default: the CPU.
        mean, std: of R, G and B, in levels 0..255; default: ImageNet's.
        mean_image: of net.preprocessing: what is subtracted pixel by pixel, in place of the mean.

    Returns: (n, 3, H, W) float32 on the device.

    Raises:
        Refused: one of them is none.
    """
    images, context, (mean, std) = as_images(images), context_of(context), _levels(mean, std)
    require_kind("mean_image", mean_image, (MeanImage, type(None)), "that of net.preprocessing")
    whole = PixelMean(mean_image, mean, std)
    pixels = mx.nd.array(images, ctx=context, dtype="uint8").astype("float32")
    mean, std = (mx.nd.array(value, ctx=context).reshape((1, 1, 1, 3)) for value in (mean, std))
    return whole(mx.nd.broadcast_div(mx.nd.broadcast_sub(pixels, mean), std).transpose((0, 3, 1, 2)))


def _levels(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return require_numbers("mean", mean, 3, -1e4, 1e4), require_numbers("std", std, 3, 1e-4, 1e4)  # as in a recipe


def coefficients(
    kind: str,
    seed: int,
    epoch: int | Sequence[int],
    images: Sequence[int],
    mean: Sequence[float] = MEAN_RGB,
    std: Sequence[float] = STD_RGB,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the augmentation of each image: what `NetworkInput` needs beside the images.

    Args:
        kind: a key of AUGMENTS: "paper", "gluoncv", "alexnet" (flip and PCA noise), "flip" or "none" (normalise only).
        seed: a whole number >= 0.
        epoch: likewise, or one of each image, (N,).
        images: the images' numbers in the data set, (N,). The draws depend on seed, epoch and this alone: they
            are the same for any number of ranks, devices and threads.
        mean, std: of R, G and B, in levels 0..255.

    Returns:
        matrix: (N, 3, 7) float32, from `compose`.
        flip: (N,) float32, 1 to mirror the image, else 0.

    Raises:
        Refused: there is no augmentation of that name.

    Source: Bag of Tricks, section 2.1: flip with probability 0.5, coefficients of hue, saturation and brightness
        uniform in [0.6, 1.4], PCA noise with a coefficient from N(0, 0.1). ILSVRC winners, AlexNet: flip and that
        noise, which VGG and ResNet took over.
    Differs: the paper scales hue; here it is turned, by (coefficient - 1) x 360 degrees (see hue_matrix): a hue is an
        angle, and what scaling does to it depends on where 0 lies. The images are uint8 (see crop.random_crop).
        GluonCV ("gluoncv") has contrast in the place of hue, and applies its three operations in random
        order. ImageRecordIter moreover takes R for B in them and cuts PCA noise down to whole levels; here nothing
        is clipped or rounded.
    """
    if not isinstance(kind, str) or kind not in AUGMENTS:
        raise Refused(f"there is no augmentation {described(kind)}: choose one of {', '.join(AUGMENTS)}")
    augment, number = AUGMENTS[kind], len(images)
    if augment == Augment():
        one, zero = np.ones(number), np.zeros(number, np.float32)
        return compose(one, one, one, one, np.zeros((number, 3)), mean, std), zero
    uniform, normal = _draws(seed, epoch, images)
    reach = [augment.brightness, augment.contrast, augment.saturation, augment.hue]
    jitter = 1 + (2 * uniform[:, 1:] - 1) * reach  # (N, 4)
    flip = uniform[:, 0] < augment.flip
    return compose(*jitter.T, augment.pca_noise * normal, mean, std), flip.astype(np.float32)


def _draws(seed: int, epoch: int | Sequence[int], images: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Per image, for every kind of augmentation the same: (N, 5) uniform in [0, 1), (N, 3) standard normal."""
    epochs = np.broadcast_to(epoch, len(images)).tolist()
    streams = [generator(seed, "augment", epoch, int(image)) for epoch, image in zip(epochs, images)]
    return np.array([rng.random(5) for rng in streams]), np.array([rng.standard_normal(3) for rng in streams])


def augmented(
    images: np.ndarray, indices: Sequence[int], context: mx.Context | None = None, *, kind: str = "paper",
    seed: int = 0, epoch: int | Sequence[int] = 0, mean: Sequence[float] = MEAN_RGB, std: Sequence[float] = STD_RGB,
) -> mx.nd.NDArray:  # fmt: skip
    """A loader's training images as a network takes them: flipped, jittered and normalised on the device.

    Args:
        images: (N, H, W, 3) uint8, RGB: `images` of a RecordLoader's batch.
        indices: the images' numbers in the data set, (N,): `indices` of the batch. The draws depend on seed, epoch and
            this alone; -1 stands for padding.
        context: the device; default: the CPU.
        kind: "paper" (flip, brightness, saturation, hue, PCA noise), "gluoncv" (contrast in place of hue), "alexnet"
            (flip, PCA noise), "flip" or "none".
        seed: a whole number >= 0.
        epoch: likewise, or one of each image, (N,): `epochs` of the batch.
        mean, std: of R, G and B, in levels 0..255: those of `net.preprocessing`; default: ImageNet's.

    Returns: (N, 3, H, W) float32 on the device.

    Raises:
        Refused: there is no augmentation of that name, or an argument is none of these.

    Source: Bag of Tricks, section 2.1.
    """
    images, context, (mean, std) = as_images(images), context_of(context), _levels(mean, std)
    count, seed = len(images), require_whole("seed", seed, 0, 2**64 - 1)
    indices = require_indices("indices", indices, (count,), 2**62, f"a number for each image, {count} in all", least=-1)
    if np.ndim(epoch):
        epoch = require_indices("epoch", epoch, (count,), 2**62, f"one for all images, or one for each, {count} in all")
    else:
        epoch = require_whole("epoch", epoch, 0)
    return _NETWORK_INPUT(images, *coefficients(kind, seed, epoch, indices, mean, std), context)


_NETWORK_INPUT = NetworkInput()
