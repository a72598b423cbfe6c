"""Occlusion maps and invariance curves as figures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np

from gluon_tricks.core.wording import printable
from gluon_tricks.inside.invariance import Invariance, moved
from gluon_tricks.inside.occlusion import OcclusionMap, centres, occluded
from gluon_tricks.tasks.lettering import import_pyplot, shortened
from gluon_tricks.tasks.pictures import colour

_AXES = {
    "shift": "shift downwards, of the image's height",
    "scale": "enlargement",
    "rotation": "rotation, degrees counter-clockwise",
}
_MOST_CLASSES = 8  # in a legend


def occlusion_figure(
    image: np.ndarray, found: OcclusionMap, names: Sequence[str], label: int | None, fill: Sequence[int], network: str
) -> np.ndarray:
    """An image, where its class's probability falls when a square hides a part, and what is seen instead.

    Args:
        image: (S, S, 3) uint8 RGB.
        found: of this image.
        names: of the classes.
        label: its true class; None: not known.
        fill: colour of the square.
        network: its name.

    Returns: the figure, (H, W, 3) uint8 RGB.
    """
    from matplotlib.ticker import PercentFormatter

    top, pyplot = found.top, import_pyplot()
    main = top if label is None else label
    classes = [main] if main == top else [main, top]
    figure, panels = pyplot.subplots(1, 2 + len(classes), figsize=(4.3 * (2 + len(classes)), 5.6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)
    row, column = np.unravel_index(found.of(main).argmin(), found.likeliest.shape)
    y, x = (centres(side, found.stride)[k] for side, k in zip(image.shape[:2], (row, column)))
    panels[0].imshow(occluded(image, y, x, found.patch, fill))
    said = f"without a square: {_name(names[top])} {found.whole[top]:.0%}"
    panels[0].set_title(f"the square where it costs {_name(names[main])} most\n{said}", fontsize=10)
    extent = (-0.5, found.stride * found.likeliest.shape[1] - 0.5, found.stride * found.likeliest.shape[0] - 0.5, -0.5)
    for panel, k in zip(panels[1:], classes):
        kind = "top class" if label is None or k != main else "true class" + (", top too" if k == top else "")
        drawn = panel.imshow(found.of(k), extent=extent, vmin=0, vmax=max(found.of(k).max(), 1e-6), cmap="viridis")
        panel.set_title(f"probability of {_name(names[k])}\n({kind}; {found.whole[k]:.0%} without)", fontsize=10)
        figure.colorbar(drawn, ax=panel, shrink=0.75, format=PercentFormatter(1.0))
    _draw_classes(panels[-1], found.likeliest, names, extent)
    for panel in panels:
        panel.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    figure.suptitle(
        f"{network} while a square of {found.patch} px hides a part, at {found.likeliest.size} places "
        f"{found.stride} px apart; each cell of a map is where the square's middle was",
        fontsize=12,
    )
    return _pixels(pyplot, figure)


def _draw_classes(panel, likeliest: np.ndarray, names: Sequence[str], extent: tuple[float, ...]) -> None:
    """The likeliest class at each place in its colour; the legend names those of most places."""
    from matplotlib.patches import Patch

    classes, counts = np.unique(likeliest, return_counts=True)
    order = classes[np.argsort(-counts, kind="stable")]
    shades = np.array([colour(int(k)) for k in range(int(classes.max()) + 1)], np.uint8)
    panel.imshow(shades[likeliest], extent=extent, interpolation="nearest")
    handles = [Patch(color=shades[k] / 255, label=_name(names[k])) for k in order[:_MOST_CLASSES]]
    more = len(order) - len(handles)
    panel.set_title(f"likeliest class\n({len(order)} of {len(names)} occur)", fontsize=10)
    panel.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncol=2, fontsize=9, frameon=False,
        title=f"and {more} more" if more else None,
    )  # fmt: skip


def invariance_figure(
    images: np.ndarray, curves: Sequence[Invariance], names: Sequence[str], classes: Sequence[int],
    fill: Sequence[int], network: str, of_labels: bool,
) -> np.ndarray:  # fmt: skip
    """How far features and probabilities move as images are shifted, enlarged and turned.

    Args:
        images: (n, S, S, 3) uint8 RGB.
        curves: of each way to change them.
        names, classes: of all classes; of each image.
        fill: colour of what comes in from outside.
        network: its name.
        of_labels: the classes are the true ones, not those that the network says.

    Returns: the figure, (H, W, 3) uint8 RGB.
    """
    from matplotlib.ticker import PercentFormatter

    pyplot = import_pyplot()
    figure = pyplot.figure(figsize=(17, 3.1 * len(curves) + 2.7), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[2.2, 3.1 * len(curves)])
    shades = pyplot.get_cmap("tab10" if len(images) <= 10 else "tab20").colors[: len(images)]
    room = 1300 // max(len(images), 6)  # px over an image
    _draw_images(upper, images, [_name(names[k], room) for k in classes], shades)
    rows = lower.subplots(len(curves), 4, width_ratios=[1.3, 1, 1, 1], squeeze=False)
    for (strip, early, late, chance), curve in zip(rows, curves):
        shown = np.linspace(0, len(curve.amounts) - 1, 5).round().astype(int)
        strip.imshow(np.concatenate([_framed(images[0], curve, k, fill) for k in shown], axis=1))
        strip.set(xticks=[], yticks=[], xlabel=", ".join(f"{curve.amounts[k]:.3g}" for k in shown))
        strip.set_title(f"{curve.kind}: the first image", fontsize=10)
        for panel, values in ((early, curve.early), (late, curve.late), (chance, curve.probability)):
            for k, shade in enumerate(shades):
                panel.plot(curve.amounts, values[:, k], color=shade, marker=".")
            panel.set(xlabel=_AXES[curve.kind], ylim=(0, max(1.05, 1.05 * float(values.max()))))
            panel.grid(alpha=0.3)
        early.set_title("early layer (stage 1): distance", fontsize=10)
        late.set_title("late layer (before the head): distance", fontsize=10)
        chance.set_title(f"probability of the {'true' if of_labels else 'top'} class", fontsize=10)
        chance.yaxis.set_major_formatter(PercentFormatter(1.0, 0))
    figure.suptitle(
        f"{network}: how its features move as an image does. Each image has the colour of its frame; distances are "
        "over the length of the unchanged image's features: 0 is no change",
        fontsize=12,
    )
    return _pixels(pyplot, figure)


def _draw_images(figure, images: np.ndarray, titles: Sequence[str], shades: Sequence) -> None:
    """The images in frames of their colours, which serve as the legend of the curves."""
    for panel, image, title, shade in zip(figure.subplots(1, max(len(images), 6)).flat, images, titles, shades):
        panel.imshow(image)
        panel.set_title(title, fontsize=9)
        for edge in panel.spines.values():
            edge.set(color=shade, linewidth=4)
    for panel in figure.axes:
        panel.set(xticks=[], yticks=[])
        panel.set_visible(bool(panel.images))


def _framed(image: np.ndarray, curve: Invariance, k: int, fill: Sequence[int]) -> np.ndarray:
    """The image as it is at the k-th amount, small, with a white edge."""
    small = cv2.resize(moved(image, curve.kind, curve.amounts[k], fill), (96, 96), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(small, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _name(name: str, most: int = 145) -> str:
    """A class's name in a figure: no formula, and of so many px that titles do not reach into each other."""
    return shortened(printable(name), 10, most).replace("$", r"\$")


def _pixels(pyplot, figure) -> np.ndarray:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=100)
        data = np.frombuffer(file.getvalue(), np.uint8)
    pyplot.close(figure)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
