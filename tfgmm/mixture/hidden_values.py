"""How much measurement noise and gaps hide of the components, and what that means for intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common.columns import column_labels
from tfgmm.common.words import listed
from tfgmm.mixture.registry import COVARIANCES

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock
    from tfgmm.data.summary import DataSummary

# Share from which intervals are clearly too narrow: noise of 0.58 times the width of a component for every value, where
# intervals of 90 % hold a mean in 80 %
_MUCH = 0.25


def shares_hidden(widths: np.ndarray, block: RowBlock) -> tuple[float, ...]:
    """Computes the share of what rows say of means that their noise hides, D numbers; () without noise.

    With variance s^2 of its noise a row says 1 / (v + s^2) of the mean of a component of variance v, in place of 1 / v:
    the share that is hidden is the average of s^2 / (v + s^2) over the rows with a value in the column.

    Args:
        widths: (K, D) standard deviations of the components, of which the narrowest counts.
        block: Rows with their weights and noise, data units.

    Example:

    >>> from tfgmm.data.blocks import RowBlock
    >>> shares_hidden(np.array([[1.0], [2.0]]), RowBlock(np.zeros((2, 1)), None, np.array([[1.0], [0.0]])))
    (0.25,)
    """
    if block.noise is None:
        return ()
    noise = block.noise
    spread: Any = np.square(noise) if noise.ndim == 2 else np.diagonal(noise, axis1=1, axis2=2)
    shares = spread / (np.square(widths.min(axis=0)) + spread)
    weights = np.ones(len(noise)) if block.weights is None else block.weights
    has_value = weights[:, None] * ~np.isnan(block.values)
    return tuple(np.divide((has_value * shares).sum(axis=0), has_value.sum(axis=0)).tolist())


def sentences_on_hidden(shares: Sequence[float], column_names: tuple[str, ...] | None) -> list[str]:
    """Writes a sentence without its full stop where noise hides so much that intervals are too narrow; else none.

    Args:
        shares: D shares, as `shares_hidden` computes them; () without noise.
        column_names: D names, or None.

    Example:

    >>> sentences_on_hidden((0.5, 0.1), ("a", "b"))[0][:63]
    "noise hides much of what rows say of means in column 'a' (50 %)"
    """
    names = column_labels(column_names, len(shares)) if shares else []
    much = [
        f"{name!r} ({100.0 * share:.0f} %)" if column_names else f"{column} ({100.0 * share:.0f} %)"
        for column, (name, share) in enumerate(zip(names, shares))
        if share > _MUCH
    ]
    if not much:
        return []
    return [
        f"noise hides much of what rows say of means in column{'' if len(much) == 1 else 's'} {listed(much)}: "
        "intervals are too narrow there, since the fit counts true values as if they were seen. "
        'The exact posterior does not: posterior="auto"'
    ]


def sentences_on_unseen(summary: DataSummary, covariance: str) -> list[str]:
    """Writes a sentence without its full stop where so many values are missing that intervals are too narrow.

    Independent columns count the rows that have a value; correlated ones all rows.

    Args:
        summary: Summary of the rows of the fit.
        covariance: Covariance shape.

    Example:

    >>> from tfgmm.data.summary import DataSummary
    >>> rows = DataSummary(100, 2, (0.0, 0.0), (1.0, 1.0), ("a", "b"), gaps=(40, 2), num_incomplete=41)
    >>> sentences_on_unseen(rows, "full")[0][:52], sentences_on_unseen(rows, "diag")
    ("40 % of column 'a' is missing: intervals of it are t", [])
    """
    if not COVARIANCES[covariance].is_correlated or not summary.gaps:
        return []
    num_rows, names = summary.num_rows or summary.num_data, summary.column_names
    much = [
        f"{100.0 * count / num_rows:.0f} % of column {repr(names[column]) if names else column}"
        for column, count in enumerate(summary.gaps)
        if count > _MUCH * num_rows
    ]
    if not much:
        return []
    are, them = ("is", "it") if len(much) == 1 else ("are", "them")
    return [
        f"{listed(much)} {are} missing: intervals of {them} are too narrow, since components with correlations count "
        'missing values as if they were seen. The exact posterior does not: posterior="auto"'
    ]
