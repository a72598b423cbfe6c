"""The picture of a table's differences: what stands where, and the file of it."""

import html

import matplotlib.colors
import pytest

from gluon_tricks.cli import reproduce
from gluon_tricks.paper import pictures, tables
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.comparison import compare
from gluon_tricks.paper.cvjena_scales import CVJENA_SCALES
from gluon_tricks.paper.intervals import intervals
from gluon_tricks.paper.scales import get_scale


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path, get_scale("imagenette"))


@pytest.fixture
def done(runs, leave):
    """Of table 5 v1b - v1 is 1, 2, 3 points, v1c - v1b always 2, v1d has not been run."""
    for row, scores in (("v1", [0.60] * 3), ("v1b", [0.61, 0.62, 0.63]), ("v1c", [0.63, 0.64, 0.65])):
        leave(runs, f"table5/resnet50/{row}", *scores)
    return runs


def test_ours_and_the_papers_stand_beside_each_other(done):
    (section,) = compare("table5", done, 3).sections
    rows = [(line, section.effects[line.key]) for line in section.lines[1:3]]
    panel, below = intervals("table 5", "top-1", [("ResNet", rows)]).axes
    assert [text.get_text() for text in panel.get_yticklabels()] == [
        "ResNet-50-B\nover ResNet-50, 3 seeds",
        "ResNet-50-C\nover ResNet-50-B, 3 seeds",
    ]
    zero, bar, mean, paper, equal, paper_of_equal = panel.lines
    assert list(zero.get_xdata()) == [0, 0]
    # 2 ± 4.3027 / sqrt(3)
    assert list(bar.get_xdata()) == pytest.approx([-0.484, 4.484], abs=1e-3) and list(bar.get_ydata()) == [0, 0]
    assert (mean.get_xdata(), mean.get_ydata()) == (pytest.approx([2]), [0])
    assert paper.get_xdata() == pytest.approx([0.45]) and paper_of_equal.get_xdata() == pytest.approx([0.21])
    assert equal.get_xdata() == pytest.approx([2]) and equal.get_markerfacecolor() == "white"  # without an interval
    assert [text.get_text() for text in panel.texts] == ["+2.00 ~", "+0.45", "+2.00 ?", "+0.21"]
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the first row on top
    assert panel.get_xlabel() == "difference, points of top-1"
    noise, unknown, papers = (text.get_text() for text in below.get_legend().get_texts())
    assert "may be noise" in noise and "noise unknown" in unknown and papers == "the paper's difference"


def test_what_exceeds_its_noise_has_a_colour(runs, leave):
    leave(runs, "table5/resnet50/v1", 0.60, 0.60, 0.60)
    leave(runs, "table5/resnet50/v1b", 0.619, 0.62, 0.621)
    (section,) = compare("table5", runs, 3).sections
    panel, _ = intervals("", "top-1", [("", [(section.lines[1], section.effects["v1b"])])]).axes
    assert matplotlib.colors.same_color(panel.lines[1].get_color(), "C0") and panel.texts[0].get_text() == "+2.00 *"


def test_each_column_has_a_panel_and_one_scale(runs, leave):
    for column, more in (("resnet50_v1d", 0.02), ("mobilenet1.0", 0.10)):
        leave(runs, f"table6/{column}/efficient", 0.40, 0.41)
        leave(runs, f"table6/{column}/cosine", 0.40 + more, 0.42 + more)
    comparison = compare("table6", runs, 2)
    columns = [
        (part.title, [(line, part.effects[line.key]) for line in part.lines if line.key in part.effects])
        for part in comparison.sections
    ]
    resnet, mobilenet, _ = intervals("", "top-1", [part for part in columns if part[1]]).axes
    assert resnet.get_title(loc="left").startswith("resnet50_v1d: resnet18_v1d at 64 px")
    assert resnet.get_xlim() == mobilenet.get_xlim() and not resnet.get_xlabel()


def test_the_page_and_the_file(done, tmp_path, capsys):
    comparison = compare("table5", done, 3)
    png = pictures.whole(comparison)
    assert png and png == pictures.differences(comparison)
    page = html.unescape(tables.page(comparison))
    assert 'alt="our differences with intervals of 95 %, the paper\'s beside them"' in page
    path = tmp_path / "differences.png"
    words = ["table5", "--show", "--scale", "imagenette", "--runs", str(tmp_path), "--png", str(path)]
    assert reproduce.main(words) == 0 and path.read_bytes()[:4] == b"\x89PNG"
    assert "could tell" in capsys.readouterr().out
    path.unlink()
    assert reproduce.main([*words, "--rows", "v1"]) == 0 and not path.exists()
    assert f"--png {path}: not written, as there is no difference to draw yet" in capsys.readouterr().out


def test_tables_of_errors_have_differences_of_errors(tmp_path, leave):
    """Top-1 rises by 30 and 32 points, 2.7 in the document: errors fall. Against its constant rate it has no number."""
    runs = Runs(tmp_path, CVJENA_SCALES["small"], ("train.rec",), ("val.rec",))
    leave(runs, "cvjena_table1/alexnet/original", 0.30, 0.30)
    leave(runs, "cvjena_table1/alexnet/bn", 0.60, 0.62)
    leave(runs, "cvjena_figure1/alexnet/constant", 0.50, 0.50)
    for table, ours, papers in (("cvjena_table1", "-31.00 *", ["-2.70"]), ("cvjena_figure1", "+11.00 ~", [])):
        comparison = compare(table, runs, 2, ["alexnet"])
        panel, below = pictures.of_differences(comparison).axes
        assert [text.get_text() for text in panel.texts] == [ours, *papers]
        assert ours.split()[0] in tables.markdown(comparison)
        assert panel.get_xlabel() == "difference, points of top-1 error"
        legend = [text.get_text() for text in below.get_legend().get_texts()]
        assert ("the paper's difference" in legend) == bool(papers)
