"""Images with index masks: ADE20K's benchmark of 150 classes, or any two folders of images and masks.

A mask is a PNG as large as its image whose pixels are numbers of classes: grey with 8 or 16 bits, or of a palette
(then the numbers in the palette count, not the colours).

GluonCV's ADE20KSegmentation gives the class names. It does not read the files: it leaves out images without a mask
with a line on stdout, and does not look at sizes or values.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import logging
import os
import pathlib
import struct
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageFile

from gluon_tricks.data.annotated import ENDINGS, Problem, file_bytes, read_all, stored_size
from gluon_tricks.runtime import Refused, import_gluoncv

log = logging.getLogger("gluon_tricks.data")


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedImages:
    """A list of images with masks. A mask's value v is class v - offset, or void.

    Attributes:
        classes: names, in the order of the class indices.
        paths, masks: the files.
        sizes: (n, 2) int64, height and width.
        void: the values that mean none of the classes: such pixels count neither in the loss nor in the scores.
        offset: the value of the first class.
        digest: hex sha256 over names and sizes in bytes: the data's identity, wherever it lies.
    """

    classes: tuple[str, ...]
    paths: list[pathlib.Path]
    masks: list[pathlib.Path]
    sizes: np.ndarray
    void: tuple[int, ...]
    offset: int
    digest: str

    def __len__(self) -> int:
        return len(self.paths)

    def read_mask(self, i: int) -> np.ndarray:
        """The mask of image i: (height, width) int32, class indices and -1 for void.

        Raises:
            Problem: a value that is neither a class nor void, or another size than the image's.
            OSError: the file cannot be decoded.
        """
        # Importing gluoncv.data sets it for the process: a mask cut short would then be read as if it went on with 0.
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            with PIL.Image.open(self.masks[i]) as file:
                values = np.asarray(file).astype(np.int32)
        except (ValueError, SyntaxError) as error:  # what Pillow raises for some kinds of damage
            raise OSError(str(error)) from None
        if values.shape != tuple(self.sizes[i]):
            raise Problem(f"{self.masks[i]} is not as large as its image any more")
        void = np.isin(values, self.void)
        mask = np.where(void, -1, values - self.offset).astype(np.int32)
        beyond = values[~void & ((mask < 0) | (mask >= len(self.classes)))]
        if len(beyond):
            last = self.offset + len(self.classes) - 1
            raise Problem(
                f"{self.masks[i]} has the value {beyond[0]}, and the classes are {self.offset} to {last}, void "
                f"{', '.join(map(str, self.void)) or 'none'}"
            )
        return mask


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
    root = pathlib.Path(root).expanduser()
    folder = next((place for place in (root, root / "ADEChallengeData2016") if (place / "images").is_dir()), None)
    if folder is None:
        raise Refused(f"there is no folder images in {root} or {root / 'ADEChallengeData2016'}: check --data")
    images, masks = folder / "images", folder / "annotations"
    if any((images / name).is_dir() for name in ("training", "validation")):
        images, masks = images / split, masks / split
    import_gluoncv()
    from gluoncv.data import ADE20KSegmentation

    return read_masks(images, masks, ADE20KSegmentation.CLASSES, void=(0,), offset=1, jobs=jobs)


def read_masks(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    classes: int | Sequence[str],
    *,
    void: Sequence[int] = (),
    offset: int = 0,
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
        offset: the mask value of the first class.
        jobs: threads; default: all cores.

    Raises:
        Refused: a folder is missing or without images; or, naming the first few files and how many in all: a missing
            mask, a file that is no image, a mask of another size, one that is no PNG of one channel of 8 or 16 bits,
            or two images with one mask.
    """
    images, masks = pathlib.Path(images).expanduser(), pathlib.Path(masks).expanduser()
    names = tuple(str(k) for k in range(classes)) if isinstance(classes, int) else tuple(classes)
    if not names:
        raise Refused("there are no classes: name at least one")
    paths = _list_images(images, masks)
    uses = collections.Counter(path.stem for path in paths)

    def read(path: pathlib.Path) -> tuple[pathlib.Path, tuple[int, int], tuple[int, int]]:
        if uses[path.stem] > 1:
            raise Problem(f"{path} has the same mask as another image")
        mask = masks / f"{path.stem}.png"
        lengths, size = (file_bytes(path), file_bytes(mask)), stored_size(path)
        mask_size = _mask_size(mask)
        if mask_size != size:
            raise Problem(f"{mask} has {mask_size[1]} x {mask_size[0]} px and its image {size[1]} x {size[0]}")
        return mask, size, lengths

    files = read_all(read, paths, what="looking through masks", folder=images, jobs=jobs)
    identity = [names, tuple(void), offset, [(path.name, *lengths) for path, (_, _, lengths) in zip(paths, files)]]
    return MaskedImages(
        names,
        paths,
        [mask for mask, _, _ in files],
        np.array([size for _, size, _ in files], np.int64),
        tuple(void),
        offset,
        hashlib.sha256(repr(identity).encode()).hexdigest(),
    )


def _list_images(images: pathlib.Path, masks: pathlib.Path) -> list[pathlib.Path]:
    """The images of a folder, sorted; how many masks have none is logged. Raises Refused: no folder, or no images."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise Refused(f"there is no folder {folder}: check the names of the folders of images and masks")
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in ENDINGS and path.name[0] != ".")
    if not paths:
        raise Refused(f"no images found: {images} holds no file that ends in {', '.join(ENDINGS)}")
    stems = {path.stem for path in paths}
    alone = sum(path.suffix.lower() == ".png" and path.stem not in stems for path in masks.iterdir())
    if alone:
        log.warning("%d masks of %s have no image and are left out", alone, masks)
    return paths


def _mask_size(path: pathlib.Path) -> tuple[int, int]:
    """The (height, width) of a PNG with one channel of 8 or 16 bits."""
    with open(path, "rb") as file:
        head = file.read(26)
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26:
        raise Problem(f"{path} is not a PNG")
    width, height, bits, colour = struct.unpack(">IIBB", head[16:])
    if (colour, bits) not in ((0, 8), (0, 16)) and colour != 3:  # 3: a palette, of any number of bits
        raise Problem(f"{path} is not a mask of one channel of 8 or 16 bits")
    return height, width


def check_values(records: MaskedImages, *, jobs: int | None = None) -> None:
    """Decodes every mask and looks whether its values are classes or void: seconds for each 1,000 masks.

    Raises: Refused naming the first few masks that are not as they should be and how many in all, or all being void.
    """

    def check(i: int) -> bool:
        try:
            return bool((records.read_mask(i) >= 0).any())
        except OSError as error:
            raise Problem(f"{records.masks[i]} cannot be decoded ({error})") from None

    folder = records.masks[0].parent
    if not any(read_all(check, range(len(records)), what="checking masks", folder=folder, jobs=jobs)):
        raise Refused(f"all pixels of the {len(records)} masks of {folder} are void: check the value that is no class")
