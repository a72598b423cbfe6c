"""How often the host waits for arrays in the steps of a training: counted in the process of a rank."""

import mxnet as mx

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.training import loop
from gluon_tricks.training.job import Options
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import LabelSmoothing, Mixup


def waits_of(recipe, folder):
    job = prepare(recipe, folder, Options(contexts=[mx.cpu()], threads=1))
    steps, step, waits = [], loop.train_step, []
    originals = {(owner, name): getattr(owner, name) for owner, name in WAITING}

    def counted(owner, name):
        return lambda *arguments: waits.append(name) or originals[owner, name](*arguments)

    def told(*arguments):
        losses = step(*arguments)
        steps.append(list(waits))
        waits.clear()
        return losses

    for owner, name in WAITING:
        setattr(owner, name, counted(owner, name))
    loop.train_step = told
    with job.journal:
        loop.train_epoch(job, 0)
    loop.train_step = step
    for (owner, name), original in originals.items():
        setattr(owner, name, original)
    return steps


WAITING = (mx.nd.NDArray, "asnumpy"), (mx.nd.NDArray, "wait_to_read"), (mx.nd, "waitall")


def waits(folder, records, masks):
    """task -> for every step of an epoch the functions by which the host waited for arrays since the step before."""
    train_rec, val_rec = (str(records / f"{split}.rec") for split in ("train", "val"))
    recipes = {
        "classification": Recipe(
            model="cifar_resnet20_v1", data="records", train=(train_rec,), val=(val_rec,), input_size=32, batch_size=6,
            lr=0.01, tricks=(LabelSmoothing(), Mixup()),
        ),
        "segmentation": SegmentationRecipe(
            model="resnet18_v1b", dataset="masks", data=str(masks), classes=2, batch_size=2, crop=32, base_size=64,
            epochs=1, lr=0.01,
        ),
    }  # fmt: skip
    return {task: waits_of(recipe, folder / task) for task, recipe in recipes.items()}
