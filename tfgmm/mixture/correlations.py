"""Correlations of the data as priors take them, and what rows cannot tell: their rounding, columns that repeat."""

from __future__ import annotations

import numpy as np

from tfgmm.data.summary import DataSummary
from tfgmm.mixture.column_values import values_of_columns
from tfgmm.mixture.relations import relations_of
from tfgmm.mixture.starts import distinct_rows

# Standardised values beyond this are set to it: a single far row must not decide all correlations.
_FARTHEST = 10.0
# Variance that each row adds, in squared spreads: where rows do not vary, and elsewhere: far below everything that rows
# tell, and above the rounding of float32
_ROW_SHARE, LEAST_ROW_SHARE = 1e-6, 1e-13
# Where rows vary by rounding alone, they add so many times as much: components could differ in nothing else
_TIMES_ROUNDING = 10.0
# Lengths of columns of one value; rows that two columns must have in common: two are on a line, whatever they are
_NO_LENGTH, _FEWEST_SHARED = 1e-10, 3.0
# Share of a distance from the mean of a column below which what is left after subtraction is rounding
_NO_SHARE = 1e-6
# Enough rows to find three distinct ones
_FEW_ROWS = 5_000


def shaped_like(
    data: DataSummary, sample: np.ndarray | None, covariance: str, weights: np.ndarray | None = None
) -> np.ndarray:
    """Computes C in data units, (D, D).

    Args:
        data: Summary of the rows.
        sample: (n, D) rows, data units, NaN where a row has no value.
        covariance: Covariance shape, for the message.
        weights: (n,) how often each row of the sample counts; None: each once.

    Raises:
        ValueError: There is no sample.
    """
    if sample is None:
        raise ValueError(
            f'`sample` must be rows of the data for covariance="{covariance}": the priors take correlations '
            "from them. Received: None. Pass some rows, (n, D)."
        )
    spread = np.array(data.spread)
    shaped: np.ndarray = spread[:, None] * _correlations(sample, data, weights) * spread
    return shaped


def row_variances(data: DataSummary, sample: np.ndarray | None, counts: np.ndarray | None = None) -> np.ndarray:
    """Computes the variance that each row adds in each column, (D,), squared data units.

    It is that of the rounding of the column; where all rows have one value, enough that no component is narrower.

    Args:
        data: Summary of the rows.
        sample: (n, D) rows, data units, NaN where a row has no value; None: nothing is known of their rounding.
        counts: (n,) whole numbers, how many rows each of them is; None: each is one.
    """
    added = np.square(data.spread) * (~data.varies * _ROW_SHARE + LEAST_ROW_SHARE)
    if sample is not None and _are_several(sample):  # what lies between two says nothing
        added = np.maximum(added, [found.rounding_variance for found in values_of_columns(sample, counts)])
    return added


def _are_several(sample: np.ndarray) -> bool:
    """Tells whether there are more than two distinct rows; the first may be alike where the data is sorted."""
    return len(distinct_rows(sample[:_FEW_ROWS])) > 2 or (len(sample) > _FEW_ROWS and len(distinct_rows(sample)) > 2)


def row_variance(data: DataSummary, sample: np.ndarray | None, counts: np.ndarray | None = None) -> np.ndarray:
    """Computes the variance that each row adds, (D, D), squared data units.

    That is `row_variances`, and more along what other columns decide, such as the direction of a column and its copy.

    Args:
        data, sample, counts: As in `row_variances`.
    """
    added = np.diag(row_variances(data, sample, counts))
    if sample is None or not len(sample):
        return added
    relations, spread = relations_of(sample, data, counts), np.array(data.spread)
    shares = np.maximum(_ROW_SHARE, _TIMES_ROUNDING * relations.variances)
    scaled = relations.directions * spread
    return np.asarray(added + (shares * scaled.T) @ scaled)


def _correlations(sample: np.ndarray, summary: DataSummary, weights: np.ndarray | None) -> np.ndarray:
    """Computes the correlation matrix (D, D), its eigenvalues held above max(1e-10, 0.1 min(1, D / N)).

    A few rows show correlations that do not exist: hence the floor. With gaps N is the rows that the rarest pair of
    columns has in common.
    """
    standardised = (sample - np.array(summary.centre)) / np.array(summary.spread)
    standardised = np.clip(standardised, -_FARTHEST, _FARTHEST)
    has_gaps, share = bool(np.isnan(standardised).any()), 1.0
    if has_gaps or weights is not None:
        correlations, share = _pairwise(standardised, np.ones(len(sample)) if weights is None else weights)
    else:
        correlations = _of_complete(standardised)
    floor = max(1e-10, 0.1 * min(1.0, summary.num_features / (share * summary.num_data)))
    values, vectors = np.linalg.eigh(correlations)
    if values[0] >= floor:
        return correlations
    held = (vectors * np.maximum(values, floor)) @ vectors.T
    if has_gaps:  # then eigenvalues far below 0 were held up, which must not widen columns
        lengths = np.sqrt(np.diag(held))
        held /= lengths[:, None] * lengths
    return held


def _of_complete(standardised: np.ndarray) -> np.ndarray:
    """Computes the correlation matrix (D, D) of rows, which it shifts; columns of one value correlate with nothing."""
    standardised -= standardised.mean(axis=0)
    lengths = np.sqrt(np.sum(np.square(standardised), axis=0))
    standardised /= np.where(lengths > _NO_LENGTH, lengths, np.inf)
    correlations = standardised.T @ standardised
    np.fill_diagonal(correlations, 1.0)
    return correlations


def _pairwise(standardised: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Computes the correlation of each two columns from the rows that have both, (D, D), and the least share of those.

    The matrix says only how wide and how alike components may be, and is hardly believed: so pairs do, where a
    covariance matrix fitted to rows with gaps takes many passes with an inverse for each pattern of gaps. Columns that
    fewer than three rows have in common, which correlate whatever they are, count as independent.
    """
    is_known = ~np.isnan(standardised)
    known, values, total = is_known.astype(np.float64), np.where(is_known, standardised, 0.0), weights.sum()
    means = (weights @ values) / np.maximum(weights @ known, np.finfo(np.float64).tiny)
    values = np.where(is_known, values - means, 0.0)
    weighted = weights[:, None] * values
    shared = (weights[:, None] * known).T @ known
    # About the means of the rows that both have: those of all rows would hide how nearly equal two columns are
    sums, each = weighted.T @ known, np.maximum(shared, np.finfo(np.float64).tiny)
    squares = (weighted * values).T @ known
    lengths = np.sqrt(np.maximum(squares - np.square(sums) / each, 0.0))
    is_told = ((shared >= _FEWEST_SHARED) | (shared > (1.0 - 1e-9) * total)) & (lengths > _NO_LENGTH)
    is_told &= lengths > _NO_SHARE * np.sqrt(squares)
    is_told &= is_told.T
    products = np.where(is_told, weighted.T @ values - sums * sums.T / each, 0.0)
    correlations = products / np.where(is_told, lengths * lengths.T, 1.0)
    np.fill_diagonal(correlations, 1.0)
    return correlations, float(shared.min(where=is_told, initial=total) / total)
