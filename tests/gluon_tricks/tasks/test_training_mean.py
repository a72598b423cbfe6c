"""The training images' own mean: by hand, in a run from its first step to its export, and where it is refused."""

import base64
import json

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import export
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.pack import RecordWriter
from gluon_tricks.data.pixel_mean import PixelMean
from gluon_tricks.data.records import Records
from gluon_tricks.networks.normalisation import read_mean_image
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks import training_mean as module
from gluon_tricks.tasks.classification.evaluation_set import open_evaluation_set
from gluon_tricks.tasks.classification.task import Classification
from gluon_tricks.tasks.training_mean import channel_mean, training_mean
from gluon_tricks.trained.load import load_network
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.tricks import Distillation, Mixup
from model_zoo.mean_image import MeanImage
from model_zoo.preprocessing import Preprocessing

CPU = [mx.cpu()]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "means"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four pictures of 16 px to train on, whose left half is darker than the right by 100, and two to validate with."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        with RecordWriter(folder / split, ["dark", "light"]) as writer:
            for k in range(count):
                image = rng.integers(0, 50, (16, 16, 3)).astype(np.uint8) + 60 * (k % 2)
                image[:, 8:] += 100
                writer.add(k % 2, k, cv2.imencode(".png", image)[1].tobytes())
    return folder


def recipe_of(photos, **changes):
    return Recipe(
        name="tiny", model="cifar_resnet20_v1", data="records", train=(str(photos / "train.rec"),), seed=1,
        val=(str(photos / "val.rec"),), input_size=16, crop_ratio=1.0, std=(1, 1, 1), epochs=1, batch_size=2,
        dtype="float32", crop="centre", augment="none", mean_of="pixels",
    ).set(**changes).resolved()  # fmt: skip


def mean_of_photos(photos):
    """(16, 16, 3), RGB: what NumPy makes of the decoded pictures."""
    records = Records(photos / "train.rec")
    images = [cv2.imdecode(np.frombuffer(records.read(k)[2], np.uint8), 1)[:, :, ::-1] for k in range(4)]
    return np.mean(images, axis=0)


def test_it_is_the_mean_of_what_validation_would_see(photos):
    task = Classification(recipe_of(photos), CPU, 1)
    found = MeanImage.from_json(json.loads(task.run_files["mean_image.json"]))
    np.testing.assert_allclose(found.pixels(), mean_of_photos(photos), rtol=1e-6)
    np.testing.assert_allclose(task.recipe.mean, mean_of_photos(photos).mean(axis=(0, 1)), atol=5e-5)
    channels = Classification(recipe_of(photos, mean_of="channels"), CPU, 1)
    assert channels.recipe.mean == task.recipe.mean and {*channels.run_files} == {"classes.json"}


def test_the_network_sees_pixels_less_the_mean_in_training_and_in_evaluation(photos):
    task = Classification(recipe_of(photos, std=(2, 4, 8)), CPU, 1)
    batch = next(iter(task.val.epoch()))
    wanted = ((batch.images - mean_of_photos(photos)) / (2, 4, 8)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(task.evaluation_input(batch.images, mx.cpu()).asnumpy(), wanted, atol=1e-4)
    records = Records(photos / "train.rec")
    loader = RecordLoader(records, size=16, batch_size=4, train=False, classes=2, crop_ratio=1.0)
    wanted = (next(iter(loader.epoch())).images - mean_of_photos(photos)).transpose(0, 3, 1, 2)
    seen = Classification(recipe_of(photos), CPU, 1).sample(4).asnumpy()  # in the order of the first epoch
    assert sorted(np.abs(seen).sum(axis=(1, 2, 3)).round(1)) == sorted(np.abs(wanted).sum(axis=(1, 2, 3)).round(1))
    assert np.abs(seen.mean(axis=0)).max() < 1e-3  # of all four: nothing is left anywhere


def test_ranks_sum_their_shares_exactly(photos, monkeypatch):
    """Three images on rank 0 and one on rank 1, with two at a time, give what one rank finds."""
    records, sums = Records(photos / "train.rec"), []
    monkeypatch.setattr(module.distributed, "total", lambda values: sums.append(values) or values)
    for rank in (0, 1):
        options = ReadOptions(rank=rank, ranks=2)
        module._mean(RecordLoader(records, size=16, batch_size=1, train=False, crop_ratio=1.0, options=options), 16)
    whole = sums[0] + sums[1]
    assert whole[-1] == 4
    np.testing.assert_array_equal((whole[:-1] / 4).reshape(16, 16, 3).astype("f4"), mean_of_photos(photos).astype("f4"))


def test_it_is_found_again_by_digest_size_and_crop(photos, cache, monkeypatch):
    def nothing(batch_size, options):
        raise AssertionError("the images are read again")

    def loader(batch_size, options):
        return RecordLoader(Records(photos / "train.rec"), size=16, batch_size=4, train=False, crop_ratio=1.0)

    recipe = recipe_of(photos)
    first = training_mean(recipe, "digest", loader)
    assert training_mean(recipe, "digest", nothing) == first
    for other in (recipe.set(crop_ratio=0.5), recipe.set(input_size=8)):
        with pytest.raises(AssertionError, match="read again"):
            training_mean(other, "digest", nothing)
    with pytest.raises(AssertionError, match="read again"):
        training_mean(recipe, "another", nothing)
    (file,) = cache.iterdir()
    file.write_text(file.read_text()[:-40])  # damaged: it is computed anew
    assert training_mean(recipe, "digest", loader) == first


def test_a_run_keeps_it_and_all_that_read_the_run_use_it(photos, tmp_path, capsys):
    run = tmp_path / "run"
    recipe = recipe_of(photos)
    scores = train_and_evaluate(recipe, run, Options(contexts=CPU, threads=1))
    stored = json.loads((run / "recipe.json").read_text())
    assert stored["mean_of"] == "pixels"
    np.testing.assert_allclose(stored["mean"], mean_of_photos(photos).mean(axis=(0, 1)), atol=5e-5)
    for source in (run, run / "final.params", next((run / "checkpoints").iterdir())):
        seen_as = load_network(source).preprocessing
        np.testing.assert_allclose(seen_as.mean_image.pixels(), mean_of_photos(photos), rtol=1e-6)

    evaluated = open_evaluation_set(str(run), CPU)
    batch = next(iter(evaluated.loader(2).epoch()))
    wanted = (batch.images - mean_of_photos(photos)).transpose(0, 3, 1, 2)
    seen = evaluated.preprocess("float32")(batch.images, mx.cpu())
    np.testing.assert_allclose(seen.asnumpy(), wanted, atol=1e-4)
    photo = normalised(batch.images, None, seen_as.mean, seen_as.std, seen_as.mean_image)  # as predict has it
    np.testing.assert_allclose(photo.asnumpy(), wanted, atol=1e-4)
    logits = evaluated.net(seen).asnumpy()
    shifted = logits - logits.max(axis=1, keepdims=True)
    loss = np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[[0, 1], [0, 1]])
    assert scores.loss == pytest.approx(loss, rel=1e-4)

    assert export.main([str(run), str(tmp_path / "net"), "--to", "symbol"]) == 0
    assert "at every pixel (mean_image)" in capsys.readouterr().out
    steps = json.loads((tmp_path / "net-preprocessing.json").read_text())
    said = np.frombuffer(base64.b64decode(steps["mean_image"]["float32"]), "<f4").reshape(16, 16, 3)
    np.testing.assert_allclose(said, mean_of_photos(photos), rtol=1e-6)
    assert load_network(tmp_path / "net-0000.params", model="cifar_resnet20_v1").preprocessing.mean_image is not None

    again = train_and_evaluate(recipe.set(epochs=2), run, Options(contexts=CPU, threads=1, resume=True))
    whole = train_and_evaluate(recipe.set(epochs=2), tmp_path / "other", Options(contexts=CPU, threads=1))
    assert again == whole  # the run that went on, and one without a stop
    kept = (run / "mean_image.json").read_bytes()
    assert json.loads((run / "classes.json").read_text()) == list(Records(photos / "train.rec").classes)
    other = recipe.set(train=recipe.val, val=recipe.train, epochs=3)  # of another mean
    with pytest.raises(Refused, match="on other records"):
        train_and_evaluate(other, run, Options(contexts=CPU, threads=1, resume=True))
    assert (run / "mean_image.json").read_bytes() == kept
    (run / "mean_image.json").unlink()
    with pytest.raises(Refused, match=r"less their mean image, and .*mean_image.json cannot be read .*: keep it in"):
        load_network(run)


def test_a_mean_image_of_another_size_is_resized_and_its_file_says_so():
    image = MeanImage.of(np.arange(12, dtype=np.float32).reshape(2, 2, 3))
    assert image.pixels(2, 2)[1, 0].tolist() == [6, 7, 8]
    np.testing.assert_array_equal(image.pixels(4, 4), cv2.resize(image.pixels(), (4, 4)))
    described = Preprocessing(4, mean_image=image).to_json()
    assert described["mean_image"]["height"] == 4
    read, stated = Preprocessing.from_json(described)
    assert "mean_image" in stated and read.mean_image.side == 4
    assert MeanImage.from_json(image.to_json()) == image


def test_what_is_subtracted_by_hand():
    """(pixel - mean) / std - (M - mean) / std = (pixel - M) / std: (10 - 4) / 2 = 3."""
    image = MeanImage.of(np.full((1, 1, 3), 4.0))
    x = mx.nd.full((1, 3, 1, 1), (10 - 7) / 2)
    assert PixelMean(image, (7, 7, 7), (2, 2, 2))(x).asnumpy().ravel().tolist() == [3, 3, 3]
    assert PixelMean(None, (7, 7, 7), (2, 2, 2))(x) is x
    assert channel_mean(image) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {"height": 1, "width": 2, "float32": ""},
        {"height": 1, "width": 1, "float32": "AAAA"},
        {"height": 1, "width": 1, "float32": "no base64"},
        {"height": True, "width": 1, "float32": base64.b64encode(bytes(12)).decode()},
        {"height": 1, "width": 1, "float32": base64.b64encode(np.full(3, np.nan, "<f4").tobytes()).decode()},
        {"height": 1, "width": 1, "float32": base64.b64encode(np.full(3, 1e38, "<f4").tobytes()).decode()},
        {"height": 1 << 40, "width": 1 << 40, "float32": ""},
    ],
    ids=["none", "empty", "oblong", "short", "letters", "bool", "nan", "far", "huge"],
)
def test_damaged_ones_are_refused(values):
    with pytest.raises(Refused, match="this is no mean image"):
        MeanImage.from_json(values)


def test_the_largest_is_read_again(tmp_path):
    """12 * 2048^2 bytes are 1 << 26 letters of base64, and as many bytes were the most that was read."""
    (tmp_path / "mean_image.json").write_text(json.dumps(MeanImage(2048, bytes(12 << 22)).to_json()))
    assert read_mean_image(tmp_path / "final.params").side == 2048


def test_images_too_large_for_a_mean_image_are_refused():
    with pytest.raises(Refused, match="mean image has at most 2048 px a side, so set mean_of to channels"):
        Recipe(mean_of="pixels", input_size=2049)


def test_a_training_that_starts_from_it_follows_its_own_images(photos, tmp_path, caplog):
    """With mean_of the mean is that of the new images, which is told; without, another mean is refused."""
    run = tmp_path / "run"
    train_and_evaluate(recipe_of(photos), run, Options(contexts=CPU, threads=1))
    start = str(run / "final.params")
    swapped = dict(train=(str(photos / "val.rec"),), val=(str(photos / "train.rec"),))
    Classification(recipe_of(photos, pretrained=start, **swapped), CPU, 1).network()
    assert "was trained on images of mean" in caplog.text
    with pytest.raises(Refused, match=r"at every pixel and deviation \[1, 1, 1\]: give --set mean_of=pixels"):
        Classification(recipe_of(photos, pretrained=start, mean_of=""), CPU, 1).network()


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(freeze=("nothing_of_it",)), "nothing_of_it"),
        (dict(tricks=(Mixup(0.2),), batch_size=1), "a device has one image at a time"),
        (dict(net={"of_no_network": 1}), "of_no_network"),
        (dict(tricks=(Distillation("no/teacher"),)), "no/teacher"),
    ],
    ids=["freeze", "partners", "keyword", "teacher"],
)
def test_what_needs_no_images_is_refused_before_all_are_gone_through(changes, words, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_mean", lambda *_: pytest.fail("a pass over all images"))
    with pytest.raises(Refused, match=words):
        train_and_evaluate(recipe_of(photos, **changes), tmp_path / "run", Options(contexts=CPU, threads=1))
