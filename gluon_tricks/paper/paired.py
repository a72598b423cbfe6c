"""Differences that are paired by seed: effect, interval and p, Holm's correction, what a number of seeds could tell."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.optimize
import scipy.stats

from gluon_tricks.core.wording import plural

LEVEL = 0.05  # of significance: what p is compared with, and 1 - LEVEL is that of an interval
POWER = 0.8  # the probability with which a difference that "n seeds could tell" is told

# What a table's legend says of its differences.
LEGEND = (
    f"paired by seed: * exceeds its noise (paired t-test, p < {LEVEL:g} after Holm's correction over the rows of a "
    "column, which is the second p shown), ~ does not, ? cannot be told from one pair or equal ones. The interval and "
    f"the first p are of one difference by itself. Could tell: what as many seeds tell with a probability of "
    f"{100 * POWER:.0f} % (p {LEVEL:g}, one test), by the standard deviation of these pairs; of three pairs that is "
    "known roughly, the true one being between half of it and six times as large."
)
SEEDS = (3, 5, 10, 20)  # of which a table says what they could tell
MOST_SEEDS = 1000  # that are counted


@dataclasses.dataclass(frozen=True)
class Effect:
    """Differences of a score between two rows, in points of percent, one for each seed that both have.

    Args:
        pairs: at least one.
        adjusted: p after Holm's correction over the tests beside it; nan where there is no p.
    """

    pairs: tuple[float, ...]
    adjusted: float = math.nan

    def __neg__(self) -> Effect:
        """Of errors, where these are of accuracies."""
        return dataclasses.replace(self, pairs=tuple(-pair for pair in self.pairs))

    @property
    def mean(self) -> float:
        return float(np.mean(self.pairs))

    @property
    def spread(self) -> float:
        """The pairs' standard deviation; nan where they say nothing of noise.

        One pair says nothing, and a few equal ones, as few images give them, hardly more.
        """
        equal = np.ptp(self.pairs) < 1e-9
        return math.nan if equal else float(np.std(self.pairs, ddof=1))

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %: mean ± t(0.975; n - 1) spread / sqrt(n)."""
        half = scipy.stats.t.isf(LEVEL / 2, len(self.pairs) - 1) * self.spread / math.sqrt(len(self.pairs))
        return self.mean - half, self.mean + half

    @property
    def p(self) -> float:
        """Of the two-sided paired t-test against a mean of 0; nan where nothing is known of noise."""
        t = self.mean / (self.spread / math.sqrt(len(self.pairs)))
        return float(2 * scipy.stats.t.sf(abs(t), len(self.pairs) - 1))

    @property
    def could_tell(self) -> float:
        """The smallest difference that as many pairs of this noise tell (see could_tell)."""
        return could_tell(self.spread, len(self.pairs))

    @property
    def mark(self) -> str:
        """* if the mean is not 0 at the level of LEVEL after the correction, ~ if it may be noise, ? if unknown."""
        if math.isnan(self.adjusted):
            return "?"
        return "*" if self.adjusted < LEVEL else "~"


def holm(values: Sequence[float]) -> list[float]:
    """p-values so that of all tests together one that is noise passes LEVEL with at most that probability.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none becomes smaller than one before it, nor
    larger than 1.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    order, adjusted, least = np.argsort(values), [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min((len(values) - rank) * values[place], 1.0))
        adjusted[place] = least
    return adjusted


def tested(pairs: Mapping[str, Sequence[float]]) -> dict[str, Effect]:
    """Row -> its effect, for a family of rows: those with a p are tested together, those without pairs left out."""
    effects = {key: Effect(tuple(values)) for key, values in pairs.items() if values}
    family = {key: effect.p for key, effect in effects.items() if not math.isnan(effect.spread)}
    for key, adjusted in zip(family, holm(list(family.values()))):
        effects[key] = dataclasses.replace(effects[key], adjusted=adjusted)
    return effects


def power(difference: float, seeds: int) -> float:
    """The probability that a paired t-test of that many seeds gives p < LEVEL, difference in standard deviations.

    t^2 then has the noncentral F distribution of 1 and seeds - 1 degrees of freedom.
    """
    critical = scipy.stats.t.isf(LEVEL / 2, seeds - 1) ** 2
    return float(scipy.stats.ncf.sf(critical, 1, seeds - 1, seeds * difference**2))


def could_tell(spread: float, seeds: int) -> float:
    """The smallest difference that a number of seeds tells with probability POWER; nan for fewer than two seeds.

    Args:
        spread: standard deviation of the paired differences.
    """
    if seeds < 2 or math.isnan(spread):
        return math.nan
    most = 1.0
    while power(most, seeds) < POWER:
        most *= 2
    return spread * scipy.optimize.brentq(lambda difference: power(difference, seeds) - POWER, 0, most)


def seeds_needed(spread: float, difference: float, most: int = MOST_SEEDS) -> int | None:
    """The smallest number of seeds that could tell a difference; None: more than `most`."""
    ratio = abs(difference) / spread
    if power(ratio, most) < POWER:
        return None
    low, high = 1, most  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(ratio, middle) >= POWER else (middle, high)
    return high


def shown(effects: Mapping[str, Effect], key: str, heading: str, of: str = "", beside: str = "") -> dict[str, str]:
    """A row's effect as cells of a table: heading -> text. Of a table in which no noise is known it is one cell.

    Args:
        key: of the row.
        heading: of the difference itself.
        of: what the other headings begin with.
        beside: what is said after the difference.
    """
    effect = effects.get(key)
    told = {heading: f"{effect.mean:+.2f} {effect.mark}{beside}" if effect else ""}
    if all(math.isnan(other.spread) for other in effects.values()):
        return told
    names = [f"{of}{name}" for name in ("95 % interval", "p, Holm's p", "Could tell")]
    if effect is None or math.isnan(effect.spread):
        return {**told, **dict.fromkeys(names, "")}
    low, high = effect.interval
    tests = f"{_p(effect.p)}, {_p(effect.adjusted)}"
    seeds = plural(len(effect.pairs), "seed")
    return {**told, **dict(zip(names, (f"{low:+.2f} to {high:+.2f}", tests, f"{effect.could_tell:.2f} ({seeds})")))}


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "under 0.001"


def pooled(effects: Iterable[Effect]) -> float:
    """The standard deviation of pairs, over all effects that have one; nan if none has."""
    known = [effect for effect in effects if not math.isnan(effect.spread)]
    freedom = sum(len(effect.pairs) - 1 for effect in known)
    squares = sum((len(effect.pairs) - 1) * effect.spread**2 for effect in known)
    return math.sqrt(squares / freedom) if known else math.nan


def note(effects: Iterable[Effect]) -> str:
    """What some numbers of seeds could tell by the noise of all of them; "" where it is not known."""
    spread = pooled(effects)
    if math.isnan(spread):
        return ""
    least, *others = SEEDS
    told = ", ".join(f"{seeds} seeds {could_tell(spread, seeds):.2f}" for seeds in others)
    first = f"{least} seeds could tell {could_tell(spread, least):.2f} points"
    return f"By the noise of all these pairs (standard deviation {spread:.2f} points), {first}, {told}."
