"""Trains, evaluates and draws a small network; prints the resident MB of each epoch. Arguments: FOLDER EPOCHS."""

import json
import os
import pathlib
import sys

import mxnet as mx

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate


def main(folder, epochs):
    seen = []

    def look():  # asked after every step
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        return False

    recipe = Recipe(
        model="cifar_resnet20_v1", data="records", train=(str(folder / "train.rec"),), val=(str(folder / "val.rec"),),
        input_size=32, epochs=epochs, batch_size=16, lr=0.01,
    )  # fmt: skip
    options = Options(contexts=[mx.cpu()], threads=2, picture_epochs=1, should_stop=look)
    train_and_evaluate(recipe, folder / "run", options)
    steps = len(seen) // epochs
    print(json.dumps([max(seen[epoch * steps : (epoch + 1) * steps]) for epoch in range(epochs)]))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
