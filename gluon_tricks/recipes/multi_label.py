"""Recipes of multi-label classification: images that show several classes each, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from gluon_tricks.core.wording import is_plain, plural, some
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import free
from gluon_tricks.tricks import ExponentialDecay, Trick

MOST_CROPS = 100
DATA_SETS = ("scenes", "few_scenes", "records")  # what `data` may be beside a folder


@dataclasses.dataclass(frozen=True)
class MultiLabelRecipe(Recipe):
    """The training of a classifier whose images have any number of K classes. The defaults are those for VOC2007.

    Args: as for Recipe, and
        data: "records" with train and val, RecordIO files of K labels an image; "scenes" or "few_scenes" (built in); or
            the folder of a VOCdevkit, or of another data set in its layout; "": not named yet.
        train_splits, val_splits: of such a folder, as year_list: ImageSets/Main/list.txt of VOCyear; where `data`
            itself has JPEGImages: list.
        class_names: of such a folder; (): VOC's.
        test_crops: in testing an image's logits are the mean over so many random crops of input_size, each mirrored or
            not, from the image of shorter edge ceil(input_size / crop_ratio); 0 or 1: the centre crop alone. Training
            looks at the centre crop after each epoch, whatever it is.

    Source: Krähenbühl et al., Data-dependent initializations of convolutional neural networks (ICLR 2016), section 4.2:
        80,000 steps of SGD with 10 images, lr 0.001 halved every 10,000, momentum 0.9, the mean of 10 random crops in
        testing. 10,000 steps are 20 epochs of the 5011 images of VOC2007 trainval. What it does not say is from the
        program of its authors (philkr/voc-classification), which mirrors in training and testing and takes the mean of
        logits.
    Differs: the weight decay, which the document does not give, is CaffeNet's in Caffe, 0.0005. Theirs is of later
        experiments: 1e-6, batches of 16, crops from images of 0.5 to 2 times their size, and gradients clipped.
    """

    task = "multi_label"
    reads_folder = True
    probabilities = "sigmoid"
    least_classes = 1

    name: str = "multi_label"
    model: str = "caffenet"
    data: str = ""
    train_splits: tuple[str, ...] = ("2007_trainval",)
    val_splits: tuple[str, ...] = ("2007_test",)
    class_names: tuple[str, ...] = free(default=(), found=True)
    test_crops: int = free("resume", default=10, within=(0, MOST_CROPS))  # training is the same
    epochs: int = 160
    batch_size: int = 10
    lr: float | None = 0.001
    wd: float = 5e-4
    optimizer: str = "sgd"
    crop: str = "side"
    augment: str = "flip"
    tricks: tuple[Trick, ...] = (ExponentialDecay(by=0.5, every=20.0),)

    @property
    def of_folder(self) -> bool:
        """Whether its images are those of a folder."""
        return self.data not in DATA_SETS

    def constraints(self) -> Iterator[tuple[bool, str]]:
        yield from super().constraints()
        yield (
            len({*self.class_names}) == len(self.class_names)
            and all(name.strip() and is_plain(name) for name in self.class_names),
            f"class_names are {some(self.class_names)}: give each class a name of its own, without control characters",
        )
        yield (
            self.classes is None or len(self.class_names) in (0, self.classes),
            f"class_names has {plural(len(self.class_names), 'name')} and classes is {self.classes}: give as many "
            "names as classes",
        )
        yield (
            not self.only_classes and not self.per_class,
            "only_classes and per_class take images of one class each: leave them out",
        )
        yield self.sampling == "plain", "sampling balanced takes images of one class each: leave it out"
        yield self.teacher_size is None, "teacher_size is of distillation, which takes images of one class each"
        for trick in self.tricks:
            yield (
                not trick.one_class,
                f"{trick.label()} takes images of one class each, by a softmax over the classes: leave it out",
            )
