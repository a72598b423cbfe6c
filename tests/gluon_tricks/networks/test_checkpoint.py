"""Checkpoints: whole or absent, checked, and the optimiser's state with them."""

import contextlib
import json

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks import checkpoint
from gluon_tricks.networks.checkpoint import (
    Progress,
    list_checkpoints,
    prune,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe


def small_net(contexts, dtype="float32"):
    net = mx.gluon.nn.HybridSequential(prefix="small_")
    with net.name_scope():
        net.add(mx.gluon.nn.Dense(3, in_units=2), mx.gluon.nn.BatchNorm(in_channels=3))
    mx.random.seed(1)
    net.initialize(mx.init.Normal(1.0), ctx=contexts)
    net.cast(dtype)
    numbers = {"learning_rate": 0.1, "momentum": 0.9, "multi_precision": dtype == "float16"}
    store = "local" if len(contexts) > 1 else None
    return net, mx.gluon.Trainer(net.collect_params(), "nag", numbers, kvstore=store, update_on_kvstore=False)


def train(net, trainer, contexts, steps):
    for step in range(steps):
        with mx.autograd.record():
            losses = [(net(mx.nd.array([[step, 1], [2, -1], [0, 3]], ctx=c)) ** 2).sum() for c in contexts]
        mx.autograd.backward(losses)
        trainer.allreduce_grads()
        trainer.update(3)


def values(net):
    return {name: p.list_data()[-1].asnumpy() for name, p in net._collect_params_with_prefix().items()}


@pytest.mark.parametrize("contexts", [[mx.cpu(0)], [mx.cpu(0), mx.cpu(1)], [mx.cpu(1), mx.cpu(2)]])
def test_training_goes_on_exactly(tmp_path, contexts):
    net, trainer = small_net(contexts)
    train(net, trainer, contexts, 3)
    progress = Progress(step=3, loss_sum=1.5, history=[{"epoch": 1, "val_top1": 0.5}], best=("x", 0.5))
    save_checkpoint(tmp_path / "c.safetensors", net, trainer, progress, Recipe(), "data")
    train(net, trainer, contexts, 3)

    other, other_trainer = small_net(contexts)
    path = tmp_path / "c.safetensors"
    assert restore(path, read_checkpoint(path), other, other_trainer, Recipe(), "data", contexts) == progress
    train(other, other_trainer, contexts, 3)
    for name, array in values(net).items():
        np.testing.assert_array_equal(values(other)[name], array, err_msg=name)


def test_what_a_file_holds(tmp_path):
    net, trainer = small_net([mx.cpu()])
    train(net, trainer, [mx.cpu()], 1)
    save_checkpoint(tmp_path / "c.safetensors", net, trainer, Progress(step=1), Recipe(), "data")
    arrays, header = read_checkpoint(tmp_path / "c.safetensors")
    names = {f"parameter/{n}" for n in ("0.weight", "0.bias", "1.gamma", "1.beta", "1.running_mean", "1.running_var")}
    assert set(arrays) == names | {f"optimizer/{n}/0" for n in ("0.weight", "0.bias", "1.gamma", "1.beta")}
    assert header["progress"]["step"] == 1 and header["recipe"] == json.loads(json.dumps(Recipe().to_json()))
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]  # nothing temporary is left


def test_damage_is_found(tmp_path):
    net, trainer = small_net([mx.cpu()])
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, net, trainer, Progress(), Recipe(), "data")
    whole = path.read_bytes()
    for damaged in (whole[:-4], whole[:100], b"", whole[:-4] + b"\0\0\0\1", b"\xff" * 8 + whole[8:]):
        path.write_bytes(damaged)
        with pytest.raises(Refused, match="not a whole checkpoint|is damaged"):
            read_checkpoint(path)
    bare = safetensors.numpy.save({"x": np.zeros(2)})
    null = b'{"__metadata__":null,"x":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'
    for other in (bare, len(null).to_bytes(8, "little") + null + bytes(16)):
        path.write_bytes(other)
        with pytest.raises(Refused, match="not a checkpoint of this version"):
            read_checkpoint(path)


def test_what_to_do_about_a_damaged_one_names_the_one_before_it(tmp_path):
    net, trainer = small_net([mx.cpu()])
    paths = [tmp_path / f"step-00000000{step}.safetensors" for step in (3, 6, 9)]
    for path in paths:
        save_checkpoint(path, net, trainer, Progress(), Recipe(), "data")
    whole = paths[0].read_bytes()
    for damaged in (whole[:-4], whole[:-4] + b"\0\0\0\1"):
        paths[1].write_bytes(damaged)
        with pytest.raises(Refused, match="step-000000006.*: use step-000000003.safetensors, from which a run goes on"):
            read_checkpoint(paths[1])
        paths[0].write_bytes(damaged)
        with pytest.raises(Refused, match="step-000000003.*: start anew"):
            read_checkpoint(paths[0])
        paths[0].write_bytes(whole)


def test_another_recipe_or_other_data_is_refused(tmp_path):
    net, trainer = small_net([mx.cpu()])
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, net, trainer, Progress(), Recipe(), "data")
    with pytest.raises(Refused, match="lr was None and is 0.3"):
        restore(path, read_checkpoint(path), net, trainer, Recipe(lr=0.3), "data", [mx.cpu()])
    with pytest.raises(Refused, match="other records"):
        restore(path, read_checkpoint(path), net, trainer, Recipe(), "other", [mx.cpu()])


@pytest.mark.parametrize("written, given, fine", [("v", "v", True), ("v", "w", False), ("", "w", True)])
def test_other_validation_images_are_refused(tmp_path, written, given, fine):
    """An older version's checkpoint does not say which they were."""
    net, trainer = small_net([mx.cpu()])
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, net, trainer, Progress(), Recipe(), "data", written)
    with contextlib.nullcontext() if fine else pytest.raises(Refused, match="other records"):
        restore(path, read_checkpoint(path), net, trainer, Recipe(), "data", [mx.cpu()], given)


def test_the_newest_the_best_and_one_from_before_stay(tmp_path):
    for step in (10, 15, 5, 1000000000, 16, 20):
        checkpoint.checkpoint_path(tmp_path, step).touch()
    prune(tmp_path, keep=2, best="step-000000005.safetensors", before=16)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-000000005.safetensors",
        "step-000000015.safetensors",
        "step-000000020.safetensors",
        "step-1000000000.safetensors",
    ]


def test_leftovers_of_a_killed_process_go(tmp_path):
    half = (".metrics.csv.123.tmp", "checkpoints/.step-000000005.safetensors.123.tmp", "pictures/.epoch-0005.png.1.tmp")
    half += (".gluon-tricks-0a1b2c3d4e5f6789", "checkpoints/.gluon-tricks-0123456789abcdef")
    half += (".gluon-tricks-aaaabbbbccccdddd/final-symbol.json",)
    whole = [
        ".export_mine/my.onnx",
        ".gluon-tricks-notes",
        ".gluon-tricks-settings",
        ".writing/chapter",
        "checkpoints/.mine.tmp",
    ]
    whole += ["checkpoints/step-000000005.safetensors", "metrics.csv"]
    for name in (*half, *whole):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".gluon-tricks-1111111111111111").symlink_to(
        tmp_path / ".export_mine"
    )  # the link goes, not what it leads to
    checkpoint.remove_leftovers(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())
    assert left == sorted(whole)


def test_states_of_multi_precision_are_kept(tmp_path):
    """float16: momentum and the float32 master copy, which the parameter's float16 value does not determine."""

    class Net(mx.gluon.Block):
        def __init__(self):
            super().__init__(prefix="net_")
            with self.name_scope():
                self.weight = self.params.get("weight", shape=(4,), dtype="float16", init="ones")

    def start():
        net = Net()
        net.initialize()
        numbers = {"learning_rate": 1e-4, "momentum": 0.9, "multi_precision": True}
        return net, mx.gluon.Trainer(net.collect_params(), "nag", numbers, kvstore=None, update_on_kvstore=False)

    def go(net, trainer, steps):
        for _ in range(steps):
            with mx.autograd.record():
                loss = (net.weight.data() * 1).sum()
            loss.backward()
            trainer.update(1)

    net, trainer = start()
    go(net, trainer, 3)
    save_checkpoint(tmp_path / "c.safetensors", net, trainer, Progress(), Recipe(), "")
    arrays, _ = read_checkpoint(tmp_path / "c.safetensors")
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "parameter/weight": "float16",
        "optimizer/weight/0": "float32",
        "optimizer/weight/1": "float32",
    }
    go(net, trainer, 20)
    other, other_trainer = start()
    path = tmp_path / "c.safetensors"
    restore(path, read_checkpoint(path), other, other_trainer, Recipe(), "", [mx.cpu()])
    go(other, other_trainer, 20)
    assert net.weight.data().asnumpy().tolist() == other.weight.data().asnumpy().tolist()


def test_where_a_folder_of_images_lies_is_no_other_recipe():
    """What is in it has a digest."""
    there, elsewhere = (DetectionRecipe(data=folder) for folder in ("VOCdevkit", "/mnt/VOCdevkit"))
    assert elsewhere.differences(there, "resume") == {}
    assert elsewhere.set(short=300).differences(there, "resume") == {"short": (600, 300)}
