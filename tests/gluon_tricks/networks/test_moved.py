"""A network that lies elsewhere: a run goes on with it, and not with another."""

import hashlib
import pathlib

import mxnet as mx
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.checkpoint import Progress, read_checkpoint, restore, save_checkpoint
from gluon_tricks.networks.moved import PLACES, digests_of_networks, is_same_network, may_be_run
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tricks import Distillation

CELL = "imagenette/table6-resnet152_v1d-smooth/seed0"


def run(folder, parameters):
    folder.mkdir(parents=True)
    (folder / "final.params").write_bytes(parameters)
    return str(folder)


def test_which_places_have_one_network(tmp_path, monkeypatch):
    """The runs of three folders: two copies, and one of another training."""
    first, copy, other = (run(tmp_path / name / CELL, name[:1].encode()) for name in ("a", "as", "b"))
    gone = str(tmp_path / "gone" / CELL)
    assert is_same_network(first, copy) and not is_same_network(first, other)
    assert is_same_network(gone, first) and is_same_network(gone + "/final.params", first + "/final.params")
    assert not is_same_network(gone.replace("smooth", "mixup"), first)
    assert not is_same_network(gone, str(tmp_path / "a/long/table6-resnet152_v1d-smooth/seed0"))
    monkeypatch.chdir(tmp_path / "a")
    assert is_same_network(CELL, first) and is_same_network(first, f"./{CELL}") and is_same_network(f"a/{CELL}", first)
    file = first + "/final.params"
    assert not is_same_network(f"{file}#average", file) and is_same_network(f"{file}#average", f"{file}#average")
    assert not is_same_network("/gone/b/runs/t/final.params", "/gone/c/runs/t/final.params")
    assert not is_same_network("/gone/b/runs/t/checkpoints/s", "/gone/c/runs/t/checkpoints/s")
    assert not is_same_network("", first) and not is_same_network(first, "")
    assert not is_same_network("true", "false") and not is_same_network("a\0", "b")


def test_the_digests_of_the_networks_that_a_recipe_names(tmp_path):
    """Of a run that of its final parameters; what is published or gone has none."""
    teacher, base, digest = run(tmp_path / "t", b"teacher"), run(tmp_path / "b", b"base"), hashlib.sha256(b"base")
    recipe = Recipe(pretrained=f"{base}/final.params", tricks=(Distillation(teacher),))
    found = {"pretrained": digest.hexdigest(), "distillation.teacher": hashlib.sha256(b"teacher").hexdigest()}
    assert digests_of_networks(recipe) == found
    assert digests_of_networks(DetectionRecipe(base_params=base)) == {"base_params": digest.hexdigest()}
    assert digests_of_networks(Recipe(pretrained="true")) == digests_of_networks(Recipe(shallow=f"{base}/gone")) == {}


@pytest.mark.parametrize(
    "place, answer",
    [
        *((f"before/{CELL}", True), (f"/long/{CELL[11:]}/final.params", True), ("final.params", True)),
        *(("/mine/final.params", False), (f"/mine/{CELL}/x/final.params", False), ("mine.params", False)),
        *((CELL.replace("smooth", "mixup"), False), (CELL.replace("seed0", "seed1"), False), ("", False)),
    ],
)
def test_which_places_may_be_a_cell_s(place, answer):
    assert may_be_run(place, pathlib.Path("runs") / CELL) == answer


@pytest.mark.parametrize("field", PLACES)
def test_a_run_goes_on_where_what_it_names_was_moved(field, tmp_path):
    def recipe(place):
        if field == "distillation.teacher":
            return Recipe(tricks=(Distillation(place),))
        return DetectionRecipe(base_params=place) if field == "base_params" else Recipe(**{field: place})

    net = mx.gluon.nn.Dense(1, in_units=1)
    net.initialize()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", update_on_kvstore=False)
    path, now = tmp_path / "c.safetensors", run(tmp_path / "now" / CELL, b"1")
    save_checkpoint(path, net, trainer, Progress(), recipe(f"before/{CELL}"), "digest")
    restore(path, read_checkpoint(path), net, trainer, recipe(now), "digest", [mx.cpu()])
    other = run(tmp_path / "now" / "other" / "run" / "seed0", b"1")
    with pytest.raises(Refused, match=f"another recipe .{field} was 'before/"):
        restore(path, read_checkpoint(path), net, trainer, recipe(other), "digest", [mx.cpu()])
