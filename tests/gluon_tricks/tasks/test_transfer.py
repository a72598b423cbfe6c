"""Detectors and segmenters through the same loop as classifiers: trained, stopped, resumed, loaded, refused."""

import csv
import dataclasses
import json
import pathlib
import shutil
import types

import cv2
import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli import detect, segment, transfer_flags
from gluon_tricks.core import memory
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.annotated import require_apart
from gluon_tricks.data.annotations.boxes import BoxedImages
from gluon_tricks.data.builtin import scenes
from gluon_tricks.networks.load import Trained
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.kinds import read_recipe, recipe_from_json
from gluon_tricks.recipes.multi_label import MultiLabelRecipe
from gluon_tricks.recipes.named.detection_segmentation import DETECTION, SEGMENTATION
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.annotated_validation import AnnotatedValidation
from gluon_tricks.tasks.detection import task as detection_task
from gluon_tricks.tasks.detection.task import Detection, require_trainable
from gluon_tricks.tasks.multi_label.task import MultiLabel
from gluon_tricks.tasks.protocol import ScoringOptions
from gluon_tricks.tasks.registry import task_of
from gluon_tricks.tasks.segmentation import task as segmentation_task
from gluon_tricks.tasks.segmentation.task import Segmentation
from gluon_tricks.trained.load import load_network
from gluon_tricks.training import loop
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.steps import Interrupted
from gluon_tricks.tricks import CutMix, Mixup, Plateau, PolyDecay, StepDecay, Warmup, ZeroGamma
from model_zoo import get_model, weights

TINY = {
    "detection": DetectionRecipe(
        model="resnet18_v1b", dataset="few_scenes", short=96, long=128, roi="small", epochs=2, batch_size=2, lr=1e-3,
    ),
    "segmentation": SegmentationRecipe(
        model="resnet18_v1b", dataset="few_scenes", crop=48, base_size=96, epochs=2, batch_size=2,
    ),
}  # fmt: skip
COLUMNS = {"detection": ["val_map07", "val_map"], "segmentation": ["val_pix_acc", "val_miou"]}
PER_CLASS = {"detection": {"per_class_07": 10, "per_class_area": 10}, "segmentation": {"per_class_iou": 11}}


@pytest.fixture(autouse=True)
def four_scenes(monkeypatch, tmp_path_factory, few_regions):
    """Four pictures to train on and two to validate: two steps an epoch."""
    monkeypatch.setenv("GLUON_TRICKS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setitem(scenes.DATA_SETS, "few_scenes", (4, 2))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A file with the parameters of a base network."""
    path = tmp_path_factory.mktemp("base") / "base.params"
    mx.random.seed(1)
    net = get_model("resnet18_v1b", classes=7)
    net.initialize(mx.init.Xavier())
    net.save_parameters(str(path))
    return path


def arrays(net):
    return {name: parameter.data().asnumpy() for name, parameter in parameters_by_name(net).items()}


@pytest.mark.parametrize("task", TINY)
def test_a_stopped_training_goes_on_bit_for_bit(task, base, tmp_path):
    """The base network's file is needed at the start alone."""
    copy = pathlib.Path(shutil.copy(base, tmp_path / "copy.params"))
    recipe, options = TINY[task].set(base_params=str(copy)), dict(contexts=[mx.cpu()], threads=1, picture_epochs=2)
    scores = train_and_evaluate(recipe, tmp_path / "whole", Options(**options))
    asked = iter([False] * 4 + [True])  # two steps, two images evaluated, and after the third of four steps
    with pytest.raises(Interrupted, match="after step 3 of 4"):
        train_and_evaluate(recipe, tmp_path / "run", Options(**options, should_stop=lambda: next(asked)))
    copy.unlink()
    resumed = train_and_evaluate(recipe, tmp_path / "run", Options(**options, resume=True))
    assert resumed.row() == scores.row() and resumed.images == scores.images == 2
    whole, run = (arrays(load_network(tmp_path / name)) for name in ("whole", "run"))
    for name, array in whole.items():
        np.testing.assert_array_equal(run[name], array, err_msg=name)
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", *COLUMNS[task], "lr", "images_per_second"] and len(rows) == 2
    epochs = [e for e in map(json.loads, open(tmp_path / "run" / "events.jsonl")) if e["event"] == "epoch"]
    assert {name: len(values) for name, values in epochs[-1].items() if name in PER_CLASS[task]} == PER_CLASS[task]
    assert (tmp_path / "run" / "pictures" / "epoch-0002.png").stat().st_size > 1000
    assert (tmp_path / "run" / "curves.png").is_file()
    stored = read_recipe(tmp_path / "run" / "recipe.json")
    assert stored.task == task and len(stored.class_names) == stored.classes == {"detection": 10}.get(task, 11)
    start = arrays(load_network_of(recipe.set(base_params=str(base))))
    learnt = {name for name, array in whole.items() if not np.array_equal(array, start[name])}
    # Of the detector 5 + 5 + 5 convolutions of stages 2 to 4, and weights and biases of 5 layers on them; of the
    # segmenter 20 convolutions, 20 norms of 4 arrays, and two heads of 7.
    assert len(learnt) == {"detection": 25, "segmentation": 114}[task]


@pytest.mark.parametrize("task", TINY)
def test_two_rounds_on_a_device_are_one_on_two(task, tmp_path):
    """The same shards of the batch, in turn or side by side, make the same step (but for running statistics)."""
    recipe = TINY[task].set(epochs=1, batch_size=4, net={"norm_layer": "BatchNorm"})
    found = []
    for contexts, accumulate in (([mx.cpu()], 2), ([mx.cpu(0), mx.cpu(1)], 1)):
        run = tmp_path / str(accumulate)
        options = Options(contexts=contexts, threads=1, picture_epochs=0)
        train_and_evaluate(recipe.set(accumulate=accumulate), run, options)
        found.append({name: array for name, array in arrays(load_network(run)).items() if "running" not in name})
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    start = arrays(load_network_of(recipe))
    assert any(not np.array_equal(array, start[name]) for name, array in found[0].items())


def test_a_segmenter_is_scored_at_several_scales_at_the_end(tmp_path, monkeypatch):
    """Once, before the run counts as done; here at one scale and mirrored, to be quick."""
    seen = []

    def evaluate(net, *args, scales=(1.0,), flips=False, found=None):
        seen.append((scales, flips, (tmp_path / "run" / "final.params").exists()))
        return plain(net, *args, scales=(1.0,), flips=flips, found=found)

    plain = segmentation_task.evaluate_segmenter
    monkeypatch.setattr(segmentation_task, "evaluate_segmenter", evaluate)
    recipe = TINY["segmentation"].set(epochs=2, final_scales="several")
    train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], threads=1, picture_epochs=0))
    six = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    assert seen == [((1.0,), False, False)] * 2 + [(six, True, False)]
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events[-2:]] == ["final_scores", "done"]
    (scores,) = [event["scores"] for event in events if event["event"] == "final_scores"]
    assert list(scores) == ["pixAcc, multi-scale", "mIoU, multi-scale"] and all(0 < s < 1 for s in scores.values())


def test_scripts_know_gluoncvs_settings_by_name():
    assert words("--recipe fcn_ade20k_gluoncv --lr 0.004", SEGMENTATION, "ade20k").wd == 2e-4
    assert words("--recipe faster_rcnn_voc_gluoncv", DETECTION, "voc").tricks == (StepDecay((14, 20)),)
    with pytest.raises(Refused, match="is a recipe of segmentation, and this command trains detectors"):
        words("--recipe fcn_ade20k_gluoncv", DETECTION, "voc")


def on_trained_base(recipe, contexts, restored=False):
    return task_of(recipe).on_trained_base(recipe, contexts, restored)


def load_network_of(recipe):
    """As it is before the first step."""
    classes = dict(classes=10, class_names=scenes.CLASSES) if recipe.task == "detection" else dict(classes=11)
    return on_trained_base(recipe.set(**classes), [mx.cpu()])


def test_the_base_is_the_trained_one_and_its_stem_stays(base, tmp_path):
    recipe = TINY["detection"].set(base_params=str(base), epochs=1)
    train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], threads=1, picture_epochs=0))
    trained, source = arrays(load_network(tmp_path / "run")), mx.nd.load(str(base))
    for ours, theirs in (("features.stem.0.weight", "stem.0.weight"), ("features.stage1.0.bn1.running_mean",) * 2):
        np.testing.assert_array_equal(trained[ours], source[theirs.removeprefix("features.")].asnumpy())
    changed = "stage4.0.conv1.weight"
    assert not np.array_equal(trained[f"top_features.{changed}"], source[changed].asnumpy())
    assert not (tmp_path / "run" / "pictures").exists()


def test_a_base_with_other_keywords_is_refused(tmp_path, untrained_run):
    """Named as a run, its file or a file that says so; but a segmenter's base is dilated, whatever it starts from."""
    classifier = Recipe(model="resnet18_v1b", classes=4, data="shapes", input_size=64)
    sources = ("run", "run/final.params", "said.safetensors")

    def written(of):
        (tmp_path / str(of) / "run").mkdir(parents=True)
        untrained_run(classifier.set(net=of), tmp_path / str(of) / "run")
        weights.save(load_network(tmp_path / str(of) / "run"), tmp_path / str(of) / "said.safetensors")
        return [tmp_path / str(of) / source for source in sources]

    def start(task, source, net):
        return on_trained_base(TINY[task].set(base_params=str(source), classes=2, net=net), [mx.cpu()])

    blurred, dilated = written({"blur": True}), written({"dilated": True})
    for key, tasks, found in (("blur", TINY, blurred), ("dilated", ["detection"], dilated)):
        for source, name in zip(found, sources):
            for task in tasks:
                with pytest.raises(Refused, match=f"{name} holds a network with {key}=True: give that too"):
                    start(task, source, {})
    for source in blurred:
        start("detection", source, {"blur": True})
    for source in dilated:
        start("segmentation", source, {})


def test_dense_layers_of_another_size_come_back(tmp_path):
    """Of a VGG of 64 px images they take 2 x 2 places; only its run knows, once the base's file is gone."""
    net = get_model("vgg11", classes=3)
    net.initialize()
    net(mx.nd.zeros((1, 3, 64, 64)))
    path = tmp_path / "vgg.params"
    net.save_parameters(str(path))
    recipe = TINY["detection"].set(model="vgg11", base_params=str(path), epochs=1)
    train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()], threads=1, picture_epochs=0))
    path.unlink()
    stored = read_recipe(tmp_path / "run" / "recipe.json")
    assert stored.dense_side == 2
    for source in (tmp_path / "run", *(tmp_path / "run" / "checkpoints").iterdir()):
        assert load_network(source)._roi_size == (2, 2)
    assert on_trained_base(stored, [mx.cpu()], restored=True)._roi_size == (2, 2)


@pytest.mark.parametrize("task", TINY)
def test_images_that_are_trained_on_are_no_validation(task, tmp_path, monkeypatch):
    module = {"detection": detection_task, "segmentation": segmentation_task}[task]
    name = {"detection": "find_boxes", "segmentation": "find_masks"}[task]
    found = getattr(module, name)(TINY[task])
    monkeypatch.setattr(module, name, lambda recipe: found[1:] * 2)
    says = r"2 of the 2 validation images are trained on too, such as .*: keep them out"
    with pytest.raises(Refused, match=says):
        train_and_evaluate(TINY[task], tmp_path / "run", Options(contexts=[mx.cpu()]))
    with pytest.raises(Refused, match=says):  # before the cells of a table, whose base networks take hours
        task_of(TINY[task]).find_data(TINY[task])


@pytest.mark.parametrize("task", TINY)
def test_other_classes_than_the_data_set_has_are_found_before_training(task):
    with pytest.raises(Refused, match="classes=3: the data set few_scenes has its own"):
        task_of(TINY[task]).find_data(TINY[task].set(classes=3))


def test_data_without_a_box_are_found_before_training(monkeypatch):
    train, val = detection_task.find_boxes(TINY["detection"])
    bare = dataclasses.replace(train, boxes=[boxes[:0] for boxes in train.boxes])
    monkeypatch.setattr(detection_task, "find_boxes", lambda recipe: (bare, val))
    with pytest.raises(Refused, match=r"no training image \(of 4\) has a box"):
        Detection.find_data(TINY["detection"])


def test_copies_are_the_same_images(tmp_path):
    for folder, text in (("train", "one"), ("copy", "one"), ("other", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_text(text)
    train, copy, other = (types.SimpleNamespace(paths=[tmp_path / f / "1.jpg"]) for f in ("train", "copy", "other"))
    require_apart(train, other)
    with pytest.raises(Refused, match="1 of the 1 validation images are trained on too"):
        require_apart(train, copy)


def test_images_of_one_name_and_size_are_told_apart(tmp_path):
    """As the frames of several cameras, which number them alike and store them without compression."""
    places = [tmp_path / name / "0001.bmp" for name in ("cam1", "cam2", "copy", "other")]
    for path, text in zip(places, ("one", "two", "one", "six")):
        path.parent.mkdir()
        path.write_text(text)
    train, other = (types.SimpleNamespace(paths=paths) for paths in (places[:2], places[3:]))
    require_apart(train, other)
    for path in places[:3]:
        with pytest.raises(Refused, match="1 of the 1 validation images are trained on too"):
            require_apart(train, types.SimpleNamespace(paths=[path]))


def test_the_heads_of_a_segmenter_learn_faster():
    net = on_trained_base(TINY["segmentation"].set(classes=11), [mx.cpu()])
    factors = {name: p.lr_mult for name, p in parameters_by_name(net).items()}
    assert {name.split(".")[0]: factor for name, factor in factors.items()} == {"base": 1, "head": 10, "aux_head": 10}


def test_another_network_than_the_named_base_is_refused(base):
    recipe = TINY["detection"].set(model="resnet34_v1b", base_params=str(base), classes=2)
    with pytest.raises(Refused, match="it looks like a resnet18_v1 or resnet18_v1b"):
        on_trained_base(recipe, [mx.cpu()])
    run = base.with_name("run")
    run.mkdir()
    shutil.copy(base, run / "final.params")
    (run / "recipe.json").write_text(json.dumps(Recipe(model="resnet18_v1b", classes=7).to_json()))
    for source in (run, run / "final.params"):
        with pytest.raises(
            Refused, match="is a resnet18_v1b, and the base is to be a resnet34_v1b: use --base resnet18_"
        ):
            on_trained_base(recipe.set(base_params=str(source)), [mx.cpu()])
        assert words(f"--base-params {source}", DETECTION, "voc").model == "resnet18_v1b"
        said = words(f"--base-params {source} --base resnet34_v1b", DETECTION, "voc")
        assert (said.model, said.base_params) == ("resnet34_v1b", str(source))
    published = words("--base-params mobilenet1.0/efbb2ca3", DETECTION, "voc")
    assert (published.model, published.base_params) == ("mobilenet1.0", "mobilenet1.0/efbb2ca3")
    for source in ("true", "efbb2ca3"):
        published = words(f"--base mobilenet1.0 --base-params {source}", DETECTION, "voc")
        assert (published.model, published.base_params) == ("mobilenet1.0", source)
    published = words("--base-params MobileNet1.0/EFBB2CA3", DETECTION, "voc")
    assert (published.model, published.base_params) == ("mobilenet1.0", "mobilenet1.0/efbb2ca3")
    for flags in ("--base ResNet50_v1b", "--network ResNet50_v1b"):
        assert words(flags, DETECTION, "voc").model == "resnet50_v1b"
    (run / "recipe.json").write_text(json.dumps(TINY["detection"].to_json()))
    with pytest.raises(Refused, match="is a run of detection: a base network is a classifier"):
        on_trained_base(recipe.set(base_params=str(run)), [mx.cpu()])


@pytest.mark.parametrize(
    "recipe, says",
    [
        (DetectionRecipe(), "name the folder of its VOCdevkit with --data"),
        (SegmentationRecipe(), "the data set is ade20k: name its folder with --data"),
        (SegmentationRecipe(dataset="masks", data="x"), "how many classes"),
        (TINY["detection"].set(model="vgg11", short=8), "vgg11 takes images of at least 32 px, and these have 8"),
        (TINY["segmentation"].set(model="resnet18_v1d", crop=1), "takes images of at least 5 px, and these have 1"),
        (TINY["segmentation"].set(crop=4096), "GB of memory for . images of 4096x4096 px, and cpu.0. has 1.0 GB"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(recipe, says, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "whole_memory", lambda: 10**9)
    with pytest.raises(Refused, match=says):
        train_and_evaluate(recipe, tmp_path / "run", Options(contexts=[mx.cpu()]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings, says",
    [
        (dict(dtype="float16"), "dtype is 'float16': choose one of float32, bfloat16"),
        (dict(tricks=(Mixup(),)), "mixup is for training classifiers"),
        (dict(tricks=(CutMix(),)), "cut_mix is for training classifiers"),
        (dict(tricks=(ZeroGamma(),)), "zero_gamma is for training classifiers"),
        (dict(classes=3, class_names=("a", "b")), "class_names has 2 names and classes is 3"),
        (dict(classes=10**9), "classes is 1000000000"),
        (dict(short=5000, long=6000), "short is 5000: it takes 4096 or less"),
        (dict(start_epoch=1), "start_epoch is 1: use --resume auto"),
        (dict(data="VOCdevkit"), "data is 'VOCdevkit': few_scenes is built in; name the kind of your data"),
        (dict(dense_side=0), "dense_side is 0: it takes 1 or more"),
    ],
)
def test_settings_that_make_no_sense(settings, says):
    with pytest.raises(Refused, match=says):
        TINY["detection"].set(**settings)


def test_a_recipe_that_claims_more_classes_than_its_file_has(base, tmp_path):
    """Memory for what it claims is not taken."""
    shutil.copy(base, tmp_path / "final.params")
    (tmp_path / "recipe.json").write_text(json.dumps(TINY["segmentation"].set(classes=60000).to_json()))
    with pytest.raises(Refused, match="no layer for the 60000 classes"):
        load_network(tmp_path)


def test_a_base_without_a_dilated_form_is_refused():
    for model in ("vgg11", "inceptionv3"):
        with pytest.raises(Refused, match=f"{model} has no dilated form, which an FCN needs: use a ResNet"):
            on_trained_base(TINY["segmentation"].set(model=model), [mx.cpu()])


def test_a_detector_says_its_base_and_its_classes(base, tmp_path):
    train_and_evaluate(TINY["detection"].set(epochs=1), tmp_path, Options(contexts=[mx.cpu()], threads=1))
    assert load_network(tmp_path, model="resnet18_v1b", classes=10).classes == scenes.CLASSES
    with pytest.raises(Refused, match="--model vgg11 contradicts .*, whose model is resnet18_v1b"):
        load_network(tmp_path, model="vgg11")
    with pytest.raises(Refused, match="--classes 9 contradicts .*, whose classes is 10"):
        load_network(tmp_path, classes=9)


def test_a_base_of_other_normalisation_is_refused(base, tmp_path):
    shutil.copy(base, tmp_path / "final.params")
    recipe = Recipe(model="resnet18_v1b", classes=7, mean=(0, 0, 0), std=(255, 255, 255))
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    with pytest.raises(Refused, match="give both with --set mean"):
        on_trained_base(TINY["segmentation"].set(base_params=str(tmp_path), classes=2), [mx.cpu()])


def test_annotations_that_training_would_stumble_over():
    image = pathlib.Path("a.jpg")
    crowd, hard = np.zeros((101, 6), np.float32), np.array([[0, 0, 9, 9, 0, 1]], np.float32)
    sizes = np.array([[32, 32]])
    crowded = BoxedImages(("thing",), [image], sizes, [crowd], "")
    only_difficult = BoxedImages(("thing",), [image], sizes, [hard], "")
    with pytest.raises(Refused, match=r"a.jpg has more than 100 objects \(1 such"):
        require_trainable(crowded, crowded)
    with pytest.raises(Refused, match=r"no validation image \(of 1\) has an object that is not difficult"):
        require_trainable(only_difficult, only_difficult)


def test_recipes_survive_json():
    for recipe in (*DETECTION.values(), *SEGMENTATION.values()):
        assert recipe_from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert isinstance(recipe_from_json({"epochs": 3}), Recipe)  # from before there were other tasks
    with pytest.raises(Refused, match="there is no task 'detektion': did you mean detection"):
        recipe_from_json({"task": "detektion"})


def test_the_defaults_are_the_papers():
    """Section 6 and GluonCV's recipes: facts that the tables rest on."""
    voc, ade = DETECTION["voc"], SEGMENTATION["ade20k"]
    assert (voc.short, voc.long, voc.lr, voc.wd, voc.momentum, voc.epochs) == (600, 1000, 1e-3, 5e-4, 0.9, 20)
    assert voc.train_splits == ("2007_trainval", "2012_trainval") and voc.val_splits == ("2007_test",)
    lr_at, plan = voc.schedule(100)
    assert [lr_at(step) for step in (0, 11, 1399, 1400, 1999)] == pytest.approx([7e-3 / 18, 1e-3, 1e-3, 1e-4, 1e-4])
    assert (ade.crop, ade.lr, ade.wd, ade.batch_size, ade.epochs, ade.aux_weight) == (480, 0.01, 1e-4, 16, 120, 0.5)
    assert ade.tricks == (PolyDecay(0.9),) and ade.net == {"norm_layer": "SyncBatchNorm"}


def words(text, recipes, default, begun=None):
    command = detect if recipes is DETECTION else segment
    return transfer_flags.recipe_from_flags(command.parse(text.split()), 2, begun, **command.MEANT)[0]


def test_a_run_that_goes_on_says_what_it_stands_on(tmp_path):
    """The base's run is not there any more."""
    base = tmp_path / "gone"
    begun = DETECTION["voc"].set(model="mobilenet1.0", base_params=str(base)).resolved()
    flags = f"--base-params {base}"
    assert words(flags, DETECTION, "voc", begun) == words("", DETECTION, "voc", begun) == begun
    assert words(flags, DETECTION, "voc").model == DETECTION["voc"].model
    assert words("--base-params other", DETECTION, "voc", begun) != begun
    assert words(f"{flags} --base resnet50_v1d", DETECTION, "voc", begun).model == "resnet50_v1d"
    dense = begun.set(model="vgg16", dense_side=2)
    assert words(flags, DETECTION, "voc", dense) == dense
    path = tmp_path / "recipe.json"  # which knows no dense_side yet, as a cell's
    path.write_text(json.dumps(begun.to_json()))
    assert words(f"--recipe {path} {flags}", DETECTION, "voc", dense) == dense
    assert words(f"--recipe {path} --base-params=", DETECTION, "voc").base_params == ""
    begun = begun.set(base_params=f"hf-hub:me/ours@{'a' * 40}")  # of a hub that is silent now
    assert words("--base-params hf-hub:me/ours", DETECTION, "voc", begun) == begun


def test_a_base_in_the_place_of_a_start():
    """In whatever order it is said."""
    begun = SEGMENTATION["scenes"].set(init="paper").resolved()
    assert words("--base-params b --set init=", SEGMENTATION, "ade20k", begun).init == ""
    with pytest.raises(Refused, match="init is paper, for a base that starts anew, and base_params"):
        words("--base-params b", SEGMENTATION, "ade20k", begun)


def test_a_named_recipe_goes_on_for_the_runs_epochs():
    begun = SEGMENTATION["scenes"].set(epochs=11, rollbacks=7).resolved()
    assert words("--recipe fcn_scenes", SEGMENTATION, "ade20k", begun) == begun
    assert words("--recipe fcn_scenes --epochs 12", SEGMENTATION, "ade20k", begun) == begun.set(epochs=12)


def test_flags_change_what_they_name():
    recipe = words(
        "--base resnet50_v1d --lr 0.002 --lr-decay-epoch 3,4 --lr-decay 0.5 --batch-size 3", DETECTION, "voc"
    )
    assert (recipe.model, recipe.lr, recipe.batch_size) == ("resnet50_v1d", 0.002, 6)  # 3 on each of two devices
    assert recipe.tricks == (Warmup(500 / 4137, start_factor=1 / 3), StepDecay((3.0, 4.0), 0.5))
    plateau = words("--set plateau=on", SEGMENTATION, "ade20k")
    assert Plateau(by=0.5) in words("--lr-decay 0.5", SEGMENTATION, "ade20k", plateau).tricks
    recipe = words(
        "--dataset masks --num-classes 11 --void 11 --crop-size 96 --set aux_weight=0", SEGMENTATION, "ade20k"
    )
    assert (recipe.classes, recipe.void, recipe.crop, recipe.aux_weight) == (11, 11, 96, 0)


def test_a_cell_is_trained_on_a_base_that_is_named():
    cell = "--recipe table9/ade20k/cosine"
    with pytest.raises(
        Refused, match="the base network table6.resnet50_v1d.cosine is a recipe and no run yet: name a run"
    ):
        words(cell, SEGMENTATION, "ade20k")
    assert words(f"{cell} --base-params resnet50_v1d/117a384e", SEGMENTATION, "ade20k").model == "resnet50_v1d"


def test_a_cell_that_starts_from_weights_asks_for_them():
    cell = "--recipe magic_table3/detection/krizhevsky"
    says = "starts from the weights krizhevsky: name them with --base-params SRC, or use .* --network krizhevsky=SRC"
    with pytest.raises(Refused, match=says):
        words(cell, DETECTION, "voc")
    assert words("--recipe magic_table3/detection/kmeans", DETECTION, "voc").base_params == ""


def test_flags_of_own_data(tmp_path):
    recipe = words("--classes Käfer,猫 --train-splits train --val-splits val,more", DETECTION, "voc")
    assert (recipe.class_names, recipe.train_splits, recipe.val_splits) == (
        ("Käfer", "猫"),
        ("train",),
        ("val", "more"),
    )
    (tmp_path / "names.txt").write_text("Käfer\nгусь, серый\n", encoding="utf-8")
    assert words(f"--classes {tmp_path}/names.txt", DETECTION, "voc").class_names == ("Käfer", "гусь, серый")
    assert words("--classes cat", DETECTION, "voc").class_names == ("cat",)  # one class beside the background
    assert words('--set class_names=["cat","dog"]', DETECTION, "voc").class_names == ("cat", "dog")
    recipe = words("--dataset masks --mask-values 0,255 --classes paper,ink", SEGMENTATION, "ade20k")
    assert (recipe.mask_values, recipe.class_names) == ((0, 255), ("paper", "ink"))
    stored = tmp_path / "recipe.json"  # of a run, whose classes the data has told
    stored.write_text(json.dumps(DETECTION["voc"].set(classes=2, class_names=("cat", "dog")).to_json()))
    assert words(f"--recipe {stored} --classes a,b,c", DETECTION, "voc").class_names == ("a", "b", "c")
    for flags, recipes, says in (
        ("--classes names.txt", DETECTION, "--classes names.txt: there is no such file"),
        ("--classes cat,cat", DETECTION, "class_names are cat, cat: give each class a name of its own"),
        (
            "--dataset scenes --classes cat,dog",
            DETECTION,
            "--classes goes with --dataset voc or coco: scenes has its own",
        ),
        ("--classes cat,dog", SEGMENTATION, "--classes goes with --dataset masks: ade20k has its own"),
        ("--mask-values 0,255", SEGMENTATION, "--mask-values goes with --dataset masks"),
        *(
            (
                f"--dataset masks --mask-values {text}",
                SEGMENTATION,
                "--mask-values takes whole numbers with commas .*, but",
            )
            for text in ("0,nan", "0,1e400", "0,1.5", "0,")
        ),
        ("--dataset masks --mask-values 0,255 --void 255", SEGMENTATION, "--void 255 is one of --mask-values 0,255"),
        ("--dataset masks --mask-values 0,255 --num-classes 3", SEGMENTATION, "one value for each class"),
    ):
        with pytest.raises(Refused, match=says):
            words(flags, recipes, "voc" if recipes is DETECTION else "ade20k")


def own_voc(root, names=("Käfer", "猫")):
    """A folder with JPEGImages, Annotations and ImageSets of two images to train on and one to validate on."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for i, name in enumerate((*names, names[0])):
        cv2.imwrite(str(root / f"JPEGImages/{i}.jpg"), np.full((30, 40, 3), 60 * i, np.uint8))
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
        text = f"<annotation><object><name>{name}</name>{box}</object></annotation>"
        (root / f"Annotations/{i}.xml").write_text(text, encoding="utf-8")
    (root / "ImageSets/Main/train.txt").write_text("0\n1\n")
    (root / "ImageSets/Main/val.txt").write_text("2\n")
    return root


def test_own_classes_of_a_detector_reach_its_run_and_its_evaluation(tmp_path, caplog):
    own = dict(data=str(own_voc(tmp_path)), train_splits=("train",), val_splits=("val",), batch_size=1)
    recipe = DetectionRecipe(class_names=("Käfer", "猫"), **own)
    task = Detection(recipe, [mx.cpu()], 1)
    assert task.recipe.class_names == ("Käfer", "猫") and task.recipe.classes == 2
    stored = Trained(None, recipe_from_json(json.loads(json.dumps(task.recipe.to_json()))))
    opened = Detection.open_validation("run", [mx.cpu()], ScoringOptions(), stored)
    assert opened.loader.records.classes == ("Käfer", "猫")
    assert all("no validation image" in line and "猫: the mean is over" in line for line in caplog.messages)
    with pytest.raises(
        Refused, match="0.xml: unknown class 'Käfer'.*The classes are cat, dog: name those of your data"
    ):
        Detection(recipe.set(class_names=("cat", "dog")), [mx.cpu()], 1)


def test_evaluation_says_what_a_run_takes_and_names_no_flags_of_a_training(tmp_path):
    own = dict(data=str(own_voc(tmp_path)), train_splits=("train",), val_splits=("val",))
    recipe = DetectionRecipe(class_names=("cat", "dog"), batch_size=1, **own)
    tagger = MultiLabelRecipe(class_names=("cat", "dog"), **own)
    net = get_model("cifar_resnet20_v1", classes=2)
    takes = "RUN takes data like its own, with the validation list {} and the classes cat, dog$"
    for splits, says in ((("val",), "unknown class 'Käfer'"), (("test",), "there is no list .*test.txt")):
        for task, stored in (
            (Detection, Trained(None, recipe.set(val_splits=splits))),
            (MultiLabel, Trained(net, tagger.set(val_splits=splits))),
        ):
            with pytest.raises(Refused, match=f"{says}.*: {takes.format(*splits)}") as refusal:
                task.open_validation("RUN", [mx.cpu()], ScoringOptions(), stored)
            assert "--" not in str(refusal.value)


@pytest.mark.parametrize(
    ("task", "change"),
    [
        (Detection, dict(class_names=("cat", "dog"))),
        (Detection, dict(classes=7)),
        (Segmentation, dict(class_names=("cat", "dog"))),
        (Segmentation, dict(classes=7)),
    ],
)
def test_classes_that_built_in_data_does_not_have_are_refused(task, change):
    kind = DetectionRecipe if task is Detection else SegmentationRecipe
    with pytest.raises(
        Refused, match="(class_names cat, dog|classes=7): the data set few_scenes has its own 1[01] class"
    ):
        task(kind(dataset="few_scenes", **change), [mx.cpu()], 1)


def test_flags_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(Refused, match="--resume-params: use --resume auto"):
        words("--resume-params x", DETECTION, "voc")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(SEGMENTATION["scenes"].to_json()))
    with pytest.raises(
        Refused, match="is a recipe of segmentation, and this command trains detectors: use gluon-tricks segment"
    ):
        words(f"--recipe {path}", DETECTION, "voc")
    with pytest.raises(Refused, match="--num-classes goes with --dataset masks: ade20k has its own"):
        words("--num-classes 3", SEGMENTATION, "ade20k")
    with pytest.raises(Refused, match="scenes is built in"):
        words("--dataset scenes --data x", SEGMENTATION, "ade20k")
    with pytest.raises(Refused, match="--lr-decay 0.5 goes with --lr-decay-epoch: fcn_ade20k has no step decay"):
        words("--lr-decay 0.5", SEGMENTATION, "ade20k")
    with pytest.raises(Refused, match="short 1200 and long 1000"):
        words("--short 1200", DETECTION, "voc")


def test_the_loop_knows_no_task():
    """train.py names none of the three."""
    with open(loop.__file__, encoding="utf-8") as file:
        text = file.read()
    assert not [word for word in ("classification", "detection", "segmentation", "top1") if word in text]


def test_a_network_is_scored_as_it_is_unless_a_precision_is_asked_for():
    net, seen = mx.gluon.nn.Dense(1, in_units=2), []
    net.initialize()
    net.cast("float64")

    def score(net, batches, contexts, records, preprocess, found):
        seen.append((preprocess(np.zeros((1, 2, 2, 3), np.uint8), mx.cpu()).dtype, net.weight.dtype, net._active))

    task, loader = types.SimpleNamespace(score=score), types.SimpleNamespace(records=None)
    validation = AnnotatedValidation(task, net, TINY["detection"].resolved(), "a run", "a folder", loader, [mx.cpu()])
    validation.score([])
    validation.score([], "float32")
    assert seen == [(np.float64, "float64", False), (np.float32, "float32", True)]
