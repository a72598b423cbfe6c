"""Training that starts from a network of another number of classes: its trunk, a new head, and a line that says so."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import initialised_network, untrained
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import NoBiasDecay
from model_zoo import get_model, published, weights
from model_zoo.preprocessing import Preprocessing

CIFAR, MOBILE = "cifar_resnet20_v1", "mobilenet0.25"


def trained(model=CIFAR, classes=10):
    """A network whose every number tells that it comes from here."""
    mx.random.seed(7)
    net = get_model(model, classes=classes)
    net.initialize(mx.init.Normal(0.1))
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith(("gamma", "beta", "bias", "running_mean", "running_var")):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
    return net


def saved(path, naming="ours", **kwargs):
    weights.save(trained(**kwargs), path, naming)
    return str(path)


def start(pretrained, model=CIFAR, **fields):
    recipe = Recipe(**{"model": model, "classes": 4, "input_size": 32, "pretrained": pretrained, **fields})
    return weights.values_of(initialised_network(recipe, [mx.cpu()]))


def assert_trunk_of(net, values):
    for name, expected in weights.values_of(net).items():
        if not name.startswith("head."):
            np.testing.assert_array_equal(values[name], expected, err_msg=name)


@pytest.mark.parametrize(
    "model, naming, ending",
    [
        (CIFAR, "ours", "params"),
        (CIFAR, "ours", "safetensors"),
        (CIFAR, "gluoncv", "params"),
        (MOBILE, "gluoncv", "safetensors"),
        ("resnet18_v1b", "timm", "safetensors"),
        ("resnet18_v1b", "torchvision", "params"),
    ],
)
def test_the_trunk_is_the_files_and_the_head_is_new(model, naming, ending, tmp_path, caplog):
    path = saved(tmp_path / f"ten.{ending}", naming, model=model)
    values, old = start(path, model=model), trained(model)
    assert_trunk_of(old, values)
    features = old.head.weight.shape[1]
    assert values["head.weight"].shape == (4, features)
    bound = np.sqrt(6 / (4 + features))  # Xavier uniform
    assert 0.7 * bound < np.abs(values["head.weight"]).max() <= bound
    assert values["head.bias"].tolist() == [0, 0, 0, 0]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} has a head of 10 classes and {model} is to have 4: all but the head is taken from it, "
        "the head starts from random numbers"
    ]


def test_the_head_follows_from_the_seed_and_the_init(tmp_path):
    path = saved(tmp_path / "ten.params")
    head = start(path)["head.weight"]
    np.testing.assert_array_equal(start(path)["head.weight"], head)
    assert not np.array_equal(start(path, seed=1)["head.weight"], head)
    normal = start(path, init="gluoncv")["head.weight"]  # He: deviation sqrt(2 / (1 + 1/16) / mean of the fans 64, 4)
    assert normal.std() == pytest.approx(np.sqrt(2 / (17 / 16) / 34), rel=0.15)


@pytest.mark.parametrize("model, side", [("vgg11", 32), ("alexnet_2012", 63), ("googlenet_2014", 224)])
def test_the_papers_init_reaches_layers_that_bring_their_own(model, side):
    """Uniform in [-a, a], a = sqrt(6 / (fan_in + fan_out)) with the kernel's area, so the deviation is a / sqrt(3)."""
    values = weights.values_of(initialised_network(Recipe(model=model, classes=2, input_size=side), [mx.cpu()]))
    for name, array in values.items():
        if name.endswith("bias"):
            assert not array.any(), name  # AlexNet and GoogLeNet bring 1 and 0.2
            continue
        area = np.prod(array.shape[2:])
        a = np.sqrt(6 / (area * (array.shape[0] + array.shape[1])))
        assert abs(array).max() <= a * (1 + 1e-6) and array.std() == pytest.approx(a / np.sqrt(3), rel=0.1), name
    own = initialised_network(Recipe(model=model, classes=2, input_size=side, init="gluoncv"), [mx.cpu()])
    assert any(array.any() for name, array in weights.values_of(own).items() if name.endswith("bias")) == (
        model != "vgg11"
    )


def test_group_normalisation_on_two_devices(tmp_path):
    net, contexts = {"norm_layer": "GroupNorm"}, [mx.cpu(0), mx.cpu(1)]
    old = untrained(Recipe(model="resnet18_v1", classes=10, net=net))
    old.initialize()
    weights.save(old, tmp_path / "ten.params")
    recipe = Recipe(model="resnet18_v1", classes=4, net=net, input_size=32, pretrained=str(tmp_path / "ten.params"))
    new = initialised_network(recipe, contexts)
    assert_trunk_of(old, weights.values_of(new))
    for parameter in new.collect_params().values():
        one, other = parameter.list_data()
        assert [one.context, other.context] == contexts
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_a_published_file(tmp_path, monkeypatch):
    path = saved(tmp_path / "published.params", "gluoncv")
    monkeypatch.setattr(published, "fetch", lambda name, tag=None: path)
    for what in ("true", "121e1579"):
        assert_trunk_of(trained(), start(what))


def test_as_many_classes_are_taken_whole(tmp_path, caplog):
    path = saved(tmp_path / "four.params", classes=4)
    values = start(path)
    for name, expected in weights.values_of(trained(classes=4)).items():
        np.testing.assert_array_equal(values[name], expected, err_msg=name)
    assert not caplog.records


def test_a_run_that_goes_on_has_its_own_head(tmp_path):
    with pytest.raises(Refused, match="was saved with 10 classes"):
        start(saved(tmp_path / "ten.params"), start_epoch=1)


def test_what_is_refused(tmp_path):
    path = saved(tmp_path / "ten.params")
    with pytest.raises(Refused, match="does not hold the parameters of mobilenet0.25.*it looks like a cifar_resnet20"):
        start(path, model=MOBILE)
    wide = weights.values_of(trained()) | {"stage1.0.conv1.weight": np.zeros((16, 8, 3, 3), np.float32)}
    mx.nd.save(str(tmp_path / "wide.params"), {name: mx.nd.array(value) for name, value in wide.items()})
    with pytest.raises(Refused, match=r"wide.params does not fit cifar_resnet20_v1: stage1.0.conv1.weight"):
        start(str(tmp_path / "wide.params"))
    for name in ("any_classes", "name"):
        with pytest.raises(Refused, match=f"net.{name} cannot be set here"):
            start("", net={name: True})
    for other in (
        lambda: untrained(Recipe(model=CIFAR, classes=4), pretrained=path),
        lambda: load_network(path, model=CIFAR, classes=4),
        lambda: get_model(CIFAR, pretrained=path, classes=4),
    ):
        with pytest.raises(Refused, match="saved with 10 classes, but cifar_resnet20_v1 has 4: pass classes=10"):
            other()


def test_a_run_starts_there_and_resumes_without_the_file(tiny_records, tmp_path, capsys):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    path = tmp_path / "ten.params"
    recipe = Recipe(
        model=CIFAR, pretrained=saved(path), data="records", **files, input_size=32, epochs=2, batch_size=16, lr=0.01,
        tricks=(NoBiasDecay(),),
    )  # fmt: skip
    run, line = tmp_path / "run", f"{path} has a head of 10 classes and cifar_resnet20_v1 is to have 4"
    asked = iter([False] * 3 + [False] * 2 + [True])  # 3 steps, 2 batches of evaluation, a step of the second epoch
    with pytest.raises(Interrupted, match="after step 4 of 6"):
        train_and_evaluate(recipe, run, Options(contexts=[mx.cpu()], should_stop=lambda: next(asked)))
    assert capsys.readouterr().out.count(line) == (run / "log.txt").read_text().count(line) == 1
    events = [json.loads(text) for text in open(run / "events.jsonl")]
    assert [event["event"] for event in events[:2]] == ["warning", "start"] and line in events[0]["message"]
    path.unlink()
    assert train_and_evaluate(recipe, run, Options(contexts=[mx.cpu()], resume=True)).images == 20
    assert (run / "log.txt").read_text().count(line) == 1
    assert load_network(run).head.weight.shape == (4, 64)


def test_a_start_that_is_no_numbers_is_refused(tiny_records, tmp_path):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    diverged = trained(classes=4)
    diverged.head.bias.set_data(mx.nd.full((4,), np.nan))
    diverged.save_parameters(str(tmp_path / "nan.params"))
    recipe = Recipe(model=CIFAR, data="records", **files, input_size=32, batch_size=16)
    recipe = recipe.set(pretrained=str(tmp_path / "nan.params"))
    with pytest.raises(Refused, match="nan.params holds NaN or infinity in head.bias: it is of a training that"):
        Classification(recipe, [mx.cpu()], 1).network()


def test_weights_of_images_with_another_mean_are_refused(tiny_records, tmp_path, caplog, monkeypatch):
    """Known of a run, of what GluonCV published and of files that say it; one that does not gets a warning."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    (tmp_path / "run").mkdir()
    mean, path = (10.0, 20.0, 30.0), saved(tmp_path / "run" / "final.params", classes=4)
    of_run = Recipe(model=CIFAR, classes=4, input_size=32, mean=mean)
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(of_run.to_json()))
    recipe = Recipe(model=CIFAR, data="records", **files, input_size=32, epochs=1, batch_size=16, pretrained=path)

    def network(**changes):
        return Classification(recipe.set(**changes), [mx.cpu()], 1).network()

    with pytest.raises(Refused, match=r"final.params takes images of mean \[10.0, 20.0, 30.0\] .* --set mean="):
        network()
    network(mean=mean)
    monkeypatch.setattr(published, "fetch", lambda name, tag=None: path)
    for what in ("true", "121e1579"):
        network(pretrained=what)
        with pytest.raises(Refused, match=rf"{what} takes images of mean \[125.307, 122.961, 113.8575\]"):
            network(pretrained=what, mean=mean)
    assert not caplog.records
    network(pretrained=saved(tmp_path / "bare.params", classes=4), mean=mean)
    assert "bare.params does not say which mean and deviation its images had" in caplog.text
    caplog.clear()
    said = trained(classes=4)
    said.preprocessing = Preprocessing(32, mean=mean)
    weights.save(said, tmp_path / "said.safetensors")
    theirs = weights.as_theirs(said, weights.values_of(said), "gluoncv")
    arrays = {f"arg:{name}": mx.nd.array(value) for name, value in theirs.items()}
    pixels = {"arg:net_init_mean": mx.nd.array(mean), "arg:net_init_scale": mx.nd.array(said.preprocessing.std)}
    mx.nd.save(str(tmp_path / "block.params"), {**arrays, **pixels})
    for name in ("said.safetensors", "block.params"):
        network(pretrained=str(tmp_path / name), mean=mean, std=said.preprocessing.std)
        with pytest.raises(Refused, match=rf"{name} takes images of mean \[10.0, 20.0, 30.0\]"):
            network(pretrained=str(tmp_path / name))
    assert "does not say which mean" not in caplog.text


@pytest.mark.parametrize(
    "net, says",
    [
        ({"blur": True}, "blur=True: give that too .--set 'net.blur=true'"),
        ({"dilated": True}, "dilated=True: give that too"),
        ({"norm_kwargs": {"epsilon": 0.1}}, "norm_kwargs={'epsilon': 0.1}: give that too"),
    ],
)
def test_a_run_of_a_network_with_other_keywords_is_refused(net, says, tiny_records, tmp_path, untrained_run):
    """Its parameter files do not say them, and names and shapes are the same."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    untrained_run(Recipe(model="resnet18_v1b", classes=4, data="records", **files, input_size=64, net=net), tmp_path)
    recipe = Recipe(model="resnet18_v1b", data="records", **files, input_size=64, batch_size=16)
    for fields in ({}, {"start_epoch": 1}):
        recipe = recipe.set(pretrained=str(tmp_path / "final.params"), **fields)
        with pytest.raises(Refused, match=f"final.params holds a network with {says}"):
            Classification(recipe, [mx.cpu()], 1).network()
        Classification(recipe.set(net=net), [mx.cpu()], 1).network()
