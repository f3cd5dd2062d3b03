"""Columns that a mixture of Gaussians can say little about, or that say the same: detected before a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfgmm.common.words import with_and
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.column_values import ColumnValues, values_of_columns
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.relations import relations_of

# Standard deviations: rounding to wider steps than this leaves little of the shape of a column
_COARSE = 0.5
# Standard deviations: what heaps at narrower steps do to widths is of no account
_OF_ACCOUNT = 0.3
_MOST_NAMED = 6

Name = Callable[[int], str]


def doubtful_columns(sample: np.ndarray, summary: DataSummary) -> list[int]:
    """Finds the columns in which components may stand for single values instead of groups of rows.

    Args:
        sample: (n, D) rows, data units.
        summary: Summary of all rows.
    """
    found = values_of_columns(sample)
    return [column for column, values in enumerate(found) if _is_coarse(values, summary.spread[column])]


def odd_columns(sample: np.ndarray, summary: DataSummary, covariance: str, name: Name) -> Iterator[str]:
    """Yields a sentence without its full stop for each kind of odd column.

    Args:
        sample: (n, D) rows, data units.
        summary: Summary of all rows.
        covariance: Shape of the components.
        name: Function from the number of a column to its name, as a message shows it.
    """
    found = values_of_columns(sample)
    yield from _coarse(found, doubtful_columns(sample, summary), name)
    yield from _repeated(found, name)
    yield from _heaped(found, summary.spread, name)
    yield from _related(sample, summary, covariance, name)


def _is_coarse(values: ColumnValues, spread: float) -> bool:
    return values.num_values > 1 and (values.is_few or values.step > _COARSE * spread or values.repeated_share > 0.0)


def _coarse(found: Sequence[ColumnValues], doubtful: Sequence[int], name: Name) -> Iterator[str]:
    """Names columns of few values, or of values that are far apart beside their spread."""
    columns = [column for column in doubtful if not found[column].repeated_share]
    if not columns:
        return
    kinds = [
        f"{name(column)} ({found[column].num_values} values)"
        if found[column].is_few
        else f"{name(column)} (steps of {found[column].step:.4g})"
        for column in columns
    ]
    one = len(columns) == 1
    them = "it" if one else "them"
    instead = f"Fit without {them}, and compare"
    if len(columns) == len(found):
        instead = "A model of counts or of categories suits such a table"
    yield (
        f"column{'' if one else 's'} {_listed(kinds)} {'has' if one else 'have'} few different values: a mixture of "
        f"Gaussians is the wrong tool for {them}, and components may tell values apart instead of groups of rows. "
        f"{instead}"
    )


def _repeated(found: Sequence[ColumnValues], name: Name) -> Iterator[str]:
    """Names columns of which one value is by far the most common."""
    kinds = [
        f"{values.repeated:.6g} in {100 * values.repeated_share:.3g} % of the rows in column {name(column)}"
        for column, values in enumerate(found)
        if values.repeated_share
    ]
    if not kinds:
        return
    which = "it" if len(kinds) == 1 else "one of them"
    yield (
        f"one value is repeated far more often than others: {_listed(kinds)}. Components may describe {which} alone "
        "instead of groups of rows: such a value may stand for something else, as zeros for what was not measured"
    )


def _heaped(found: Sequence[ColumnValues], spread: Sequence[float], name: Name) -> Iterator[str]:
    """Names columns with many more values at multiples of a step than there are by chance."""
    for column, values in enumerate(found):
        if values.heaped_share and values.step > _OF_ACCOUNT * spread[column]:
            yield (
                f"{100 * values.heaped_share:.0f} % of the values of column {name(column)} are multiples of "
                f"{values.step:.4g}, where {100 * values.expected_share:.0f} % would be by chance: they are taken as "
                "rounded to that, and components as no narrower"
            )


def _related(sample: np.ndarray, summary: DataSummary, covariance: str, name: Name) -> Iterator[str]:
    """Names columns that follow from each other, group by group."""
    is_correlated = COVARIANCES[covariance].is_correlated
    for columns, number in relations_of(sample, summary).groups:
        more = "they tell" if number > 1 else "it tells"
        counts = "" if is_correlated else f', and covariance="{covariance}" counts that again'
        yield (
            f"columns {_listed([name(column) for column in columns])} follow from each other, up to the rounding of "
            f"their values: {number} of them can be left out, for {more} nothing new{counts}"
        )


def _listed(names: Sequence[str]) -> str:
    """Lists names, the first few of many."""
    if len(names) <= _MOST_NAMED:
        return with_and(names)
    return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
