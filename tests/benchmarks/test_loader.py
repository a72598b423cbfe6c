"""benchmark.py loader: who takes part, and that the lines of the policies are of the policies."""

import numpy as np

from benchmarks import loader
from gluon_tricks.data.crop import AreaCrop
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.random_policies import RandAugmented, TrivialAugmented


def test_every_contestant_plays_and_is_compared(tiny_records, monkeypatch):
    """With made-up numbers: the policies have 1, 2 and 3 images/s beside a plain crop's 4."""
    seen = {}

    def measured(contestants, rounds):
        seen.update({contestant.name: contestant for contestant in contestants})
        numbers = {"ours, autoaugment": 1.0, "ours, trivial": 2.0, "ours, rand-m9-n2": 3.0}
        return {name: [numbers.get(name, 4.0)] * rounds for name in seen}

    monkeypatch.setattr(loader, "measure", measured)
    rec = str(tiny_records / "train.rec")
    _, lines = loader.run(rec, 16, 8, 1, 1)
    assert (
        lines[-4]
        == "loader at 16 px, 1 thread: ours, reduced 4.0 images/s, ImageRecordIter, augmented 4.0 images/s: 1.00x"
    )
    assert lines[-3:] == [
        "loader at 16 px, 1 thread: ours, autoaugment 1.0 images/s, ours, crop 4.0 images/s: 0.25x",
        "loader at 16 px, 1 thread: ours, trivial 2.0 images/s, ours, crop 4.0 images/s: 0.50x",
        "loader at 16 px, 1 thread: ours, rand-m9-n2 3.0 images/s, ours, crop 4.0 images/s: 0.75x",
    ]
    crops, begin = [], RecordLoader.__init__

    def watched(self, *args, **named):
        crops.append((named["crop"], named["reduced"]))
        begin(self, *args, **named)

    monkeypatch.setattr(RecordLoader, "__init__", watched)
    for name in ("crop", "augmented", "trivial", "rand-m9-n2", "reduced"):
        assert np.isfinite(loader.ours(**seen[f"ours, {name}"].arguments)())
    plain = AreaCrop()
    whole = [plain, plain, TrivialAugmented(plain), RandAugmented(plain, 9, 2)]
    assert crops == [*((crop, False) for crop in whole), (plain, True)]
