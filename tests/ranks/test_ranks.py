"""Several ranks compute what one does: statistics, gradients, updates, scores and messages."""

import json
import pathlib

import numpy as np
import pytest

from .conftest import make_masks
from .program import scores, step_of_a_resnet, twenty_steps

PROGRAM = pathlib.Path(__file__).with_name("program.py")


@pytest.fixture(scope="module")
def alone(tiny_records):
    """What one rank of all images computes: batch normalisation is MXNet's own here."""
    numbers, each = scores(tiny_records)
    return {"sync": step_of_a_resnet(), "steps": twenty_steps(), "scores": numbers, "each": each}


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request, launch, tiny_records, tmp_path_factory):
    """What each of several ranks found."""
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    masks = make_masks(folder / "masks", train=8, val=2)
    done = launch(request.param, folder / "logs", PROGRAM, folder, tiny_records, masks)
    assert done.returncode == 0, done.stderr
    return [np.load(folder / f"rank{k}.npz") for k in range(request.param)]


def of(found, part):
    return {name[len(part) + 1 :]: found[name] for name in found.files if name.startswith(f"{part}/")}


def test_messages(ranks):
    count = len(ranks)
    for rank, found in enumerate(ranks):
        said = of(found, "message")
        assert said["ranks"] == count
        assert said["total"] == pytest.approx([count * (count + 1) / 2, 0.1 * count], abs=1e-15)
        assert not said["nobody"] and said["one"]
        assert said["bytes"].tobytes() == b"0123456789" and said["nothing"].size == 0
        assert said["odd"].tolist() == [1] and said["even"].tolist() == [], rank


def test_batch_normalisation_over_ranks_is_that_of_one_batch(ranks, alone):
    """float64: the gradients that all ranks hold, and the running statistics, are those of one rank to 1e-9."""
    for found in ranks:
        sync = of(found, "sync")
        assert sync.keys() == alone["sync"].keys()
        for name, want in alone["sync"].items():
            np.testing.assert_allclose(sync[name], want, rtol=1e-9, atol=1e-9 * np.abs(want).max(), err_msg=name)
        assert np.abs(sync["parameter/stem.1.running_mean"]).max() > 1e-3  # they have moved


def test_without_batch_statistics_twenty_steps_are_the_same(ranks, alone):
    """float32, in several buckets, and once more with two rounds a step."""
    for found in ranks:
        for part in ("steps1", "steps2"):
            values = of(found, part)
            for name, want in alone["steps"].items():
                # gradients are sums over 12 images
                np.testing.assert_allclose(values[name], want, atol=1e-5 * max(np.abs(want).max(), 1), err_msg=name)


def test_all_ranks_have_the_same_parameters(ranks):
    for part in ("steps1", "sync"):
        first, *others = (of(found, part) for found in ranks)
        for other in others:
            for name, values in first.items():
                np.testing.assert_array_equal(other[name], values, err_msg=name)


def test_every_rank_s_statistics_are_kept(ranks):
    """Exactly, on all ranks: a run goes on from them bit for bit; the mean is (N - 1) / 2 + 0.1."""
    table = np.array([[0.1 + rank, 0.7] for rank in range(len(ranks))], "float32")
    for rank, found in enumerate(ranks):
        kept = of(found, "statistics")
        np.testing.assert_array_equal(kept["kept"], table)
        np.testing.assert_array_equal(kept["back"], table[rank])
        assert kept["mean"] == pytest.approx([(len(ranks) - 1) / 2 + 0.1, 0.7], rel=1e-6) and kept["same"] == 0


def test_unequal_shards_are_scored_exactly(ranks, alone):
    """20 images in batches of 2 a rank: 2 ranks see 10 each, of 3 ranks the last sees 6."""
    for found in ranks:
        np.testing.assert_allclose(found["scores"], alone["scores"], rtol=1e-6)
        assert found["scores"][3] == 20
        np.testing.assert_allclose(found["each"], alone["each"], rtol=1e-5)  # image, truth, guess, probabilities
        assert found["each"][:, 0].tolist() == [*range(20)]


@pytest.mark.parametrize("ranks", [2], indirect=True)
def test_a_step_waits_once(ranks):
    """For the loss of the step before last: the first two steps wait for nothing, every later one reads one message."""
    for found in ranks:
        waits = json.loads(str(found["waits"]))
        assert waits["classification"] == [[], [], *[["asnumpy"]] * 6]
        assert waits["segmentation"] == [[], [], *[["asnumpy"]] * 2]
