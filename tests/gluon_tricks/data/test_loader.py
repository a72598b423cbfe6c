import io
import logging
import threading

import cv2
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.base_loader import ReadOptions, UndecodableImages
from gluon_tricks.data.crop import random_crop
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import BadRecord, Records

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)


def jpeg(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes()


def png(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()


def plain(colour, width=40, height=30) -> bytes:
    return jpeg(np.full((height, width, 3), colour, np.uint8))


def gradient(width: int, height: int) -> np.ndarray:
    """Red is x, green is y, blue is 7."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 7)], axis=-1).astype(np.uint8)


def pack(folder, images, labels=None, classes=10) -> Records:
    with RecordWriter(folder / "images", [str(k) for k in range(classes)], overwrite=True) as writer:
        for i, image in enumerate(images):
            writer.add(labels[i] if labels else i % classes, 1000 + i, image)
    return Records(folder / "images.rec")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """120 JPEGs of noise, 20 to 60 px."""
    draw = np.random.default_rng(0)
    sizes = draw.integers(20, 61, (120, 2))
    return pack(
        tmp_path_factory.mktemp("many"), [jpeg(draw.integers(0, 256, (*size, 3)).astype("u1")) for size in sizes]
    )


def epoch_of(records, epoch=0, start_step=0, **options):
    return list(
        RecordLoader(records, **{"size": 24, "batch_size": 8, "train": True, **options}).epoch(epoch, start_step)
    )


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        for array, same in zip(batch, other):
            np.testing.assert_array_equal(array, same)


def test_a_random_crop_worked_out_by_hand():
    # A quarter of 400 x 300 is 30000 px; at aspect 1, the middle of the log range, a side is sqrt(30000) = 173.2.
    # 228 places in x and 128 in y: half of them is 114 and 64.
    draws = np.array([[(0.25 - 0.08) / 0.92, 0.5, 0.5, 0.5]])
    assert random_crop(400, 300, draws, AREA, ASPECT) == (114, 64, 173, 173)
    # The whole area at aspect 4/3 is the whole image.
    assert random_crop(400, 300, np.array([[1.0, 1.0, 0.9, 0.9]]), AREA, ASPECT) == (0, 0, 400, 300)
    # The whole area at aspect 3/4 is 300 x 400 and does not fit; the next draw counts.
    assert random_crop(400, 300, np.vstack([[1, 0, 0, 0], draws[0]]), AREA, ASPECT) == (114, 64, 173, 173)


@pytest.mark.parametrize(
    ("width", "height", "crop"),
    [
        (1000, 10, (493, 0, 13, 10)),  # 10 x 4/3 = 13.3
        (10, 1000, (0, 493, 10, 13)),  # 10 / (3/4) = 13.3
        (1, 3, (0, 1, 1, 1)),
    ],
)
def test_without_a_fitting_crop_the_middle_is_taken(width, height, crop):
    assert random_crop(width, height, np.tile([1.0, 0.5, 0.5, 0.5], (10, 1)), AREA, ASPECT) == crop


def test_crops_keep_their_ranges_and_reach_every_place():
    draws = np.random.default_rng(0).random((2000, 10, 4))
    x, y, w, h = np.array([random_crop(300, 300, u, AREA, ASPECT) for u in draws]).T
    fraction, ratio = w * h / 90000, w / h
    assert 0.078 < fraction.min() < 0.09 and 0.95 < fraction.max() <= 1
    assert 0.73 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.36
    assert abs(np.mean(ratio > 1) - 0.5) < 0.04  # log-uniform: tall and wide are as frequent
    assert x.min() == y.min() == 0 and (x + w).max() == (y + h).max() == 300
    # Not all fit: a fraction s at ratio r does if s r <= 1 and s / r <= 1. For small s all do, so these stay uniform.
    assert abs(np.mean(fraction < 0.31) / np.mean(fraction < 0.54) - 0.5) < 0.04  # (0.31 - 0.08) / (0.54 - 0.08) = 1/2


def test_training_resizes_the_crop_of_seed_epoch_and_image(tmp_path):
    records = pack(tmp_path, [png(gradient(200, 200))])
    options = {"size": 100, "batch_size": 1, "area": (0.25, 0.25), "aspect": (1, 1)}
    (batch,) = epoch_of(records, **options)
    # A quarter of the area is 100 x 100, which is not resized: red and green tell the place.
    image = batch.images[0].astype(int)
    assert image.shape == (100, 100, 3) and (image[..., 2] == 7).all()
    np.testing.assert_array_equal(image[..., :2], image[0, 0, :2] + gradient(100, 100)[..., :2])
    places = {tuple(epoch_of(records, epoch, **options)[0].images[0, 0, 0]) for epoch in range(8)}
    places |= {tuple(epoch_of(records, 0, seed=seed, **options)[0].images[0, 0, 0]) for seed in range(8)}
    assert len(places) == 15  # another one for each epoch and seed; (0, 0) came twice


def test_equal_images_are_cropped_differently(tmp_path):
    records = pack(tmp_path, [png(gradient(200, 200))] * 8)
    (batch,) = epoch_of(records, size=100, area=(0.25, 0.25), aspect=(1, 1))
    assert len({tuple(image[0, 0]) for image in batch.images}) == 8  # of 101 x 101 places


def test_validation_takes_the_middle(tmp_path):
    images = [gradient(256, 256), gradient(256, 250).transpose(1, 0, 2)[:, ::-1]]
    records = pack(tmp_path, [png(image) for image in images])
    first, second = epoch_of(records, size=224, batch_size=1, train=False)
    # ceil(224 / 0.875) = 256: nothing is resized, and (256 - 224) / 2 = 16 px go on each side.
    np.testing.assert_array_equal(first.images[0], images[0][16:240, 16:240])
    # 250 x 256 becomes 256 x 262: bilinear sampling keeps the gradient's middle in the middle.
    rows, columns = second.images[0, :, 112, 0].astype(int), second.images[0, 112, :, 1].astype(int)
    assert abs(rows[112] - 128) <= 1 and abs(columns[112] - (249 - 125)) <= 1


@pytest.mark.parametrize(
    ("size", "ratio", "resized"), [(299, 0.875, 342), (64, 0.875, 74), (64, 0.8, 80), (64, 1.0, 64)]
)
def test_validation_resizes_the_shorter_edge_to_the_ceiling(tmp_path, size, ratio, resized):
    # One black column, where the crop of an image whose shorter edge is `resized` begins: sharp if not resized.
    image = np.full((resized, resized + 100, 3), 255, np.uint8)
    image[:, (resized - size) // 2 + 50] = 0
    (batch,) = epoch_of(pack(tmp_path, [png(image)]), size=size, batch_size=1, train=False, crop_ratio=ratio)
    assert (batch.images[0, :, 0] == 0).all() and (batch.images[0, :, 1:] == 255).all()


def test_every_kind_of_image_comes_out_as_rgb(tmp_path):
    def pillow(mode, colour, **options):
        file = io.BytesIO()
        PIL.Image.new(mode, (40, 30), colour).save(file, "JPEG", **options)
        return file.getvalue()

    turned = PIL.Image.Exif()
    turned[0x0112] = 6  # the top is at the right: to be turned by 90 degrees clockwise
    half = PIL.Image.new("RGB", (40, 30))
    half.paste((255, 255, 255), (0, 0, 20, 30))  # white at the left, so at the top once turned
    file = io.BytesIO()
    half.save(file, "JPEG", exif=turned)
    images = [
        plain((200, 100, 50)),
        pillow("L", 90),
        pillow("CMYK", (0, 255, 255, 0)),  # no cyan, all magenta and yellow: red
        plain((200, 100, 50), 1, 1),
        plain((200, 100, 50), 3000, 3),
        plain((200, 100, 50), 1, 60000),
        file.getvalue(),
    ]
    records = pack(tmp_path, images)
    (validation,) = epoch_of(records, batch_size=7, train=False)
    (training,) = epoch_of(records, batch_size=7)
    for batch in (validation, training):
        image_of = dict(zip(batch.indices.tolist(), batch.images.astype(int)))
        for i, colour in enumerate([(200, 100, 50), (90, 90, 90), (255, 0, 0), *[(200, 100, 50)] * 3]):
            assert abs(image_of[i] - colour).max() <= 3, i
    assert validation.images[6, 0].min() > 240 and validation.images[6, -1].max() < 15


def test_an_epoch_is_one_global_shuffle(many):
    first, again, second = epoch_of(many, 0), epoch_of(many, 0), epoch_of(many, 1)
    order = [np.concatenate([batch.indices for batch in batches]) for batches in (first, second)]
    for indices in order:
        np.testing.assert_array_equal(np.sort(indices), np.arange(120))
    assert np.mean(order[0] == order[1]) < 0.1 and np.mean(order[0] == np.arange(120)) < 0.1
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in first]), order[0] % 10)
    assert_same(first, again)
    assert first[0].images.dtype == np.uint8 and first[0].labels.dtype == first[0].indices.dtype == np.int64


def test_the_stream_does_not_depend_on_threads_prefetch_or_start(many):
    whole = epoch_of(many, 3, threads=1)
    assert len(whole) == 15
    assert_same(whole, epoch_of(many, 3, threads=5, prefetch=1))
    loader = RecordLoader(many, size=24, batch_size=8, train=True, threads=2)
    list(loader.epoch(0))  # what was read before does not matter
    assert_same(whole[11:], list(loader.epoch(3, start_step=11)))
    assert list(loader.epoch(3, start_step=15)) == []
    for place, says in (
        ((3, 16), "start_step is 16: an epoch has 15 steps, so give 0 to 15"), ((3, -1), "start_step is -1: an epoch"),
        ((-1,), "epoch is -1"), ((2**70,), "epoch is .*: it takes"), (("a",), "epoch takes a whole number, but got"),
        ((0, None), "start_step takes a whole number, but got None"), ((0, 1.5), "start_step takes a whole number"),
    ):  # fmt: skip
        with pytest.raises(Refused, match=says):
            loader.epoch(*place)
    assert_same(whole[14:], list(loader.epoch(np.int64(3), np.int64(14))))


def test_another_seed_counts_from_the_next_epoch_that_begins(many):
    loader = RecordLoader(many, size=24, batch_size=8, train=True, options=ReadOptions(threads=2))
    loader.reseed(5)
    assert loader.seed == 5
    assert_same(list(loader.epoch(3)), epoch_of(many, 3, seed=5))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_images_of_a_step(many, ranks):
    alone = epoch_of(many, 2, batch_size=18)
    shared = [epoch_of(many, 2, batch_size=18 // ranks, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert len(alone) == 6  # 120 = 6 x 18 + 12: the last is dropped
    for step, batch in enumerate(alone):
        for k, array in enumerate(batch[:3]):
            np.testing.assert_array_equal(array, np.concatenate([shared[rank][step][k] for rank in range(ranks)]))


def test_reading_starts_at_the_step_asked_for(many, monkeypatch):
    read = []
    monkeypatch.setattr(many, "read", lambda i: read.append(i) or Records.read(many, i))
    (last,) = epoch_of(many, 0, start_step=14)
    assert sorted(read) == sorted(last.indices.tolist())


def test_validation_sees_every_image_once_over_all_ranks(many):
    ranks = [epoch_of(many, batch_size=11, train=False, rank=rank, ranks=2) for rank in range(2)]
    # 120 = 5 x 22 + 10: in the sixth step rank 0 has 10 images and rank 1 none.
    assert [[batch.count for batch in batches] for batches in ranks] == [[11] * 5 + [10], [11] * 5 + [0]]
    seen = [batch.indices[: batch.count] for batches in ranks for batch in batches]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(120))
    assert ranks[1][0].indices.tolist() == list(range(11, 22))  # in order
    for batches in ranks:
        padding = batches[-1]
        assert padding.images.shape == (11, 24, 24, 3) and not padding.images[padding.count :].any()
        assert (padding.indices[padding.count :] == -1).all() and not padding.labels[padding.count :].any()


@pytest.fixture
def spoilt(tmp_path):
    """300 images of which 7 (cut in half), 8 (no bytes) and 299 (noise) cannot be decoded: exactly 1 %."""
    images = [plain((i % 256, 80, 160)) for i in range(300)]
    images[7], images[8], images[299] = images[7][: len(images[7]) // 2], b"", b"\xff\xd8\xff\xe0" + bytes(300)
    return images, pack(tmp_path, images)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_undecodable_image_is_replaced_by_the_next_and_named_once(spoilt, caplog, threads):
    records = spoilt[1]
    clean = np.concatenate([batch.indices for batch in epoch_of(pack_clean(spoilt), 0, batch_size=10)])
    loader = RecordLoader(records, size=24, batch_size=10, train=True, threads=threads)
    with caplog.at_level(logging.WARNING, "gluon_tricks.data"):
        batches = list(loader.epoch(0))
        list(loader.epoch(1))
    replaced = {7: 9, 8: 9, 299: 0}
    indices = np.concatenate([batch.indices for batch in batches])
    assert indices.tolist() == [replaced.get(i, i) for i in clean.tolist()]
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [i % 10 for i in indices.tolist()]
    assert sorted(loader.undecodable) == [7, 8, 299]
    assert loader.undecodable[8] == (1008, *records.place(8))
    named = [record.getMessage() for record in caplog.records]
    assert len(named) == 3 and any("image 7 (id 1007)" in text and "images.rec at byte" in text for text in named)
    again = RecordLoader(
        records, size=24, batch_size=10, train=False
    )  # as evaluate and the pictures have another loader
    list(again.epoch())
    assert sorted(again.undecodable) == [7, 8, 299] and len(caplog.records) == 3


def pack_clean(spoilt):
    images, records = spoilt
    folder = records.paths[0].parent / "clean"
    folder.mkdir()
    return pack(folder, [plain((0, 0, 0))] * len(images))


def test_validation_leaves_undecodable_images_out(spoilt):
    batches = epoch_of(spoilt[1], batch_size=64, train=False)
    assert [batch.count for batch in batches] == [62, 64, 64, 64, 43]  # 300 = 4 x 64 + 44
    seen = [batch.indices[: batch.count] for batch in batches]
    assert np.concatenate(seen).tolist() == [i for i in range(300) if i not in (7, 8, 299)]
    colours = np.concatenate([batch.images[: batch.count, 12, 12, 0] for batch in batches]).astype(int)
    assert abs(colours - np.concatenate(seen) % 256).max() <= 3  # images, labels and indices moved together
    assert not batches[0].images[62:].any()


@pytest.mark.parametrize("train", [True, False])
def test_more_than_one_percent_undecodable_stops_the_run(tmp_path, train):
    images = [plain((i, i, i)) for i in range(199)]
    images[50] = images[60] = b"nothing"
    loader = RecordLoader(pack(tmp_path, images), size=24, batch_size=10, train=train)
    with pytest.raises(UndecodableImages, match="2 of 199 images, more than 1 %") as caught:
        list(loader.epoch(0))
    path, offset = loader.records.place(60)
    assert f"; image 60 (id 1060) of {path} at byte {offset}" in str(caught.value) and "id 1050" in str(caught.value)
    assert not loader_threads()


def test_nothing_but_undecodable_images_ends_too(tmp_path):
    with pytest.raises(UndecodableImages, match="Met so far: image 0 ") as caught:
        epoch_of(pack(tmp_path, [b"nothing"] * 20))
    assert len(str(caught.value)) < 2000


def test_a_label_that_is_no_class_names_the_record(tmp_path):
    records = pack(tmp_path, [plain((9, 9, 9))] * 8)
    with pytest.raises(BadRecord, match=r"image 5 \(id 1005\) of .*images.rec at byte \d+ has label 5.*0 to 4"):
        epoch_of(records, train=False, classes=5)


def test_arguments_out_of_range_are_refused(many):
    for options, text in [
        ({"batch_size": 121}, "120 images are not one batch of 121 on 1 rank"),
        ({"batch_size": 61, "ranks": 2}, "120 images are not one batch of 61 on 2 ranks"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rank": 2, "ranks": 2}, "rank 2 of 2"),
        ({"area": (0.5, 0.2)}, "area"),
        ({"crop_ratio": 1.5}, "crop_ratio 1.5"),
        ({"crop_ratio": None}, "crop_ratio takes a number, but got None"),
        ({"batch_size": "8"}, "batch_size takes a whole number, but got '8'"),
        ({"copies": 0}, "copies is 0"),
        ({"classes": ["a"]}, "classes takes a whole number"),
        ({"crop": "area"}, "crop takes one of gluon_tricks.data.crop, but got 'area'"),
        ({"area": 0.5}, "area takes 2 numbers, but got 0.5"),
        ({"size_of_epoch": 24}, "size_of_epoch takes a function, epoch -> px, but got 24"),
        ({"size_of_epoch": lambda epoch: 0}, r"size_of_epoch\(0\) is 0"),
        ({"options": {"seed": 3}}, "options takes ReadOptions"),
        ({"threads": "2"}, r"threads must be int \| None, but got '2'"),
        ({"seed": 0.5}, "seed must be int, but got 0.5"),
    ]:
        with pytest.raises(Refused, match=text):
            epoch_of(many, **options)
    with pytest.raises(TypeError, match="treads"):
        RecordLoader(many, size=24, batch_size=8, train=True, treads=2)
    with pytest.raises(Refused, match="records is the name train.rec: open the file first, with Records"):
        RecordLoader("train.rec", size=24, batch_size=8, train=True)
    for size in (0, 1 << 20, None, "24"):
        with pytest.raises(Refused, match="size (is|takes)"):
            RecordLoader(many, size=size, batch_size=8, train=True)
    with pytest.raises(Refused, match=r"records takes Records\(...\), but got \["):
        RecordLoader([many], size=24, batch_size=8, train=True)


def loader_threads() -> list:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_stopping_early_ends_the_threads(many):
    batches = RecordLoader(many, size=24, batch_size=8, train=True, threads=3).epoch(0)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()
    for _ in RecordLoader(many, size=24, batch_size=8, train=True).epoch(0):
        break  # the loop drops its only reference
    assert not loader_threads()


def test_batches_stay_as_they_are(many):
    kept = epoch_of(many, 0)
    sums = [int(batch.images.sum(dtype=np.int64)) for batch in kept]
    epoch_of(many, 1)
    assert [int(batch.images.sum(dtype=np.int64)) for batch in kept] == sums


def test_memory_stays_flat_over_epochs(many):
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    loader = RecordLoader(many, size=128, batch_size=40, train=True)  # an epoch makes 120 x 128 x 128 x 3 = 5.9 MB
    for epoch in range(5):
        list(loader.epoch(epoch))
    before = resident()
    for epoch in range(40):
        for _ in loader.epoch(epoch):
            pass
    assert resident() - before < 24e6  # one batch of 2 MB kept per epoch would be 80 MB


def test_real_photos_keep_their_look(shared_data, tmp_path):
    paths = sorted((shared_data / "imagenet_photos").glob("*.JPEG"))
    records = pack(tmp_path, [path.read_bytes() for path in paths])
    batches = epoch_of(records, size=224, batch_size=32, train=False)
    assert [batch.count for batch in batches] == [32, len(paths) - 32]
    # Pillow does the same in its own way: shorter edge to 256 (triangle filter), the middle 224.
    for i in (0, 10, 40):
        picture = PIL.Image.open(paths[i]).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), PIL.Image.BILINEAR)
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        expected = np.asarray(picture.crop((left, top, left + 224, top + 224)), float)
        assert np.abs(batches[i // 32].images[i % 32] - expected).mean() < 6
    assert len(epoch_of(records, size=224, batch_size=21)) == len(paths) // 21
