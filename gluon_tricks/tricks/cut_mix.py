"""CutMix."""

from __future__ import annotations

import dataclasses

import numpy as np

from gluon_tricks.tricks.mixing import Mixing, blend
from gluon_tricks.tricks.rectangles import inside, replaced


@dataclasses.dataclass(frozen=True)
class CutMix(Mixing):
    """A rectangle of image i comes from image j; q = lam q_i + (1 - lam) q_j, 1 - lam being its share of the image.

    Its sides are sqrt(1 - l) of the image's, l ~ Beta(alpha, alpha), its centre is anywhere in the image. What lies
    beyond the border is cut off, so that lam is counted from what was pasted: lam >= l.

    Args:
        alpha: of the Beta distribution, 0 or 1e-4 and more; 0 mixes nothing. 1: l is uniform.
        off_epochs: the last epochs, which train on whole images.
        per: one rectangle for the global "batch", or one for each "image".
        partner: j is the image at the mirrored place of the device's shard ("reversed"), or at a place of a random
            permutation of it ("permuted").

    Source: Yun et al., CutMix (ICCV 2019), section 3.1, equations 1 and 2 (alpha 1).
    Differs: the authors mix every second batch of CIFAR, and all of ImageNet; here all. See mixup_or_cut_mix.
    Avoid where: objects are small, or a class shows in one place only: what is pasted then says nothing of its class.
    """

    def mixed(self, images, target, shares, generator):
        height, width = images.shape[2:]
        boxes = self.boxes(shares, generator.random((len(shares), 2)), height, width)
        partners = self.partners(target, generator)
        left, top, right, bottom = boxes.T
        kept = 1 - (right - left) * (bottom - top) / (height * width)  # of whole pixels
        return replaced(images, images.take(partners), inside(boxes, images)), blend(target, partners, kept)

    @staticmethod
    def boxes(drawn: np.ndarray, centres: np.ndarray, height: int, width: int) -> np.ndarray:
        """Rectangles (n, 4) int64, as of rectangles.inside.

        Args:
            drawn: l (n,) in [0, 1].
            centres: (n, 2), x and y as shares of the image in [0, 1).
            height, width: of the image, px.
        """
        sides = np.sqrt(1 - drawn)[:, None] * [width, height]  # (n, 2)
        low = np.round(centres * [width, height] - sides / 2).astype(np.int64)
        high = low + np.round(sides).astype(np.int64)
        return np.concatenate([np.clip(low, 0, [width, height]), np.clip(high, 0, [width, height])], axis=1)
