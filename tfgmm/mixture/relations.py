"""Columns that follow from others, as a total does from its parts: only their rounding is new."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.remembered import Remembered
from tfgmm.data.quantiles import quantile_of
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.column_values import values_of_columns
from tfgmm.mixture.starts import distinct_rows
from tfgmm.mixture.virtual_copies import every_nth

# Standardised values beyond this are left out: a single far row must not decide all correlations
_FARTHEST = 10.0
# A sum is rounding where its variance is at most so many times what rounding explains, and so many errors of it more
# (less where rows that are far from it were left out)
_MOST_TIMES, _MOST_TIMES_KEPT, _ERRORS = 1.25, 1.0, 4.7
# A column whose own variance is less than so many times its rounding is too coarse to follow from others
_LEAST_TIMES = 25.0
# What is left of exact sums in float64, in squared spreads; sums in float32 are rounded several times
_LEAST_VARIANCE, _TIMES_STORED = 1e-13, 4.0
# What counts as no part of a relation
_NO_SHARE = 0.05
# At most this share of the rows may not follow, by so many standard deviations of a sum; rounds of leaving them out
_FEW_ROWS, _FAR, _TRIMS = 0.05, 6.0, 4
_MOST_ROWS = 4_000
# So many complete rows per column are enough, or such a share of all rows
_ROWS_PER_COLUMN, _ENOUGH_ROWS = 20, 0.5


class Relations(NamedTuple):
    """Sums of standardised columns that are constant, up to rounding.

    Attributes:
        directions: Weights of the columns in each sum, (R, D), of length 1.
        variances: Variances of the sums, (R,), squared spreads.
        groups: Columns that follow from each other, and how many of them are not needed: pairs.
        num_others: Rows in which they do not, about: of the nearest and of some of many.
    """

    directions: np.ndarray
    variances: np.ndarray
    groups: list[tuple[list[int], int]]
    num_others: int = 0


def relations_of(sample: np.ndarray, summary: DataSummary, counts: np.ndarray | None = None) -> Relations:
    """Finds what columns follow from others, by the smallest variances beside the rounding of the columns.

    Only rows that have a value in every column tell it. Where they are few, columns with many gaps are left out.

    Args:
        sample: (n, D) rows, data units; NaN where a row has no value.
        summary: Summary of all rows.
        counts: (n,) whole numbers, how many rows each of the sample is; None: each is one.

    Source: Generalised eigenvalues of the covariance matrix of the sample and that of its rounding.

    Example:

    >>> parts = np.random.default_rng(0).normal(size=(50, 2))
    >>> rows = np.column_stack([parts, parts.sum(axis=1)])
    >>> summary = DataSummary(50, 3, (0.0,) * 3, (1.0,) * 3)
    >>> relations_of(rows, summary).groups
    [([0, 1, 2], 1)]
    """
    return _relations_of(sample, np.array(summary.centre), np.array(summary.spread), np.array(summary.varies), counts)


def _computed(
    sample: np.ndarray, centre: np.ndarray, spread: np.ndarray, varies: np.ndarray, counts: np.ndarray | None
) -> Relations:
    """Finds what columns follow from others; see `relations_of`.

    Args:
        sample, counts: As there.
        centre, spread: Of the columns, (D,) each, data units.
        varies: Which columns have several values, (D,) bool.
    """
    if np.isnan(sample).any():
        found = _of_complete_rows(sample, centre, spread, varies, counts)
    else:
        found = _of_rows(*_near_rows(sample, centre, spread, varies, counts))
    for array in (found.directions, found.variances):
        array.setflags(write=False)  # others are given the same
    return found


# Priors of the shapes with correlations ask for them, and warnings
_relations_of = Remembered(_computed, most=8)


def _of_rows(near: np.ndarray, stored: np.ndarray, rounding: np.ndarray) -> Relations:
    """Finds what columns follow from others in rows that have all values; see `_near_rows`."""
    if len(distinct_rows(near)) <= near.shape[1] + 1:  # few points lie in a plane by themselves
        return _none(near.shape[1])
    found = _relations(near, stored, rounding, _MOST_TIMES)
    if len(found.groups) or len(near) <= 2 * near.shape[1]:
        return found
    return _of_most_rows(near, stored, rounding)


def _of_complete_rows(
    sample: np.ndarray, centre: np.ndarray, spread: np.ndarray, varies: np.ndarray, counts: np.ndarray | None
) -> Relations:
    """Finds what follows from others in the rows that have all values, of the columns with few gaps."""
    is_complete, columns = _complete_part(np.isnan(sample), np.ones(len(sample)) if counts is None else counts)
    if not is_complete.any():
        return _none(sample.shape[1])
    counts = None if counts is None else counts[is_complete]
    part = sample[np.ix_(is_complete, columns)], centre[columns], spread[columns], varies[columns]
    found = _computed(*part, counts)
    directions = np.zeros((len(found.directions), sample.shape[1]))
    directions[:, columns] = found.directions
    groups = [([int(columns[column]) for column in group], number) for group, number in found.groups]
    return found._replace(directions=directions, groups=groups)


def _complete_part(is_gap: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chooses columns, those with the most gaps last, until enough rows have a value in all of them.

    Returns:
        Which rows have, (n,) bool, and the numbers of the columns, ascending.
    """
    order = np.argsort(is_gap.sum(axis=0), kind="stable")
    num_gaps = is_gap.sum(axis=1)
    for number in range(len(order), 0, -1):
        is_complete = num_gaps == 0
        if counts[is_complete].sum() >= min(_ROWS_PER_COLUMN * number, _ENOUGH_ROWS * counts.sum()):
            break
        num_gaps = num_gaps - is_gap[:, order[number - 1]]
    return is_complete, np.sort(order[:number])


def _of_most_rows(near: np.ndarray, stored: np.ndarray, rounding: np.ndarray) -> Relations:
    """Finds sums that are constant in most rows, where a few wrong ones hide them."""
    kept = near
    for _ in range(_TRIMS):
        before, kept = kept, _nearest_to_a_sum(near, kept, rounding)
        if np.array_equal(kept, before):  # from here on nothing changes
            break
        found = _relations(kept, stored, rounding, _MOST_TIMES_KEPT)
        if len(found.groups):
            distances = np.abs((near - kept.mean(axis=0)) @ found.directions.T)
            is_other = (distances > _FAR * np.sqrt(found.variances)).any(axis=1)
            if is_other.mean() < _FEW_ROWS:
                return found._replace(num_others=int(is_other.sum()))
    return _none(near.shape[1])


def _none(num_features: int) -> Relations:
    return Relations(np.zeros((0, num_features)), np.zeros(0), [])


def _nearest_to_a_sum(near: np.ndarray, kept: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Keeps the rows for which the sum that varies least among those kept so far differs least from its mean."""
    columns = np.flatnonzero(kept.var(axis=0) > _LEAST_TIMES * errors)
    if len(columns) < 2:
        return near
    units = np.sqrt(errors[columns])
    vectors = np.linalg.eigh(np.cov(kept[:, columns].T, bias=True) / np.outer(units, units))[1]
    distances = np.abs((near - kept.mean(axis=0))[:, columns] @ (vectors[:, 0] / units))
    return near[distances <= quantile_of(distances, 1.0 - _FEW_ROWS)]


def _relations(near: np.ndarray, stored: np.ndarray, rounding: np.ndarray, most_times: float) -> Relations:
    """Finds the sums of standardised rows (n', D) that are constant up to the errors of their columns, (D,)."""
    found = [_none(near.shape[1])]
    if len(near) > near.shape[1] > 1:
        covariance, variances = np.cov(near.T, bias=True), near.var(axis=0)
        found.append(_constant_sums(covariance, stored, np.flatnonzero(variances > _LEAST_TIMES * stored), 2.0))
        # Few rows have small variances in some direction by chance
        if len(near) >= 2 * near.shape[1]:
            fine = np.flatnonzero(variances > _LEAST_TIMES * rounding)
            most = most_times + _ERRORS / math.sqrt(len(near))
            found.append(_constant_sums(covariance, rounding, fine, min(2.0, most)))
    directions, variances = _independent(found)
    return Relations(directions, variances, _groups(directions.T))


def _near_rows(
    sample: np.ndarray, centre: np.ndarray, spread: np.ndarray, varies: np.ndarray, counts: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardises the rows that are not far away.

    Returns:
        Rows (n', D), and the variances of their columns' errors, (D,), squared spreads: as numbers of the computer, and
        rounded. Columns of one value have errors as large as themselves.
    """
    standardised = (every_nth(sample, counts, _MOST_ROWS) - centre) / spread
    near = standardised[(np.abs(standardised) <= _FARTHEST).all(axis=1)]
    each = values_of_columns(sample, counts)
    stored = _TIMES_STORED * np.array([column.storage_variance for column in each]) / np.square(spread)
    stored = np.where(varies, np.maximum(stored, _LEAST_VARIANCE), 1.0)
    return near, stored, stored + np.array([column.rounding_variance for column in each]) / np.square(spread)


def _constant_sums(covariance: np.ndarray, errors: np.ndarray, columns: np.ndarray, most: float) -> Relations:
    """Finds sums of some columns whose variance is at most so many times what the errors of the columns explain."""
    if len(columns) < 2:
        return _none(len(errors))
    units, of_columns = np.sqrt(errors[columns]), covariance[np.ix_(columns, columns)]
    values, vectors = np.linalg.eigh(of_columns / np.outer(units, units))
    weights = vectors[:, values <= most] / units[:, None]
    weights /= np.linalg.norm(weights, axis=0)
    variances = np.maximum(np.square(weights).T @ errors[columns], ((of_columns @ weights) * weights).sum(axis=0))
    directions = np.zeros((weights.shape[1], len(errors)))
    directions[:, columns] = weights.T
    return Relations(directions, variances, [])


def _independent(found: Sequence[Relations]) -> tuple[np.ndarray, np.ndarray]:
    """Joins sums, those first that are constant most nearly; what follows from sums before it is left out."""
    directions = np.concatenate([relations.directions for relations in found])
    variances = np.concatenate([relations.variances for relations in found])
    kept: list[int] = []
    basis = np.zeros((0, directions.shape[1]))
    for place, direction in enumerate(directions):
        rest = direction - basis.T @ (basis @ direction)
        if np.linalg.norm(rest) > _NO_SHARE:
            basis = np.vstack([basis, rest / np.linalg.norm(rest)])
            kept.append(place)
    return basis, variances[kept]


def _groups(weights: np.ndarray) -> list[tuple[list[int], int]]:
    """Divides the columns of all relations (D, R) into those that have to do with each other."""
    if weights.shape[1] == 0:
        return []
    projection = np.abs(weights @ weights.T)
    lengths = np.sqrt(np.diag(projection))
    is_in = lengths > _NO_SHARE * lengths.max()
    reaches = (projection > _NO_SHARE * np.outer(lengths, lengths)) & np.outer(is_in, is_in)
    for _ in range(len(weights).bit_length()):  # neighbours of neighbours, in twice as many steps each time
        reaches = reaches @ reaches
    groups = {tuple(np.flatnonzero(line)) for line in reaches[is_in]}
    shares = np.diag(projection)
    return [([int(column) for column in group], round(shares[list(group)].sum())) for group in sorted(groups)]
