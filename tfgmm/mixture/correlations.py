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
# Enough rows to find three distinct ones
_FEW_ROWS = 5_000


def shaped_like(data: DataSummary, sample: np.ndarray | None, covariance: str) -> np.ndarray:
    """Computes C in data units, (D, D)."""
    if sample is None:
        raise ValueError(
            f'`sample` must be rows of the data for covariance="{covariance}": the priors take correlations '
            "from them. Received: None. Pass some rows, (n, D)."
        )
    spread = np.array(data.spread)
    shaped: np.ndarray = spread[:, None] * _correlations(sample, data) * spread
    return shaped


def row_variances(data: DataSummary, sample: np.ndarray | None) -> np.ndarray:
    """Computes the variance that each row adds in each column, (D,), squared data units.

    It is that of the rounding of the column; where all rows have one value, enough that no component is narrower.

    Args:
        data: Summary of the rows.
        sample: (n, D) rows, data units; None: nothing is known of their rounding.
    """
    added = np.square(data.spread) * (~data.varies * _ROW_SHARE + LEAST_ROW_SHARE)
    if sample is not None and len(distinct_rows(sample[:_FEW_ROWS])) > 2:  # what lies between two says nothing
        added = np.maximum(added, [found.rounding_variance for found in values_of_columns(sample)])
    return added


def row_variance(data: DataSummary, sample: np.ndarray | None) -> np.ndarray:
    """Computes the variance that each row adds, (D, D), squared data units.

    That is `row_variances`, and more along what other columns decide, such as the direction of a column and its copy.

    Args:
        data, sample: As in `row_variances`.
    """
    added = np.diag(row_variances(data, sample))
    if sample is None or not len(sample):
        return added
    relations, spread = relations_of(sample, data), np.array(data.spread)
    shares = np.maximum(_ROW_SHARE, _TIMES_ROUNDING * relations.variances)
    scaled = relations.directions * spread
    return np.asarray(added + (shares * scaled.T) @ scaled)


def _raw_correlations(sample: np.ndarray, summary: DataSummary) -> np.ndarray:
    """Computes the correlation matrix (D, D); columns without spread correlate with nothing."""
    standardised = (sample - np.array(summary.centre)) / np.array(summary.spread)
    standardised = np.clip(standardised, -_FARTHEST, _FARTHEST)
    standardised -= standardised.mean(axis=0)
    lengths = np.sqrt(np.sum(np.square(standardised), axis=0))
    standardised /= np.where(lengths > 1e-10, lengths, np.inf)
    correlations = standardised.T @ standardised
    np.fill_diagonal(correlations, 1.0)
    return correlations


def _correlations(sample: np.ndarray, summary: DataSummary) -> np.ndarray:
    """Computes the correlation matrix (D, D), its eigenvalues held above max(1e-10, 0.1 min(1, D / N)).

    A few rows show correlations that do not exist: hence the floor.
    """
    correlations = _raw_correlations(sample, summary)
    floor = max(1e-10, 0.1 * min(1.0, summary.num_features / summary.num_data))
    values, vectors = np.linalg.eigh(correlations)
    return correlations if values[0] >= floor else (vectors * np.maximum(values, floor)) @ vectors.T
