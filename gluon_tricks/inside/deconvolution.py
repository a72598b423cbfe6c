"""What makes a channel fire: its strongest activations over many images, gone back to pixels.

Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (ECCV 2014), sections 2.1 and 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_indices, require_kind, require_whole
from gluon_tricks.core.wording import described
from gluon_tricks.initialise.data import shapes_refused
from gluon_tricks.inside.chain import Chain, Layer


@dataclasses.dataclass(frozen=True)
class Strongest:
    """The strongest activations of every channel of a layer, one an image, the strongest first.

    Args:
        values: (C, T) float32; 0 or less: the channel fires for no further image.
        images: (C, T) which image, counted from 0.
        places: (C, T, 2) where in the layer's map, y and x; 0 of a dense layer.
    """

    values: np.ndarray
    images: np.ndarray
    places: np.ndarray


def strongest(
    chain: Chain, batches: Iterable[mx.nd.NDArray], layers: Sequence[Layer], top: int = 9
) -> dict[str, Strongest]:
    """The strongest activations of all channels of some layers, in one pass over the images.

    Of each image the greatest activation of a channel counts; of equal ones the first.

    Args:
        chain: the network.
        batches: of images (n, 3, H, W), normalised, on the network's device; all of one size.
        layers: of chain.layers.
        top: how many, T; fewer if there are fewer images.

    Returns: of each layer, by its path.

    Raises:
        Refused: an activation is infinite; or what is given is no such network, layer, batch or number.
    """
    _require_layers(chain, layers)
    require_kind("batches", batches, Iterable, "batches of images, such as viewed.batches(pixels)")
    require_whole("top", top, 1)
    found: dict[str, Strongest] = {}
    ends, seen = {layer.end: layer for layer in layers}, 0
    for images in batches:
        for k, x in enumerate(_outputs(chain, max(ends), images)):
            if k in ends:
                path = ends[k].path
                found[path] = _merged(found.get(path), _greatest(x, seen, path), top)
        seen += len(images)
    if not found:
        raise Refused("batches has no images to look at: give at least one batch")
    chain.settle()
    return found


def _require_layers(chain: Chain, layers: Sequence[Layer]) -> None:
    """Refuses what is no network step by step, or no layers of it."""
    require_kind("chain", chain, Chain, "a network step by step, such as viewed.chain()")
    some_of_it = 'of chain.layers, such as chain.layer("head")'
    if not isinstance(layers, (list, tuple)) or not layers:
        raise Refused(f"layers takes a list {some_of_it}, but got {described(layers)}")
    for layer in layers:
        require_kind("layer", layer, Layer, f"one {some_of_it}")
        if layer not in chain.layers:
            raise Refused(f"layer {layer.path} is of another network than {chain.name}: take one {some_of_it}")


def _outputs(chain: Chain, last: int, images: mx.nd.NDArray) -> Iterator[mx.nd.NDArray]:
    """What each step up to the last one gives for images. Raises: Refused, of what is no batch of images."""
    if not isinstance(images, mx.nd.NDArray) or images.ndim != 4:
        got = f"shape {images.shape}" if hasattr(images, "shape") else described(images)
        raise Refused(f"images are an NDArray (n, 3, H, W), as viewed.normalise(pixels) gives it, but got {got}")
    x = images
    for step in chain.steps[: last + 1]:
        with shapes_refused(images):
            x = chain.forward(step, x)
        yield x


def _greatest(x: mx.nd.NDArray, first: int, path: str) -> Strongest:
    """Each image's greatest activation of each channel. Args: x: (n, C, ...); first: the number of the first image."""
    rows = x.reshape((0, 0, -1))
    values, flat = rows.max(axis=2).asnumpy().T, rows.argmax(axis=2).asnumpy().T.astype(np.int64)  # (C, n)
    if not np.isfinite(values).all():  # NaN does not come so far: relu and max pass over it
        raise Refused(
            f"the network gives infinite numbers in {path}: its parameters are those of a training that diverged"
        )
    width = x.shape[3] if x.ndim == 4 else 1
    images = np.broadcast_to(np.arange(first, first + len(x)), values.shape)
    return Strongest(values, images, np.stack([flat // width, flat % width], axis=2))


def _merged(one: Strongest | None, other: Strongest, top: int) -> Strongest:
    if one is None:
        one = Strongest(other.values[:, :0], other.images[:, :0], other.places[:, :0])
    values, images, places = (
        np.concatenate([getattr(one, name), getattr(other, name)], axis=1) for name in ("values", "images", "places")
    )
    order = np.argsort(-values, axis=1, kind="stable")[:, :top]
    return Strongest(
        np.take_along_axis(values, order, 1),
        np.take_along_axis(images, order, 1),
        np.take_along_axis(places, order[..., None], 1),
    )


def project(chain: Chain, layer: Layer, images: mx.nd.NDArray, units: np.ndarray) -> np.ndarray:
    """Single activations of a layer gone back to the images' pixels; all others of the layer being 0.

    Args:
        chain: the network.
        layer: one of chain.layers.
        images: (n, 3, H, W), normalised, on the network's device.
        units: (n, 3) channel, y and x of each image's activation.

    Returns: (n, 3, H, W) float32, in the scale of the network's input.

    Raises:
        Refused: no such network, layer or images, or an activation that the layer does not have.
    """
    _require_layers(chain, [layer])
    *inputs, x = [images, *_outputs(chain, layer.end, images)]
    below = (*x.shape[1:], 1, 1)[:3]
    takes = f"channel, y and x, less than {', '.join(map(str, below))}, for each image, {len(images)} in all"
    mask = np.zeros(x.shape, np.float32)
    for k, (channel, row, column) in enumerate(require_indices("units", units, (len(images), 3), below, takes)):
        mask[(k, channel, row, column) if x.ndim == 4 else (k, channel)] = 1
    signal = x * mx.nd.array(mask, ctx=x.context, dtype=x.dtype)
    for step in reversed(chain.steps[: layer.end + 1]):
        signal = chain.back(step, inputs.pop(), signal)
    chain.settle()
    return signal.asnumpy().astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One strong activation: what of its image it sees, and what of that made it.

    Args:
        patch: (s, s, 3) uint8 RGB: the receptive field, as much of it as lies in the image.
        view: (s, s, 3) uint8 RGB: the activation gone back to pixels, grey where nothing came back.
        value: the activation.
    """

    patch: np.ndarray
    view: np.ndarray
    value: float


def pairs(
    chain: Chain, layer: Layer, channels: Sequence[int], found: Strongest, pixels: np.ndarray,
    normalise: Callable[[np.ndarray], mx.nd.NDArray], std: Sequence[float], batch_size: int = 9,
    told: Callable[[int], object] = lambda count: None,
) -> dict[int, list[Pair]]:  # fmt: skip
    """Patches and views of the strongest activations of channels; of one that never fires none.

    Args:
        chain, layer: the network, and one of chain.layers.
        channels: which.
        found: what `strongest` found of the layer.
        pixels: (N, H, W, 3) uint8 RGB: the images, as `strongest` counted them.
        normalise: (n, H, W, 3) uint8 -> the network's input.
        std: of R, G and B, by which `normalise` divides: views are shown in levels, not in deviations.
        batch_size: how many at a time.
        told: called with how many are done, batch by batch.
    """
    wanted = [(c, k) for c in channels for k in range(found.values.shape[1]) if found.values[c, k] > 0]
    shown: dict[int, list[Pair]] = {c: [] for c in channels}
    for start in range(0, len(wanted), batch_size):
        part = wanted[start : start + batch_size]
        images = np.stack([pixels[found.images[c, k]] for c, k in part])
        units = np.array([(c, *found.places[c, k]) for c, k in part])
        views = project(chain, layer, normalise(images), units) * np.reshape(std, (1, 3, 1, 1))
        for (c, k), image, view in zip(part, images, views):
            place = window(chain.sees(layer, *found.places[c, k], *image.shape[:2]), *image.shape[:2])
            levels = as_levels(view.transpose(1, 2, 0)[place])
            shown[c].append(Pair(image[place], levels, float(found.values[c, k])))
        told(len(part))
    return shown


def window(field: tuple[int, int, int, int], height: int, width: int) -> tuple[slice, slice]:
    """The square that shows a receptive field: its longer side, moved so that it lies in the image.

    Args:
        field: (top, left, bottom, right), within the image.
    """
    top, left, bottom, right = field
    side = min(max(bottom - top, right - left), height, width)
    y, x = (min(low, edge - side) for low, edge in ((top, height), (left, width)))
    return slice(y, y + side), slice(x, x + side)


def as_levels(signal: np.ndarray) -> np.ndarray:
    """A signal around 0 as a picture: 0 is grey (128), its largest numbers are black or white.

    The largest is the 99.5th percentile of the absolute values, so that one pixel does not make the rest grey.

    Args:
        signal: (h, w, 3) in any unit.

    Returns: (h, w, 3) uint8.
    """
    largest = np.percentile(np.abs(signal), 99.5) or np.abs(signal).max() or 1.0
    return np.clip(np.round(128 + 127 * signal / largest), 0, 255).astype(np.uint8)
