"""Decoded images that stay in memory, so that only the first epoch decodes them."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np

from gluon_tricks.core.environment import local_processes
from gluon_tricks.core.memory import available_memory
from gluon_tricks.core.wording import byte_size, plural

log = logging.getLogger("gluon_tricks.data")


def room_for_images() -> int:
    """Bytes for the decoded images of one loader: a quarter of what is free, divided among the machine's ranks.

    Training and validation have a loader each, so that half is left for the network.
    """
    return available_memory() // 4 // local_processes()


class KeptImages:
    """Images that stay until the end, in the order in which they come, as long as there is room.

    None is given up for another: each comes once in an epoch, in a random order, and what is given up for what came
    last would come before it again. Any number of threads may use it at once.

    Args:
        most: bytes of pixels, >= 0.
        of: how many images there are, for the warning that they do not all fit.
    """

    def __init__(self, most: int, of: int):
        self._most, self._of, self._taken, self._warned = most, of, 0, False
        self._images: dict[int, tuple[Any, np.ndarray]] = {}
        self._changing = threading.Lock()

    def get(self, image: int) -> tuple[Any, np.ndarray] | None:
        """The label and the pixels (height, width, 3) of an image, which nobody may change; None: it is not kept."""
        return self._images.get(image)

    def keep(self, image: int, label: Any, pixels: np.ndarray) -> None:
        """Keeps an image if there is room."""
        if not self._most:
            return
        pixels.setflags(write=False)
        with self._changing:
            if image in self._images:
                return
            if self._taken + pixels.nbytes <= self._most:
                self._images[image] = label, pixels
                self._taken += pixels.nbytes
            elif not self._warned:
                self._warned = True
                images, room = plural(self._of, "decoded image"), byte_size(self._most)
                log.warning("%s do not all fit into %s of memory: each epoch decodes the others", images, room)
