"""Caffe's networks: a .caffemodel and the prototxt that belongs to it, as parameters of a network of the zoo.

OpenCV reads both, in a process of its own (caffe_reader.py). It knows the old forms of Caffe's files too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import PARAMETER_BYTES, RECIPE_BYTES, expanded, opened, read_text
from gluon_tricks.core.wording import one_line, plural, quoted, shortened, some
from model_zoo import caffe_reader, caffe_text, weights
from model_zoo.classifier import Classifier
from model_zoo.naming import fits, parameters_of
from model_zoo.preprocessing import CAFFE

ENDING = ".caffemodel"
_SECONDS = 600  # VGG-19 takes 10
_SAME = 1e-4  # of the largest logit; float32 differs by 4e-6 in VGG-19


@dataclasses.dataclass(frozen=True)
class CaffeNetwork:
    """What Caffe's files hold.

    Args:
        layers: each layer's numbers by what they are called here, such as weight; their channels of images are B, G, R.
        names: of the layers, as Caffe has them.
        images: (n, 3, side, side), channels B, G, R.
        logits: what the last layer makes of them, (n, classes).
    """

    layers: tuple[dict[str, np.ndarray], ...]
    names: tuple[str, ...]
    images: np.ndarray
    logits: np.ndarray


def is_caffe(source: str | os.PathLike) -> bool:
    """Whether it is called as Caffe's files are; there is no other sign."""
    return os.fspath(source).lower().endswith(ENDING)


def read(source: str | os.PathLike, side: int) -> CaffeNetwork:
    """What is in a .caffemodel.

    Args:
        source: the file; beside it lies the prototxt of the network as it is used (see prototxt_of).
        side: of the images that it is tried on, px.

    Raises:
        Refused: a file is missing or damaged, they do not belong together, or a layer is of no kind that is read.
    """
    source = expanded(source)
    prototxt = prototxt_of(source)
    for path, most in ((source, PARAMETER_BYTES), (prototxt, RECIPE_BYTES)):
        opened(path, most).close()
    with tempfile.TemporaryDirectory() as folder:
        arrays = _parsed(source, prototxt, side, pathlib.Path(folder) / "arrays.npz")
    told = [(name, kind, [arrays[f"{k}.{i}"] for i in range(count)]) for k, (name, kind, count) in
            enumerate(json.loads(str(arrays["layers"])))]  # fmt: skip
    if not told:
        raise Refused(f"{source} and {prototxt.name} do not belong together: no layer of one has numbers in the other")
    layers = _layers(told, source)
    if not all(np.isfinite(value).all() for layer in layers.values() for value in layer.values()):
        raise Refused(f"{source} is damaged: it has numbers that are not finite")
    logits = arrays["output"].reshape(len(arrays["output"]), -1)
    return CaffeNetwork(tuple(layers.values()), tuple(layers), arrays["images"], logits)


def prototxt_of(source: pathlib.Path) -> pathlib.Path:
    """NAME.prototxt or deploy.prototxt beside NAME.caffemodel, or the only prototxt there. Raises Refused: none is."""
    if not os.path.exists(source):
        raise Refused(f"there is no parameter file {source}")
    for path in (source.with_suffix(".prototxt"), source.with_name("deploy.prototxt")):
        if os.path.exists(path):
            return path
    found = sorted(source.parent.glob("*.prototxt"))
    if len(found) != 1:
        there = f"beside it are {len(found)} of them" if found else "no prototxt lies beside it"
        raise Refused(
            f"{source} has the numbers of a network that a prototxt describes, and {there}: put the one of the network "
            f"without data and losses there, as {source.with_suffix('.prototxt').name}"
        )
    return found[0]


def _parsed(source: pathlib.Path, prototxt: pathlib.Path, side: int, target: pathlib.Path) -> Mapping[str, np.ndarray]:
    text = caffe_text.with_inputs_once(read_text(prototxt, RECIPE_BYTES, "surrogateescape"))
    plain = target.with_name("net.prototxt")
    plain.write_text(text, "utf-8", "surrogateescape")
    words = [sys.executable, caffe_reader.__file__, *map(str, (plain, source.absolute(), side, target))]
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "OPENCV_LOG_LEVEL": "SILENT"}
    try:
        done = subprocess.run(words, capture_output=True, env=environment, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Refused(f"{source}: OpenCV has not read it and {prototxt.name} in {_SECONDS} seconds") from None
    if done.returncode:
        _refuse_made_twice(prototxt, text)
        said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        reason = one_line(said[-1], 300) if said else f"its process ended with {done.returncode}"
        raise Refused(f"{source} and {prototxt.name} cannot be read by OpenCV: {reason}")
    with np.load(target, allow_pickle=False) as arrays:
        return dict(arrays)


def _refuse_made_twice(prototxt: pathlib.Path, text: str) -> None:
    """Refuses a prototxt in which two layers make one blob, as the data layers of one for training do."""
    twice = caffe_text.made_twice(text)
    if twice:
        blob, makers = twice
        raise Refused(
            f"{prototxt} makes the blob {quoted(blob, 50)} {len(makers)} times, by {some(makers)}: delete all but one "
            "of them; layers of data, losses and accuracies are of training, and input and input_shape stand for data"
        )


def _layers(
    told: Sequence[tuple[str, str, Sequence[np.ndarray]]], source: pathlib.Path
) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> its numbers by kind. A BatchNorm and the Scale that follows it are one layer."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    last = {}
    for name, kind, blobs in told:
        if kind in ("Convolution", "InnerProduct") and len(blobs) in (1, 2):
            bias = {"bias": blobs[1].ravel()} if len(blobs) == 2 else {}
            last = layers[name] = {"weight": blobs[0], **bias}
        elif kind == "BatchNorm" and len(blobs) == 3:
            factor = float(blobs[2].ravel()[0])  # Caffe keeps sums that decay, and what they are to be divided by
            mean, variance = (blob.ravel() / factor if factor else 0 * blob.ravel() for blob in blobs[:2])
            plain = {"gamma": np.ones_like(mean), "beta": np.zeros_like(mean)}
            last = layers[name] = {**plain, "running_mean": mean, "running_var": variance}
        elif kind == "Scale" and len(blobs) == 2 and "gamma" in last and blobs[0].size == last["gamma"].size:
            last.update(gamma=blobs[0].ravel(), beta=blobs[1].ravel())
            last = {}
        else:
            raise Refused(
                f"{source}: layer {quoted(name, 50)} is a {quoted(kind, 50)} with {plural(len(blobs), 'array')}, and "
                "what is read are Convolution, InnerProduct, and BatchNorm with a Scale behind it"
            )
    return layers


def assign(net: Classifier, caffe: CaffeNetwork, source: str | os.PathLike) -> None:
    """Gives a network of the zoo the numbers of Caffe's, if it then computes the same as OpenCV does.

    Layers are taken in their order and by their shapes. Where these leave it open whether a shortcut comes before or
    after its branch, what the network computes decides. The first layers' channels are turned from B, G, R to R, G, B.

    Args:
        net: of the same number of classes; it is changed, even if it is refused.
        source: what an error names.

    Raises:
        Refused: the layers are not this network's, or it computes something else.
    """
    off = []
    for order in _orders(net):
        try:
            values = _matched(net, caffe, order, source)
        except Refused:
            if off:
                continue
            raise
        weights.assign(net, _from_rgb(net, values), source=source)
        ours = net(mx.nd.array(caffe.images[:, ::-1])).asnumpy()
        off.append(_difference(ours, caffe.logits))
        if off[-1] <= _SAME:
            break
    else:
        raise Refused(
            f"{source} has layers as {net.name} has them, and computes something else: its logits differ by "
            f"{min(off):.1%} from those of OpenCV; it may pad or pool otherwise"
        )
    if net.usual.std != CAFFE["std"]:
        net.preprocessing = dataclasses.replace(net.usual, **CAFFE)
        net.stated = ("mean", "std")


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Of the logits of an image, relative to the largest of them; of several images that of the worst."""
    return float((np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max(axis=1)).max())


def _orders(net: Classifier) -> list[list[str]]:
    """The network's layers in the orders in which a file may have them: shortcuts after their branch, or before it."""
    places = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters_of(net)))

    def place(layer: str) -> tuple[int, bool]:
        block, shortcut, _ = layer.partition(".shortcut")
        first = next(k for k, other in enumerate(places) if other == layer or other.startswith(f"{block}."))
        return (first, False) if shortcut else (places.index(layer), True)

    before = sorted(places, key=place)
    return [places] if before == places else [places, before]


def _matched(net: Classifier, caffe: CaffeNetwork, order: Sequence[str], source) -> dict[str, np.ndarray]:
    """Our name -> array, each layer being the first of the file's that is left and has its shapes."""
    parameters, left, values = parameters_of(net), list(range(len(caffe.layers))), {}
    for layer in order:
        wanted = {n.rpartition(".")[2]: p.shape for n, p in parameters.items() if n.rpartition(".")[0] == layer}
        found = next((k for k in left if _same(caffe.layers[k], wanted)), None)
        if found is None:
            shapes = ", ".join(f"{kind} {shape}" for kind, shape in wanted.items())
            raise Refused(f"{source} is no {net.name}: it lacks a layer as {layer} is ({shapes})")
        left.remove(found)
        bias = {"bias": np.zeros(wanted["weight"][0], "float32")} if "bias" in wanted else {}
        values.update({f"{layer}.{kind}": value for kind, value in {**bias, **caffe.layers[found]}.items()})
    if left:
        names = shortened(caffe.names[left[0]], 50)
        raise Refused(f"{source} is no {net.name}: it has {plural(len(left), 'layer')} more, such as {names}")
    return values


def _same(layer: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a layer has these numbers; of a bias that the file does not have all are 0."""
    kinds = layer.keys() | ({"bias"} & wanted.keys() if "weight" in layer else set())
    return kinds == wanted.keys() and all(fits(value.shape, wanted[kind]) for kind, value in layer.items())


def _from_rgb(net: Classifier, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With what sees the image first, a normalisation or a convolution or both, turned to R, G, B."""
    turned = dict(values)
    for name, value in values.items():
        if name.endswith(".weight"):
            turned[name] = np.ascontiguousarray(value[:, ::-1])
            break
        if not name.endswith(".bias"):  # a convolution's is of its outputs
            turned[name] = value[::-1].copy()
    return turned
