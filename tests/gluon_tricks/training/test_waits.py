"""A step with every refinement of the optimiser reads nothing from the device and waits for nothing."""

import mxnet as mx
import pytest

from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_step
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.steps import Steps
from gluon_tricks.tricks import ClipGradients, DecoupledDecay, Ema, Sam, TrustRatio


@pytest.mark.parametrize("tricks", [(), (DecoupledDecay(),), (TrustRatio(),), (DecoupledDecay(), TrustRatio())])
@pytest.mark.parametrize("devices", [1, 2])
def test_nothing_waits(tiny_records, tmp_path, monkeypatch, tricks, devices):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=12, epochs=2, lr=0.01,
        optimizer="adam" if DecoupledDecay() in tricks else "sgd",
        tricks=(*tricks, Ema(0.9), Sam(), ClipGradients(1.0)),
    )  # fmt: skip
    contexts = [mx.cpu(k) for k in range(devices)]
    job, waits = prepare(recipe, tmp_path / "run", Options(contexts=contexts, threads=1, picture_epochs=0)), []
    with job.journal:
        with Steps(job) as steps:
            batches = job.batches(0)
            for k, batch in zip(range(2), batches):
                steps.begin()
                with monkeypatch.context() as patch:
                    if k:  # the first one makes the states
                        for name in ("asnumpy", "asscalar", "wait_to_read"):
                            patch.setattr(mx.nd.NDArray, name, lambda *args, name=name: waits.append(name))
                        patch.setattr(mx.nd, "waitall", lambda: waits.append("waitall"))
                    steps.end(train_step(job, batch))
            batches.close()
    assert waits == []
