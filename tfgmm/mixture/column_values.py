"""What kind of values columns have: measured ones, a few codes, one value again and again, or heaps at fives."""

from __future__ import annotations

import math
import statistics
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.remembered import Remembered
from tfgmm.data.quantiles import quantile_of
from tfgmm.mixture.rounding import is_float32, step_of
from tfgmm.mixture.virtual_copies import every_nth

# A column of at most so many values, each of them repeated, is a scale, a code or a flag; of some more where they are
# prices or doses: few of the multiples of their step
_FEW_VALUES, _FEWEST_REPEATS = 10, 5.0
_SOME_VALUES, _MORE_REPEATS, _OF_MULTIPLES = 20, 10.0, 0.75
# A value that so many rows have, at least this share of all, and so many times as many as the nearest four values, is
# one by itself; more than a few such are heaps
_FEWEST_ROWS, _LEAST_SHARE, _TIMES_OTHERS = 10, 0.02, 5.0
_NEAREST, _MOST_REPEATED = 4, 3
# Rows that rounding to a wider step explains, beyond those that are there by chance
_LEAST_EXCESS, _ERRORS = 0.1, 4.0
# Clusters that happen to lie at multiples are few, and have neighbours
_FEWEST_HEAPS, _TIMES_NEIGHBOURS = 4.0, 1.5
# Between two heaps values lie all over, with a standard deviation of 0.29 steps; a group is narrower
_NARROW, _MOST_IN_GROUPS, _FEWEST_BETWEEN = 0.22, 0.1, 12
# Multiples that people round to, of one decimal place: tens, quarters, dozens, hours
_MULTIPLES = np.array([2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 50, 60], np.float64)
_MOST_FOR_HEAPS = 2_000
# Of many rows nearly all of which differ, none are heaped or repeated
_ALL_DIFFERENT, _MANY_ROWS = 0.95, 1_000


class ColumnValues(NamedTuple):
    """What kind of values a column has.

    Attributes:
        step: What values are multiples apart, data units, 0 for none of account.
        num_values: Number of distinct values.
        num_rows: Number of rows that have them: those without a value do not count, here and below.
        storage_variance: Variance of the error of numbers in float32, where all values are such, or in float64.
        is_few: Whether these are all there are: at most ten, each repeated.
        repeated: Values that many rows share where those beside them have few companions, and the share of their rows.
        heap_step: A wider step that many more values are multiples of than chance explains; 0 where there is none.
        heaped_share: Share of the rows that are multiples of it, or 0.
        expected_share: Share of the rows that would be multiples of it by chance.
        has_gaps: Whether there are other rows, which have no value.
    """

    step: float
    num_values: int
    num_rows: int
    storage_variance: float
    is_few: bool = False
    repeated: tuple[tuple[float, float], ...] = ()
    heap_step: float = 0.0
    heaped_share: float = 0.0
    expected_share: float = 0.0
    has_gaps: bool = False

    @property
    def rounding_variance(self) -> float:
        """The variance of the errors of rounding, a mean over the rows, squared data units."""
        share_rounded = (self.heaped_share - self.expected_share) / (1.0 - self.expected_share)
        return (self.step**2 + share_rounded * self.heap_step**2) / 12.0


def values_of(column: np.ndarray, counts: np.ndarray | None = None) -> ColumnValues:
    """Finds what kind of values these are.

    Args:
        column: (n,) numbers, data units; NaN where a row has no value.
        counts: (n,) whole numbers, how many rows each of them is; None: each is one.

    Example:

    >>> values_of(np.repeat([2007.0, 2008.0, 2009.0], 50)).is_few
    True
    """
    is_gap = np.isnan(column)
    if is_gap.any():
        return values_of(column[~is_gap], None if counts is None else counts[~is_gap])._replace(has_gaps=True)
    values, of_values = _distinct(column, counts)
    num_rows = int(of_values.sum())
    if len(values) < 2:
        return ColumnValues(0.0, len(values), num_rows, 0.0)
    step = step_of(values, of_values)
    found = ColumnValues(step, len(values), num_rows, _storage_variance(values))
    if _are_few(values, num_rows, step):
        return found._replace(is_few=True)
    if len(values) <= _FEW_VALUES or _all_differ(values, of_values):
        return found
    return _with_heaps(found, column, counts, values, of_values)


def _distinct(column: np.ndarray, counts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Finds the distinct values, ascending, and how many rows have each, whole numbers."""
    if counts is None or not len(column):
        return np.unique(column, return_counts=True)
    order = np.argsort(column)
    values = column[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    return values[first], np.add.reduceat(counts[order], first).astype(np.int64)


def _with_heaps(
    found: ColumnValues, column: np.ndarray, counts: np.ndarray | None, values: np.ndarray, of_values: np.ndarray
) -> ColumnValues:
    """Adds the values of a column that are by far more common than others, and the step of heaps."""
    alone = _repeated(values, of_values)
    is_other = np.full(len(column), True)
    if 0 < len(alone) <= _MOST_REPEATED:
        is_other = ~np.isin(column, [value for value, _ in alone])
    heaped = _heaped(column[is_other], None if counts is None else counts[is_other], found)
    if heaped.heap_step:  # then a value at a heap has the other heaps beside it
        heaped = _heaped(column, counts, found)
    if heaped.heap_step:
        is_at = is_multiple(values, heaped.heap_step)
        alone = _repeated(values[is_at], of_values[is_at], found.num_rows)
    return heaped._replace(repeated=tuple(alone))


def _are_few(values: np.ndarray, num_data: float, step: float) -> bool:
    if len(values) <= _FEW_VALUES:
        return num_data >= _FEWEST_REPEATS * len(values)
    num_multiples = np.ptp(values) / step + 1.0 if step else math.inf
    is_some = len(values) <= _SOME_VALUES and num_data >= _MORE_REPEATS * len(values)
    return bool(is_some and len(values) < _OF_MULTIPLES * num_multiples)


def _all_differ(values: np.ndarray, counts: np.ndarray) -> bool:
    """Tells whether nearly all of many rows differ, and no value is repeated."""
    num_data = counts.sum()
    most = max(_FEWEST_ROWS, _LEAST_SHARE * num_data)
    return bool(num_data >= _MANY_ROWS and len(values) > _ALL_DIFFERENT * num_data and counts.max() < most)


def _values_of_columns(sample: np.ndarray, counts: np.ndarray | None = None) -> tuple[ColumnValues, ...]:
    return tuple(values_of(column, counts) for column in sample.T)


# Priors of six shapes ask for them, and warnings
values_of_columns = Remembered(_values_of_columns, most=8)


def _storage_variance(values: np.ndarray) -> float:
    relative = 2.0**-23 if is_float32(values) else 2.0**-52
    return relative**2 * float(np.square(values).mean()) / 12.0


def _repeated(values: np.ndarray, counts: np.ndarray, num_data: float | None = None) -> list[tuple[float, float]]:
    """Finds values that many rows share, where the values beside them have few companions each, and their shares."""
    num_data = int(counts.sum()) if num_data is None else num_data
    found = []
    for place in np.flatnonzero(counts >= max(_FEWEST_ROWS, _LEAST_SHARE * num_data)):
        first = min(max(int(place) - _NEAREST // 2, 0), max(0, len(counts) - _NEAREST - 1))
        beside = counts[first : first + _NEAREST + 1].tolist()
        del beside[place - first]
        if beside and counts[place] >= _TIMES_OTHERS * statistics.median(beside):
            found.append((float(values[place]), float(counts[place] / num_data)))
    return found


def _heaped(column: np.ndarray, counts: np.ndarray | None, found: ColumnValues) -> ColumnValues:
    """Finds the widest step that explains about as many heaped values as any."""
    some = every_nth(column, counts, _MOST_FOR_HEAPS)
    spread = _quartile_range(some) if len(some) else 0.0
    if spread <= 0.0:
        return found
    steps = _possible_steps(found.step, spread)
    shares, expected = _shares_at(some, steps), found.step / steps
    excess = shares - expected
    least = np.maximum(_LEAST_EXCESS, _ERRORS * np.sqrt(expected * (1.0 - expected) / len(some)))
    is_explained = excess > least
    if not is_explained.any():  # as in nearly all measured columns
        return found
    # Digits that grow with the value, as three significant ones do, leave small values without heaps
    small, large = np.array_split(some[np.argsort(np.abs(some))], 2)
    for half in (small, large):
        is_explained &= _shares_at(half, steps) - expected > 0.5 * least
    if not is_explained.any():
        return found
    chosen = int(np.flatnonzero(is_explained & (excess > 0.9 * excess[is_explained].max()))[-1])
    step = float(steps[chosen])
    if _are_clusters(some, step, found.step) or _hides_groups(some, step):
        return found
    return found._replace(heap_step=step, heaped_share=float(shares[chosen]), expected_share=float(expected[chosen]))


def _shares_at(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    shares: np.ndarray = is_multiple(values, steps[:, None]).mean(axis=1)
    return shares


def _are_clusters(values: np.ndarray, step: float, unit: float) -> bool:
    """Tells whether it may be clusters, and no rounding, that puts values at multiples of the step."""
    heaps = values[is_multiple(values, step)]
    shares = np.unique(heaps, return_counts=True)[1] / len(heaps)
    if 1.0 / np.square(shares).sum() < _FEWEST_HEAPS:
        return True
    num_beside = 0.5 * sum(is_multiple(values + shift, step).sum() for shift in (-unit, unit)) if unit else 0.0
    return bool(len(heaps) < _TIMES_NEIGHBOURS * num_beside)


def _hides_groups(values: np.ndarray, step: float) -> bool:
    """Tells whether there are groups between the heaps that are narrower than the step."""
    others = values[~is_multiple(values, step)] / step
    if not len(others):
        return False
    places = np.unique(np.rint(others), return_inverse=True)[1]
    counts = np.bincount(places)
    middles = np.bincount(places, others) / counts
    widths = np.sqrt(np.bincount(places, np.square(others - middles[places])) / counts)
    is_group = (counts >= _FEWEST_BETWEEN) & (widths < _NARROW)
    return bool(counts[is_group].sum() > _MOST_IN_GROUPS * len(others))


def _possible_steps(step: float, spread: float) -> np.ndarray:
    """Lists what values may be heaped at multiples of, up to the spread between the quartiles, in ascending order."""
    unit = step or 10.0 ** math.floor(math.log10(1e-4 * spread))
    steps = unit * np.outer(10.0 ** np.arange(5), _MULTIPLES).ravel()
    return np.unique(steps[steps <= spread])


def is_multiple(values: np.ndarray, step: Any) -> np.ndarray:
    """Tells which values are multiples of the step, (n,) bool; or of each of S steps (S, 1), (S, n)."""
    multiples = values / step
    is_one: np.ndarray = np.abs(multiples - np.rint(multiples)) <= 1e-6 + 1e-15 * np.abs(multiples)
    return is_one


def _quartile_range(values: np.ndarray) -> float:
    return quantile_of(values, 0.75) - quantile_of(values, 0.25)
