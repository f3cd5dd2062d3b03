"""Columns that follow from others, as a total does from its parts: only their rounding is new."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.data.summary import DataSummary
from tfgmm.mixture.column_values import values_of_columns

# Standardised values beyond this are left out: a single far row must not decide all correlations
_FARTHEST = 10.0
# A direction is rounding where its variance is at most so many times what rounding explains
_MOST_TIMES = 2.0
# A column whose own variance is less than so many times its rounding is too coarse to follow from others
_LEAST_TIMES = 25.0
# Variance of the rounding of float32 where columns differ in size, in squared spreads
_LEAST_VARIANCE = 1e-13
# What counts as no part of a relation
_NO_SHARE = 0.05


class Relations(NamedTuple):
    """Sums of standardised columns that are constant, up to rounding.

    Attributes:
        directions: Weights of the columns in each sum, (R, D), of length 1.
        variances: Variances of the sums, (R,), squared spreads.
        groups: Columns that follow from each other, and how many of them are not needed: pairs.
    """

    directions: np.ndarray
    variances: np.ndarray
    groups: list[tuple[list[int], int]]


def relations_of(sample: np.ndarray, summary: DataSummary) -> Relations:
    """Finds what columns follow from others, by the smallest variances beside the rounding of the columns.

    Args:
        sample: (n, D) rows, data units.
        summary: Summary of all rows.

    Source: Generalised eigenvalues of the covariance matrix of the sample and that of its rounding.

    Example:

    >>> parts = np.random.default_rng(0).normal(size=(50, 2))
    >>> rows = np.column_stack([parts, parts.sum(axis=1)])
    >>> summary = DataSummary(50, 3, (0.0,) * 3, (1.0,) * 3)
    >>> relations_of(rows, summary).groups
    [([0, 1, 2], 1)]
    """
    num_features = summary.num_features
    near, rounding, columns = _near_rows(sample, summary)
    if len(columns) < 2 or len(near) <= len(columns):
        return Relations(np.zeros((0, num_features)), np.zeros(0), [])
    if len(near) < 2 * len(columns):  # few rows have small variances in some direction by chance
        rounding = np.full(len(columns), _LEAST_VARIANCE)
    units, covariance = np.sqrt(rounding), np.cov(near.T, bias=True)
    values, vectors = np.linalg.eigh(covariance / np.outer(units, units))
    weights = vectors[:, values <= _MOST_TIMES] / units[:, None]
    weights /= np.linalg.norm(weights, axis=0)
    variances = np.maximum(np.square(weights).T @ rounding, ((covariance @ weights) * weights).sum(axis=0))
    directions = np.zeros((weights.shape[1], num_features))
    directions[:, columns] = weights.T
    return Relations(directions, variances, _groups(weights, columns))


def _near_rows(sample: np.ndarray, summary: DataSummary) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardises the rows that are not far away, and the columns that vary by more than their rounding.

    Returns:
        Rows (n', D'), the variance of the rounding of their columns, (D',), squared spreads, and the columns.
    """
    spread = np.array(summary.spread)
    standardised = (sample - np.array(summary.centre)) / spread
    near = standardised[(np.abs(standardised) <= _FARTHEST).all(axis=1)]
    found = values_of_columns(sample)
    rounding = np.array([column.rounding_variance + column.storage_variance for column in found]) / np.square(spread)
    rounding = np.maximum(rounding, _LEAST_VARIANCE)
    if not len(near):
        return near, rounding, np.zeros(0, np.intp)
    columns = np.flatnonzero(summary.varies & (near.var(axis=0) > _LEAST_TIMES * rounding))
    return near[:, columns], rounding[columns], columns


def _groups(weights: np.ndarray, columns: np.ndarray) -> list[tuple[list[int], int]]:
    """Divides the columns of all relations (D', R) into those that have to do with each other."""
    if weights.shape[1] == 0:
        return []
    basis = np.linalg.qr(weights)[0]
    projection = np.abs(basis @ basis.T)
    lengths = np.sqrt(np.diag(projection))
    is_in = lengths > _NO_SHARE * lengths.max()
    reaches = (projection > _NO_SHARE * np.outer(lengths, lengths)) & np.outer(is_in, is_in)
    for _ in range(len(columns).bit_length()):  # neighbours of neighbours, in twice as many steps each time
        reaches = reaches @ reaches
    groups = {tuple(np.flatnonzero(line)) for line in reaches[is_in]}
    shares = np.diag(projection)
    return [([int(columns[place]) for place in group], round(shares[list(group)].sum())) for group in sorted(groups)]
