"""What is said of the contestants' rounds."""

from benchmarks import results


def test_a_ratio_is_that_of_the_same_rounds():
    """20/10, 30/20 and 80/20 have the median 2, where the medians' ratio is 1.5."""
    rounds = {"ours": [20.0, 30.0, 80.0], "theirs": [10.0, 20.0, 20.0]}
    said = "crops: ours 30.0 images/s, theirs 20.0 images/s: 2.00x"
    assert results.compare(rounds, "crops", "ours", "theirs") == said
