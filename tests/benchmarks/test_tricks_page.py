"""docs/tricks.md is what the docstrings and the records say."""

import math

import pytest

from benchmarks import tricks_page
from gluon_tricks.recipes.registry import get_table
from gluon_tricks.tricks import TRICKS, Cosine, Mixup, StochasticDepth


def test_the_page_is_up_to_date():
    assert tricks_page.main(["--check"]) == 0


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.label())
def test_every_refinement_says_its_source_and_where_to_avoid_it(trick):
    parts = tricks_page.doc_of(trick)
    assert parts[""] and parts["Source"] and parts["Avoid where"].endswith(".")


def test_differences_of_the_paper_and_ours():
    """Table 6, ResNet-50-D: cosine 77.73 - 77.26, mixup 79.01 - 78.37, the row of smoothing."""
    table = get_table("table6")
    assert tricks_page.published(table, "resnet50_v1d", table.row("cosine")) == pytest.approx(0.47)
    assert tricks_page.published(table, "resnet50_v1d", table.row("mixup")) == pytest.approx(0.64)
    assert math.isnan(tricks_page.published(table, "resnet50_v1d", table.row("efficient")))
    places = [(table.name, column, row.key) for table, column, row in tricks_page.rows_of(Cosine)]
    assert ("table6", "resnet50_v1d", "cosine") in places and ("table6", "mobilenet1.0", "cosine") in places
    assert {row.key for _, _, row in tricks_page.rows_of(Mixup)} == {"mixup"}
    assert not list(tricks_page.rows_of(StochasticDepth))  # timm's A2 differs from A3 in more than that
    assert "scale imagenette" in tricks_page.ours(table, "resnet50_v1d", table.row("cosine"))
