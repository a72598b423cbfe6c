"""All views of a trained classifier, drawn and put on a page: what gluon-tricks look does."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tqdm

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import plural
from gluon_tricks.initialise.walk import Graph
from gluon_tricks.inside import plots, sheets
from gluon_tricks.inside.chain import Chain, Layer
from gluon_tricks.inside.deconvolution import Strongest, pairs, strongest
from gluon_tricks.inside.invariance import AMOUNTS, invariance
from gluon_tricks.inside.occlusion import centres, check_square, occlusion_map
from gluon_tricks.inside.page import Sheet
from gluon_tricks.inside.viewed import Pictures, Viewed

VIEWS = ("filters", "deconvolution", "evolution", "occlusion", "invariance")
_FEW_LAYERS = 6  # up to so many convolutions are all shown
_PATCHES = 9  # of a channel
_CHANNELS, _ROWS = 6, 4  # of a layer that are drawn where nobody says how many; of an evolution


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is looked at.

    Args:
        layers: their paths; (): all convolutions of a network of few, else the last one of each stage; and the head.
        channels: how many of each layer, drawn among those that fire; None: 6, of an evolution 4.
        pick: these instead.
        photos: how many images get an occlusion map and curves.
        patch, stride: px, of the square; None: two ninths and a 14th of the image's side.
        fill: colour of the square and of what comes in from outside; None: the mean that the network subtracts.
        checkpoints: how many of a run at most, from the first to the last.
        seed: of the draw of channels.
    """

    layers: tuple[str, ...] = ()
    channels: int | None = None
    pick: tuple[int, ...] = ()
    photos: int = 4
    patch: int | None = None
    stride: int | None = None
    fill: tuple[int, int, int] | None = None
    checkpoints: int = 8
    seed: int = 0

    def square(self, side: int) -> tuple[int, int]:
        """Patch and stride for images of a side, px. Raises: Refused."""
        patch = max(2 * side // 9, 1) if self.patch is None else self.patch
        stride = max(side // 14, 1) if self.stride is None else self.stride
        check_square(side, patch, stride)
        return patch, stride


@contextlib.contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A progress bar in a terminal; gives what to call with how many are done."""
    with tqdm.tqdm(total=total, desc=what, disable=None, leave=False) as bar:
        yield bar.update


def chosen_layers(chain: Chain, paths: Sequence[str]) -> list[Layer]:
    """The layers of these paths, or those that Choice.layers says. Raises: Refused."""
    if paths:
        return [chain.layer(path) for path in dict.fromkeys(paths)]
    maps = [layer for layer in chain.layers if layer.is_map]
    last = {layer.path.split(".")[0]: layer for layer in maps}
    shown = maps if len(maps) <= _FEW_LAYERS else [*last.values()]
    return [*shown, *(layer for layer in chain.layers[-1:] if layer not in shown)]


def check_pick(layers: Sequence[Layer], pick: Sequence[int]) -> None:
    """Refuses channels that a layer does not have."""
    for layer in layers:
        if pick and max(pick) >= layer.channels:
            raise Refused(
                f"{layer.path} has channels 0 to {layer.channels - 1}, and --pick names {max(pick)}: name others, or "
                "the layers that have it (--layers)"
            )


def chosen_channels(
    layer: Layer, found: Strongest, choice: Choice, number: int, usual: int = _CHANNELS
) -> list[int]:  # fmt: skip
    """Those that are picked, or some of those that fire.

    Args:
        number: of the layer among those that are shown.
        usual: how many, where the choice does not say it.
    """
    if choice.pick:
        return list(choice.pick)
    firing, count = np.flatnonzero(found.values[:, 0] > 0), choice.channels or usual
    drawn = generator(choice.seed, "channels", number).permutation(firing)[:count]
    return sorted(map(int, drawn)) or [*range(min(count, layer.channels))]


def called(viewed: Viewed, chain: Chain, layer: Layer, channel: int) -> str:
    """A channel in words; those of the head are classes."""
    return viewed.names[channel] if layer is chain.layers[-1] else f"channel {channel}"


def channels_of(chain: Chain, layer: Layer) -> str:
    """What the title of a sheet says of a layer."""
    return f"the classes ({layer.path})" if layer is chain.layers[-1] else f"channels of {layer.path}"


def first_filters(viewed: Viewed) -> tuple[str, np.ndarray]:
    """Place and weights (C, 3, h, w) of the first convolution. Raises: Refused: it does not see the colours."""
    graph = Graph(viewed.net)
    _, node = next(graph.affine())
    weights = graph.parameter(node, 1).data(viewed.context).asnumpy()
    if weights.ndim != 4 or weights.shape[1] != 3:
        raise Refused(
            f"{viewed.net.name} has no first filters: its first layer, {node.path}, does not take the three colours"
        )
    return node.path, weights


def show_filters(viewed: Viewed, out: pathlib.Path) -> list[Sheet]:
    """Draws the first layer's filters."""
    path, weights = first_filters(viewed)
    picture = sheets.filter_sheet(weights, viewed.net.name, path)
    return [_saved(out, Sheet("filters", "filters", f"the first layer's filters, {path}", picture))]


def _saved(out: pathlib.Path, sheet: Sheet) -> Sheet:
    sheet.save(out)
    return sheet


def find_strongest(viewed: Viewed, chain: Chain, layers: Sequence[Layer], pixels: np.ndarray, top: int = _PATCHES):
    """`strongest` over all images, with a progress bar."""
    with counting("activations", len(pixels)) as told:

        def batches():
            for images in viewed.batches(pixels):
                yield images
                told(len(images))

        return strongest(chain, batches(), layers, top)


def show_deconvolution(viewed: Viewed, pictures: Pictures, choice: Choice, out: pathlib.Path) -> list[Sheet]:
    """Draws the strongest activations of each layer's channels, gone back to pixels."""
    chain = viewed.chain()
    layers = chosen_layers(chain, choice.layers)
    found, drawn = find_strongest(viewed, chain, layers, pictures.pixels), []
    for number, layer in enumerate(layers):
        channels = chosen_channels(layer, found[layer.path], choice, number)
        with counting(layer.path, len(channels) * _PATCHES) as told:
            pairs_of = pairs(
                chain, layer, channels, found[layer.path], pictures.pixels, viewed.normalise,
                viewed.preprocessing.std, batch_size=min(_PATCHES, viewed.batch_size), told=told,
            )  # fmt: skip
        blocks = {called(viewed, chain, layer, c): pairs_of[c] for c in channels}
        field = max((len(pair.patch) for shown in blocks.values() for pair in shown), default=viewed.side)
        sizes = (field, viewed.side)
        picture = sheets.strongest_sheet(
            blocks, viewed.net.name, channels_of(chain, layer), sizes, len(pictures.pixels)
        )
        about = f"{layer.path}, {plural(len(blocks), 'channel')}"
        drawn.append(_saved(out, Sheet("deconvolution", f"deconvolution-{layer.path}", about, picture)))
    return drawn


def show_evolution(
    viewed: Viewed, moments: Sequence[tuple[str, Callable[[], Viewed]]], pictures: Pictures, choice: Choice,
    out: pathlib.Path, with_chain: bool,
) -> list[Sheet]:  # fmt: skip
    """Draws how filters, and what makes channels fire, changed over the checkpoints of a run.

    Args:
        moments: name of each checkpoint, and what opens it.
        with_chain: the network is a chain, so that its deeper layers can be shown too.
    """
    path, _ = first_filters(viewed)
    layers, channels, filters, rows = [], {}, [], {}
    if with_chain:
        chain = viewed.chain()
        layers = chosen_layers(chain, choice.layers)
        found = find_strongest(viewed, chain, layers, pictures.pixels, 1)
        channels = {a.path: chosen_channels(a, found[a.path], choice, k, _ROWS) for k, a in enumerate(layers)}
    for name, opened in moments:
        then = opened()
        filters.append((name, first_filters(then)[1]))
        if layers:
            for layer, moment in _moment(then, name, layers, channels, pictures.pixels):
                rows.setdefault(layer, []).append(moment)
    picture = sheets.filter_evolution_sheet(filters, viewed.net.name, path)
    about = f"the first layer's filters, {path}, over the training"
    drawn = [_saved(out, Sheet("evolution", "evolution-filters", about, picture))]
    for layer in layers:
        titles = [called(viewed, chain, layer, c) for c in channels[layer.path]]
        picture = sheets.evolution_sheet(rows[layer.path], titles, viewed.net.name, channels_of(chain, layer))
        about = f"{layer.path} over the training"
        drawn.append(_saved(out, Sheet("evolution", f"evolution-{layer.path}", about, picture)))
    return drawn


def _moment(then: Viewed, name: str, layers: Sequence[Layer], channels: dict, pixels: np.ndarray):
    """Of each layer its path and what it shows at a checkpoint."""
    chain = then.chain()
    found = find_strongest(then, chain, layers, pixels, 1)
    for layer in layers:
        std = then.preprocessing.std
        of = pairs(chain, layer, channels[layer.path], found[layer.path], pixels, then.normalise, std)
        yield layer.path, sheets.Moment(name, [next(iter(of[c]), None) for c in channels[layer.path]])


def show_occlusion(
    viewed: Viewed, pictures: Pictures, chosen: Sequence[int], choice: Choice, out: pathlib.Path
) -> list[Sheet]:
    """Draws an occlusion map of each chosen image. Args: chosen: which."""
    patch, stride = choice.square(viewed.side)
    fill, drawn = choice.fill or viewed.fill, []
    with counting("occlusion", len(chosen) * len(centres(viewed.side, stride)) ** 2) as told:
        for number, k in enumerate(chosen, start=1):
            image, label = pictures.pixels[k], None if pictures.labels is None else int(pictures.labels[k])
            found = occlusion_map(viewed.probabilities, image, patch, stride, fill, viewed.batch_size, told)
            name = viewed.names[found.top if label is None else label]
            picture = plots.occlusion_figure(image, found, viewed.names, label, fill, viewed.net.name)
            drawn.append(_saved(out, Sheet("occlusion", f"occlusion-{number}", f"image {k}, {name}", picture)))
    return drawn


def show_invariance(
    viewed: Viewed, pictures: Pictures, chosen: Sequence[int], choice: Choice, out: pathlib.Path
) -> list[Sheet]:
    """Draws how the chosen images' features and probabilities move. Args: chosen: which."""
    fill, images = choice.fill or viewed.fill, pictures.pixels[list(chosen)]
    known = pictures.labels is not None
    classes = pictures.labels[list(chosen)] if known else viewed.probabilities(images).argmax(axis=1)
    with counting("invariance", len(chosen) * sum(map(len, AMOUNTS.values()))) as told:
        curves = [invariance(viewed.features, images, classes, kind, None, fill, told) for kind in AMOUNTS]
    figure = plots.invariance_figure(images, curves, viewed.names, classes, fill, viewed.net.name, known)
    about = f"{plural(len(chosen), 'image')} shifted, enlarged and turned"
    return [_saved(out, Sheet("invariance", "invariance", about, figure))]


def choose_images(viewed: Viewed, pictures: Pictures, count: int) -> tuple[list[int], str]:
    """The images to show singly, and which these are in words.

    Those that the network gets right come first, a class at a time; of images without labels the first ones.
    """
    if pictures.labels is None:
        return [*range(min(count, len(pictures.pixels)))], "the first"
    right: list[int] = []
    with counting("predictions", len(pictures.pixels)) as told:
        for start in range(0, len(pictures.pixels), viewed.batch_size):
            part = slice(start, start + viewed.batch_size)
            says = viewed.probabilities(pictures.pixels[part]).argmax(axis=1)
            right += [start + int(k) for k in np.flatnonzero(says == pictures.labels[part])]
            told(len(says))
            if len({pictures.labels[k] for k in right}) >= count:
                break
    firsts = list({int(pictures.labels[k]): k for k in reversed(right)}.values())
    rest = [k for k in range(len(pictures.pixels)) if k not in right]
    order = [*sorted(firsts), *(k for k in right if k not in firsts), *rest]
    return order[:count], "the first that the network gets right, of different classes where there are such"
