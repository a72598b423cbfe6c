"""Annotations in COCO's format. pycocotools is the oracle for what is in a file, where it is installed."""

import contextlib
import io
import json
import shutil

import cv2
import mxnet as mx
import numpy as np
import PIL.features
import PIL.Image
import pytest

from gluon_tricks.cli import detect, transfer_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.coco import read_coco
from gluon_tricks.data.annotations.coco_files import find_coco, looks_like_coco
from gluon_tricks.networks.load import Trained
from gluon_tricks.recipes.kinds import recipe_from_json
from gluon_tricks.recipes.named.detection_segmentation import DETECTION
from gluon_tricks.tasks.detection.task import Detection
from gluon_tricks.tasks.protocol import ScoringOptions

CATEGORIES = [
    {"id": 90, "name": "猫", "supercategory": "animal"},
    {"id": 1, "name": "person"},
    {"id": 7, "name": "fire hydrant"},
]


def thing(image=5, category=1, bbox=(2, 3, 10, 12), **more):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(bbox), "iscrowd": 0, **more}


def image(number=5, name="a.jpg", **more):
    return {"id": number, "file_name": name, **more}


def content(*things, images=None, categories=CATEGORIES):
    images = [image()] if images is None else images
    annotations = [{**one, "id": k} for k, one in enumerate(things, 1)]
    return {"info": {}, "images": [*images], "annotations": annotations, "categories": [*categories]}


def turn(path, orientation):
    """Writes 40 x 30 px that are shown turned."""
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.new("RGB", (40, 30)).save(path, exif=exif)


@pytest.fixture
def coco(tmp_path):
    """make(what the file holds, split, its place) -> (file, its folders); every image named has 40 x 30 px."""

    def make(held, split="train", place="annotations/instances_{}.json", root=tmp_path):
        path = root / place.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(held if isinstance(held, str) else json.dumps(held))
        for one in held["images"] if isinstance(held, dict) and isinstance(held.get("images"), list) else ():
            name = one.get("file_name") if isinstance(one, dict) else None
            if isinstance(name, str) and 0 < len(name) < 255 and ".." not in name and name.isprintable():
                file = root / split / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(cv2.imencode(".jpg", np.full((30, 40, 3), len(split), np.uint8))[1].tobytes())
        return path, [root / split]

    return make


def test_boxes_classes_and_images_are_pycocotools(coco):
    pycocotools = pytest.importorskip("pycocotools.coco")
    rng = np.random.default_rng(0)
    images = [image(3 * k, f"{k % 2}/{k}.jpg", height=30, width=40) for k in range(9, 0, -1)]
    things = [
        thing(3 * int(rng.integers(1, 9)), int(rng.choice([1, 7, 90])), (x, y, w, h), segmentation=[[1, 2, 3, 4, 5, 6]])
        for x, y, w, h in (rng.uniform((0, 0, 2, 2), (20, 15, 19, 14)) for _ in range(30))
    ]
    path, folders = coco(content(*things, images=images))
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = pycocotools.COCO(str(path))
    ours = read_coco(path, folders, train=True)
    assert list(ours.classes) == [one["name"] for one in theirs.loadCats(sorted(theirs.getCatIds()))]
    assert [str(file.relative_to(folders[0])) for file in ours.paths] == [one["file_name"] for one in images]
    index = {number: k for k, number in enumerate(sorted(theirs.getCatIds()))}
    for one, boxes in zip(images, ours.boxes):
        found = theirs.loadAnns(theirs.getAnnIds(imgIds=one["id"]))
        wanted = [(x, y, x + w - 1, y + h - 1, index[a["category_id"]], 0) for a in found for x, y, w, h in [a["bbox"]]]
        np.testing.assert_allclose(boxes, np.array(wanted).reshape(-1, 6), rtol=1e-6)
    assert len(ours.boxes[0]) == 0 and ours.sizes.tolist() == [[30, 40]] * 9  # of 27 there is none


def test_the_whole_image_is_its_first_to_its_last_pixel(coco):
    boxes = read_coco(*coco(content(thing(bbox=(0, 0, 40, 30)))), train=True).boxes[0]
    np.testing.assert_array_equal(boxes, [[0, 0, 39, 29, 0, 0]])


def test_crowds_count_nowhere(coco):
    """In training they are no objects; in validation they are difficult ones."""
    held = content(thing(), thing(iscrowd=1, segmentation={"counts": "abc", "size": [30, 40]}), thing(ignore=1))
    assert read_coco(*coco(held), train=True).boxes[0][:, 5].tolist() == [0]
    assert read_coco(*coco(held), train=False).boxes[0][:, 5].tolist() == [0, 1, 1]


def test_boxes_beyond_their_image_and_without_area(coco, caplog):
    held = content(
        thing(bbox=(-5.5, 3, 10, 12)), thing(bbox=(30, 20, 10.5, 10)), thing(bbox=(2, 3, 0, 4)),
        thing(bbox=(3, 3, 1, 9)), thing(bbox=(60, 60, 9, 9)),
    )  # fmt: skip
    boxes = read_coco(*coco(held), train=True).boxes[0]
    np.testing.assert_array_equal(boxes[:, :4], [[0, 3, 3.5, 14], [30, 20, 39, 29]])
    said = " ".join(caplog.messages)
    assert "3 boxes with a side of a pixel or less in their image are left out" in said
    assert "1 boxes reach beyond their image and are cut" in said


def test_chosen_classes_in_their_order(coco, caplog):
    held = content(thing(category=1), thing(category=90), thing(category=7))
    images = read_coco(*coco(held), ("猫", "person"), train=True)
    assert images.classes == ("猫", "person") and images.boxes[0][:, 4].tolist() == [1, 0]
    assert "1 boxes of classes that were not chosen are left out" in caplog.text
    with pytest.raises(Refused, match="has no category dog: name classes as they are there, 猫, person, fire hydrant"):
        read_coco(*coco(held), ("dog", "猫"), train=True)
    assert read_coco(*coco(held), ("dog", "猫"), train=False).classes == ("dog", "猫")  # validation has no dog
    named = content(thing(), categories=[{"id": 1, "name": "caf\u00e9"}])
    assert read_coco(*coco(named), ("cafe\u0301",), train=True).boxes[0][:, 4].tolist() == [
        0
    ]  # in Unicode's other form


@pytest.mark.parametrize("name", ["б а.jpg", "<b>.jpg", "x" * 200 + ".jpg", "deep/er/猫.jpg", "a%20b.jpg", "~a.jpg"])
def test_odd_names(coco, name):
    images = read_coco(*coco(content(thing(), images=[image(name=name)])), train=True)
    assert images.paths[0].is_file() and len(images.boxes[0]) == 1


NUMBERS = "it takes x, y, width, height in px"


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ("", "it is no JSON"),
        ("[" * 999 + "]" * 999, "deeper than 64"),
        ('{"images": [NaN]}', "NaN is no number"),
        ("[]", 'it has no list "images" of objects'),
        ('{"images": {}, "annotations": [], "categories": []}', 'it has no list "images" of objects'),
        ({"images": [image()], "categories": CATEGORIES}, 'it has no list "annotations" of objects'),
        ({"images": [image()], "annotations": [1], "categories": CATEGORIES}, 'no list "annotations" of objects'),
        (content(images=[]), "names no image"),
        (content(categories=[]), "has no categories"),
        (content(categories=[{"id": 1}]), "it needs an id and a name"),
        (content(categories=[{"id": 1, "name": "a\0"}]), "has control characters in its name"),
        (content(categories=[{"id": 1, "name": "a\nb"}]), "has control characters in its name"),
        (content(categories=[{"id": True, "name": "a"}]), "it needs an id and a name"),
        (content(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "its id 1 is there twice"),
        (content(categories=[{"id": 1, "name": "\u00e9"}, {"id": 2, "name": "e\u0301"}]), "its id 2 is there twice"),
        (content(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "the category 'a' or its id"),
        (content(images=[image(), image()]), "the image 'a.jpg' or its id 5 is there twice"),
        (content(images=[image(), image(6, "./a.jpg")]), "the image './a.jpg' or its id 6 is there twice"),
        (content(images=[image(number=None)]), "it needs an id and a file_name"),
        (content(images=[image(name=7)]), "it needs an id and a file_name"),
        (content(images=[image(name="\0")]), "it needs an id and a file_name"),
        (content(images=[image(name="\ud800")]), "it needs an id and a file_name"),
        (content(images=[image(), image(6, "../a.jpg")]), "'../a.jpg', which leads out of the folder"),
        (content(images=[image(), image(6, "/etc/passwd")]), "'/etc/passwd', which leads out of the folder"),
        (content(images=[image(), image(6, "y" * 300)]), "y.*File name too long"),
        (content(images=[image(name="\n")]), "which is in none of"),
        (content(images=[image(width=30, height=40)]), "says 30 x 40 px, and the image as it is stored has 40 x 30"),
        (content(images=[image(width=40)]), "says 40 x None px"),
        (content(images=[image(width="40", height=30)]), "says '40' x 30 px"),
        (content(thing(image=8)), "1 of 1 annotation cannot be used: annotation 1 is of the image 8, which"),
        (content(thing(image=[5])), "is of the image \\[5\\]"),
        (content(thing(category=3)), "is of the category 3, which is not there"),
        (content(thing(category="1")), "is of the category '1', which is not there"),
        (content(thing(iscrowd={})), "annotation 1 has iscrowd {}, which is 0 or 1"),
        (content(thing(bbox=(1, 2, 3))), NUMBERS),
        (content(thing(bbox=(1, 2, 3, -4))), NUMBERS),
        (content(thing(bbox=(1, 2, 3, "4"))), NUMBERS),
        (content(thing(bbox=(1, 2, 3, True))), NUMBERS),
        (content(thing(bbox=(1, 2, 3, 10**400))), NUMBERS),
        (content({k: v for k, v in thing().items() if k != "bbox"}), "has the bbox None"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(coco, held, says):
    with pytest.raises(Refused, match=says) as caught:
        read_coco(*coco(held), train=True)
    assert "instances_train.json" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_images_are_counted(coco):
    path, folders = coco(content(images=[image(k, f"{k}.jpg") for k in range(6)]))
    for k in (2, 3, 4, 5):
        (folders[0] / f"{k}.jpg").unlink()
    with pytest.raises(Refused, match="4 of 6 images .* there is no .*2.jpg; .*; and 1 more"):
        read_coco(path, folders, train=True)
    with pytest.raises(Refused, match="none.json"):
        read_coco(path.with_name("none.json"), folders, train=True)


@pytest.mark.parametrize("form", ["GIF", "AVIF"])
def test_an_image_that_is_opened_and_not_decoded(coco, form):
    if form == "AVIF" and not PIL.features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    path, folders = coco(content(images=[image(name="a.gif")]))
    PIL.Image.new("RGB", (40, 30)).save(folders[0] / "a.gif", form)
    with pytest.raises(Refused, match="1 of 1 image .*a.gif is no JPEG, PNG, BMP, WebP or TIFF"):
        read_coco(path, folders, train=True)


def test_images_that_exif_turns(coco, caplog):
    """Boxes count the pixels as they are stored: told of, and where the sides are swapped the refusal says why."""
    path, folders = coco(content(thing(), images=[image(width=40, height=30), image(6, "b.jpg")]))
    upright = read_coco(path, folders, train=True)
    assert "EXIF" not in caplog.text
    turn(folders[0] / "a.jpg", 3)
    turned = read_coco(path, folders, train=True)
    assert (
        "1 of 2 images of" in caplog.text and "such as" in caplog.text and "a.jpg: boxes are taken for" in caplog.text
    )
    np.testing.assert_array_equal(turned.boxes[0], upright.boxes[0])
    path.write_text(json.dumps(content(images=[image(width=30, height=40)])))
    turn(folders[0] / "a.jpg", 6)
    with pytest.raises(Refused, match=r"says 30 x 40 px, .* stored has 40 x 30 px \(its EXIF data turns it, which"):
        read_coco(path, folders, train=True)


LAYOUTS = {  # place of the annotations, images beside train/ -> the split by which they are found
    "annotations/instances_{}.json": "train",
    "annotations/instances_{}2017.json": "train",
    "annotations/{}.json": "train",
    "{}/_annotations.coco.json": "train",  # Roboflow's
    "{}.json": "train",
    "instances_{}.json": "train",
    "{}/annotations.json": "train",
    "labels/{}_v2.json": "labels/train_v2.json",
    "{}_v2.JSON": "train_v2.JSON",
}


@pytest.mark.parametrize("place", LAYOUTS)
@pytest.mark.parametrize("images", ["train", "images/train", "images", "."])
def test_layouts(coco, tmp_path, place, images):
    coco(content(thing()), place=place)
    word = "train2017" if "2017" in place else "train_v2" if "_v2" in place else "train"
    target = tmp_path / images.replace("train", word)
    if target != tmp_path / "train":
        target.mkdir(parents=True, exist_ok=True)
        shutil.move(tmp_path / "train" / "a.jpg", target / "a.jpg")
    path, folders = find_coco(tmp_path, LAYOUTS[place])
    assert looks_like_coco(tmp_path, [LAYOUTS[place]])
    assert read_coco(path, folders, train=True).paths == [target / "a.jpg"]


def test_valid_is_val_and_what_is_ambiguous_is_refused(coco, tmp_path):
    coco(content(thing()), "valid", "{}/_annotations.coco.json")
    assert find_coco(tmp_path, "val")[0] == tmp_path / "valid" / "_annotations.coco.json" and looks_like_coco(tmp_path)
    for year in (2014, 2017):
        coco(content(thing()), f"train{year}")
    with pytest.raises(Refused, match="several annotations for train .instances_train2014.json, instances_train2017"):
        find_coco(tmp_path, "train")
    with pytest.raises(Refused, match="no annotations/instances_test.json .there are annotations/instances_train2014"):
        find_coco(tmp_path, "test")
    for split in ("", "../x", "a\0", "none.json"):
        with pytest.raises(Refused, match="name (a JSON file|the files)"):
            find_coco(tmp_path, split)
    assert not looks_like_coco(tmp_path / "none")


@pytest.mark.parametrize("images", ["JPEGImages", "VOC2007/JPEGImages", "VOCdevkit/VOC2007/JPEGImages"])
def test_in_the_layout_of_voc_only_a_named_file_is_of_coco(coco, tmp_path, images):
    coco(content(thing()), place="{}.json")
    assert looks_like_coco(tmp_path)
    (tmp_path / images).mkdir(parents=True)
    assert not looks_like_coco(tmp_path) and not looks_like_coco(tmp_path, ["train", "val"])
    assert looks_like_coco(tmp_path, ["train.json", "val.json"])


@pytest.fixture
def own(coco, tmp_path):
    coco(content(thing(category=90), thing(category=1), images=[image(), image(6, "b.jpg")]))
    coco(content(thing(category=1)), "val")
    return tmp_path


def test_a_run_keeps_its_classes_and_its_identity(own, tmp_path_factory):
    """Read again by evaluation alone, and where the folder has moved."""
    recipe = DETECTION["coco"].set(data=str(own), batch_size=1)
    task = Detection(recipe, [mx.cpu()], 1)
    assert task.recipe.class_names == ("person", "fire hydrant", "猫") and task.recipe.classes == 3
    moved = shutil.copytree(own, tmp_path_factory.mktemp("moved") / "x")
    again = Detection(recipe.set(data=str(moved)), [mx.cpu()], 1)
    assert again.train.records.digest == task.train.records.digest
    stored = Trained(None, recipe_from_json(json.loads(json.dumps(task.recipe.to_json()))))
    opened = Detection.open_validation("run", [mx.cpu()], ScoringOptions(data=str(moved)), stored)
    assert opened.loader.records.classes == task.recipe.class_names
    with pytest.raises(Refused, match="train_splits are a, b: of coco it takes one file"):
        Detection(recipe.set(train_splits=("a", "b")), [mx.cpu()], 1)
    with pytest.raises(Refused, match="in COCO's format with --data"):
        Detection(recipe.set(data=""), [mx.cpu()], 1)


@pytest.mark.parametrize("things", [(), [thing(iscrowd=1)]])
def test_images_without_an_object_are_not_evaluated_on(own, coco, things):
    """Refused before the pass over them."""
    recipe = DETECTION["coco"].set(data=str(own), batch_size=1)
    stored = Trained(None, Detection(recipe, [mx.cpu()], 1).recipe)
    coco(content(*things), "val")
    with pytest.raises(Refused, match=r"no validation image \(of 1\) has an object that is not difficult"):
        Detection.open_validation("run", [mx.cpu()], ScoringOptions(data=str(own)), stored)


def test_the_flags(own):
    def meant(text):
        return transfer_flags.recipe_from_flags(detect.parse(text.split()), 1, None, **detect.MEANT)[0]

    found = meant(f"--data {own}")
    assert (found.dataset, found.train_splits, found.val_splits) == ("coco", ("train",), ("val",))
    assert found == meant(f"--dataset coco --data {own}")
    chosen = meant(f"--data {own} --classes 猫,person --val-splits annotations/instances_val.json")
    assert chosen.class_names == ("猫", "person") and chosen.val_splits == ("annotations/instances_val.json",)
    assert meant(f"--data {own} --dataset voc").dataset == "voc"


def test_files_that_are_named_are_of_this_format(tmp_path):
    """As in the documents: nothing else in the folder tells of it."""
    flags = f"--data {tmp_path} --train-splits a/train.json --val-splits a/val.json --classes cat,dog"
    found = transfer_flags.recipe_from_flags(detect.parse(flags.split()), 1, None, **detect.MEANT)[0]
    assert (found.dataset, found.train_splits, found.val_splits) == ("coco", ("a/train.json",), ("a/val.json",))
