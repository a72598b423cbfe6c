"""How fast the layers of CaffeNet would learn from several beginnings: figure 1 of Krähenbühl et al. (ICLR 2016)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import mxnet as mx

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, write_text, writing
from gluon_tricks.core.json_text import to_json
from gluon_tricks.core.wording import printable
from gluon_tricks.data.pixel_mean import PixelMean
from gluon_tricks.initialise.between import ChangeRate
from gluon_tricks.initialise.data import change_rates, initialise_from_data
from gluon_tricks.networks.load import open_classifier, require_classifier
from gluon_tricks.paper.cells import Runs
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.lettering import import_pyplot
from model_zoo import get_model

IMAGES = 100
_CAFFENETS = ("caffenet", "caffenet_no_lrn")
Start = Callable[[mx.gluon.HybridBlock, mx.nd.NDArray], object]


def _gaussian(net: mx.gluon.HybridBlock, images: mx.nd.NDArray) -> None:
    """Standard deviation 0.01 and no bias, whatever the layers carry."""
    for name, parameter in net.collect_params().items():
        start = mx.init.Zero() if name.endswith("bias") else mx.init.Normal(0.01)
        parameter.initialize(init=start, force_reinit=True)


def _unscaled(net: mx.gluon.HybridBlock, images: mx.nd.NDArray) -> None:
    _gaussian(net, images)
    initialise_from_data(net, images, filters="kmeans", within=False, between=False)


STARTS: dict[str, Start] = {
    "Gaussian": _gaussian,
    "Gaussian (Caffe)": lambda net, images: None,  # what CaffeNet's layers carry in the zoo
    "Gaussian (ours)": lambda net, images: initialise_from_data(net, images),
    "k-means": _unscaled,
    "k-means (ours)": lambda net, images: initialise_from_data(net, images, filters="kmeans"),
}


def measured(runs: Runs, networks: Sequence[str] = ()) -> dict[str, list[ChangeRate]]:
    """The change rates of CaffeNet's layers, from each beginning, on the first training images of table 6's data.

    A line says which beginning is measured.

    Args:
        networks: trained CaffeNets, as open_classifier takes them; each sees images of its own size.

    Raises:
        Refused: the images are not named and not here; there is no such network, or it is no CaffeNet.
    """
    runs.require_data("table6")
    recipe = runs.cell("table6/resnet50_v1d/efficient", 0).recipe
    recipe = recipe.set(
        model="caffenet", net={}, tricks=(), dtype="float32", batch_size=20, bn_batch=None, augment="none",
        input_size=None, crop_ratio=None, mean=None, std=None,
    )  # fmt: skip
    trained = {printable(source): trained_rates(source, recipe) for source in networks}
    task = Classification(recipe.resolved(), [mx.cpu()], None)
    images = task.sample(IMAGES)
    found = {}
    for name, start in STARTS.items():
        print(f"change rates on {len(images)} images: {name}", flush=True)
        found[name] = rates_from(start, images, task.recipe.classes)
    return found | trained


def trained_rates(source: str, recipe: Recipe) -> list[ChangeRate]:
    """The change rates of a trained CaffeNet. Args: recipe: of its images, but for how it sees them."""
    net = require_classifier(open_classifier(source, ctx=[mx.cpu()]), source)
    if net.name not in _CAFFENETS:
        raise Refused(f"{printable(source)} is a {net.name}, and the figure is of CaffeNet: name a CaffeNet")
    print(f"change rates on {IMAGES} images: {printable(source)}", flush=True)
    seen_as = net.preprocessing
    recipe = recipe.set(
        input_size=seen_as.input_size, crop_ratio=seen_as.crop_ratio, mean=seen_as.mean, std=seen_as.std
    )
    images = Classification(recipe.resolved(), [mx.cpu()], None).sample(IMAGES)
    return change_rates(net, PixelMean(seen_as.mean_image, seen_as.mean, seen_as.std)(images))


def rates_from(start: Start, images: mx.nd.NDArray, classes: int) -> list[ChangeRate]:
    """The change rates of CaffeNet's layers from one beginning. Args: images: (n, 3, H, W), normalised."""
    return change_rates(started(start, images, classes), images)


def started(start: Start, images: mx.nd.NDArray, classes: int) -> mx.gluon.HybridBlock:
    """CaffeNet at a beginning. Args: as for rates_from."""
    mx.random.seed(0)
    net = get_model("caffenet", classes=classes)
    net.initialize()
    with mx.autograd.record():  # gives the dense layers their shapes
        net(images[:1])
    start(net, images)
    return net


def magic_figure1(runs: Runs, seeds: int, networks: Sequence[str] = ()):
    """The mean change rate of each layer, where a flat curve is better, and its coefficient of variation.

    Args:
        networks: further curves, of trained CaffeNets.

    Source: figure 1 of Krähenbühl et al.
    Differs: a CaffeNet trained on ImageNet is shown where its parameters are given: they are not published in a form
        that is read here. Images are the training images of the scale, where the document has VOC2007's validation.
    """
    found = measured(runs, networks)
    folder = runs.root / runs.scale.name
    with no_empty_folders(folder), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "magic_figure1.json", to_json(_numbers(found), indent=1))
    figure, panels = import_pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    titles = ("mean change rate of a layer (flat is better)", "coefficient of variation within a layer (low is better)")
    for panel, title, of in zip(panels, titles, ("mean", "variation")):
        for name, rates in found.items():
            panel.plot(range(len(rates)), [getattr(rate, of) for rate in rates], marker=".", label=name)
        panel.set(title=title, yscale="log" if of == "mean" else "linear")
        panel.set_xticks(range(len(rates)), [f"conv{k + 1}" if k < 5 else f"fc{k + 1}" for k in range(len(rates))])
        panel.grid(alpha=0.3)
    panels[0].legend()
    when = "before training, and trained," if networks else "before training,"
    figure.suptitle(f"CaffeNet {when} on the first {IMAGES} training images of the scale {runs.scale.name}")
    return figure


def _numbers(found: Mapping[str, list[ChangeRate]]) -> dict[str, list[dict]]:
    return {name: [vars(rate) for rate in rates] for name, rates in found.items()}
