"""FCN on our networks: equal to GluonCV's, at any size, and it learns."""

import itertools
import types

import mxnet as mx
import numpy as np
import pytest
from gluoncv.loss import MixSoftmaxCrossEntropyLoss
from gluoncv.model_zoo import get_model as get_theirs
from gluoncv.model_zoo.fcn import FCN, _FCNHead
from mxnet import autograd

import model_zoo
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.builtin import scenes
from gluon_tricks.ranks import distributed
from gluon_tricks.ranks.sync_batch_norm import SyncBatchNorm
from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.tasks.segmentation import evaluation
from gluon_tricks.tasks.segmentation.evaluation import class_probabilities, classify_pixels, evaluate_segmenter
from gluon_tricks.tasks.segmentation.loader import SegmentationBatch
from gluon_tricks.tasks.segmentation.loss import segmentation_loss
from gluon_tricks.tasks.segmentation.segmenter import build_segmenter
from gluon_tricks.tasks.segmentation.task import Segmentation


def segmenter(name="mobilenet0.25", classes=3, **kwargs):
    mx.random.seed(1)
    net = build_segmenter(model_zoo.get_model(name, classes=2, dilated=True), classes, **kwargs)
    net.initialize(mx.init.MSRAPrelu())
    return net


def normal(*shape):
    return mx.nd.array(np.random.default_rng(1).standard_normal(shape))


def test_equals_gluoncvs_fcn(tmp_path):
    """GluonCV's FCN on 18 layers, which its own heads are too wide for; ours with its parameters gives its logits."""
    theirs, base = FCN(4, "resnet18", pretrained_base=False), get_theirs("resnet18_v1b", dilated=True)
    theirs.head, theirs.auxlayer = _FCNHead(512, 4), _FCNHead(256, 4)
    mx.random.seed(1)
    for net in (theirs, base):
        net.initialize(mx.init.MSRAPrelu(), force_reinit=True)
    base(mx.nd.zeros((1, 3, 16, 16)))
    for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        setattr(theirs, part, getattr(base, part))
    base.save_parameters(str(tmp_path / "base.params"))

    ours = build_segmenter(
        model_zoo.get_model("resnet18_v1b", pretrained=tmp_path / "base.params", dilated=True), classes=4
    )
    for mine, head in ((ours.head, theirs.head), (ours.aux_head, theirs.auxlayer)):
        head.save_parameters(str(tmp_path / "head.params"))
        mine.load_parameters(str(tmp_path / "head.params"))
    ours.hybridize(static_alloc=True)
    for height, width in ((64, 64), (40, 73)):
        images = normal(1, 3, height, width)
        theirs.predict(images)  # tells it the size
        for seen, expected in zip(ours(images), theirs(images)):
            assert seen.shape == (1, 4, height, width)
            expected = expected.asnumpy()
            np.testing.assert_allclose(seen.asnumpy(), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["resnet18_v1d", "mobilenet0.25"])
def test_any_size_in_training_and_prediction(name):
    net = segmenter(name)
    net.hybridize(static_alloc=True)
    for height, width in ((64, 64), (37, 51), (5, 9), (64, 64)):
        images = normal(2, 3, height, width)
        predicted = net(images)
        with autograd.record():
            trained = net(images)
        assert [logits.shape for logits in [*predicted, *trained]] == [(2, 3, height, width)] * 4
    assert net.coarse(images).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("name", ["resnet18_v1b", "mobilenet0.25"])
def test_the_hole_algorithm(name):
    """With the same parameters every 4th number of the dilated map is the number of the map at stride 32."""
    plain, dilated = (model_zoo.get_model(name, classes=2, **kwargs) for kwargs in ({}, {"dilated": True}))
    plain.initialize(mx.init.MSRAPrelu())
    images = normal(1, 3, 40, 72)
    plain(images)
    for key, parameter in plain._collect_params_with_prefix().items():
        dilated._collect_params_with_prefix()[key]._load_init(parameter.data(), mx.cpu())
    coarse = plain.features_at(len(plain.trunk) - 1)(images).asnumpy()
    fine = build_segmenter(dilated, 3).base(images)[1].asnumpy()
    assert (fine.shape[2:], coarse.shape[2:]) == ((5, 9), (2, 3))
    np.testing.assert_allclose(fine[:, :, ::4, ::4], coarse, atol=1e-4 * coarse.max())


def test_parameters_have_the_same_names_every_time():
    first, second = (list(segmenter(aux=aux).collect_params()) for aux in (True, True))
    assert first == second
    names = list(segmenter("resnet18_v1b")._collect_params_with_prefix())
    assert {"base.0.0.weight", "base.4.1.conv2.weight", "head.block.0.weight", "aux_head.block.4.bias"} <= set(names)
    assert not any(name.startswith("aux_head") for name in segmenter(aux=False)._collect_params_with_prefix())


def test_without_the_auxiliary_head():
    net, images = segmenter(aux=False), normal(1, 3, 16, 16)
    assert [logits.shape for logits in net(images)] == [(1, 3, 16, 16)]
    assert net.heads == [net.head]
    assert segmentation_loss(net(images), mx.nd.zeros((1, 16, 16))).shape == (1,)


def test_layers_over_ranks_are_numbered_through():
    numbers = itertools.count()
    made = []

    def norm(**kwargs):
        made.append(f"norm.{next(numbers)}")
        return SyncBatchNorm(made[-1], **kwargs)

    base = model_zoo.get_model("mobilenet0.25", classes=2, dilated=True, norm_layer=norm)
    net = build_segmenter(base, 3, norm_layer=norm)
    net.initialize()
    assert len(made) == 27 + 2 and isinstance(net.head.block[1], SyncBatchNorm)
    assert net(normal(1, 3, 16, 16))[0].shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name, seen", [("resnet18_v1d", "2x2"), ("vgg11", "2x2"), ("alexnet", "1x1")])
def test_a_base_at_another_stride_is_refused(name, seen):
    with pytest.raises(Refused, match=f"{name} .* map of {seen} for images of 64x64.* 8x8: .*dilated=True"):
        build_segmenter(model_zoo.get_model(name), 3)


def test_no_class_is_refused():
    with pytest.raises(Refused, match="0 classes"):
        segmenter(classes=0)


class Fixed(mx.gluon.Block):
    """Logits for every pixel, whatever the images; two heads."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = [mx.nd.array(head) for head in logits]
        for head in self.logits:
            head.attach_grad()

    def forward(self, images):
        return self.logits


def test_loss_by_hand():
    """Two images of two pixels, two classes: -log p is log 2 where logits are equal, log 4 for log 3 on the other."""
    log3, log2, log4 = np.log([3, 2, 4])
    main = np.array([[[[0, log3]], [[0, 0]]], [[[0, 0]], [[0, 0]]]])  # (2, 2, 1, 2): pixel 2 of image 1 favours class 0
    net = Fixed(main, np.zeros_like(main))
    masks = mx.nd.array([[[0, 1]], [[1, -1]]], dtype="int32")  # three pixels are not void
    loss = segmentation_loss(net(None), masks).asnumpy()
    by_hand = [2 / 3 * (log2 + log4 + 0.5 * 2 * log2), 2 / 3 * 1.5 * log2]
    np.testing.assert_allclose(loss, by_hand, rtol=1e-5)
    np.testing.assert_allclose(loss.mean(), (log2 + log4 + log2) / 3 + 0.5 * log2, rtol=1e-5)
    assert segmentation_loss(net(None), -mx.nd.ones((2, 1, 2))).asnumpy().tolist() == [0, 0]


def gradients(net, loss):
    with autograd.record():
        value = loss()
    value.backward()
    return [head.grad.asnumpy() for head in net.logits]


def test_loss_beside_gluoncvs():
    """Without void the values agree. GluonCV's gradient is that of our mean with an auxiliary weight of 1."""
    rng = np.random.default_rng(2)
    net, images = Fixed(*rng.normal(size=(2, 3, 4, 5, 6))), mx.nd.zeros((3, 3, 5, 6))
    theirs = MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=0.5)
    masks = mx.nd.array(rng.integers(0, 4, (3, 5, 6)))
    ours = segmentation_loss(net(images), masks).mean().asscalar()
    assert ours == pytest.approx(theirs(*net.logits, masks).mean().asscalar(), rel=1e-5)

    masks = mx.nd.array(rng.integers(-1, 4, (3, 5, 6)))
    expected = gradients(net, lambda: theirs(*net.logits, masks))
    assert np.abs(expected).max() > 0.005
    for weight in (1, 0.5):
        head, aux = gradients(
            net, lambda weight=weight: segmentation_loss(net(images), masks, aux_weight=weight).mean()
        )
        np.testing.assert_allclose(head, expected[0], atol=1e-7)
        np.testing.assert_allclose(aux, weight * expected[1], atol=1e-7)


def test_every_pixel_of_a_batch_counts_alike_however_it_is_split(monkeypatch):
    """One image of 30 real pixels and one of 3: in shards of their own the second would count ten times as much."""
    rng = np.random.default_rng(3)
    logits, masks = rng.normal(size=(2, 1, 4, 5, 6)), np.full((2, 5, 6), -1, np.int32)
    masks[0], masks[1, 0, :3] = 1, 2
    batch = SegmentationBatch(np.zeros((2, 5, 6, 3), np.uint8), masks, np.arange(2), 2)
    together = Fixed(np.concatenate(logits))
    whole = segmentation_loss(together(None), mx.nd.array(masks)).asnumpy()
    for contexts, rounds in (([mx.cpu(0), mx.cpu(1)], 1), ([mx.cpu()], 2), ([mx.cpu()], 1)):
        task = object.__new__(Segmentation)
        task.recipe, task.contexts = SegmentationRecipe(batch_size=2, accumulate=rounds).resolved(), contexts
        task._counted = itertools.repeat(0)
        draw = types.SimpleNamespace(step=0)
        shards = [shard for micro_batch in task.micro_batches(batch, draw) for shard in micro_batch]
        nets = [together] if len(shards) == 1 else [Fixed(part) for part in logits]
        parts = [segmentation_loss(net(None), *task.preprocess(shard)[1]) for net, shard in zip(nets, shards)]
        parts = [part.asnumpy() for part in parts]
        assert np.concatenate(parts) == pytest.approx(whole, rel=1e-5)
    assert whole[0] / whole[1] > 4


def test_what_is_summed_over_ranks_has_a_name_of_its_own_while_it_is_under_way(tmp_path, monkeypatch):
    """SAM takes the images of a step twice, and three steps may be under way: Horovod refuses a name twice."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (8, 4))
    names = []
    monkeypatch.setattr(distributed, "sum_", lambda array, name: names.append(name) or array)
    task = Segmentation(SegmentationRecipe(dataset="few_scenes", batch_size=4).resolved(), [mx.cpu()], 1)
    step = types.SimpleNamespace(step=0)
    images = next(task.train.epoch())
    for _ in range(12):
        list(task.micro_batches(images, step))
    assert all(len({*names[k : k + 6]}) == 6 for k in range(6)) and len({*names}) == 6


def three_regions():
    """A photo of 64x64 with noise, red, green and blue, its mask, and rows of void."""
    mask = np.zeros((1, 64, 64), np.int32)
    mask[:, :, 30:], mask[:, 40:, :20], mask[:, :3] = 1, 2, -1
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [90, 90, 90]])
    noise = np.random.default_rng(0).integers(-40, 40, (1, 64, 64, 3))
    return (colours[mask] + noise).astype(np.uint8), mask


def normalised(images, context):
    return mx.nd.array(images.transpose(0, 3, 1, 2) / 64.0 - 2, ctx=context)


def batch(images, masks, count=None):
    return types.SimpleNamespace(images=images, masks=masks, count=len(images) if count is None else count)


def test_overfits_one_image():
    image, mask = three_regions()
    net = segmenter("resnet18_v1b")
    net.hybridize(static_alloc=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", dict(learning_rate=0.02, momentum=0.5))
    images, masks, losses = normalised(image, mx.cpu()), mx.nd.array(mask), []
    for _ in range(13):
        with autograd.record():
            loss = segmentation_loss(net(images), masks)
        loss.backward()
        trainer.step(1)
        losses.append(loss.asscalar())
    assert losses[-1] < 0.2 * losses[0]
    scores = evaluate_segmenter(net, [batch(image, mask)], normalised, [mx.cpu()], classes=3)
    assert scores.pix_acc > 0.9 and scores.miou > 0.8 and scores.images == 1


class Colours(mx.gluon.HybridBlock):
    """A segmenter that sees a pixel's class in its first channel and is wrong about mirrored images."""

    smallest_side = 4

    def __init__(self, classes):
        super().__init__()
        self.classes, self.seen = classes, []

    def coarse(self, images):
        self.seen.append(images.shape[2:])
        return 10 * mx.nd.one_hot(images[:, 0].round(), self.classes).transpose((0, 3, 1, 2))


def first_channel(images, context):
    return mx.nd.array(images, ctx=context, dtype="float32").transpose((0, 3, 1, 2))


def test_every_image_once_over_sizes_and_devices():
    net = Colours(3)
    sizes = [(4, 6), (9, 5), (7, 7)]
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 3, (1, *size)).astype(np.int32) for size in sizes]
    batches = [batch(np.repeat(mask[..., None], 3, axis=3).astype(np.uint8), mask) for mask in masks]
    contexts = [mx.cpu(0), mx.cpu(1)]
    perfect = evaluate_segmenter(net, batches, first_channel, contexts, classes=3)
    assert (perfect.pix_acc, perfect.miou, perfect.images) == (1, 1, 3) and net.seen == sizes

    masks[1][:] = -1  # void: 45 pixels less
    masks[2][0, 0] = (masks[2][0, 0] + 1) % 3  # 7 of 24 + 49 pixels wrong
    scores = evaluate_segmenter(net, batches, first_channel, contexts, classes=3)
    assert scores.pix_acc == pytest.approx(66 / 73) and scores.images == 3
    padded = [batch(np.concatenate([b.images] * 2), np.concatenate([b.masks] * 2), 1) for b in batches]
    assert evaluate_segmenter(net, padded, first_channel, contexts, classes=3).images == 3
    with pytest.raises(RuntimeError, match="no image"):
        evaluate_segmenter(net, [], first_channel, contexts, classes=3)


def test_an_image_smaller_than_the_network_takes_is_enlarged():
    """A strip of 2 x 6 px becomes 4 x 6, as in class_probabilities; its columns of classes stay where they are."""
    net, columns = Colours(3), [0, 1, 2, 2, 1, 0]
    mask = np.tile(np.int32(columns), (1, 2, 1))
    strip = batch(np.repeat(mask[..., None], 3, axis=3).astype(np.uint8), mask)
    scores = evaluate_segmenter(net, [strip], first_channel, [mx.cpu()], classes=3)
    assert (scores.pix_acc, scores.miou) == (1, 1) and net.seen == [(4, 6)]


def test_probabilities_are_averaged_over_scales_and_flips(monkeypatch):
    """A network that says class 0 left and class 1 right of the middle, whatever it sees: flipping makes it 1/2."""

    class Sides(Colours):
        def coarse(self, images):
            self.seen.append(images.shape[2:])
            right = mx.nd.arange(images.shape[3]) >= images.shape[3] / 2
            plane = mx.nd.broadcast_to(right.reshape((1, 1, 1, -1)), (1, 1, *images.shape[2:]))
            return mx.nd.concat(1 - plane, plane, dim=1) * np.log(3)

    net, images = Sides(2), mx.nd.zeros((1, 3, 6, 8))
    plain = class_probabilities(net, images).asnumpy()
    np.testing.assert_allclose(plain[0, 0, 0], [0.75] * 4 + [0.25] * 4, rtol=1e-6)
    both = class_probabilities(net, images, scales=(0.5, 1.0), flips=True).asnumpy()
    np.testing.assert_allclose(both, np.full((1, 2, 6, 8), 0.5), rtol=1e-5)
    assert net.seen == [(6, 8), (4, 4), (4, 4), (6, 8), (6, 8)]  # 3 would be less than the network takes
    assert len(class_probabilities(net, images, scales=(1.75,))) == 1 and net.seen[-1] == (11, 14)
    monkeypatch.setattr(evaluation, "MOST_WHOLE", 75)  # 1.25 times these 6 x 8 pixels
    assert class_probabilities(net, images, scales=(0.5, 1.75)).shape == (1, 2, 6, 8)
    assert net.seen[-2:] == [(4, 4), (8, 10)]
    with pytest.raises(Refused, match="scales"):
        class_probabilities(net, images, scales=(0,))


def test_a_broken_network_is_never_right():
    probabilities = mx.nd.array([[[[0.2, np.nan]], [[0.8, np.nan]]]])
    assert classify_pixels(probabilities).asnumpy().tolist() == [[[1, -1]]]
