"""Correlations of the data as priors take them, robust against few rows that are far away."""

from __future__ import annotations

import numpy as np

from tfgmm.data.summary import DataSummary

# Standardised values beyond this are set to it: a single far row must not decide all correlations.
_FARTHEST = 10.0
# Eigenvalues of correlations below this are rounding of float32
_FLAT = 1e-10


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


def row_variance(data: DataSummary, sample: np.ndarray | None, share: float, least: float) -> np.ndarray:
    """Computes the variance that each row adds where rows do not vary, (D, D), squared data units.

    Those are columns of one value, and directions that other columns decide, such as that of a column beside its copy.

    Args:
        data: Summary of the rows.
        sample: (n, D) rows; None: columns are looked at alone.
        share: What it is there, in squared spreads.
        least: What it is elsewhere: far below everything that rows tell, and above the rounding of float32.
    """
    spread = np.array(data.spread)
    flat = np.diag(~data.varies * share + least)
    if sample is not None and len(sample) > data.num_features > 1:
        values, vectors = np.linalg.eigh(_raw_correlations(sample, data))
        flat += share * (vectors * (values < _FLAT)) @ vectors.T
    return np.asarray(spread[:, None] * flat * spread)


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
