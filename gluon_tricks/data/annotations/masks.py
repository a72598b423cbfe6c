"""Images with index masks: ADE20K's benchmark of 150 classes, or any two folders of images and masks.

A mask is a PNG as large as its image whose pixels are numbers of classes: grey with 1 to 16 bits, or of a palette
(then the numbers in the palette count, not the colours).

GluonCV's ADE20KSegmentation gives the class names. It does not read the files: it leaves out images without a mask
with a line on stdout, and does not look at sizes or values.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import logging
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from gluon_tricks.core.reading import expanded, why_unseen
from gluon_tricks.core.wording import plural, some
from gluon_tricks.data.annotations import mask_file
from gluon_tricks.data.annotations.annotated import (
    ENDINGS,
    OtherData,
    Problem,
    Stored,
    file_bytes,
    file_of,
    read_all,
    stored_image,
    tell_turned,
)
from gluon_tricks.data.decoding import DECODING

log = logging.getLogger("gluon_tricks.data")

REMEDY = (
    "Masks hold a number for each class: --num-classes says how many, --mask-values which (0,255 for black and white "
    "masks), --void which one is no class."
)
_PART = 1 << 22  # pixels
_STORED_BYTES = 4 + 2  # of a pixel as Pillow decodes it, and as it is kept
_BLURRED = 12  # unknown values in one mask


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedImages:
    """A list of images with masks.

    Attributes:
        classes: names, in the order of the class indices.
        paths, masks: the files.
        sizes: (n, 2) int64, height and width.
        values: (K,) the mask value of each class.
        void: the values that mean none of the classes: such pixels count neither in the loss nor in the scores.
        digest: hex sha256 over names and sizes in bytes: the data's identity, wherever it lies.
    """

    classes: tuple[str, ...]
    paths: list[pathlib.Path]
    masks: list[pathlib.Path]
    sizes: np.ndarray
    values: tuple[int, ...]
    void: tuple[int, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.paths)

    def read_mask(self, i: int) -> np.ndarray:
        """The mask of image i: (height, width) int32, class indices and -1 for void.

        Raises:
            Problem: a value that is neither a class nor void, or another size than the image's.
            OSError: the file cannot be decoded.
        """
        values = self.stored_values(i)
        self.require_known(i, value_counts(values))
        return self._classes_of[values]

    def stored_values(self, i: int) -> np.ndarray:
        """What stands in the mask of image i, (height, width) uint16. Raises: as read_mask, but for the values."""
        values = mask_file.stored_values(self.masks[i])
        if values.shape != tuple(self.sizes[i]):
            raise Problem(f"{self.masks[i]} no longer has the size of its image")
        return values

    def require_known(self, i: int, counts: np.ndarray) -> None:
        """Raises Problem where a value of mask i is neither a class nor void. Args: counts: of pixels, by value."""
        unknown = np.setdiff1d(np.flatnonzero(counts), [*self.values, *self.void]).tolist()
        if unknown:
            blurred = "; so many values come from JPEG or from resizing that blurs" if len(unknown) > _BLURRED else ""
            said = f"the value{'s' if len(unknown) > 1 else ''} {some(unknown)}"
            raise Problem(f"{self.masks[i]} has {said}, and {self.told_values()}{blurred}", REMEDY)

    def told_values(self) -> str:
        """Which values are classes, and which are void."""
        void = ", ".join(map(str, self.void)) or "none"
        return f"the classes are {_ranges(self.values)}, void {void}"

    @functools.cached_property
    def _classes_of(self) -> np.ndarray:
        """(65536,) int32: mask value -> class, -1 for void and for values that are not known."""
        table = np.full(1 << 16, -1, np.int32)
        table[list(self.values)] = np.arange(len(self.values))
        table[list(self.void)] = -1
        return table


def value_counts(values: np.ndarray) -> np.ndarray:
    """(65536,) int64: how often each value occurs. In parts, as bincount makes numbers of 8 bytes of what it counts."""
    counts, values = np.zeros(1 << 16, np.int64), values.reshape(-1)
    for start in range(0, len(values), _PART):
        counts += np.bincount(values[start : start + _PART], minlength=1 << 16)
    return counts


def read_ade20k(root: str | os.PathLike, split: str, *, jobs: int | None = None) -> MaskedImages:
    """The images of ADE20K's benchmark (ADEChallengeData2016): 150 classes, values from 1; 0 is void.

    Args:
        root: the folder that holds images/ and annotations/, or the one in which ADEChallengeData2016 lies.
        split: "training" or "validation"; where images/ and annotations/ have no such folders, their files are it.
        jobs: threads; default: all cores.

    Raises: Refused, as `read_masks` does.

    Source: section 6.2.
    """
    if split not in ("training", "validation"):
        raise Refused(f'the split is {split!r}: ADE20K has "training" and "validation"')
    root = expanded(root)
    folder = next((place for place in (root, root / "ADEChallengeData2016") if os.path.isdir(place / "images")), None)
    if folder is None:
        raise Refused(
            f"there is no folder images in {root} or {root / 'ADEChallengeData2016'}{why_unseen(root)}: check --data"
        )
    images, masks = folder / "images", folder / "annotations"
    if any(os.path.isdir(images / name) for name in ("training", "validation")):
        images, masks = images / split, masks / split
    import_gluoncv()
    from gluoncv.data import ADE20KSegmentation

    return read_masks(images, masks, ADE20KSegmentation.CLASSES, void=(0,), values=range(1, 151), jobs=jobs)


def read_masks(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    classes: int | Sequence[str],
    *,
    void: Sequence[int] = (),
    values: Sequence[int] = (),
    jobs: int | None = None,
) -> MaskedImages:
    """The images of a folder with the masks of another; the mask of NAME.jpg is NAME.png. Headers are read, on threads.

    This finds what can be seen without decoding. Values are looked at by `check_values`, and by `read_mask` whenever a
    mask is used. Masks without an image are left out, which the log says.

    Args:
        images: folder of .jpg, .jpeg, .png or .bmp files; others in it are passed over.
        masks: folder of .png files.
        classes: their names in order, or how many (then the names are "0", "1", ...).
        void: the mask values of pixels that do not count.
        values: the mask value of each class; default: 0, 1, 2, ...
        jobs: threads; default: all cores.

    Raises:
        Refused: values that are not one for each class, or void too; a folder is missing or without images; or, naming
            the first few files and how many in all: a missing mask, a file that is no image, a mask of another size,
            one that is no PNG of one channel, or two images with one mask.
    """
    images, masks = expanded(images), expanded(masks)
    names, values, void = _checked(classes, tuple(values), tuple(void))
    paths = _list_images(images, masks)
    files = _look_through(paths, masks, jobs)
    tell_turned([image for _, image, _ in files], paths, images, "masks")
    first = values[0] if values == tuple(range(values[0], values[0] + len(names))) else values
    identity = [names, void, first, [(path.name, *lengths) for path, (_, _, lengths) in zip(paths, files)]]
    return MaskedImages(
        names,
        paths,
        [mask for mask, _, _ in files],
        np.array([image.size for _, image, _ in files], np.int64),
        values,
        void,
        hashlib.sha256(repr(identity).encode()).hexdigest(),
    )


def _checked(
    classes: int | Sequence[str], values: tuple[int, ...], void: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """The names of the classes, the value of each, and those that are void. Raises Refused: they do not fit."""
    names = tuple(str(k) for k in range(classes)) if isinstance(classes, int) else tuple(classes)
    if not names:
        raise Refused("there are no classes: name at least one")
    both = {*values} & {*void}  # only where values are given: of those by default some may be void
    values = values or tuple(range(len(names)))
    if len({*values}) != len(names) or both or not all(0 <= v < 1 << 16 for v in (*values, *void)):
        raise Refused(
            f"the mask values {some(values)} of {plural(len(names), 'class')} and {some(void) or 'none'} of void "
            "should be as many as the classes, all different, and from 0 to 65535"
        )
    return names, values, void


def _look_through(
    paths: Sequence[pathlib.Path], masks: pathlib.Path, jobs: int | None
) -> list[tuple[pathlib.Path, Stored, tuple[int, int]]]:
    """Of each image the mask, its size and orientation, and the bytes of both files. Raises Refused: see read_masks."""
    uses = collections.Counter(path.stem for path in paths)

    def read(path: pathlib.Path) -> tuple[pathlib.Path, Stored, tuple[int, int]]:
        if uses[path.stem] > 1:
            raise Problem(f"{path} has the same mask as another image")
        mask = file_of(masks, path.stem, (".png",))
        lengths, image = (file_bytes(path), mask_file.bytes_of(mask, path)), stored_image(path)
        mask_size = mask_file.size_of(mask)
        if mask_size != image.size:
            raise Problem(f"{mask} has {mask_size[1]} x {mask_size[0]} px and its image {image.told()}")
        return mask, image, lengths

    return read_all(read, paths, what="looking through masks", folder=paths[0].parent, jobs=jobs)


def _list_images(images: pathlib.Path, masks: pathlib.Path) -> list[pathlib.Path]:
    """The images of a folder, sorted; how many masks have none is logged. Raises Refused: no folder, or no images."""
    for folder in (images, masks):
        if not os.path.isdir(folder):
            raise Refused(
                f"there is no folder {folder}{why_unseen(folder)}: check the names of the folders of images and masks"
            )
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in ENDINGS and path.name[0] != ".")
    if not paths:
        raise Refused(f"no images found: {images} holds no file that ends in {', '.join(ENDINGS)}")
    stems = {path.stem for path in paths}
    alone = sum(path.suffix.lower() == ".png" and path.stem not in stems for path in masks.iterdir())
    if alone:
        log.warning("masks without an image are left out: %d of %s", alone, masks)
    return paths


def _ranges(values: Sequence[int]) -> str:
    """0 to 4; or else 0, 128, 255."""
    if len(values) > 1 and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return some(values, 10)


def check_values(records: MaskedImages, *, jobs: int | None = None) -> np.ndarray:
    """Decodes every mask and looks whether its values are classes or void: seconds for each 1,000 masks.

    Returns: (65536,) int64: how many pixels have each value.

    Raises: Refused naming the first few masks that are not as they should be and how many in all, or all being void.
    """

    def check(i: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            with DECODING.share(int(np.prod(records.sizes[i])) * _STORED_BYTES):
                counts = value_counts(records.stored_values(i))
        except OSError as error:
            raise Problem(f"{records.masks[i]} cannot be decoded ({error})") from None
        records.require_known(i, counts)
        seen = np.flatnonzero(counts)
        return seen, counts[seen]

    folder, total = records.masks[0].parent, np.zeros(1 << 16, np.int64)
    for seen, counts in read_all(check, range(len(records)), what="checking masks", folder=folder, jobs=jobs):
        total[seen] += counts
    if not total[[v for v in records.values if v not in records.void]].any():
        text = f"all pixels of the {plural(len(records), 'mask')} of {folder} are void: {records.told_values()}"
        raise OtherData(text, f". {REMEDY}")
    return total


def require_classes(records: MaskedImages, counts: np.ndarray, *, train: bool) -> None:
    """Names the classes that occur in no mask. Raises Refused: fewer than two occur in those that are trained on.

    Args:
        counts: of check_values.
    """
    folder = records.masks[0].parent
    absent = [k for k, v in enumerate(records.values) if not counts[v] or v in records.void]
    if train and len(records.classes) - len(absent) < 2:
        raise Refused(
            f"only one class occurs in the {plural(len(records), 'mask')} of {folder}: they hold the values "
            f"{some(np.flatnonzero(counts).tolist(), 10)}, and {records.told_values()}. {REMEDY}"
        )
    if absent:
        names = ((records.classes[k], str(records.values[k])) for k in absent)
        said = [name if name == value else f"{name} (value {value})" for name, value in names]
        what = "it cannot be learnt" if train else "the mean is over the others"
        log.warning("no mask of %s has the class %s: %s", folder, some(said), what)
