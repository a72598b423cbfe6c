"""A trained classifier by what a user calls it, the SRC of the scripts; and what a SRC means, whatever its task."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_path
from gluon_tricks.core.reading import expanded
from gluon_tricks.data.class_names import names_of_run, training_names
from gluon_tricks.networks.checkpoint import is_checkpoint, list_checkpoints, named, part_named, read_checkpoint
from gluon_tricks.networks.normalisation import alike, by_pixels, read_mean_image, require_alike
from gluon_tricks.networks.of_recipe import network_keywords, parameters_by_name, restored_classifier
from gluon_tricks.networks.source import is_at_hub, is_there, name_and_tag
from gluon_tricks.recipes.kinds import read_recipe, recipe_from_json
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from model_zoo import as_listed, built_with, formats, get_model, hub, is_model, load_model, published
from model_zoo.classifier import Classifier
from model_zoo.contexts import contexts_of
from model_zoo.described import exported_task, file_beside, model_in
from model_zoo.preprocessing import Preprocessing
from model_zoo.symbols import import_symbol

log = logging.getLogger("gluon_tricks.networks.load")

# What every option that names a trained network takes, in the words of --help.
SOURCE = (
    "a run, a checkpoint, a parameter file (FILE#PART: see docs/model_zoo.md), a published NAME or NAME/TAG, or "
    "hf-hub:OWNER/NAME"
)


Restore = Callable[..., mx.gluon.HybridBlock]  # (recipe, source, contexts, arrays): see Task.restored


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network with its parameters.

    Args:
        recipe: of the run that it comes from; None: of no run.
        file: the parameter file that was read; None: a checkpoint or an exported symbol.
        published: what is known of the file, if GluonCV published it.
    """

    net: mx.gluon.HybridBlock
    recipe: Settings | None = None
    file: pathlib.Path | None = None
    published: published.Published | None = None


def open_classifier(
    source: str | os.PathLike, *, model: str | None = None, classes: int | None = None,
    ctx: mx.Context | Sequence[mx.Context] | None = None, called: str = "", why: str = ", and this is for classifiers",
) -> Trained:  # fmt: skip
    """The classifier that SRC means.

    Args:
        source, model, classes, ctx: as for open_with.
        called: what an error calls it; "": source.
        why: what an error says of a run of another task.

    Raises:
        Refused: as open_with does, and for a run whose network is no classifier.
    """

    def restorer(recipe: Settings) -> Restore:
        _require_classifiers(recipe, called or source, why)
        return restored_classifier

    return open_with(restorer, source, model=model, classes=classes, ctx=ctx)


def open_with(
    restorer: Callable[[Settings], Restore], source: str | os.PathLike, *, model: str | None = None,
    classes: int | None = None, ctx: mx.Context | Sequence[mx.Context] | None = None,
) -> Trained:  # fmt: skip
    """The network that SRC means, that of a run by the function that belongs to its recipe.

    Args:
        restorer: a run's recipe -> what restores its network; it may refuse the recipe.
        source: a run directory, one of its checkpoints, its final.params or its exported symbol; any parameter file
            that model_zoo.load_model takes, as FILE#PART too; NAME or NAME/TAG, a file that GluonCV published; beside
            `model` a tag alone, or "true" for the default one; hf-hub:OWNER/NAME, a repository at the Hugging Face hub.
        model, classes: of a parameter file that fits several networks; elsewhere they must agree with what is found.
        ctx: a context or a list of them; the CPU by default.

    Raises:
        Refused: there is no such thing, it does not say its network, or model or classes contradict it.
    """
    require_path("source", source, "a run, a file or the name of a published one")
    known, path, model, contexts = None, source, model and as_listed(model), contexts_of(ctx)
    if is_at_hub(source):
        path = hub.fetch(os.fspath(source), model or "")
    elif not is_there(source):
        model, tag = name_and_tag(str(source), model)
        get_model(model)  # refuses a misspelt name before anything is asked of a server
        known, path = published.lookup(model, tag), published.fetch(model, tag)
    trained = Trained(*_open_file(restorer, path, model or "", classes, contexts), known)
    if known and not trained.net.stated:
        trained.net.preprocessing = trained.net.usual  # GluonCV trained all that it published on it
    return trained


def starting_point(source: str, model: str) -> str:
    """SRC as Recipe.pretrained has it.

    That is a file's absolute path, a published file's tag, "true" for the default one, or hf-hub:OWNER/NAME@COMMIT.

    Args:
        source: as for open_with; of a run the final parameters, or the newest checkpoint while it has none.
        model: the network that is to start from it.

    Raises:
        Refused: nothing trained there, a network of another task or name, or an exported graph.
    """
    if is_at_hub(source):
        said = model_of(source)
        if said not in (None, model):
            raise Refused(f"{source} is a {said}, and the network is to be a {model}: use --model {said}")
        return hub.pinned(source)
    if not is_there(source):
        return name_and_tag(source, model)[1] or "true"
    path = _file_of(source)
    if path.name.endswith("-symbol.json"):
        raise Refused(_only_a_graph(path))
    recipe = recipe_of(path)
    _require_classifiers(recipe, source, ", and a classifier starts from a classifier")
    if recipe is not None and recipe.model != model:
        raise Refused(f"{source} is a {recipe.model}, and the network is to be a {model}: use --model {recipe.model}")
    if not is_checkpoint(path):
        return str(path.absolute())
    file, part = formats.split(path)
    return f"{file.absolute()}#{part_named(file, *read_checkpoint(file), part)}"


def require_classifier(trained: Trained, source: str | os.PathLike) -> Classifier:
    """The network itself, if it is one of the zoo's and no exported graph.

    Raises:
        Refused: it is a graph, or a run of another task.
    """
    _require_classifiers(trained.recipe, source, ", and this is for classifiers")
    if not isinstance(trained.net, Classifier):
        raise Refused(_only_a_graph(source))
    return trained.net


def _require_classifiers(recipe: Settings | None, source: str | os.PathLike, why: str) -> None:
    """Refuses the recipe of a run whose network is no classifier."""
    if recipe is not None and recipe.based:
        raise Refused(f"{source} is a run of {recipe.task}{why}")


def _only_a_graph(source: str | os.PathLike) -> str:
    parameters = str(source).replace("-symbol.json", "-0000.params")
    return f"{source} is an exported graph only: name its parameters, {parameters}, or the run"


def _open_file(
    restorer: Callable[[Settings], Restore],
    run_or_file: str | os.PathLike,
    model: str,
    classes: int | None,
    contexts: list[mx.Context],
) -> tuple[mx.gluon.HybridBlock, Settings | None, pathlib.Path | None]:
    """A trained network of this machine, the recipe of its run and the parameter file that was read (see Trained)."""
    path, arrays = _file_of(run_or_file), None
    recipe, graph = _recipe_beside(path), path.name.endswith("-symbol.json")
    _refuse_exported(path)
    if not graph and is_checkpoint(path):
        file, part = formats.split(path)
        arrays, header = read_checkpoint(file)
        recipe = recipe_from_json(header["recipe"]).resolved()
        arrays = named(arrays, part_named(file, arrays, header, part), "float32")
    restore = restorer(recipe) if recipe else None
    if graph:
        net = import_symbol(path, contexts)
    elif restore:
        net = restore(recipe, path, contexts, arrays)
    else:
        net = load_model(path, model or None, classes, contexts)
    _check_agrees(run_or_file, net, recipe, model, classes)
    require_finite_parameters(net, run_or_file)
    if recipe and not recipe.based and not file_beside(path):
        net.preprocessing = _preprocessing(recipe, path)
    return net, recipe, None if graph or arrays is not None else path


def require_finite_parameters(net: mx.gluon.Block, source: str | os.PathLike) -> None:
    """Refuses parameters that are no numbers: relu and max pass over those, so that the outputs need not show it."""
    for name, parameter in parameters_by_name(net).items():
        array = np.zeros(0) if parameter._data is None else parameter.list_data()[0].asnumpy()  # none: yet to be set
        if not np.isfinite(array.astype("float32", copy=False)).all():
            raise Refused(f"{source} holds NaN or infinity in {name}: it is of a training that diverged, name another")


def _refuse_exported(path: pathlib.Path) -> None:
    """Refuses what is meant for other programs alone: ONNX, and the graph of a detector or segmenter."""
    if path.suffix == ".onnx":
        raise Refused(f"{path} is for other programs (docs/serving.md): name the run or the parameters it was made of")
    of = exported_task(path)
    if of is not None:
        raise Refused(f"{path} is an export of {of} for other programs (docs/serving.md): name the run it was made of")


def _preprocessing(recipe: Recipe, path: pathlib.Path) -> Preprocessing:
    """What a run's network was trained on. Args: path: of its parameters."""
    names = names_of_run(path) or training_names(recipe)
    if names and recipe.classes not in (None, len(names)):
        names = None  # other images lie there now
    image = read_mean_image(path) if recipe.mean_of == "pixels" else None
    return Preprocessing(
        recipe.input_size, recipe.crop_ratio, recipe.mean, recipe.std, names, recipe.probabilities, image
    )


def recipe_of(run_or_file) -> Settings | None:
    """The recipe of the run that SRC is or belongs to; None: of no run. No network is built.

    Raises:
        Refused: as open_with does.
    """
    path = _file_of(run_or_file)
    if is_checkpoint(path):
        return recipe_from_json(read_checkpoint(formats.split(path)[0])[1]["recipe"]).resolved()
    return _recipe_beside(path)


def model_of(source: str | os.PathLike) -> str | None:
    """The network that SRC says it has, as open_with takes it, without it being built; None: one has to be named."""
    if is_there(source):
        recipe, path = recipe_of(source), _file_of(source)
        if recipe is None:
            told = model_in(path)
            return told if is_model(told) else None
        return None if recipe.based else recipe.model
    if hub.is_reference(source):
        return hub.model_in(os.fspath(source))
    name = str(source).partition("/")[0]
    return as_listed(name) if is_model(name) else None


def require_same_normalisation(recipe: Settings, trained: Trained, source: str) -> None:
    """Refuses a network that was trained on images of another mean or deviation than a recipe's are."""
    recipe = recipe.resolved()
    require_alike(recipe, getattr(trained.net, "preprocessing", recipe), source)  # an exported graph may not say it


def check_start(recipe: Settings, net: Classifier) -> None:
    """The same for what a training starts from, recipe.pretrained; a file that does not say it gets a warning.

    A run's network that computes something else by its keywords is refused too: its files have the numbers alone.
    """
    require_finite_parameters(net, recipe.pretrained)
    path = expanded(recipe.pretrained)
    there = formats.split(path)[0].exists()
    stored = recipe_of(path) if there else None
    if stored:
        built_with.require_alike(recipe.pretrained, network_keywords(stored, to_train=False), net)
    seen = stored if stored and not file_beside(path) else net.preprocessing
    if getattr(recipe, "mean_of", ""):  # the mean is to follow the images
        if not np.allclose(seen.mean, recipe.mean, atol=1):
            log.warning(
                "%s was trained on images of mean %s; of these the mean of their own is subtracted, %s",
                path, list(seen.mean), list(recipe.mean),
            )  # fmt: skip
        recipe = recipe.set(mean=seen.mean, mean_of="pixels" if by_pixels(seen) else "")
    if stored or not there or "mean" in net.stated:
        require_alike(recipe, seen, recipe.pretrained)
    elif not alike(net.preprocessing, recipe):
        log.warning(
            "%s does not say which mean and deviation its images had: usual for %s are %s and %s, these have %s and %s",
            path, net.name, *map(list, (net.preprocessing.mean, net.preprocessing.std, recipe.mean, recipe.std)),
        )  # fmt: skip


def _check_agrees(source, net: mx.gluon.HybridBlock, recipe: Settings | None, model: str, classes: int | None) -> None:
    """Refuses what was said of a network, or of a detector's base, if that says something else."""
    there = getattr(net, "classes", None)
    seen = {
        "model": recipe.model if recipe else net.name,
        "classes": there if isinstance(there, (int, type(None))) else len(there),
    }
    for flag, said in (("model", model or None), ("classes", classes)):
        if said not in (None, seen[flag]):
            raise Refused(f"--{flag} {said} contradicts {source}, whose {flag} is {seen[flag]}: leave the flag out")


def _file_of(run_or_file) -> pathlib.Path:
    """Of a run its final parameters, or its newest checkpoint while it has none; a file is itself."""
    path = formats.split(run_or_file)[0]
    if not path.exists():
        raise Refused(f"there is no run or parameter file at {path}")
    if not path.is_dir():
        return expanded(run_or_file)  # with its #PART
    if (path / "final.params").exists():
        return path / "final.params"
    checkpoints = list_checkpoints(path / "checkpoints") or list_checkpoints(path)
    if not checkpoints:
        run = next((str(run.parent) for run in sorted(path.glob("*/recipe.json"))), None)
        remedy = f"name one of its runs, such as {run}" if run else "train there first"
        raise Refused(f"{path} holds neither final.params nor a checkpoint: {remedy}")
    return checkpoints[-1]


def _recipe_beside(path: pathlib.Path) -> Settings | None:
    """The recipe of the run that a file lies in; None: of none, as what was exported there as another network."""
    stored = path.parent / "recipe.json"
    recipe = read_recipe(stored).resolved() if os.path.lexists(stored) else None
    exported = recipe and not recipe.based and file_beside(path)
    return None if exported and model_in(path) not in (None, recipe.model) else recipe
