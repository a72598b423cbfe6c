"""What several tests of loaders take."""

import pytest

from gluon_tricks.data import loader
from gluon_tricks.data.records import decode_image


@pytest.fixture
def reductions(monkeypatch):
    """What decode_image was asked for."""
    asked = []

    def decoding(data, reduction=1):
        asked.append(reduction)
        return decode_image(data, reduction)

    monkeypatch.setattr(loader, "decode_image", decoding)
    return asked
