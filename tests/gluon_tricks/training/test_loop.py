"""The loop end to end on a few images: what it writes, and that it does the same on one device and on two."""

import csv
import json
import types

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_tensorboard
from gluon_tricks.networks.checkpoint import read_checkpoint
from gluon_tricks.networks.of_recipe import initialised_network, parameters_by_name
from gluon_tricks.networks.statistics import average_statistics
from gluon_tricks.ranks.gradients import Gradients
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification import task
from gluon_tricks.tasks.classification.evaluation import ClassificationScores
from gluon_tricks.tasks.classification.task import cross_entropy
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.ascent import Ascent
from gluon_tricks.training.average import Average
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate, train_step
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.requirements import require_space
from gluon_tricks.training.rounds import Rounds
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import (
    Cosine,
    CutMix,
    Distillation,
    Ema,
    LabelSmoothing,
    Mixup,
    MixupOrCutMix,
    NoBiasDecay,
    Plateau,
    Sam,
    Warmup,
    ZeroGamma,
)

QUIET = Options(picture_epochs=0)


@pytest.fixture
def recipe(tiny_records):
    return Recipe(
        name="tiny",
        model="resnet18_v1",
        data="records",
        train=(str(tiny_records / "train.rec"),),
        val=(str(tiny_records / "val.rec"),),
        input_size=32,
        min_area=0.5,
        augment="none",
        epochs=3,
        batch_size=16,
        lr=0.02,
        tricks=(Warmup(1), ZeroGamma(), NoBiasDecay(), Cosine(), LabelSmoothing()),
    )


@pytest.fixture
def small(recipe):
    """Of 0.3 million numbers in place of 11: most of a short run's time goes into a large network's checkpoints."""
    return recipe.set(model="cifar_resnet20_v1")


def board_of(folder):
    """Name -> step -> value of TensorBoard's file, of a picture its pixels.

    The file has records of a length, its checksum, an event, its checksum.
    """
    import_tensorboard()
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    data, found = path.read_bytes(), {}
    while data:
        end = 12 + int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12:end])
        for value in event.summary.value:
            is_picture = value.WhichOneof("value") == "image"
            found.setdefault(value.tag, {})[event.step] = _pixels(value.image) if is_picture else value.simple_value
        data = data[end + 4 :]
    return found


def _pixels(image):
    pixels = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (image.height, image.width, 3) and image.colorspace == 3
    return pixels


def test_a_run_learns_and_leaves_all_its_records(recipe, tmp_path):
    run = tmp_path / "run"
    scores = train_and_evaluate(recipe, run, Options(log_interval=1, picture_epochs=2))
    assert scores.images == 20 and scores.loss < np.log(4)  # of equal logits
    assert scores.top1 >= 0.75  # colours are easy; chance is 0.25

    assert read_recipe(run / "recipe.json") == recipe.set(classes=4).resolved()
    rows = list(csv.DictReader(open(run / "metrics.csv")))
    training, validation = ["train_loss", "train_error"], ["val_loss", "val_top1", "val_top5"]
    assert list(rows[0]) == ["epoch", *training, *validation, "lr", "images_per_second"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"] and float(rows[-1]["val_top1"]) == scores.top1
    assert float(rows[-1]["val_loss"]) == pytest.approx(scores.loss) and float(rows[-1]["train_loss"]) < np.log(4)
    assert float(rows[0]["lr"]) == 0.02  # the last step of the warm-up
    events = [json.loads(line) for line in open(run / "events.jsonl")]
    assert [e["event"] for e in events] == ["start", *["epoch", "checkpoint"] * 3, "done"]
    assert events[0]["precision"] == "float32" and events[0]["steps_per_epoch"] == 3
    log = (run / "log.txt").read_text()
    assert "epoch 3/3  step 3/3  loss" in log and "resnet18_v1 on 48 images of 4 classes" in log
    board = board_of(run / "tensorboard")
    assert list(board["train/loss"]) == list(range(1, 10)) and board["train/lr"][3] == pytest.approx(0.02)
    for name in list(rows[0])[1:]:
        assert list(board[f"epoch/{name}"].values()) == pytest.approx([float(row[name]) for row in rows]), name
    assert [*board["validation images"]] == [2, 3] and [*board["confusion matrix"]] == [1, 2, 3]
    for epoch, pixels in board["validation images"].items():
        assert (pixels == cv2.imread(str(run / "pictures" / f"epoch-{epoch:04d}.png"))).all()
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    best = 3 * int(max(rows, key=lambda row: float(row["val_top1"]))["epoch"])  # the first of equals
    kept = {int(path.stem[len("step-") :]) for path in (run / "checkpoints").iterdir()}
    assert kept == {6, 9, best}  # the newest two, and the best

    inputs = mx.nd.random.uniform(shape=(2, 3, 32, 32))
    want = load_network(run)(inputs).asnumpy()
    for source in ("final.params", "final-symbol.json", "checkpoints/step-000000009.safetensors"):
        assert load_network(run / source)(inputs).asnumpy() == pytest.approx(want, abs=1e-5)
    bare = tmp_path / "elsewhere.params"
    bare.write_bytes((run / "final.params").read_bytes())
    assert load_network(bare, model="resnet18_v1", classes=4)(inputs).asnumpy() == pytest.approx(want, abs=1e-5)
    with pytest.raises(Refused, match="name it with model="):
        load_network(bare)
    with pytest.raises(Refused, match="holds a run already"):
        train_and_evaluate(recipe, run)


def test_two_devices_do_what_one_does(recipe):
    """Without batch statistics a step on 2 x 4 images is the step on 8."""
    recipe = recipe.set(classes=4, net={"norm_layer": "GroupNorm"}, tricks=())
    rng = np.random.default_rng(1)
    images, target = mx.nd.array(rng.normal(size=(8, 3, 32, 32))), mx.nd.one_hot(mx.nd.arange(8) % 4, 4)
    results = []
    for contexts in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]):
        net = initialised_network(recipe, contexts)
        net.hybridize(static_alloc=True, static_shape=True)
        store = "local" if len(contexts) > 1 else None
        numbers = {"learning_rate": 0.01, "momentum": 0.9}
        trainer = mx.gluon.Trainer(net.collect_params(), "nag", numbers, kvstore=store, update_on_kvstore=False)
        task = types.SimpleNamespace(
            micro_batches=lambda batch, step: [list(zip(*batch))],
            preprocess=lambda shard: shard,
            forward=lambda net, X: net(X),
            train_error=None,
        )
        job = types.SimpleNamespace(
            task=task, net=net, trainer=trainer, gradients=Gradients(trainer._params), loss=cross_entropy,
            scale=LossScale(False), recipe=recipe.set(batch_size=8), step_context=lambda: None,
            ascent=Ascent(Recipe(), net, trainer, None),
            average=Average(Recipe(), net, ClassificationScores),
            rounds=Rounds(recipe, net, len(contexts)),
        )  # fmt: skip
        batch = [mx.gluon.utils.split_and_load(part, contexts) for part in (images, target)]
        for _ in range(2):
            losses = train_step(job, batch)
        values = {name: p.list_data()[-1].asnumpy() for name, p in parameters_by_name(net).items()}
        results.append((values, sum(float(loss.asscalar()) for loss in losses)))
    (one, one_loss), (two, two_loss) = results
    assert one_loss == pytest.approx(two_loss, rel=1e-5)
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, atol=2e-6, err_msg=name)


def test_a_run_on_two_devices(small, tmp_path):
    """The devices have seen different images; the network that is evaluated, saved and loaded is one."""
    options = Options(contexts=[mx.cpu(1), mx.cpu(2)], picture_epochs=0)
    scores = train_and_evaluate(small.set(epochs=1), tmp_path / "run", options)
    assert scores.images == 20 and "cpu(1), cpu(2)" in (tmp_path / "run" / "log.txt").read_text()
    one = load_network(tmp_path / "run" / "final.params")
    other = load_network(tmp_path / "run" / "checkpoints" / "step-000000003.safetensors")
    for name, parameter in parameters_by_name(one).items():
        saved = parameters_by_name(other)[name].data().asnumpy()
        np.testing.assert_allclose(parameter.data().asnumpy(), saved, rtol=1e-6, err_msg=name)


def test_statistics_are_averaged_over_devices():
    net = mx.gluon.nn.BatchNorm(in_channels=2)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    for array, values in zip(net.running_mean.list_data(), ([1.0, 2.0], [3.0, 6.0])):
        array[:] = mx.nd.array(values)
    average_statistics(net)
    assert [array.asnumpy().tolist() for array in net.running_mean.list_data()] == [[2.0, 4.0], [2.0, 4.0]]


def test_a_student_learns_from_a_run(small, tmp_path):
    """The teacher is the same recipe without a teacher, from the same seed: only the soft loss tells the two apart."""
    train_and_evaluate(small.set(epochs=1), tmp_path / "teacher", QUIET)
    distilled = small.set(epochs=1).add(Distillation(str(tmp_path / "teacher"), 2.0))
    assert train_and_evaluate(distilled, tmp_path / "student", QUIET).images == 20
    teacher, student = (load_network(tmp_path / run).head.weight.data().asnumpy() for run in ("teacher", "student"))
    assert np.abs(student - teacher).max() > 1e-3  # two runs of one recipe differ by 1e-6 at most


def test_the_teacher_sees_the_images_of_its_student(recipe, tmp_path, monkeypatch):
    seen, plain = [], recipe.without("mixup")

    class Teacher:
        def hybridize(self, **kwargs):
            pass

        def __call__(self, images):
            seen.append(images.asnumpy())
            return mx.nd.zeros((len(images), 4))

    monkeypatch.setattr(task.Classification, "_load_teacher", lambda *args: Teacher())
    given = []
    for k, tricks in enumerate([(), (Mixup(1.0),)]):
        job = prepare(plain.add(*tricks, Distillation("resnet18_v1")), tmp_path / str(k), Options(contexts=[mx.cpu()]))
        ((shard,),) = job.task.micro_batches(next(job.batches(0)), job.step_context())
        images, target = job.task.preprocess(shard)
        with mx.autograd.record():
            job.loss(images, job.task.forward(job.net, images), target)
        np.testing.assert_array_equal(seen[-1], images.asnumpy())
        given.append(seen[-1])
        job.journal.close()
    assert not np.allclose(*given)  # the second were mixed


def test_imperative_mode_gives_the_same(small, tmp_path):
    hybrid = train_and_evaluate(small.set(epochs=1), tmp_path / "hybrid", QUIET)
    imperative = train_and_evaluate(small.set(epochs=1, mode="imperative"), tmp_path / "imperative", QUIET)
    assert imperative.loss == pytest.approx(hybrid.loss, rel=1e-3)


def test_a_stop_is_resumable(recipe, tmp_path):
    asked = iter([False, True])
    with pytest.raises(Interrupted, match="after step 2 of 9"):
        train_and_evaluate(recipe, tmp_path / "run", Options(should_stop=lambda: next(asked)))
    job = prepare(recipe, tmp_path / "run", Options(resume=True))
    job.journal.close()
    assert job.progress.step == 2 and job.progress.images == 32 and job.epochs == range(0, 3)


@pytest.mark.parametrize(
    "begun, has_bfloat16, says",
    [
        ("bfloat16", False, "was begun in bfloat16, and this machine computes in float32"),
        ("float16", False, "was begun in float16, and this machine computes in float32"),
        ("float16", True, "was begun in float16, and this machine computes in bfloat16"),
    ],
)
def test_a_run_of_another_kind_of_machine_is_refused_before_its_network_is_built(
    begun, has_bfloat16, says, small, tmp_path, monkeypatch
):
    """As after a queue has moved it; the file of a recipe has the precision that was computed in."""
    run = tmp_path / "run"
    train_and_evaluate(small, run, Options(contexts=[mx.cpu()]))
    assert read_recipe(run / "recipe.json").dtype == "float32"
    (run / "recipe.json").write_text(json.dumps(small.set(dtype=begun).to_json()))
    monkeypatch.setattr("gluon_tricks.machine.devices.cpu_has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr("gluon_tricks.training.prepare.task_of", None)
    with pytest.raises(
        Refused, match=f"run {says}: go on with it on a machine of the first one's kind, or start anothe"
    ):
        train_and_evaluate(small.set(dtype=begun), run, Options(contexts=[mx.cpu()], resume=True))


def test_a_stop_of_two_devices_is_resumable_bit_for_bit(small, tmp_path):
    """Each has running statistics of its own within an epoch: their mean, taken once more, would be rounded anew."""
    recipe, devices = small.set(epochs=2), [mx.cpu(0), mx.cpu(1)]
    train_and_evaluate(recipe, tmp_path / "whole", Options(contexts=devices, picture_epochs=0))
    asked = iter([False, True])
    with pytest.raises(Interrupted, match="after step 2 of 6"):
        train_and_evaluate(recipe, tmp_path / "run", Options(contexts=devices, should_stop=lambda: next(asked)))
    saved, _ = read_checkpoint(tmp_path / "run" / "checkpoints" / "step-000000002.safetensors")
    running = {name.partition("/")[2] for name in saved if name.startswith("parameter_of_devices/")}
    assert running == {n for n in parameters_by_name(load_network(tmp_path / "whole")) if "running" in n} != set()
    for name in running:
        first, second = saved[f"parameter_of_devices/{name}"]
        np.testing.assert_allclose(saved[f"parameter/{name}"], (first + second) / 2, rtol=1e-6, err_msg=name)
    assert any(
        (saved[f"parameter_of_devices/{name}"][0] != saved[f"parameter_of_devices/{name}"][1]).any() for name in running
    )
    train_and_evaluate(recipe, tmp_path / "run", Options(contexts=devices, resume=True, picture_epochs=0))
    whole, other = ((tmp_path / run / "final.params").read_bytes() for run in ("whole", "run"))
    assert whole == other
    saved, _ = read_checkpoint(tmp_path / "run" / "checkpoints" / "step-000000006.safetensors")
    assert not any(name.startswith("parameter_of_devices/") for name in saved)  # after an epoch all have the same


def test_a_checkpoint_of_two_devices_goes_on_on_one(recipe, tmp_path):
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        options = Options(contexts=[mx.cpu(0), mx.cpu(1)], should_stop=lambda: next(asked))
        train_and_evaluate(recipe.set(epochs=1), tmp_path / "run", options)
    saved, _ = read_checkpoint(tmp_path / "run" / "checkpoints" / "step-000000002.safetensors")
    job = prepare(recipe.set(epochs=1), tmp_path / "run", Options(contexts=[mx.cpu(0)], resume=True))
    job.journal.close()
    for name, parameter in parameters_by_name(job.net).items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), saved[f"parameter/{name}"], err_msg=name)


def test_refused_before_any_work(recipe, tmp_path):
    for change, options, words in (
        ({"batch_size": 15}, Options(contexts=[mx.cpu(0), mx.cpu(1)]), "cannot be split evenly over 2 devices"),
        *(
            ({"batch_size": 2, "tricks": (mixing,)}, Options(contexts=[mx.cpu(0), mx.cpu(1)]), f"{mixing.label()}: a")
            for mixing in (Mixup(), CutMix(), MixupOrCutMix())
        ),
        ({"batch_size": 8, "bn_batch": 1, "tricks": (Mixup(),)}, Options(), "one image at a time and none to mix it"),
        (
            {"tricks": (Plateau(), CutMix(off_epochs=2))},
            Options(),
            "cut_mix is off in the last 2 epochs and validation",
        ),
        ({"batch_size": 4, "accumulate": 4, "tricks": (CutMix(),)}, Options(), "one image at a time and none to mix"),
        ({"classes": 3}, Options(), "the records have 4 classes and the recipe 3"),
        ({"batch_size": 64}, Options(), "48 images are not one batch of 64"),
        ({"val": ()}, Options(), "name the files for both"),
        ({"model": "resnet19_v1"}, Options(), "resnet18_v1"),
        ({"net": {"last_gama": True}}, Options(), "last_gamma"),
        *(
            ({"net": {"norm_layer": odd}}, Options(), "net.norm_layer is .*: choose one of BatchNorm, GroupNorm, Sync")
            for odd in ("BatchNorn", ["BatchNorm"], {"BatchNorm": 1}, None, 0)
        ),
        ({"data": "cifar"}, Options(), "choose one of shapes, few_shapes, imagenet, records"),
        ({"model": "vgg11", "input_size": 16, "tricks": ()}, Options(), "vgg11 takes images of at least 32x32 pixels"),
        (
            {"model": "inceptionv3", "input_size": 600, "tricks": ()},
            Options(),
            "at most 554x554 pixels, but got 600x600",
        ),
        (
            {"input_size": 4096, "batch_size": 48},
            Options(),
            r"at least .* GB of memory for 48 images of 4096x4096 px",
        ),
        ({"input_size": 100_000}, Options(), "input_size is 100000: it takes 4096 or less"),
        ({"net": {"norm_layer": "GroupNorm"}, "model": "cifar_resnet20_v1"}, Options(), "16 channels, which 32 groups"),
        *(
            (
                {"net": {"norm_layer": "GroupNorm", **groups}, "model": model, "tricks": ()},
                Options(),
                f"{model} normalises its input too",
            )
            for model in ("cvjena_alexnet", "cvjena_vgg19", "cvjena_resnet10", "cvjena_resnet50")
            for groups in ({}, {"norm_kwargs": {"num_groups": 1}})
        ),
    ):
        with pytest.raises(Refused, match=words):
            train_and_evaluate(recipe.set(**change), tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_too_little_disk_is_refused(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**8}))
    with pytest.raises(Refused, match="has 100 MB free and the checkpoints need 537 MB"):
        train_and_evaluate(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    "numbers, each",
    [
        ({}, 8),
        ({"tricks": (Sam(),)}, 8),  # the weights that it goes back to are in no checkpoint
        ({"tricks": (Ema(),)}, 12),
        ({"optimizer": "adam"}, 12),
        ({"dtype": "float16"}, 10),
        ({"dtype": "float16", "optimizer": "adam"}, 14),
        ({"dtype": "float16", "tricks": (Ema(),)}, 14),
        ({"dtype": "float16", "optimizer": "adam", "tricks": (Ema(),)}, 18),
    ],
)
def test_the_disk_is_asked_for_what_checkpoints_hold(numbers, each, tmp_path, monkeypatch):
    """1000 x 1000 weights, in keep + 3 checkpoints of so many bytes a number, and twice as they are."""
    net, asked = mx.gluon.nn.Dense(1000, in_units=1000, use_bias=False), (each * 4 + 8) * 10**6
    recipe = Recipe(**{"tricks": (), "lr": 1e-3, **numbers})
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": asked}))
    require_space(net, tmp_path, 1, recipe)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": asked - 1}))
    with pytest.raises(Refused, match="and the checkpoints need"):
        require_space(net, tmp_path, 1, recipe)


@pytest.mark.parametrize("numbers", [{}, {"tricks": (Sam(),)}, {"tricks": (Ema(),)}, {"optimizer": "adam"}])
def test_a_checkpoint_is_as_large_as_was_asked_for(numbers, recipe, tmp_path):
    recipe = recipe.set(**{"model": "cifar_resnet20_v1", "epochs": 1, "lr": 1e-3, "tricks": (), **numbers})
    train_and_evaluate(recipe, tmp_path, QUIET)
    (path,) = (tmp_path / "checkpoints").iterdir()
    arrays, _ = read_checkpoint(path)
    count = sum(array.size for name, array in arrays.items() if name.startswith("parameter/"))
    written = sum(array.nbytes for array in arrays.values())
    assert written == pytest.approx(4 * recipe.kept_copies() * count, rel=0.02)  # running statistics have no state


def test_a_directory_in_use_is_refused(recipe, tmp_path):
    job = prepare(recipe, tmp_path / "run", Options())
    with pytest.raises(Refused, match="in use by another run"):
        prepare(recipe, tmp_path / "run", Options(resume=True))
    job.journal.close()


def test_what_is_no_recipe_and_no_device(tmp_path):
    with pytest.raises(Refused, match=r"train takes a recipe, such as .*, but got 'imagenette'"):
        train_and_evaluate("imagenette", tmp_path / "run")
    for devices, says in (
        ((), "contexts is an empty list"), ("cpu", "contexts takes a context such as .*, but got 'cpu'"),
        ([mx.cpu(), "gpu"], "but got 'gpu'"), (mx.gpu(99), r"contexts is gpu\(99\), and MXNet finds"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=says):
            train_and_evaluate(Recipe(), tmp_path / "run", Options(contexts=devices))


@pytest.mark.parametrize(
    "run_dir, options, says",
    [
        (None, Options(), "run_dir takes a folder for the run, but got None"),
        ("run", {"threads": 1}, "options takes Options"),
        ("run", Recipe(), "options takes Options.*, but got a Recipe"),
    ],
)
def test_what_is_no_folder_and_no_options(run_dir, options, says):
    with pytest.raises(Refused, match=says):
        train_and_evaluate(Recipe(), run_dir, options)


def test_one_device_need_not_be_in_a_list(recipe, tmp_path):
    with prepare(recipe, tmp_path / "run", Options(contexts=mx.cpu())).journal:
        assert (tmp_path / "run").is_dir()
