"""Reads damaged checkpoints and exported networks: started by test_hostile_networks.py. Arguments: FOLDER COUNT."""

import json
import pathlib
import shutil
import sys

import mxnet as mx
from mutate import generator, judge, limit_memory, of_bytes, of_json

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks import checkpoint
from gluon_tricks.networks.of_recipe import untrained
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.trained import load
from gluon_tricks.training.final_network import save_final

RECIPE = Recipe(
    model="cifar_resnet20_v1", net={"classes": 4, "norm_layer": "BatchNorm"}, input_size=32, data="shapes", classes=4
)
CHECKPOINT = "checkpoints/step-000000003.safetensors"


def make(run):
    """Writes what a finished run leaves."""
    (run / "checkpoints").mkdir(parents=True)
    net = untrained(RECIPE)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 32, 32)))
    trainer = mx.gluon.Trainer(net.collect_params(), "nag", {"momentum": 0.9})
    checkpoint.save_checkpoint(run / CHECKPOINT, net, trainer, checkpoint.Progress(step=3), RECIPE, "digest")
    (run / "recipe.json").write_text(json.dumps(RECIPE.to_json()))
    save_final(net, run, RECIPE)


def restore(path):
    net = untrained(RECIPE)
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    trainer = mx.gluon.Trainer(net.collect_params(), "nag", {"momentum": 0.9})
    read = checkpoint.read_checkpoint(path)
    checkpoint.restore(path, read, net, trainer, RECIPE, "digest", [mx.cpu()])


def predict(path):
    net = load.load_network(path)
    try:
        net(mx.nd.zeros((1, 3, 32, 32))).wait_to_read()
    except mx.MXNetError as error:  # sizes that do not go together come to light when images come
        raise Refused(str(error)) from None


def of_header(content, rng, count):
    """of_json on the header that a checkpoint has in the metadata of its safetensors; first, a network too large."""
    length = int.from_bytes(content[:8], "little")
    outer = json.loads(content[8 : 8 + length])
    header = outer["__metadata__"]["gluon_tricks"]
    large = {**json.loads(header), "recipe": RECIPE.set(classes=1 << 20, net={}).to_json()}
    for what, damaged in [("large", json.dumps(large).encode()), *of_json(header.encode(), rng, count - 1)]:
        outer["__metadata__"]["gluon_tricks"] = damaged.decode()
        text = json.dumps(outer).encode()
        yield what, len(text).to_bytes(8, "little") + text + content[8 + length :]


KINDS = {  # what of it is damaged -> the file, how, what reads it
    "checkpoint": (CHECKPOINT, of_bytes, lambda path: (predict(path), restore(path))),
    "header": (CHECKPOINT, of_header, lambda path: (predict(path), restore(path))),
    "recipe of a run": ("recipe.json", of_json, lambda path: predict(path.parent)),
    "final.params": ("final.params", of_bytes, predict),
    "graph": ("final-symbol.json", of_bytes, predict),
    "values of a graph": ("final-symbol.json", of_json, predict),
    "parameters of a graph": ("final-0000.params", of_bytes, lambda path: predict(path.with_name("final-symbol.json"))),
}


def main(folder, count, kinds):
    good, now = folder / "good", folder / "now"
    make(good)
    shutil.copytree(good, now)
    for kind in kinds:
        name, _, read = KINDS[kind]
        read(now / name)
    limit_memory()
    for number, kind in enumerate(kinds):
        name, mutations, read = KINDS[kind]
        for what, damaged in mutations((good / name).read_bytes(), generator(number), count):
            (now / name).write_bytes(damaged)
            judge(kind, what, lambda: read(now / name), Refused)  # noqa: B023
        shutil.copy(good / name, now / name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(KINDS))
