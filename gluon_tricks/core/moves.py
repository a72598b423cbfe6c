"""How often this process has got further, by which a launcher knows that a rank does not hang (ranks.heartbeat).

The count lies on the ground: whatever may work for minutes without the other ranks adds to it. All that shows its
progress does so (data.parallel.progress).
"""

from __future__ import annotations

_made = 0


def moved() -> None:
    """The process has got further: a photo is packed, a batch evaluated, a layer computed for some images."""
    global _made
    _made += 1


def moves() -> int:
    """How often."""
    return _made
