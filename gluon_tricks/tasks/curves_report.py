"""Precision-recall curves on a page, of detectors and of taggers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.wording import plural
from gluon_tricks.page.bars import FEW
from gluon_tricks.page.charts import small_curve
from gluon_tricks.page.skeleton import Section


def curves_section(names: Sequence[str], curves: np.ndarray, areas: np.ndarray) -> Section:
    """A small chart of each class, the lowest first; of many classes the FEW lowest.

    Args:
        curves: (K, RECALLS).
        areas: the average precision of each class (K,); NaN: it does not occur.
    """
    order = [k for k in np.argsort(np.where(np.isnan(areas), np.inf, areas), kind="stable") if not np.isnan(areas[k])]
    small = "".join(small_curve(names[k], curves[k], f"<b>{areas[k]:.1%}</b>") for k in order[:FEW])
    of_many = f" The {FEW} lowest of {plural(len(order), 'class')}." if len(order) > FEW else ""
    words = (
        "<p>Up: precision, the share of what was found that is right. Across: recall, the share of what there is that "
        f"was found. Both from 0 to 1; in percent, the area below the curve.{of_many}</p>"
    )
    return Section("curves", "Precision by recall", f'{words}<div class="charts small">{small}</div>')
