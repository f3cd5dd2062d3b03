"""What the values of a column were rounded to: no component can be told to be narrower than that."""

from __future__ import annotations

import numpy as np

# Below so many times the error of the values, what is left over is that error
_FEWEST_ERRORS = 64.0
# Share of the range below which a step is of no account
_LEAST_SHARE = 1e-5
# Some of many values tell whether there can be a step at all
_SOME_VALUES = 500
# Where values are repeated so often on average, the column has these values and none between them; a share of the rows
# have a neighbour that is nearer than others
_MEAN_REPEATS, _NEAR_SHARE = 5.0, 0.1


def steps_of(sample: np.ndarray) -> np.ndarray:
    """Finds the step that all values of each column are multiples apart, (D,) float64; 0 for none of account.

    It is 1 for whole numbers, 0.1 for one decimal, 5 for ages at fives, 2.54 for whole inches in centimetres. Values
    rounded to such a step differ from what was measured by an error of variance step^2 / 12. Where a few values are all
    there are, it is what lies between neighbours, if that is more: a tenth of the rows have a nearer one.

    Args:
        sample: (n, D) rows, data units.

    Source: Euclid's algorithm, on numbers with an error.

    Example:

    >>> steps_of(np.array([[5.1, 30.0, 0.123], [4.9, 45.0, 0.5], [6.0, 35.0, 0.7]])).round(9).tolist()
    [0.1, 5.0, 0.001]
    """
    return np.array([step_of(*np.unique(column, return_counts=True)) for column in sample.T])


def step_of(values: np.ndarray, counts: np.ndarray) -> float:
    """Finds the step of distinct values, in ascending order; see `steps_of`.

    Args:
        values: Distinct values, (V,).
        counts: Rows that have each of them, (V,).
    """
    sizes = np.abs(values)
    # What differs in the last digits alone, as 0.1 + 0.2 and 0.3 do, is one value
    is_new = np.diff(values) > 4.0 * 2.0**-52 * np.maximum(sizes[1:], sizes[:-1])
    places = np.flatnonzero(np.append(True, is_new))
    values, counts = values[places], np.add.reduceat(counts, places)
    if len(values) < 2:
        return 0.0
    largest, differences = float(sizes.max()), np.diff(values)
    step = _step_within(values, largest * 2.0**-52)
    if not step and is_float32(values):  # a decimal written in float32 is one only as far as float32 goes
        step = _step_within(values, largest * 2.0**-24)
    if counts.sum() < _MEAN_REPEATS * len(values):
        return step
    return max(step, _distance_of_neighbours(differences, counts))


def _distance_of_neighbours(differences: np.ndarray, counts: np.ndarray) -> float:
    """Finds the distance to the nearest other value that a tenth of the rows are below."""
    nearest = np.minimum(np.append(differences, np.inf), np.append(np.inf, differences))
    order = np.argsort(nearest)
    shares = np.cumsum(counts[order]) / counts.sum()
    return float(nearest[order][int(np.searchsorted(shares, _NEAR_SHARE))])


def is_float32(values: np.ndarray) -> bool:
    """Tells whether float32 holds these numbers exactly."""
    with np.errstate(over="ignore"):  # what float32 cannot hold was not written in it
        return bool((values == values.astype(np.float32)).all())


def _step_within(values: np.ndarray, error: float) -> float:
    """Finds what values, in ascending order, are multiples apart; more values can only have a smaller step."""
    stride = len(values) // _SOME_VALUES
    if stride > 1 and not _common_step(np.diff(values[::stride]), error):
        return 0.0
    return _common_step(np.diff(values), error)


def _common_step(differences: np.ndarray, error: float) -> float:
    """Finds what the differences are multiples of, each right to `error`; 0 where it is of no account."""
    left, errors, least = differences, np.full(len(differences), error), _LEAST_SHARE * differences.sum()
    while True:
        place = int(left.argmin())
        step, of_step = float(left[place]), float(errors[place])
        if step < max(_FEWEST_ERRORS * of_step, least):
            return 0.0
        multiples = np.rint(left / step)
        # An error of the step counts once for each multiple of it, and goes on to the next step
        rests, of_rests = np.abs(left - multiples * step), errors + multiples * of_step
        is_left = rests > 2.0 * of_rests
        if not is_left.any():
            break
        left, errors = np.append(rests[is_left], step), np.append(of_rests[is_left], of_step)
    multiples = np.rint(differences / step)
    return float((differences * multiples).sum() / np.square(multiples).sum())
