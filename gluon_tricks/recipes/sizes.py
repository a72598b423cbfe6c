"""The sizes of a classifier's images: of training, epoch by epoch, and in use."""

from __future__ import annotations

from collections.abc import Sequence

from gluon_tricks.tricks import Trick

_MOST = 12  # sizes that are told


class ImageSizes:
    """The base of Recipe that knows the sizes of its images, once it is resolved.

    Attributes:
        input_size, train_size, start_epoch, epochs, tricks: as of Recipe.
    """

    input_size: int | None
    train_size: int | None
    start_epoch: int
    epochs: int
    tricks: Sequence[Trick]

    @property
    def sides(self) -> tuple[int, int]:
        """The sides of what the network takes in validation and in use, px."""
        return self.input_size, self.input_size

    @property
    def own_size(self) -> int | None:
        """The side of the training images before tricks change it, px, which is the largest; None: not known yet."""
        return self.train_size or self.input_size

    def size_at(self, epoch: int) -> int:
        """The side of the training images in an epoch, px."""
        size = self.own_size
        for trick in self.tricks:
            size = trick.image_size(size, epoch, self.epochs)
        return size

    @property
    def training_sizes(self) -> tuple[int, ...]:
        """All sides that training images have, px, the smallest first."""
        return tuple(sorted({self.size_at(epoch) for epoch in range(self.start_epoch, self.epochs)}))

    def relative_pixels(self, done: int = 0) -> float:
        """The pixels of a training image, on average over the epochs after so many, to those of one in use."""
        sizes = [self.size_at(epoch) for epoch in range(done, self.epochs)]
        return sum((size / self.input_size) ** 2 for size in sizes) / len(sizes) if sizes else 1.0

    def sizes_in_words(self) -> str:
        """How the size of the training images goes, or differs from that in use, in words; "": neither."""
        if self.training_sizes == (self.input_size,):
            return ""
        first = self.start_epoch
        sizes = {epoch: self.size_at(epoch) for epoch in range(first, self.epochs)}
        begins = [epoch for epoch in sizes if sizes[epoch] != sizes.get(epoch - 1)]
        if len(begins) > _MOST:
            begins = [begins[k * (len(begins) - 1) // (_MOST - 1)] for k in range(_MOST)]
        told = ", ".join(f"{sizes[epoch]} px from epoch {epoch + 1} on" for epoch in begins)
        return (
            f"training images of {told}; validation at {self.input_size} px; {self.relative_pixels(first):.0%} of "
            "the pixels of a training at that size"
        )
