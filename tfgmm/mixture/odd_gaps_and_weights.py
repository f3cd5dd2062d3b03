"""Gaps, weights and noise that make a fit slow, or that leave little to go by: detected before a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfgmm.common.words import listed
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.virtual_copies import are_counts

# Fewer patterns of gaps are of no account; of more, fewer than one for so many rows per column
_FEW_PATTERNS, _ROWS_PER_COLUMN = 50, 2.0
# Share of the rows without a value from which a column is said to have few
_MOST_GAPS = 0.5
# Rows of equal weight that are few for any mixture, and for each component; a share of the rows that is not few
_FEW_ROWS, _FEW_PER_COMPONENT, _NOT_FEW = 10.0, 5.0, 0.5
# Times the standard deviation of the values: more noise cannot be, but by chance in few rows
_TOO_LARGE = 1.3
# Rows with values in both of two columns that say little of how these go together; such pairs in a message
_FEW_TOGETHER, _MOST_PAIRS = 5, 6


def odd_gaps(
    sample: np.ndarray, summary: DataSummary, weights: np.ndarray | None, covariance: str, name: Callable[[int], str]
) -> Iterator[str]:
    """Yields a sentence without its full stop for everything odd about the gaps.

    Args:
        sample: (n, D) rows, data units; NaN where a row has no value.
        summary: Summary of all rows.
        weights: (n,) how often each row of the sample counts; None: each as often as the others.
        covariance: Shape of the components.
        name: Function from the number of a column to its name, as a message shows it.
    """
    is_gap = np.isnan(sample)
    if not is_gap.any() and not summary.gaps:
        return
    shares = _shares_of_gaps(is_gap, summary, weights)
    empty = [f"{name(column)} ({100 * share:.3g} %)" for column, share in enumerate(shares) if share > _MOST_GAPS]
    if empty:
        have, them = ("column {} has", "it") if len(empty) == 1 else ("columns {} have", "them")
        yield (
            f"{have.format(listed(empty))} no value in more than half of the rows: components and their widths there "
            f"rest on the others, and on the priors. Fit without {them}, and compare"
        )
    yield from _never_together(is_gap, name)
    if COVARIANCES[covariance].is_correlated:
        yield from _many_patterns(is_gap, summary)


def _shares_of_gaps(is_gap: np.ndarray, summary: DataSummary, weights: np.ndarray | None) -> np.ndarray:
    """Computes the share of the rows without a value, (D,): of all rows, or of the sample where rows have weights."""
    if weights is not None:
        return np.asarray(weights @ is_gap / weights.sum())
    if summary.gaps:
        return np.array(summary.gaps) / (summary.num_rows or summary.num_data)
    return is_gap.mean(axis=0)


def _never_together(is_gap: np.ndarray, name: Callable[[int], str]) -> Iterator[str]:
    """Says which columns have values together in no row, or in very few."""
    if len(is_gap) < 2 * _FEW_TOGETHER:
        return
    is_seen = (~is_gap).astype(np.float64)
    together = is_seen.T @ is_seen
    firsts, seconds = np.nonzero(np.triu(together < _FEW_TOGETHER, 1))
    if not len(firsts):
        return
    pairs = [f"{name(int(one))} and {name(int(other))}" for one, other in zip(firsts, seconds)]
    more = [f"{len(pairs) - _MOST_PAIRS} pairs more"] if len(pairs) > _MOST_PAIRS else []
    most = int(together[firsts, seconds].max())
    rows = "in no row" if most == 0 else f"in at most {most} row{'s' if most > 1 else ''}"
    yield (
        f"the columns {'; '.join([*pairs[:_MOST_PAIRS], *more])} have values together {rows}: what a component says of "
        "how they go together is the prior's, and not the rows'"
    )


def _many_patterns(is_gap: np.ndarray, summary: DataSummary) -> Iterator[str]:
    num_rows, num_features = is_gap.shape
    patterns = np.unique(np.packbits(is_gap[is_gap.any(axis=1)], axis=1), axis=0)
    if len(patterns) > max(_FEW_PATTERNS, num_rows / (_ROWS_PER_COLUMN * num_features)):
        of_sample = " of a sample" if num_rows < (summary.num_rows or summary.num_data) else ""
        yield (
            f"the gaps of {num_rows:,} rows{of_sample} form {len(patterns):,} different patterns: components with "
            "correlations work out matrices for each of them, and a fit can take many times as long as without gaps. "
            'the shape "diag" needs no matrices'
        )


def odd_weights(
    sample: np.ndarray,
    summary: DataSummary,
    weights: np.ndarray | None,
    num_components: int,
    name: Callable[[int], str],
) -> Iterator[str]:
    """Yields a sentence without its full stop for everything odd about the weights.

    Args:
        sample, summary, weights: As in `odd_gaps`.
        num_components: K.
        name: As in `odd_gaps`.

    Source of the rows of equal weight: Kish 1965.
    """
    if weights is None:
        return
    num_rows = summary.num_rows or len(sample)
    num_equal = float(weights.sum() ** 2 / np.square(weights).sum())
    few = max(_FEW_ROWS, _FEW_PER_COMPONENT * num_components)
    if num_equal < min(few, _NOT_FEW * num_rows) and num_rows >= few:
        yield (
            f"weights differ widely: {num_rows:,} rows count like {num_equal:.2g} of equal weight, and "
            "components may describe single rows. Check the largest weights"
        )
    equal = np.flatnonzero((sample == weights[:, None]).all(axis=0) & (np.ptp(sample, axis=0) > 0))
    if len(equal) and len(weights) > _FEW_ROWS:
        yield (
            f"the weights are also column {name(int(equal[0]))}, which counts as a measurement: name the column of a "
            'table instead, sample_weight="count", or leave it out of the rows'
        )
    if (weights != np.floor(weights)).any() and not are_counts(weights, summary):
        yield (
            f"weights are not whole numbers: their sum, {summary.num_data:.6g}, is the number of rows to priors and "
            "BIC. Scale them so that it is the number of rows that they are worth"
        )


def odd_noise(noise: np.ndarray | None, summary: DataSummary, name: Callable[[int], str]) -> Iterator[str]:
    """Yields a sentence without its full stop where noise is larger than the values with it vary.

    Args:
        noise: Standard deviations (n, D) or covariances (n, D, D) of the rows of a sample; None: there is none.
        summary: Summary of all rows.
        name: As in `odd_gaps`.
    """
    if noise is None:
        return
    variances = np.square(noise) if noise.ndim == 2 else np.diagonal(noise, axis1=1, axis2=2)
    of_noise, of_values = np.sqrt(variances.mean(axis=0)), np.array(summary.scale)
    for column in np.flatnonzero(of_noise > _TOO_LARGE * of_values).tolist()[:1]:
        yield (
            f"the noise of column {name(column)} is about {of_noise[column]:.3g}, and its values vary by "
            f"{of_values[column]:.3g} only, noise included: next to nothing is left for components. Standard "
            "deviations are asked for, in the units of the column, and not variances"
        )
