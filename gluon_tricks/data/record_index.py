"""The .idx of a .rec: where its records begin, in little memory."""

from __future__ import annotations

import numpy as np

_WHOLE_NUMBERS = b"0123456789 \t\r\n"


def parse_index(listing: bytes) -> np.ndarray | None:
    """The byte offsets (n,) int64 of lines "key<tab>offset"; None where a line is none, or there is no line."""
    if not listing.endswith(b"\n") or listing.isspace():
        return None
    try:
        if listing.translate(None, _WHOLE_NUMBERS):  # something else is there: a sign, or damage
            numbers = np.array(listing.split(), np.int64)
        else:  # a tenth of the memory; a number that is too large becomes 2**63 - 1, which is no multiple of 4
            numbers = np.fromstring(listing, np.int64, sep=" ")
        offsets = numbers.reshape(-1, 2)[:, 1]
    except (ValueError, OverflowError):
        return None
    return None if (offsets < 0).any() or (offsets % 4).any() else offsets


class Offsets:
    """Where records begin and end, in 4 bytes each where the file has up to 16 GiB.

    Args:
        offsets: (n,) int64 bytes, multiples of 4, in any order.
        size: bytes of the file, where its last record ends.
    """

    def __init__(self, offsets: np.ndarray, size: int):
        self.size = size
        self._quarters = (offsets >> 2).astype(np.uint32 if size <= 1 << 34 else np.int64)
        self.ascending = bool((self._quarters[1:] > self._quarters[:-1]).all())
        self._ends: np.ndarray | None = None
        if not self.ascending:
            in_order = np.sort(offsets)
            self._ends = np.append(in_order[1:], size)[np.searchsorted(in_order, offsets)]

    def __len__(self) -> int:
        return len(self._quarters)

    def __getitem__(self, k: int) -> int:
        return int(self._quarters[k]) << 2

    def end(self, k: int) -> int:
        """Where record k ends at the latest: where the next one begins."""
        if self._ends is not None:
            return int(self._ends[k])
        return self[k + 1] if k + 1 < len(self) else self.size

    def some(self, first: int, last: int) -> list[int]:
        """Those of the records [first, last)."""
        return (self._quarters[first:last].astype(np.int64) << 2).tolist()
