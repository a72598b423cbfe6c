"""What a written network of whole images is compared on."""

from model_zoo.whole_images import WholeImages


def test_examples_have_places_for_all_proposals():
    """8 px have 1 place of 16 px, 40 have 3: 3 x 3 hold 7, where 2 x 2 of 24 px do not. Large ones stay as they are."""
    steps = dict(task="detection", mean=(0,) * 3, std=(1,) * 3, classes=("a",), outputs={}, one_by_one=True, places=7)
    assert WholeImages(**steps, longer_edge=8, shorter_edge=8).examples(None) == [(1, 3, 40, 40)] * 2
    assert WholeImages(**steps, longer_edge=128, shorter_edge=96).examples(1) == [(1, 3, 125, 96), (1, 3, 96, 125)]
