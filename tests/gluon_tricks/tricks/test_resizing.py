"""Sizes by epoch, worked out by hand; runs that change size, stop in the middle of an epoch, and test at another."""

import collections
import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import command_line
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.crop import AreaCrop, CentreCrop, PadCrop, SideCrop
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.networks.of_recipe import initialised_network
from gluon_tricks.paper import estimate
from gluon_tricks.paper.cells import Cell
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.recipe import Recipe, apply_setting
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.multi_label.loader import TagLoader
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.trained.interface import evaluate
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import Distillation, Resizing, StepContext
from gluon_tricks.tricks.schedule import Plan


def sizes(trick, size, epochs):
    return [trick.image_size(size, epoch, epochs) for epoch in range(epochs)]


def test_they_grow_linearly_in_whole_multiples():
    """128 + 96 k / 3 is 128, 160, 192, 224; + 96 k / 6 is 128, 144, 160, 176, ..., halves of 32 being rounded up."""
    assert sizes(Resizing((128,)), 224, 4) == [128, 160, 192, 224]
    assert sizes(Resizing((128,)), 224, 7) == [128, 160, 160, 192, 192, 224, 224]
    assert sizes(Resizing((128,), multiple=16), 224, 7) == [128, 144, 160, 176, 192, 208, 224]


def test_a_ramp_between_two_epochs():
    """FFCV's: 160 px up to epoch 2, 192 from epoch 5 on; between them 160 + 32 / 3 = 170.7 and 181.3."""
    ramp = Resizing((160, 160), epochs=(2, 5))
    assert sizes(ramp, 192, 7) == [160, 160, 160, 160, 192, 192, 192]
    assert sizes(Resizing((160, 160), epochs=(2, 5), multiple=8), 192, 7) == [160, 160, 160, 168, 184, 192, 192]


def test_steps_as_in_the_entry_to_dawnbench():
    """128 px in 13 epochs, 224 in 12, 288 in the last 3."""
    trick = Resizing((128, 224), epochs=(13, 25), form="steps")
    assert sizes(trick, 288, 28) == [128] * 13 + [224] * 12 + [288] * 3
    assert sizes(Resizing((128, 224), form="steps"), 288, 6) == [128, 128, 224, 224, 288, 288]
    assert sizes(Resizing((100,), form="steps"), 227, 3) == [100, 100, 227]  # not rounded; from epoch 1.5 on


def test_without_sizes_it_begins_with_four_sevenths():
    """128 of 224; 4/7 of 64 is 36.6, in whole 16 32; of 24 13.7, in whole 8 16; of 5 less than 8, and 5 is the most."""
    assert [Resizing().image_size(size, 0, 9) for size in (224, 64, 24, 5)] == [128, 32, 16, 5]
    assert sizes(Resizing(), 64, 3) == [32, 48, 64]


def test_it_ends_with_the_recipes_own_size_exactly():
    assert sizes(Resizing((128,)), 227, 2) == [128, 227] and sizes(Resizing((128,)), 227, 1) == [227]
    assert sizes(Resizing((200,)), 220, 3) == [192, 220, 220]  # 210 is nearest to 224, which is too large


@pytest.mark.parametrize(
    "trick, epochs, says",
    [
        (Resizing((128,)), 1, "no effect in a run of one epoch"),
        (Resizing((128,), epochs=(9,)), 9, "reaches the last size at epoch 9 only, and the run ends at epoch 9"),
        (Resizing((128,), epochs=(8,)), 9, ""),
        (Resizing((128,)), 2, ""),
        (Resizing((128,), form="steps"), 9, ""),
        (Resizing((128,), form="steps"), 1, "reaches the last size at epoch 1 only, and the run ends at epoch 1"),
        (Resizing((96, 112, 128), form="steps"), 2, "at epoch 2 only"),  # from 1.5 on
    ],
)
def test_what_has_no_effect_is_told(trick, epochs, says):
    doubt = trick.doubt(Plan(1, epochs))
    assert says in doubt and bool(says) == bool(doubt)


def test_a_run_that_begins_at_the_last_size_is_told():
    trick = Resizing((128,), epochs=(8,))
    assert trick.doubt(Plan(1, 9, first_epoch=7)) == ""
    assert trick.doubt(Plan(1, 9, first_epoch=8)).startswith("resizing has no effect in a run from epoch 8 on")


@pytest.mark.parametrize(
    "numbers, says",
    [
        (dict(sizes=(160, 128)), "sizes must not fall"),
        (dict(sizes=(128,), epochs=(3, 5)), "epochs must be as many as sizes, or none"),
        (dict(sizes=(128, 160), epochs=(5, 5)), "epochs must rise"),
        (dict(form="cosine"), "form must be 'linear' or 'steps'"),
    ],
)
def test_numbers_that_make_no_sense(numbers, says):
    with pytest.raises(Refused, match=says):
        Resizing(**numbers)


def test_what_a_recipe_says_of_it():
    """128, 160, 192 and 224 px have (16384 + 25600 + 36864 + 50176) / 4 = 32256 pixels on average, 224 px 50176."""
    recipe = Recipe(input_size=224, epochs=4, tricks=(Resizing((128,)),))
    assert recipe.training_sizes == (128, 160, 192, 224) and recipe.sides == (224, 224)
    assert recipe.relative_pixels() == pytest.approx(32256 / 50176)
    assert recipe.relative_pixels(done=2) == pytest.approx((36864 + 50176) / 2 / 50176)
    assert recipe.sizes_in_words() == (
        "training images of 128 px from epoch 1 on, 160 px from epoch 2 on, 192 px from epoch 3 on, 224 px from epoch "
        "4 on; validation at 224 px; 64% of the pixels of a training at that size"
    )
    larger = Recipe(input_size=224, train_size=112, epochs=4)
    assert (larger.training_sizes, larger.relative_pixels()) == ((112,), 0.25)
    assert "training images of 112 px from epoch 1 on; validation at 224 px; 25%" in larger.sizes_in_words()
    assert Recipe(input_size=224).sizes_in_words() == "" and Recipe(input_size=224, train_size=224).train_size == 224
    many = Recipe(input_size=224, epochs=300, tricks=(Resizing((32,), multiple=1),)).sizes_in_words()
    assert many.count(" px from epoch ") == 12 and "32 px from epoch 1 on" in many and "224 px from epoch" in many
    assert recipe_from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    shorter = recipe.set(train_size=160, input_size=256), larger, Recipe(input_size=224)
    assert [one.sizes_in_short() for one in shorter] == [
        "128 to 160 px in training, 256 px in use", "112 px in training, 224 px in use", "224 px"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Recipe(input_size=96, tricks=(Resizing((128,)),)), "the recipe's own, 96 px, and may not be larger"),
        (lambda: Recipe(input_size=224, train_size=96, tricks=(Resizing((128,)),)), "own, 96 px"),
        (lambda: Recipe(crop="side", train_size=300, side=(256, 256)), "train_size is 300 and side .*to 300 or more"),
        (lambda: Recipe(batch_size=1 << 20, train_size=1024), "a batch would have 1.1e.12 pixels"),
        (lambda: DetectionRecipe(tricks=(Resizing(),)), "resizing is for training classifiers"),
        (lambda: SegmentationRecipe(tricks=(Resizing(),)), "resizing is for training classifiers"),
        (lambda: apply_setting(DetectionRecipe(), "train_size=64"), "train_size"),
    ],
)
def test_recipes_that_cannot_be(make, says):
    with pytest.raises(Refused, match=says):
        make()


@pytest.mark.parametrize(
    "model, size, says",
    [
        (
            "vgg11",
            64,
            "training images of 32 px, where the network is for 64 px: .*its dense layers take 2048 features",
        ),
        ("densenet121", 224, "training images of 128 px.*takes images of at least 221x221 pixels, but got 128x128"),
    ],
)
def test_networks_of_one_size_are_refused(model, size, says):
    recipe = Recipe(model=model, input_size=size, classes=4, epochs=3, batch_size=2, tricks=(Resizing(),))
    with pytest.raises(Refused, match=f"(?s){says}.*or leave out resizing and train_size"):
        initialised_network(recipe, [mx.cpu()])


def test_images_in_use_are_not_too_small_either():
    recipe = Recipe(model="vgg11", input_size=8, train_size=64, classes=4)
    with pytest.raises(Refused, match="vgg11 takes images of at least 32x32 pixels, but got 8x8"):
        initialised_network(recipe, [mx.cpu()])


def test_the_memory_that_counts_is_that_of_the_largest_size():
    """A million images of 32 px would fit where one epoch's of 4096 px do not."""
    recipe = Recipe(model="resnet18_v1", input_size=32, train_size=4096, classes=4, epochs=3, batch_size=1024)
    with pytest.raises(
        Refused, match="training images of 4096 px, .*needs at least .* GB of memory for 1024 images of"
    ):
        initialised_network(recipe.add(Resizing((32,))), [mx.cpu()])
    tested = Recipe(model="resnet18_v1", input_size=4096, train_size=32, classes=4, epochs=3, batch_size=4096)
    with pytest.raises(Refused, match="GB of memory for 4096 images of 4096x4096 px"):
        initialised_network(tested, [mx.cpu()])


def test_crops_of_a_size_show_as_much_of_an_image():
    """256 * 128 / 224 = 146.3 and 480 * 128 / 224 = 274.3, rounded up; 4 px of 32 are 2 of 16."""
    assert SideCrop((256, 480), square=True).scaled(128, 224) == SideCrop((147, 275), square=True)
    assert SideCrop((224, 224)).scaled(128, 224) == SideCrop((128, 128))
    assert PadCrop(4, (1, 2, 3)).scaled(16, 32) == PadCrop(2, (1, 2, 3))
    assert AreaCrop().scaled(16, 32) == AreaCrop() and CentreCrop(0.5).scaled(16, 32) == CentreCrop(0.5)


@pytest.fixture(scope="module")
def ramps(tmp_path_factory):
    """24 images of 64 px: red is x, green is y."""
    path = tmp_path_factory.mktemp("ramps") / "train"
    y, x = np.mgrid[:64, :64].astype(np.uint8)
    with RecordWriter(path, ["a", "b"]) as writer:
        for k in range(24):
            image = np.stack([np.full_like(x, k), y, x], axis=-1)
            writer.add(k % 2, k, cv2.imencode(".png", image)[1].tobytes())
    return Records(f"{path}.rec")


def of_epoch(epoch):
    return (16, 32, 64)[epoch]


def test_the_loader_crops_to_the_size_of_the_epoch(ramps):
    """The same squares of 48 of 64 px in all sizes: of 64 px made 32, squares of 24, which lie at half the place."""
    options = dict(size=48, batch_size=8, train=True, crop=SideCrop((64, 64)), seed=3)

    def images(epoch_size, **more):
        loader = RecordLoader(ramps, **options, size_of_epoch=lambda epoch: epoch_size, **more)
        return [batch for batch in loader.epoch(5)]

    whole, half = images(48), images(24, threads=3)
    assert [batch.images.shape for batch in half] == [(8, 24, 24, 3)] * 3
    plain = list(RecordLoader(ramps, **options).epoch(5))
    for batch, other, known in zip(whole, half, plain):
        np.testing.assert_array_equal(batch.images, known.images)
        assert batch.indices.tolist() == other.indices.tolist()
        corner, smaller = (found.images[:, 0, 0, :2].astype(float) for found in (batch, other))
        assert np.abs(smaller - corner).max() <= 2  # of places of 2 px, in levels that are px of 64
    assert {batch.images.shape[1] for batch in RecordLoader(ramps, **{**options, "train": False}).epoch(5)} == {48}


def test_sizes_follow_from_the_epoch_in_whatever_order_epochs_are_read(ramps):
    loader = RecordLoader(ramps, size=64, batch_size=8, train=True, size_of_epoch=of_epoch)
    side_by_side = zip(*(loader.epoch(epoch) for epoch in range(3)))
    shapes = [[batch.images.shape[1] for batch in step] for step in side_by_side]
    assert shapes == [[16, 32, 64]] * 3
    later = list(loader.epoch(1, 2))
    np.testing.assert_array_equal(later[0].images, list(loader.epoch(1))[2].images)
    assert issubclass(TagLoader, RecordLoader)


def test_one_block_of_operators_takes_every_size():
    """As a GPU has it: compiled, and the shape changes forth and back."""
    drawn = np.random.default_rng(0)
    block = NetworkInput("float32", hybrid=True, one_shape=False)
    for side in (8, 16, 8, 24, 16):
        images = drawn.integers(0, 256, (4, side, side, 3)).astype(np.uint8)
        matrix, flip = drawn.normal(size=(4, 3, 7)).astype(np.float32), np.array([0, 1, 0, 1], np.float32)
        parts = (mx.nd.array(part, dtype=part.dtype) for part in (images, matrix, flip))
        found, wanted = block._block(*parts).asnumpy(), block(images, matrix, flip, mx.cpu()).asnumpy()
        assert found.shape == (4, 3, side, side)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)


@pytest.fixture
def recipe(tiny_records):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(
        name="tiny", model="cifar_resnet20_v1", data="records", **files, input_size=32, train_size=24, min_area=0.5,
        epochs=3, batch_size=16, lr=0.02, tricks=(Resizing((16,), multiple=4),), aug_repeats=2,
    )  # fmt: skip


def test_a_run_stopped_anywhere_goes_on_bit_for_bit(recipe, tmp_path, monkeypatch):
    """Sizes 16, 20 and 24 in training, 32 in validation and in the network that is left; 9 steps, four stops."""
    seen, forward = [], Classification.forward

    def watched(self, net, X):
        seen.append(X.shape[2])
        return forward(self, net, X)

    monkeypatch.setattr(Classification, "forward", watched)
    scores = train_and_evaluate(recipe, tmp_path / "whole")
    assert seen == [16] * 3 + [20] * 3 + [24] * 3
    stops = [7, 5, 2, 1]  # after so many steps, in the middle of an epoch

    def asked():
        return bool(stops) and len(seen) - 9 == stops[-1] and bool(stops.pop())

    for _ in range(4):
        with pytest.raises(Interrupted):
            train_and_evaluate(recipe, tmp_path / "parts", Options(resume=True, should_stop=asked))
    train_and_evaluate(recipe, tmp_path / "parts", Options(resume=True))
    assert seen[9:] == seen[:9]
    files = [(tmp_path / run / "final.params").read_bytes() for run in ("whole", "parts")]
    assert files[0] == files[1]
    log = (tmp_path / "whole" / "log.txt").read_text()
    assert "training images of 16 px from epoch 1 on, 20 px from epoch 2 on, 24 px from epoch 3 on" in log
    net = load_network(tmp_path / "whole")
    assert net.preprocessing.input_size == 32
    assert evaluate(tmp_path / "whole").loss == pytest.approx(scores.loss, rel=1e-5)


def test_a_compiled_network_learns_what_one_that_is_not_does(recipe, tmp_path):
    """A graph that kept the shapes of another size would compute something else."""
    recipe = recipe.set(net={"norm_layer": "GroupNorm", "norm_kwargs": {"num_groups": 4}})  # BN magnifies roundings
    for mode in ("hybrid", "imperative"):
        train_and_evaluate(recipe.set(mode=mode), tmp_path / mode)
    first, second = (load_network(tmp_path / mode).collect_params().values() for mode in ("hybrid", "imperative"))
    for one, other in zip(first, second):
        np.testing.assert_allclose(one.data().asnumpy(), other.data().asnumpy(), atol=1e-5)


def test_a_mean_image_is_subtracted_at_every_size(recipe, tmp_path, monkeypatch):
    """That of 32 px, made 16 px: what the network is given is smaller by the deviation of that, pixel by pixel."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    recipe = recipe.set(mean_of="pixels", augment="none")
    task = task_of(recipe)(recipe, [mx.cpu()], 1)
    (shards,) = task.micro_batches(next(task.train.epoch()), StepContext(0, 0, Plan(3, 3)))
    found = task.preprocess(shards[0])[0].asnumpy()
    pixels = shards[0][1].transpose(0, 3, 1, 2)
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (task.recipe.mean, task.recipe.std))
    small = cv2.resize(task._mean_image.pixels().astype(np.float32), (16, 16), interpolation=cv2.INTER_LINEAR)
    assert found.shape == (16, 3, 16, 16) and task._mean_image.pixels().shape == (32, 32, 3)
    np.testing.assert_allclose(found, (pixels - small.transpose(2, 0, 1)) / std, atol=1e-3)
    assert np.abs((pixels - mean) / std - found).max() > 0.05  # without it


def test_a_teacher_is_asked_about_images_of_every_size(recipe, tmp_path):
    """It was trained on the largest of them, and is for 32 px as the student; one of another size must be meant."""
    train_and_evaluate(recipe.set(epochs=1), tmp_path / "teacher")
    student = recipe.add(Distillation(teacher=str(tmp_path / "teacher")))
    assert train_and_evaluate(student, tmp_path / "student").images == 20
    with pytest.raises(Refused, match="was trained on images of 24 px and these have 28 px"):
        task_of(student)(student.set(train_size=28), [mx.cpu()], 1).loss()


def test_a_plan_counts_the_pixels(tmp_path, monkeypatch):
    """10 epochs of 1000 images at 1000 images/s are 10 s at 32 px; of 16 px a fourth."""
    monkeypatch.setattr(estimate, "_rates", lambda recipes, *more: collections.defaultdict(lambda: 1000.0))
    monkeypatch.setattr(estimate, "_images", lambda cell: (1000, 0))
    recipe = Recipe(epochs=10, input_size=32)
    for changed, time in ((recipe, "10 seconds"), (recipe.set(train_size=16), "2 seconds")):
        line = estimate.plan([Cell("table6/a/b", changed, tmp_path / "seed0")])[0]
        assert line.endswith(f"10 epochs of 1000 images, about {time}")
    for kind, task in ((Recipe, "classification"), (MultiLabelRecipe, "multi_label")):
        measured = kind(input_size=32, train_size=24, tricks=(Resizing((16,)),))
        drawn = task_of(measured).drawn(measured)
        assert task_of(measured).kind.task == task and drawn.training_sizes == drawn.sides[:1] == (32,)


def meant(*words):
    return command_line.recipe_from_flags(command_line.parse(words), 1)[0]


def test_the_flags():
    recipe = meant("--input-size", "224", "--train-size", "160", "--resizing", "96,128", "--aug-repeats", "3")
    assert (recipe.input_size, recipe.train_size, recipe.aug_repeats) == (224, 160, 3)
    assert recipe.tricks[-1] == Resizing((96, 128))
    assert meant("--resizing").tricks[-1] == Resizing() and meant("--resizing", "off") == meant()
    kept = meant("--set", "resizing.form=steps", "--resizing", "32")
    assert [trick for trick in kept.tricks if isinstance(trick, Resizing)] == [Resizing((32,), form="steps")]
    with pytest.raises(Refused, match="--resizing takes sides such as 128 or 128,160, or off, but got 'small'"):
        meant("--resizing", "small")
