"""When values have to go together."""

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.together import must_go_together, one_after_another
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import ClipGradients


def test_they_need_not_while_they_are_set():
    """Also not between the inner end and the outer one; and again after an error."""
    seen = [must_go_together()]
    with pytest.raises(ZeroDivisionError), one_after_another():
        with one_after_another():
            seen.append(must_go_together())
        seen.append(must_go_together())
        1 / 0  # noqa: B018
    assert seen == [True, False, False] and must_go_together()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Recipe().set(bn_batch=5), "bn_batch is 5 and batch_size 256"),
        (lambda: Recipe().add(ClipGradients(0.0)), "one of norm and value must be more than 0"),
        (lambda: Recipe().add(ClipGradients(1e12)), "clip_gradients: norm is 10+.0: it takes 1e.09 or less"),
    ],
)
def test_a_result_that_does_not_go_together_is_refused(make, says):
    with one_after_another():
        made = make()
    with pytest.raises(Refused, match=says):
        made.checked()


def test_a_value_that_is_none_is_refused_at_once():
    with one_after_another(), pytest.raises(Refused, match="epochs must be int"):
        Recipe().set(epochs="many")
