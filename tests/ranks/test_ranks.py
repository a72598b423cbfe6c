"""Several ranks compute what one does: statistics, gradients, updates, scores and messages."""

import json
import pathlib

import numpy as np
import pytest

from gluon_tricks.checkpoint import load_network
from gluon_tricks.network import parameters_by_name

from .conftest import training
from .program import scores, step_of_a_resnet, twenty_steps

PROGRAM = pathlib.Path(__file__).with_name("program.py")


@pytest.fixture(scope="module")
def alone(tiny_records):
    """What one rank of all images computes: batch normalisation is MXNet's own here."""
    return {
        "sync": step_of_a_resnet(),
        "steps": twenty_steps(),
        "scores": scores(tiny_records),
    }


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request, launch, tiny_records, tmp_path_factory):
    """What each of several ranks found."""
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    done = launch(request.param, folder / "logs", PROGRAM, folder, tiny_records)
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


def test_unequal_shards_are_scored_exactly(ranks, alone):
    """20 images in batches of 2 a rank: 2 ranks see 10 each, of 3 ranks the last sees 6."""
    for found in ranks:
        np.testing.assert_allclose(found["scores"], alone["scores"], rtol=1e-6)
        assert found["scores"][3] == 20


def test_a_run_of_two_ranks(launch, tiny_records, tmp_path):
    """Rank 0 alone writes and prints; each rank has its log; the result is that of one rank."""
    steep = ("--lr", "0.01")  # at which rounding grows least
    done = launch(2, tmp_path / "logs", *training(tiny_records, tmp_path / "two", "--batch-size", "6", *steep))
    assert done.returncode == 0, done.stderr
    assert "2 epochs of 4 steps, batch 12, float32, cpu(0) on 2 ranks" in done.stdout
    assert done.stdout.count("on 20 held-out images") == 1
    assert (tmp_path / "logs" / "rank.0.log").read_text() == done.stdout
    assert not (tmp_path / "logs" / "rank.1.log").exists()  # it had nothing to say
    one = launch(1, tmp_path / "logs", *training(tiny_records, tmp_path / "one", "--batch-size", "12", *steep))
    assert one.returncode == 0, one.stderr
    values = [parameters_by_name(load_network(tmp_path / run)) for run in ("one", "two")]
    for name, parameter in values[0].items():
        other = values[1][name].data().asnumpy()
        np.testing.assert_allclose(other, parameter.data().asnumpy(), atol=1e-5, err_msg=name)


def test_ranks_that_differ_are_refused(launch, tiny_records, tmp_path):
    """A rank with another seed is named; nothing is trained."""
    wrapper = tmp_path / "odd.py"
    words = [str(word) for word in training(tiny_records, tmp_path / "run", "--batch-size", "6")]
    wrapper.write_text(
        "import os, runpy, sys\n"
        f"sys.argv = {words!r} + ['--seed', os.environ['HOROVOD_RANK']]\n"
        "sys.path.insert(0, 'scripts')\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = launch(2, tmp_path / "logs", wrapper)
    assert done.returncode == 2
    assert "refused: of 2 ranks, 1 have another recipe" in done.stderr
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_sync_bn_trains_and_leaves_an_ordinary_network(launch, tiny_records, tmp_path):
    words = [word for word in training(tiny_records, tmp_path / "run", "--batch-size", "6") if word != "--use-gn"]
    done = launch(2, tmp_path / "logs", *words, "--sync-bn", plain=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("on 20 held-out images") == 1
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["net"] == {"norm_layer": "SyncBatchNorm"}
    assert "gluon_tricks" not in (tmp_path / "run" / "final-symbol.json").read_text()
    assert type(load_network(tmp_path / "run").stem[1]).__name__ == "BatchNorm"
