"""A trained classifier, opened to be looked at, and the images to look at it with."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_whole
from gluon_tricks.core.wording import byte_size, plural, printable
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.crop import centre_crop
from gluon_tricks.data.encoding import NoImage
from gluon_tricks.data.pixels import as_images
from gluon_tricks.inside.chain import Chain
from gluon_tricks.networks.load import Trained, open_classifier, require_classifier, require_finite_parameters
from gluon_tricks.networks.of_recipe import parameters_by_name, require_images, restore_plain_layout
from gluon_tricks.tasks.classification.auxiliary import own
from gluon_tricks.tasks.classification.evaluation_set import open_evaluation_set
from gluon_tricks.tasks.prediction import require_finite
from gluon_tricks.trained.predict import names_of
from gluon_tricks.trained.prediction_files import read_photo
from model_zoo.classifier import Classifier
from model_zoo.contexts import context_of
from model_zoo.preprocessing import IMAGENET, Preprocessing

MOST_BYTES = 1 << 31  # of the images that are kept: 14,000 of 224 px


@dataclasses.dataclass
class Viewed:
    """A classifier with what it takes to ask it about pixels.

    Args:
        net: the network.
        preprocessing: of the images.
        names: of its classes.
        context: where it is.
        batch_size: images at a time.
        trained: what it was opened as.
    """

    net: Classifier
    preprocessing: Preprocessing
    names: tuple[str, ...]
    context: mx.Context
    batch_size: int = 16
    trained: Trained | None = None

    @property
    def side(self) -> int:
        """Of the images, px."""
        return self.preprocessing.input_size

    @property
    def fill(self) -> tuple[int, int, int]:
        """The colour that says nothing: the mean that is subtracted; ImageNet's where none is."""
        mean = self.preprocessing.mean
        return tuple(int(round(level)) for level in (mean if any(mean) else IMAGENET["mean"]))

    @property
    def several(self) -> bool:
        """Whether an image may be of several classes, each with a probability of its own."""
        return self.preprocessing.probabilities == "sigmoid"

    def chain(self) -> Chain:
        """The network step by step. Raises: Refused, as Chain does."""
        return Chain(self.net)

    def normalise(self, pixels: np.ndarray) -> mx.nd.NDArray:
        """(n, H, W, 3) uint8 RGB -> the network's input (n, 3, H, W). Raises: Refused: it is no such array."""
        seen_as = self.preprocessing
        return normalised(pixels, self.context, seen_as.mean, seen_as.std, seen_as.mean_image)

    def batches(self, pixels: np.ndarray) -> Iterator[mx.nd.NDArray]:
        """Images (N, H, W, 3) uint8 RGB as the network's input, batch by batch. Raises: Refused, as normalise."""
        pixels = as_images(pixels)
        for start in range(0, len(pixels), self.batch_size):
            yield self.normalise(pixels[start : start + self.batch_size])

    def features(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the network makes of images (n, H, W, 3) uint8 RGB.

        Returns: the output of its first stage (n, E); the vector that its head sees (n, L); probabilities (n, K).

        Raises:
            Refused: the network gives no numbers, or has no stages.
        """
        found = [self._features(images) for images in self.batches(pixels)]
        restore_plain_layout(self.net)
        return tuple(np.concatenate(part) for part in zip(*found))

    def _features(self, images: mx.nd.NDArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.net.check_images(images.shape)
        x, early = images, None
        for number, part in enumerate(self.net.trunk):
            x = part(x)
            if number == len(self.net.trunk) - self.net.stages:
                early = x
        late = self.net.neck(x)
        return early.flatten().asnumpy(), late.flatten().asnumpy(), self._softmax(self.net.head(late))

    def _softmax(self, logits: mx.nd.NDArray) -> np.ndarray:
        """Probabilities (n, K) float64; of `several` each by itself."""
        logits = logits.astype("float32")
        probabilities = (logits.sigmoid() if self.several else logits.softmax(axis=1)).asnumpy()
        require_finite(probabilities)
        return probabilities.astype(np.float64)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(n, K) float64 of images (n, H, W, 3) uint8 RGB. Raises: Refused, as `features` does."""
        found = [self._softmax(own(self.net(images))) for images in self.batches(pixels)]
        restore_plain_layout(self.net)
        return np.concatenate(found)


def open_viewed(
    source: str | os.PathLike | Classifier, *, model: str | None = None, class_file: str | os.PathLike | None = None,
    context: mx.Context | None = None, batch_size: int = 16,
) -> Viewed:  # fmt: skip
    """A trained classifier, ready to be looked at.

    Args:
        source: as load_network takes it; or a network of get_model or load_network with its parameters.
        model: of a parameter file that fits several networks.
        class_file: other names of the classes than those known, one a line.
        context: of what is loaded; the CPU by default. A network stays where it is.
        batch_size: images at a time.

    Returns: `viewed.chain()` is for `strongest` and `project`, `viewed.probabilities` for `occlusion_map`,
        `viewed.features` for `invariance`.

    Raises:
        Refused: nothing trained there, a detector or segmenter, an exported graph, names that do not fit, or images
            that take more memory than there is; parameters that are no numbers.
    """
    context, batch_size = context_of(context), require_whole("batch_size", batch_size, 1)
    if isinstance(source, Classifier):
        trained, source = Trained(source), source.name
        _require_numbers(trained.net, source)
        context = next(iter(trained.net.collect_params().values())).list_ctx()[0]
    else:
        trained = open_classifier(source, model=model, ctx=context)
        trained.net.hybridize(static_alloc=True, static_shape=True)
    net = require_classifier(trained, source)
    _require_numbers(net, source)
    names, _ = names_of(trained, str(source), class_file)
    side = net.preprocessing.input_size
    require_images(net, (batch_size, side, side), context)
    return Viewed(net, net.preprocessing, names, context, batch_size, trained)


def _require_numbers(net: Classifier, source: str | os.PathLike) -> None:
    """Refuses parameters that are not there, not float32, or no numbers."""
    for name, parameter in parameters_by_name(net).items():
        if parameter._data is None:
            raise Refused(f"{source} has no parameters yet ({name}): train it, or load some with pretrained=")
        if np.dtype(parameter.dtype) != np.float32:
            kind = np.dtype(parameter.dtype).name
            raise Refused(f"{source} has {kind} parameters: save it and name the file, which is read as float32")
    require_finite_parameters(net, source)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The images that a network is looked at with.

    Args:
        pixels: (N, S, S, 3) uint8 RGB.
        labels: (N,) their classes; None: not known.
        called: where they are from, in words.
        broken: files that are no images, which were left out, and why.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    called: str
    broken: tuple[tuple[pathlib.Path, str], ...] = ()


def pictures_of_files(viewed: Viewed, paths: Sequence[pathlib.Path], count: int) -> Pictures:
    """The first photos of those named, cropped as the network takes them.

    Raises:
        Refused: none of them is an image, or they take too much memory.
    """
    _require_memory(viewed, min(count, len(paths)))
    pixels, broken = [], []
    for path in paths:
        if len(pixels) == count:
            break
        try:
            image = read_photo(path)
        except NoImage as why:
            broken.append((path, str(why)))
        else:
            pixels.append(centre_crop(image, viewed.side, viewed.preprocessing.crop_ratio))
    if not pixels:
        first = f"{printable(paths[0])} ({broken[0][1]})"
        raise Refused(f"no images found: of {plural(len(paths), 'file')} none can be decoded, such as {first}")
    return Pictures(np.stack(pixels), None, "the photos", tuple(broken))


def pictures_of_records(viewed: Viewed, source: str, count: int, rec_val: Sequence[str] = ()) -> Pictures:
    """The first images of packed records, of a run by default its validation images, with their labels.

    Raises:
        Refused: there are none, they are of other classes, or they take too much memory.
    """
    if viewed.trained.recipe is None and not rec_val:
        raise Refused(images_missing(source))
    if viewed.several:
        raise Refused(
            f"{source} finds several classes in an image, and these records have one label each: name photos (--images)"
        )
    evaluated = open_evaluation_set(
        source, [viewed.context], rec_val=rec_val, trained=viewed.trained, batch_size=viewed.batch_size
    )
    count = min(count, len(evaluated.records))
    _require_memory(viewed, count)
    pixels, labels, loader = [], [], evaluated.loader(viewed.batch_size)
    for batch in itertools.islice(loader.epoch(), -(-count // viewed.batch_size)):
        pixels.append(batch.images[: batch.count].copy())
        labels.append(batch.labels[: batch.count].copy())
    pixels, labels = np.concatenate(pixels)[:count], np.concatenate(labels)[:count].astype(np.int64)
    if not len(pixels):
        raise Refused(f"of the first {plural(count, 'record')} of {evaluated.records.paths[0]} none can be decoded")
    return Pictures(pixels, labels, "the first validation images")


def images_missing(source: str) -> str:
    """What is said of a network that is of no run, where no images are named."""
    return f"{source} belongs to no run, so images are missing: name photos (--images) or packed images (--rec-val)"


def _require_memory(viewed: Viewed, count: int) -> None:
    needed = count * viewed.side**2 * 3
    if needed > MOST_BYTES:
        raise Refused(
            f"{count} images of {viewed.side} px take {byte_size(needed)}, and {byte_size(MOST_BYTES)} are the most: "
            "name fewer (--count)"
        )
