"""What kind of values columns have: measured ones, a few codes, one value again and again, or heaps at fives."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tfgmm.common.remembered import Remembered
from tfgmm.mixture.rounding import is_float32, step_of

# A column of at most so many values, each of them repeated, is a scale, a code or a flag
_FEW_VALUES = 10
_FEWEST_REPEATS = 5.0
# A value that so many rows have, at least this share of all, and so many times as many as have others, is one by itself
_FEWEST_ROWS, _LEAST_SHARE, _TIMES_OTHERS = 10, 0.02, 5.0
# Rows that rounding to a multiple of the step explains, beyond those that are there by chance
_LEAST_EXCESS, _ERRORS = 0.1, 4.0
# Clusters that happen to lie at multiples are few, and have neighbours
_FEWEST_HEAPS, _TIMES_NEIGHBOURS = 4.0, 1.5
# Multiples that people round to, of one decimal place: tens, quarters, dozens, hours
_MULTIPLES = np.array([2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 50, 60], np.float64)
_MOST_FOR_HEAPS = 2_000
# Of many rows nearly all of which differ, none are heaped
_ALL_DIFFERENT, _MANY_ROWS = 0.95, 1_000


class ColumnValues(NamedTuple):
    """What kind of values a column has.

    Attributes:
        step: What values are multiples apart, data units, 0 for none of account; where they are heaped, of the heaps.
        num_values: Number of distinct values.
        storage_variance: Variance of the error of numbers in float32, where all values are such, or in float64.
        is_few: Whether these are all there are: at most ten, each repeated.
        repeated: The value that many rows share where others have few companions; NaN where there is none.
        repeated_share: Share of the rows that have it.
        heaped_share: Share of the rows that are multiples of `step`, where these are more than chance explains, or 0.
        expected_share: Share of the rows that would be multiples of it by chance.
    """

    step: float
    num_values: int
    storage_variance: float
    is_few: bool = False
    repeated: float = math.nan
    repeated_share: float = 0.0
    heaped_share: float = 0.0
    expected_share: float = 0.0

    @property
    def rounding_variance(self) -> float:
        """The variance of the error of what was rounded to the step, squared data units."""
        return self.step**2 / 12.0


def values_of(column: np.ndarray) -> ColumnValues:
    """Finds what kind of values these are.

    Args:
        column: (n,) finite numbers, data units.

    Example:

    >>> values_of(np.repeat([2007.0, 2008.0, 2009.0], 50)).is_few
    True
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) < 2:
        return ColumnValues(0.0, len(values), 0.0)
    step = step_of(values, len(column))
    found = ColumnValues(step, len(values), _storage_variance(values))
    if len(values) <= _FEW_VALUES:
        return found._replace(is_few=len(column) >= _FEWEST_REPEATS * len(values))
    heaped = found
    if len(column) < _MANY_ROWS or len(values) < _ALL_DIFFERENT * len(column):
        heaped = _heaped(column, float(values[counts.argmax()]), found)
    if heaped.heaped_share:  # a value at a heap has the other heaps beside it
        is_at = is_multiple(values, heaped.step)
        values, counts = values[is_at], counts[is_at]
    return _repeated(values, counts, len(column), heaped)


def _values_of_columns(sample: np.ndarray) -> tuple[ColumnValues, ...]:
    return tuple(values_of(column) for column in sample.T)


# Priors of six shapes ask for them, and warnings
values_of_columns = Remembered(_values_of_columns, most=8)


def _storage_variance(values: np.ndarray) -> float:
    relative = 2.0**-23 if is_float32(values) else 2.0**-52
    return relative**2 * float(np.square(values).mean()) / 12.0


def _repeated(values: np.ndarray, counts: np.ndarray, num_data: int, found: ColumnValues) -> ColumnValues:
    """Finds the value that many rows share, where the others have few companions each."""
    place = int(counts.argmax())
    others = np.delete(counts, place)
    of_others = float(np.median(np.repeat(others, others))) if len(others) else 0.0
    if counts[place] < max(_FEWEST_ROWS, _LEAST_SHARE * num_data, _TIMES_OTHERS * of_others):
        return found
    return found._replace(repeated=float(values[place]), repeated_share=float(counts[place] / num_data))


def _heaped(column: np.ndarray, commonest: float, found: ColumnValues) -> ColumnValues:
    """Finds the widest step that explains about as many heaped values as any; one value alone is no heap."""
    some = column[:: max(1, len(column) // _MOST_FOR_HEAPS)]
    without = some[some != commonest]
    spread = _quartile_range(without)
    if spread <= 0.0:
        return found
    steps = _possible_steps(found.step, spread)
    shares = np.array([is_multiple(some, step).mean() for step in steps])
    of_others = np.array([is_multiple(without, step).mean() for step in steps])
    expected = found.step / steps
    excess = shares - expected
    least = np.maximum(_LEAST_EXCESS, _ERRORS * np.sqrt(expected * (1.0 - expected) / len(some)))
    is_explained = (excess > least) & (of_others - expected > 0.5 * least)
    if not is_explained.any():
        return found
    chosen = int(np.flatnonzero(is_explained & (excess > 0.9 * excess[is_explained].max()))[-1])
    step = float(steps[chosen])
    if _are_clusters(some, step, found.step):
        return found
    return found._replace(
        step=step,
        heaped_share=float(shares[chosen]),
        expected_share=float(expected[chosen]),
    )


def _are_clusters(values: np.ndarray, step: float, unit: float) -> bool:
    """Tells whether it may be clusters that are at multiples of the step, or that are not, instead of rounding."""
    is_at = is_multiple(values, step)
    heaps, others = values[is_at], values[~is_at]
    shares = np.unique(heaps, return_counts=True)[1] / len(heaps)
    if 1.0 / np.square(shares).sum() < _FEWEST_HEAPS:
        return True
    if len(others) and _quartile_range(others) < step:  # a narrow group of its own, measured more finely
        return True
    num_beside = 0.5 * sum(is_multiple(values + shift, step).sum() for shift in (-unit, unit)) if unit else 0.0
    return bool(len(heaps) < _TIMES_NEIGHBOURS * num_beside)


def _possible_steps(step: float, spread: float) -> np.ndarray:
    """Lists what values may be heaped at multiples of, up to the spread between the quartiles, in ascending order."""
    unit = step or 10.0 ** math.floor(math.log10(1e-4 * spread))
    steps = unit * np.outer(10.0 ** np.arange(5), _MULTIPLES).ravel()
    return np.unique(steps[steps <= spread])


def is_multiple(values: np.ndarray, step: float) -> np.ndarray:
    """Tells which values are multiples of the step, (n,) bool."""
    multiples = values / step
    is_one: np.ndarray = np.abs(multiples - np.rint(multiples)) <= 1e-6 + 1e-15 * np.abs(multiples)
    return is_one


def _quartile_range(values: np.ndarray) -> float:
    low, high = np.percentile(values, [25, 75])
    return float(high - low)
