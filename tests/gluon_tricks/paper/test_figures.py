"""Figures: what they are drawn from."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.paper import diagrams, figures
from gluon_tricks.paper.cells import Cell, Runs
from gluon_tricks.paper.scales import get_scale
from model_zoo import get_model, weights


def lines_of(name, variant_stage, channels=256, side=56):
    net = get_model(name)
    block = net.stem if variant_stage == "stem" else net.stage2[0]
    return {box.lines[0]: box for box in diagrams.boxes(block, channels, side).values()}


def test_the_downsampling_blocks_are_those_of_figure_2():
    """Where the stride is: the first 1x1, the 3x3, and in D a pool before the shortcut's 1x1."""
    assert set(lines_of("resnet50_v1", "stage2")) == {
        "input: 256 × 56 × 56", "conv 1 × 1, 128, stride 2", "conv 3 × 3, 128", "conv 1 × 1, 512",
        "conv 1 × 1, 512, stride 2", "+",
    }  # fmt: skip
    assert set(lines_of("resnet50_v1b", "stage2")) == {
        "input: 256 × 56 × 56", "conv 1 × 1, 128", "conv 3 × 3, 128, stride 2", "conv 1 × 1, 512",
        "conv 1 × 1, 512, stride 2", "+",
    }  # fmt: skip
    d = diagrams.boxes(get_model("resnet50_v1d").stage2[0], 256, 56).values()
    shortcut = [box for box in d if box.path == 1]
    assert [box.lines[0] for box in shortcut] == ["avg pool 2 × 2, stride 2", "conv 1 × 1, 512"]


def test_figure_1_has_the_blocks_of_stage_4(monkeypatch):
    """As the paper's: 1x1 512 with stride 2, 3x3 512, 1x1 2048, and a shortcut of 2048 with stride 2."""
    drawn = []
    monkeypatch.setattr(diagrams, "draw_block", lambda panel, block, *args: drawn.append((block, *args)))
    diagrams.figure1()
    assert [title for *_, title in drawn[1:]] == ["stage 4, block 1 (downsampling)", "stage 4, blocks 2 to 3"]
    assert {box.lines[0] for box in diagrams.boxes(*drawn[1][:3]).values()} == {
        "input: 1024 × 14 × 14", "conv 1 × 1, 512, stride 2", "conv 3 × 3, 512", "conv 1 × 1, 2048",
        "conv 1 × 1, 2048, stride 2", "+",
    }  # fmt: skip


def test_the_stem_of_c_has_three_convolutions():
    found = lines_of("resnet50_v1c", "stem", 3, 224)
    assert [line for line in found if line.startswith("conv")] == [
        "conv 3 × 3, 32, stride 2", "conv 3 × 3, 32", "conv 3 × 3, 64",
    ]  # fmt: skip
    assert found["conv 3 × 3, 64"].lines == ["conv 3 × 3, 64", "BN", "ReLU"]


def test_logit_gaps_by_hand():
    """4 - (1 + 1 + 0) / 3; 2 - (2 + 2 + 2) / 3."""
    assert figures.logit_gaps(np.array([[1, 4, 1, 0], [2, 2, 2, 2]])) == pytest.approx([10 / 3, 0])


def test_the_theoretical_gap():
    """log(999 x 0.9 / 0.1) = log 8991 = 9.1040 at eps 0.1."""
    (line,) = figures.figure4a().axes[0].lines
    eps, gap = line.get_data()
    assert np.interp(0.1, eps, gap) == pytest.approx(9.1040, abs=1e-3)


def test_the_schedules():
    """Both rise to 0.4 in five epochs; after half of the remaining 115 cosine is at 0.2, steps (30, 60) at 0.004."""
    by_label = {line.get_label(): line.get_data() for line in figures.figure3a().axes[0].lines}
    assert set(by_label) == {"step decay", "cosine decay"}
    for label, middle in (("cosine decay", 0.2), ("step decay", 0.004)):
        epochs, lr = by_label[label]
        assert np.interp(2.5, epochs, lr) == pytest.approx(0.2, rel=1e-2)
        assert np.interp(62.5, epochs, lr) == pytest.approx(middle, rel=1e-2)


def test_figures_of_runs_that_were_not_made_are_refused(tmp_path):
    runs = Runs(tmp_path, get_scale("imagenette"))
    with pytest.raises(Refused, match="drawn from runs of table6/resnet50_v1d/efficient, and there is none"):
        list(figures.draw("figure3", runs, 1))


def test_logits_of_runs(tmp_path, monkeypatch, tiny_records):
    """Networks that always give the logits (bias, 0, 0, 0): the gap is the bias. A seed of scores alone is left out."""
    runs = Runs(tmp_path, get_scale("smoke"), *((str(tiny_records / f"{split}.rec"),) for split in ("train", "val")))
    for row, bias in (("cosine", 3), ("smooth", 1)):
        cell = runs.cell(f"table6/resnet50_v1d/{row}", 0)
        cell.folder.mkdir(parents=True)
        recipe = cell.recipe.set(model="cifar_resnet20_v1", classes=4).without("zero_gamma")
        net = get_model(recipe.model, classes=4)
        net.initialize(mx.init.Zero())
        net.head.bias.set_data(mx.nd.array([bias, 0, 0, 0]))
        weights.save(net, cell.folder / "final.params")
        (cell.folder / "recipe.json").write_text(json.dumps(recipe.to_json()))
        (cell.folder / "metrics.csv").write_text("epoch,val_top1\n1,0.25\n")
    monkeypatch.setattr(Cell, "is_done", lambda cell: True)  # these are of another network than the table's
    panel = figures.figure4b(runs, 2).axes[0]
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert labels == ["without label smoothing (1 seed): mean 3.00", "with label smoothing (1 seed): mean 1.00"]
    title = panel.get_title().split("\n")
    assert title[-1].endswith("nothing about the paper's)") and max(map(len, title)) < 65  # no wider than the panel


def test_networks_of_which_the_scores_alone_were_kept_are_asked_for(tmp_path, leave):
    runs = Runs(tmp_path, get_scale("imagenette"))
    for row in ("cosine", "smooth"):
        leave(runs, f"table6/resnet50_v1d/{row}", 0.5)
    says = "networks, and of table6/resnet50_v1d/cosine only the scores .* figure4 --scale imagenette without --show"
    with pytest.raises(Refused, match=says):
        figures.figure4b(runs, 1)


def test_figures_are_files(tmp_path):
    (path,) = figures.draw("figure2", Runs(tmp_path, get_scale("smoke")), 1)
    assert path.name == "figure2.png" and path.read_bytes().startswith(b"\x89PNG")
