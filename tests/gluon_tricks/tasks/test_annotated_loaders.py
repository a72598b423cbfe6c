import logging
import pathlib

import cv2
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.boxes import BoxedImages, read_voc
from gluon_tricks.data.annotations.masks import MaskedImages, read_masks
from gluon_tricks.data.base_loader import ReadOptions, UndecodableImages
from gluon_tricks.data.records import BadRecord
from gluon_tricks.tasks.detection.loader import DetectionLoader, flip_boxes, resized_shape
from gluon_tricks.tasks.segmentation import loader as segmentation_loader
from gluon_tricks.tasks.segmentation.loader import SegmentationLoader, at_most, most_pixels, scale_and_crop


def gradient(height: int, width: int) -> np.ndarray:
    """RGB: red is x, green is y, blue is 7."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 7)], axis=-1).astype(np.uint8)


def boxed(folder, shapes, boxes=None) -> BoxedImages:
    """Gradients of these (height, width); default: one box in each, 2, 3, 10, 11, of class i."""
    paths = [folder / f"{i}.png" for i in range(len(shapes))]
    for path, shape in zip(paths, shapes):
        cv2.imwrite(str(path), gradient(*shape)[..., ::-1])
    boxes = [[[2, 3, 10, 11, i, 0]] for i in range(len(shapes))] if boxes is None else boxes
    boxes = [np.array(of_image, np.float32).reshape(-1, 6) for of_image in boxes]
    return BoxedImages(("thing",), paths, np.array(shapes), boxes, "digest")


def masked(folder, shapes) -> MaskedImages:
    """Gradients; the mask's value is (x + y) % 4, 3 is void."""
    (folder / "masks").mkdir()
    for i, shape in enumerate(shapes):
        image = gradient(*shape)
        cv2.imwrite(str(folder / f"{i:03d}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / f"masks/{i:03d}.png"), (image[..., 0] + image[..., 1]) % 4)
    return read_masks(folder, folder / "masks", 3, void=(3,))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """40 images, 23 wide (two of them square) and 17 upright."""
    shapes = [(20, 20 + i) if i < 23 else (30 + i, 20) for i in range(40)]
    return boxed(tmp_path_factory.mktemp("mixed"), [shapes[i * 7 % 40] for i in range(40)])


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    return masked(tmp_path_factory.mktemp("masks"), [(24 + i, 40 - i) for i in range(17)])


def detect(records, epoch=0, start_step=0, *, options=ReadOptions(), **more):
    more = {"batch_size": 4, "train": True, "short": 20, "long": 60, **more}
    return list(DetectionLoader(records, options=options, **more).epoch(epoch, start_step))


def segment(records, epoch=0, start_step=0, *, options=ReadOptions(), **more):
    more = {"batch_size": 4, "train": True, "crop": 16, "base": 32, **more}
    return list(SegmentationLoader(records, options=options, **more).epoch(epoch, start_step))


def indices(batches):
    return np.concatenate([batch.indices for batch in batches]).tolist()


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        for array, same in zip(batch, other):
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize(
    ("shape", "resized"),
    [
        ((375, 500), (600, 800, 1.6)),  # 600 / 375
        ((500, 375), (800, 600, 1.6)),
        ((333, 500), (600, 901, 600 / 333)),  # 900.9
        ((300, 500), (600, 1000, 2.0)),
        ((299, 500), (598, 1000, 2.0)),  # 600 / 299 would make 1003 of 500
        ((200, 500), (400, 1000, 2.0)),
        ((1200, 1600), (600, 800, 0.5)),
        ((3, 3000), (1, 1000, 1 / 3)),
        ((1, 3000), (1, 1000, 1 / 3)),  # not 0
    ],
)
def test_the_shorter_side_is_600_and_the_longer_at_most_1000(shape, resized):
    assert resized_shape(*shape, 600, 1000) == pytest.approx(resized)


def test_the_resize_rule_is_gluoncvs(mixed):
    import mxnet as mx
    from gluoncv.data.transforms.image import resize_short_within

    for height, width in [(375, 500), (333, 500), (299, 500), (500, 281), (97, 33), (640, 427)]:
        theirs = resize_short_within(mx.nd.zeros((height, width, 3), dtype="uint8"), 60, 100, interp=1)
        assert theirs.shape[:2] == resized_shape(height, width, 60, 100)[:2]


def test_a_flip_worked_out_by_hand():
    # Columns 2 to 5 of 10 are columns 4 to 7 in the mirror (9 - 5, 9 - 2); the whole image stays.
    boxes = np.array([[2, 1, 5, 3, 8], [0, 0, 9, 9, 1]], np.float32)
    assert flip_boxes(boxes, 10).tolist() == [[4, 1, 7, 3, 8], [0, 0, 9, 9, 1]]
    assert boxes[0].tolist() == [2, 1, 5, 3, 8]


def test_training_flips_half_of_the_images_and_their_boxes(tmp_path):
    records = boxed(tmp_path, [(20, 30)] * 40)
    (batch,) = detect(records, batch_size=40)
    assert batch.images.shape == (40, 20, 30, 3) and batch.images.dtype == np.uint8
    flipped = batch.images[:, 0, 0, 0] == 29  # red is x
    assert 10 <= flipped.sum() <= 30
    straight = gradient(20, 30)
    for image, boxes, index, turned in zip(batch.images, batch.boxes, batch.indices, flipped):
        np.testing.assert_array_equal(image, straight[:, ::-1] if turned else straight)
        assert boxes.tolist() == [[19, 3, 27, 11, index] if turned else [2, 3, 10, 11, index]]  # 29 - 10, 29 - 2
    (other,) = detect(records, 1, batch_size=40)
    turned = dict(zip(other.indices.tolist(), other.images[:, 0, 0, 0] == 29))
    assert sum(turned[i] != was for i, was in zip(batch.indices.tolist(), flipped)) > 5


def test_images_and_boxes_are_scaled_and_padded(tmp_path):
    boxes = [[[2, 3, 10, 11, 5, 1]], [], [[0, 0, 29, 19, 1, 0], [4, 4, 6, 8, 2, 0]]]
    records = boxed(tmp_path, [(20, 30), (40, 40), (10, 50)], boxes)
    (batch,) = detect(records, batch_size=4, train=False, short=40, long=80)
    # 20 x 30 doubles to 40 x 60; 40 x 40 stays; 10 x 50 becomes 16 x 80 by the longer side, not 40 x 200.
    assert batch.images.shape == (4, 40, 80, 3) and batch.scales.tolist() == pytest.approx([2, 1, 1.6, 1])
    assert batch.indices.tolist() == [0, 1, 2, -1] and batch.count == 3
    np.testing.assert_array_equal(batch.images[1, :, :40], gradient(40, 40))
    assert not batch.images[0, :, 60:].any() and not batch.images[1, :, 40:].any() and not batch.images[2, 16:].any()
    assert batch.images[0, :40, :60, 2].min() == batch.images[2, :16, :, 2].min() == 7 and not batch.images[3].any()
    assert batch.images[2, 8, 79, 0] == 49 and abs(int(batch.images[2, 8, 39, 0]) - 24) <= 1  # x = 24.2
    none = [-1] * 5
    np.testing.assert_allclose(
        batch.boxes,
        [
            [[4, 6, 20, 22, 5], none],
            [none, none],
            [[0, 0, 46.4, 30.4, 1], [6.4, 6.4, 9.6, 12.8, 2]],
            [none, none],
        ],
        rtol=1e-6,
    )


def test_a_step_holds_images_of_one_orientation(mixed):
    for ranks in (1, 2):
        upright = []
        for rank in range(ranks):
            batches = detect(mixed, batch_size=4 // ranks, options=ReadOptions(rank=rank, ranks=ranks))
            upright.append([mixed.sizes[b.indices, 0] > mixed.sizes[b.indices, 1] for b in batches])
        steps = [np.concatenate(of_step) for of_step in zip(*upright)]
        # 23 = 5 x 4 + 3 and 17 = 4 x 4 + 1: the four that are left are a step of their own.
        assert sorted(step.sum() for step in steps) == [0] * 5 + [1] + [4] * 4
        # The kinds take turns at random.
        assert [step.sum() for step in steps] != sorted(step.sum() for step in steps)
    first, second = indices(detect(mixed, 0)), indices(detect(mixed, 1))
    assert sorted(first) == sorted(second) == list(range(40)) and first != second
    assert indices(detect(mixed, 0, options=ReadOptions(seed=1))) != first


@pytest.mark.parametrize("kind", ["detect", "segment"])
def test_the_stream_does_not_depend_on_threads_prefetch_or_start(kind, mixed, masks):
    run, records, steps = {"detect": (detect, mixed, 10), "segment": (segment, masks, 4)}[kind]
    whole = run(records, 3, options=ReadOptions(threads=1))
    assert len(whole) == steps
    assert_same(whole, run(records, 3, options=ReadOptions(threads=5, prefetch=1)))
    assert_same(whole[2:], run(records, 3, start_step=2, options=ReadOptions(threads=2)))


@pytest.mark.parametrize("kind", ["detect", "segment"])
def test_ranks_share_the_images_of_a_step(kind, mixed, masks):
    run, records = {"detect": (detect, mixed), "segment": (segment, masks)}[kind]
    alone = run(records, 2, batch_size=6)
    shared = [run(records, 2, batch_size=2, options=ReadOptions(rank=rank, ranks=3)) for rank in range(3)]
    assert len(alone) == len(records) // 6
    for step, batch in enumerate(alone):
        assert batch.indices.tolist() == indices(shared[rank][step] for rank in range(3))
        for slot in range(6):  # each image comes out the same, but for the padding
            image = shared[slot // 2][step].images[slot % 2]
            height, width = image.shape[:2]
            np.testing.assert_array_equal(batch.images[slot, :height, :width], image)


def test_detection_sees_every_image_once_over_all_ranks_in_validation(mixed):
    ranks = [detect(mixed, batch_size=3, train=False, options=ReadOptions(rank=r, ranks=3)) for r in range(3)]
    # 40 = 4 x 9 + 4: in the fifth step rank 0 has 3 images, rank 1 has 1 and rank 2 none.
    assert [[batch.count for batch in batches] for batches in ranks] == [[3] * 5, [3] * 4 + [1], [3] * 4 + [0]]
    seen = [batch.indices[: batch.count].tolist() for batches in ranks for batch in batches]
    assert sorted(sum(seen, [])) == list(range(40)) and ranks[1][0].indices.tolist() == [3, 4, 5]
    empty = ranks[2][-1]
    assert empty.images.shape == (3, 1, 1, 3) and (empty.boxes == -1).all() and (empty.indices == -1).all()
    assert (ranks[0][0].images[0, 0, :5, 0] == [0, 1, 2, 3, 4]).all()  # nothing is flipped


def test_images_without_boxes_are_not_trained_on(tmp_path, caplog):
    boxes = [[[2, 3, 10, 11, 0, 0]] if i % 3 else [] for i in range(12)]
    records = boxed(tmp_path, [(20, 30)] * 12, boxes)
    with caplog.at_level(logging.WARNING):
        loader = DetectionLoader(records, batch_size=4, train=True)
    assert "images without a box are not trained on: 4 of 12" in caplog.text and loader.steps_per_epoch == 2
    assert sorted(indices(loader.epoch(0))) == [1, 2, 4, 5, 7, 8, 10, 11]
    assert sorted(indices(detect(records, train=False))) == list(range(12))
    with pytest.raises(Refused, match="0 images are not one batch"):
        detect(boxed(tmp_path, [(20, 30)] * 12, [[]] * 12))


def test_an_undecodable_image_is_replaced_by_the_next_with_boxes_and_named_once(tmp_path, caplog):
    boxes = [[] if i == 8 else [[2, 3, 10, 11, 0, 0]] for i in range(200)]
    records = boxed(tmp_path, [(12, 12)] * 200, boxes)
    records.paths[7].write_bytes(records.paths[7].read_bytes()[:60])
    loader = DetectionLoader(records, batch_size=199, train=True, short=12, long=12)
    for epoch in range(2):
        (batch,) = loader.epoch(epoch)
        assert sorted(batch.indices.tolist()) == sorted([*range(7), 9, *range(9, 200)])  # 9 stands in for 7
    assert loader.undecodable == {7: (records.paths[7],)}
    assert [record.getMessage() for record in caplog.records if "decoded" in record.getMessage()] == [
        f"image 7 of {records.paths[7]} cannot be decoded"
    ]
    (validation,) = detect(records, train=False, batch_size=200)
    assert validation.count == 199 and 7 not in validation.indices and validation.indices[-1] == -1
    for i in (3, 4):
        records.paths[i].write_bytes(b"")
    with pytest.raises(UndecodableImages, match="3 of 200 images, more than 1 %.*: replace") as caught:
        detect(records, train=False, batch_size=10)
    assert str(records.paths[3]) in str(caught.value)


def test_a_file_that_changed_or_went_ends_the_run(tmp_path):
    records = boxed(tmp_path, [(20, 30)] * 4)
    cv2.imwrite(str(records.paths[2]), gradient(30, 20))
    with pytest.raises(BadRecord, match="2.png has another size"):
        detect(records)
    records.paths[2].unlink()
    with pytest.raises(BadRecord, match="2.png cannot be read"):
        detect(records)


def test_exif_turns_nothing(tmp_path):
    records = boxed(tmp_path, [(20, 30)])
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    records.paths[0] = tmp_path / "0.jpg"
    PIL.Image.fromarray(gradient(20, 30)).save(records.paths[0], exif=turned, quality=100)
    (batch,) = detect(records, train=False, batch_size=1)
    assert batch.images.shape == (1, 20, 30, 3)
    assert np.abs(batch.images[0].astype(int) - gradient(20, 30)).max() < 6


# ---- Segmentation.


def test_scale_pad_and_crop_worked_out_by_hand():
    image, mask = gradient(4, 6), np.arange(24, dtype=np.int32).reshape(4, 6)
    # base 6, scale 1: nothing changes but the padding to 8 x 8. No flip at 0.5 and above.
    out, values = scale_and_crop(image, mask, np.array([0.5, 0.5, 0.9, 0.9]), base=6, crop=8, scale=(0.5, 1.5))
    assert out.shape == (8, 8, 3) and values.dtype == np.int32
    np.testing.assert_array_equal(out[:4, :6], image)
    np.testing.assert_array_equal(values[:4, :6], mask)
    assert not out[4:].any() and not out[:, 6:].any() and (values[4:] == -1).all() and (values[:, 6:] == -1).all()
    # Mirrored, and a crop of 2: places 0 to 4 in x and 0 to 2 in y; 0.9 x 5 = 4.5 and 0.5 x 3 = 1.5.
    out, values = scale_and_crop(image, mask, np.array([0.49, 0.5, 0.9, 0.5]), base=6, crop=2, scale=(0.5, 1.5))
    assert values.tolist() == [[7, 6], [13, 12]] and out[..., 0].tolist() == [[1, 0], [1, 0]]
    # Twice as large: 8 x 12, each value four times; padded to 12.
    _, values = scale_and_crop(image, mask, np.array([0.5, 1.0, 0.0, 0.0]), base=6, crop=12, scale=(1.0, 2.0))
    np.testing.assert_array_equal(values[:8], np.kron(mask, np.ones((2, 2))))
    assert (values[8:] == -1).all()
    # A third: 3 x 3 blocks become their middle.
    image, mask = gradient(6, 9), np.arange(54, dtype=np.int32).reshape(6, 9)
    _, values = scale_and_crop(image, mask, np.array([0.5, 0.0, 0.0, 0.0]), base=9, crop=2, scale=(1 / 3, 2.0))
    assert values.tolist() == [[10, 13], [37, 40]]


def test_image_and_mask_stay_together(tmp_path):
    # A checkerboard of 20 px fields, dark fields of class 0 and light ones of class 1.
    fields = np.kron(np.indices((6, 8)).sum(axis=0) % 2, np.ones((20, 20))).astype(np.uint8)
    (tmp_path / "masks").mkdir()
    for i in range(16):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), np.repeat(fields[..., None] * 200 + 20, 3, axis=2))
        cv2.imwrite(str(tmp_path / f"masks/{i:02d}.png"), fields)
    records = read_masks(tmp_path, tmp_path / "masks", 2)
    (batch,) = segment(records, batch_size=16, crop=96, base=160)
    assert batch.images.shape == (16, 96, 96, 3) and batch.masks.shape == (16, 96, 96)
    real = batch.masks >= 0
    assert not batch.images[~real & ~blurred(real)].any()
    light = batch.images[..., 0] > 120
    assert (light == (batch.masks == 1))[real].mean() > 0.97  # a shift by half a field would leave a half
    fractions = real.mean(axis=(1, 2))
    # Below factor 0.8 the shorter side, 120, does not fill 96: a fifth of the images. At 0.5 there are 80 x 60.
    assert 80 * 60 / 96**2 <= fractions.min() < 0.95 and np.median(fractions) == 1


def blurred(real):
    """What lies within 4 px of pixels that are real."""
    return np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) > 0 for mask in real])


def test_evaluation_gives_whole_images(masks):
    batches = segment(masks, batch_size=1, train=False)
    assert [batch.images.shape[1:3] for batch in batches] == [(24 + i, 40 - i) for i in range(17)]
    np.testing.assert_array_equal(batches[5].images[0], gradient(29, 35))
    y, x = np.mgrid[:29, :35]
    np.testing.assert_array_equal(batches[5].masks[0], np.where((x + y) % 4 == 3, -1, (x + y) % 4))
    assert batches[5].masks.dtype == np.int32 and (batches[5].indices.tolist(), batches[5].count) == ([5], 1)
    ranks = [segment(masks, batch_size=1, train=False, options=ReadOptions(rank=r, ranks=2)) for r in range(2)]
    assert indices(ranks[0]) == [*range(0, 17, 2)] and indices(ranks[1]) == [*range(1, 17, 2), -1]
    assert ranks[1][-1].count == 0 and ranks[1][-1].masks.tolist() == [[[-1]]]


def test_bad_masks_while_training(tmp_path):
    records = masked(tmp_path, [(20, 20)] * 101)
    cv2.imwrite(str(records.masks[3]), np.full((20, 20), 9, np.uint8))
    with pytest.raises(BadRecord, match="003.png has the value 9, and the classes are 0 to 2, void 3: fix it"):
        segment(records)
    records.masks[3].write_bytes(records.masks[3].read_bytes()[:60])
    (batch,) = segment(records, batch_size=101)
    assert sorted(batch.indices.tolist()) == sorted([0, 1, 2, 4, *range(4, 101)])


def test_arguments_out_of_range_are_refused(mixed, masks):
    for run, options, text in [
        (detect, {"batch_size": 41}, "40 images are not one batch of 41 on 1 rank"),
        (detect, {"short": 61}, "short is 61 and long is 60"),
        (detect, {"batch_size": 0}, "batch_size is 0"),
        (segment, {"train": False}, "batch_size is 4: evaluation takes"),
        (segment, {"scale": (0, 1)}, "scale"),
    ]:
        with pytest.raises(Refused, match=text):
            run(mixed if run is detect else masks, **options)


def test_real_images(shared_data):
    voc = read_voc(shared_data / "voc_mini", ("2007_test",))
    (batch,) = DetectionLoader(voc, batch_size=50, train=False, short=300, long=500).epoch()
    # Wide ones reach 500 in x; upright ones, 300 wide, are 400 and more high.
    assert batch.count == 50 and 400 <= batch.images.shape[1] <= 500 == batch.images.shape[2]
    for index, of_image, scale in zip(batch.indices, batch.boxes, batch.scales):
        boxes = voc.boxes[index]
        np.testing.assert_allclose(of_image[: len(boxes), :4], boxes[:, :4] * scale, atol=0.6)
        assert (of_image[len(boxes) :] == -1).all()
    folder = pathlib.Path(shared_data / "camvid_mini")
    camvid = read_masks(folder / "images/val", folder / "masks/val", 11, void=(11,))
    batch = next(SegmentationLoader(camvid, batch_size=8, train=True, crop=320, base=480).epoch())
    assert batch.images.shape == (8, 320, 320, 3) and batch.masks.min() == -1 and batch.masks.max() <= 10


def test_a_large_image_is_scaled_down_with_its_mask():
    """Half black, half class 1: of 100 x 200 px 5,000 are left, half as many each way, of the same shares."""
    image, mask = np.zeros((100, 200, 3), np.uint8), np.zeros((100, 200), np.int32)
    image[:, 100:], mask[:, 100:] = 200, 1
    small, of_small = at_most(image, mask, 5000)
    assert small.shape == (50, 100, 3) and of_small.shape == (50, 100) and of_small.dtype == np.int32
    assert of_small[:, :50].max() == 0 and of_small[:, 50:].min() == 1 and small[25, 75].tolist() == [200] * 3
    assert at_most(image, mask, 20000)[1] is mask
    assert [most_pixels(classes) for classes in (2, 64, 150, 65536)] == [1 << 22, 1 << 22, 1 << 22, 16384]


def test_evaluation_takes_no_image_larger_than_its_network_can(masks, monkeypatch, caplog):
    monkeypatch.setattr(segmentation_loader, "MOST_WHOLE", 960)
    with caplog.at_level(logging.WARNING):
        batches = list(SegmentationLoader(masks, batch_size=1, train=False).epoch())
    sizes = [int(np.prod(shape)) for shape in masks.sizes]
    assert max(sizes) > 960 and max(batch.masks.size for batch in batches) <= 960
    assert {int(value) for batch in batches for value in np.unique(batch.masks)} == {-1, 0, 1, 2}
    large = sum(size > 960 for size in sizes)
    assert f"scaled down to 0.00096 million pixels before they are scored: {large} of 17 images" in caplog.text
