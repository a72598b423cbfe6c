import pathlib
import shutil

import cv2
import numpy as np
import PIL.Image
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.annotations.boxes import VOC_CLASSES, read_voc, report_classes
from gluon_tricks.data.annotations.image_labels import read_voc_labels

OBJECT = (
    "<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
SIZE = "<size><width>40</width><height>30</height><depth>3</depth></size>"


def annotation(*objects, size=SIZE):
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def thing(name="cat", box=(1, 1, 40, 30), more="<difficult>0</difficult>"):
    return OBJECT.format(name, more, *box)


def saved(form, **options):
    """Writes a picture of 40 x 30 px in a format of Pillow's."""
    return lambda path: PIL.Image.new("RGB", (40, 30)).save(path, form, **options)


def save_of_12_bits(path):
    data = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
    path.write_bytes(data.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"))


def save_half(path):
    saved("PNG")(path)
    path.write_bytes(path.read_bytes()[:-20])


UNDECODED = [
    (saved("GIF"), "no JPEG, PNG, BMP, WebP or TIFF"),
    (saved("PPM"), "no JPEG, PNG, BMP, WebP or TIFF"),
    (saved("TIFF", save_all=True, append_images=[PIL.Image.new("RGB", (40, 30))]), "a TIFF of several pages"),
    (save_of_12_bits, "a JPEG of 12 bits a channel"),
    (save_half, "a PNG that is cut off"),
]


@pytest.fixture
def voc(tmp_path):
    """kit(annotations of the images 0, 1, ..., all 40 x 30 px) -> a folder with VOC2007's trainval."""

    def kit(*annotations, listed=None):
        folder = tmp_path / "VOCdevkit" / "VOC2007"
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (folder / name).mkdir(parents=True)
        for i, text in enumerate(annotations):
            cv2.imwrite(str(folder / f"JPEGImages/{i}.jpg"), np.zeros((30, 40, 3), np.uint8))
            (folder / f"Annotations/{i}.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
        listed = "".join(f"{i}\n" for i in range(len(annotations))) if listed is None else listed
        (folder / "ImageSets/Main/trainval.txt").write_text(listed)
        return tmp_path

    return kit


def read(root, **options):
    return read_voc(root, ("2007_trainval",), **options)


def test_boxes_count_from_0_and_keep_their_order(voc):
    part = "<difficult>1</difficult><part><name>head</name><bndbox><xmin>0</xmin></bndbox></part>"
    root = voc(annotation(thing("tvmonitor", (2, 3, 11, 13), part), thing("aeroplane", (1, 1, 40, 30))))
    images = read(root)
    np.testing.assert_array_equal(images.boxes[0], [[1, 2, 10, 12, 19, 1], [0, 0, 39, 29, 0, 0]])
    assert images.boxes[0].dtype == np.float32 and images.sizes.tolist() == [[30, 40]]
    assert len(images) == 1 and images.classes == VOC_CLASSES and images.paths[0].name == "0.jpg"
    inside = read(root / "VOCdevkit")  # the folder itself, or the one it lies in
    assert inside.paths == images.paths and inside.digest == images.digest


def test_what_may_be_missing_or_one_pixel_out(voc):
    image = read(
        voc(
            annotation(),
            annotation(thing(more=""), size=""),
            annotation(thing(box=(0, 0, 41, 31)), thing(box=("2.5", "3.5", "10.25", 12))),
        )
    )
    assert [boxes.tolist() for boxes in image.boxes] == [
        [],
        [[0, 0, 39, 29, 7, 0]],  # cat is the eighth class
        [[0, 0, 39, 29, 7, 0], [1.5, 2.5, 9.25, 11, 7, 0]],
    ]
    assert image.boxes[0].shape == (0, 6)


def test_other_classes(voc):
    images = read(voc(annotation(thing("star"), thing("disc"))), classes=("disc", "star"))
    assert images.boxes[0][:, 4].tolist() == [1, 0]
    with pytest.raises(Refused, match="different names, at least one: star"):
        read(images.paths[0], classes=("star", "star"))


def test_a_class_is_found_in_either_form_of_unicode(voc):
    images = read(voc(annotation(thing("caf\u00e9"))), classes=("disc", "cafe\u0301"))
    assert images.boxes[0][:, 4].tolist() == [1]


BOMB = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><annotation>&b;</annotation>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (annotation(thing("unicorn")), "unknown class 'unicorn'"),
        (annotation(thing(box=(10, 5, 10, 9))), "the box 10, 5, 10, 9 of a cat is empty"),
        (annotation(thing(box=(10, 9, 12, 5))), "the box 10, 9, 12, 5 of a cat is empty"),
        (annotation(thing(box=(1, 1, 42, 30))), "the box 1, 1, 42, 30 of a cat is outside the image of 40 x 30 px"),
        (annotation(thing(box=(-1, 1, 40, 30))), "outside the image"),
        (annotation(thing(box=(40, 1, 41, 30))), "empty within the image"),
        (annotation(thing(box=("nan", 1, 40, 30))), "<xmin> of <bndbox> is 'nan' and not a number"),
        (annotation(thing(box=(1, 1, "1e999", 30))), "<xmax> of <bndbox> is '1e999' and not a number"),
        (annotation("<object><name>cat</name></object>"), "a cat has no <bndbox>"),
        (annotation(size=SIZE.replace("40", "30")), "it says 30 x 30 px, and the image as it is stored has 40 x 30"),
        (annotation()[:-5], "it is not XML"),
        (b"\xff\xfe\x00", "it is not XML"),
        ("<html></html>", "it holds a <html>"),
        (BOMB, "it has a document type"),
        (BOMB.encode("utf-16"), "it has a document type"),
        ("", "is empty"),
    ],
)
def test_a_bad_annotation_is_named(voc, text, says):
    root = voc(annotation(thing()), text)
    with pytest.raises(Refused) as caught:
        read(root)
    assert str(caught.value).startswith(f"1 of 2 images of {root} cannot be used: ")
    assert str(root / "VOCdevkit/VOC2007/Annotations/1.xml") in str(caught.value) and says in str(caught.value)


def test_all_problems_are_counted_and_three_are_shown(voc):
    root = voc(*[annotation(thing("unicorn" if i % 2 else "cat")) for i in range(10)])
    (root / "VOCdevkit/VOC2007/Annotations/0.xml").unlink()
    (root / "VOCdevkit/VOC2007/JPEGImages/2.jpg").unlink()
    with pytest.raises(Refused) as caught:
        read(root, jobs=3)
    text = str(caught.value)
    assert text.startswith("7 of 10 images") and "; and 4 more. " in text
    assert "there is no" in text and "0.xml" in text and "1.xml" in text and "2.jpg" in text and "3.xml" not in text


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ("0\n1\n0\n", "names '0', which was named before"),
        ("0\n./0\n", "names './0', which was named before"),
        ("../../0\n", "leads out of the folder"),
        ("/etc/passwd\n", "leads out of the folder"),
        ("0 -1\n", "there is no .*0 -1.jpg"),
        (f"{'9' * 300}\n", "names '9+ ... 9+' ...: File name too long"),
    ],
)
def test_a_bad_list_is_named(voc, listed, says):
    with pytest.raises(Refused, match=f"1 of . images? .*{says}"):
        read(voc(annotation(), annotation(), listed=listed))


def test_own_classes_in_a_folder_without_a_year(voc, tmp_path, caplog):
    """VOC's layout without VOC2007 about it, with names of its own, one of which no annotation has."""
    root = voc(annotation(thing("Käfer")), annotation(thing("wombat"), thing("Käfer", more="<difficult>1</difficult>")))
    own = (root / "VOCdevkit/VOC2007").rename(tmp_path / "own")
    names = ("wombat", "Käfer", "猫")
    images = read_voc(own, ("trainval",), names)
    assert images.classes == names and [boxes[:, 4].tolist() for boxes in images.boxes] == [[1], [0, 1]]
    moved = own.rename(tmp_path / "moved")
    assert read_voc(moved, ("trainval",), names).digest == images.digest
    report_classes(images, own, train=True)
    assert caplog.messages == [f"no training image of {own} has the class 猫: it cannot be learnt"]
    report_classes(images, own, train=False)  # the beetle of image 0 is not difficult
    assert caplog.messages[1:] == [f"no validation image of {own} has the class 猫: the mean is over the others"]
    with pytest.raises(Refused) as caught:
        read_voc(moved, ("trainval",), ("cat", "dog"))
    text = str(caught.value)
    assert "0.xml: unknown class 'Käfer'" in text and "1.xml: unknown class 'wombat'" in text
    assert text.count("The classes are cat, dog: name those of your data with --classes") == 1
    (moved / "ImageSets/Main/trainval.txt").rename(moved / "ImageSets/train.txt")
    (moved / "ImageSets/Main").rmdir()
    assert len(read_voc(moved, ("train",), names)) == 2


def test_lists_that_are_not_there(voc):
    root = voc(annotation(), listed="\n")
    with pytest.raises(Refused, match="name no image"):
        read(root)
    with pytest.raises(Refused, match="no list .*test.txt .there are trainval.: .* --train-splits"):
        read_voc(root, ("2007_test",))
    with pytest.raises(Refused, match="there is no folder JPEGImages or VOC2012"):
        read_voc(root, ("2007_trainval", "2012_trainval"))
    for split in ("2007", "_test", "2007_../../x"):
        with pytest.raises(Refused, match="YEAR_LIST"):
            read_voc(root, (split,))


@pytest.mark.parametrize("split", ["2007_" + "x" * 300, "x" * 300 + "_trainval"])
def test_names_that_are_too_long(voc, split):
    root = voc(annotation())
    with pytest.raises(Refused, match=r"there is no list |there is no folder JPEGImages or VOCxxx"):
        read_voc(root, (split,))
    with pytest.raises(Refused, match="there is no folder JPEGImages or VOC2007"):
        read_voc(root / ("x" * 300), ("2007_trainval",))


def test_endings_in_capitals(voc):
    folder = voc(annotation(thing())) / "VOCdevkit/VOC2007"
    before = read(folder.parent).digest
    (folder / "JPEGImages/0.jpg").rename(folder / "JPEGImages/0.JPG")
    (folder / "Annotations/0.xml").rename(folder / "Annotations/0.XML")
    assert read(folder.parent).digest == before


def test_images_that_exif_turns(voc, caplog):
    root = voc(annotation(thing(box=(1, 1, 30, 40)), size=""), annotation(thing()))
    for k, orientation in enumerate((8, 2)):
        exif = PIL.Image.Exif()
        exif[274] = orientation
        PIL.Image.new("RGB", (40, 30)).save(root / f"VOCdevkit/VOC2007/JPEGImages/{k}.jpg", exif=exif)
    with pytest.raises(Refused, match="0.xml: the box .* is outside the image of 40 x 30 px .its EXIF data turns it"):
        read(root)
    (root / "VOCdevkit/VOC2007/Annotations/0.xml").write_text(annotation())
    read(root)
    assert "2 of 2 images of" in caplog.text and "boxes are taken for the photo as it is stored" in caplog.text


def test_images_that_are_none(voc):
    root = voc(annotation(), annotation())
    images = root / "VOCdevkit/VOC2007/JPEGImages"
    (images / "0.jpg").write_text("no image")
    (images / "1.jpg").write_bytes(b"")
    with pytest.raises(Refused, match=r"2 of 2 .*0.jpg is no JPEG, PNG, BMP, WebP or TIFF; .*1.jpg is empty\."):
        read(root)
    # A PNG that claims 60000 x 60000 px is not believed.
    PIL.Image.new("L", (40, 30)).save(images / "0.png")
    claims = bytearray((images / "0.png").read_bytes())
    claims[16:24] = (60000).to_bytes(4, "big") * 2
    (images / "0.jpg").write_bytes(bytes(claims))
    with pytest.raises(Refused, match="0.jpg is an image of more than 134 million pixels"):
        read(root)


@pytest.mark.parametrize(("save", "says"), UNDECODED)
def test_images_that_are_opened_and_not_decoded(voc, save, says):
    root = voc(annotation())
    save(root / "VOCdevkit/VOC2007/JPEGImages/0.jpg")
    for reader in (read, lambda root: read_voc_labels(root, ("2007_trainval",))):
        with pytest.raises(Refused, match=f"1 of 1 image .*0.jpg is {says}"):
            reader(root)


def test_an_image_is_not_turned_by_its_exif(voc):
    root = voc(annotation(thing()))
    turned = PIL.Image.Exif()
    turned[0x0112] = 6  # by a quarter
    PIL.Image.new("RGB", (40, 30)).save(root / "VOCdevkit/VOC2007/JPEGImages/0.jpg", exif=turned)
    assert read(root).sizes.tolist() == [[30, 40]]


def test_the_digest_is_of_the_data_wherever_it_lies(voc, tmp_path):
    root = voc(annotation(thing()), annotation(thing("dog")))
    digest = read(root).digest
    shutil.copytree(root / "VOCdevkit", tmp_path / "other" / "VOCdevkit")
    assert read(tmp_path / "other").digest == digest
    assert read(root, classes=VOC_CLASSES[::-1]).digest != digest
    path = root / "VOCdevkit/VOC2007/Annotations/1.xml"
    path.write_text(annotation(thing("dog", (1, 1, 39, 30))))
    assert read(root).digest != digest


def test_equals_gluoncv_on_real_annotations(shared_data):
    from gluoncv.data import VOCDetection

    images = read_voc(shared_data / "voc_mini", ("2007_trainval", "2007_test"))
    theirs = VOCDetection(str(shared_data / "voc_mini"), ((2007, "trainval"), (2007, "test")))
    assert len(images) == len(theirs) == 200 and images.classes == theirs.classes
    for i in range(200):
        np.testing.assert_array_equal(images.boxes[i], theirs._load_label(i))
        width, height = theirs._im_shapes[i]
        assert images.sizes[i].tolist() == [height, width]
    stacked = np.concatenate(images.boxes)
    assert (len(stacked), stacked[:, 5].sum()) == (807, 177)  # counted in the files with grep
    assert pathlib.Path(theirs._image_path.format(*theirs._items[7])) == images.paths[7]


@pytest.mark.parametrize("written", ["true", "1.0", "yes"])
def test_difficult_is_0_or_1(voc, written):
    with pytest.raises(Refused, match=f"<difficult> of a cat is '{written}', and it takes 0 or 1"):
        read_voc(voc(annotation(thing(more=f"<difficult>{written}</difficult>"))), ("2007_trainval",))
