"""Columns that a mixture of Gaussians can say little about, or that say the same: detected before a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfgmm.common.words import listed
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.column_values import ColumnValues, values_of_columns
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.relations import Relations, relations_of

# Spreads: rounding to wider steps than this leaves little of the shape of a column
_COARSE = 0.3
# Rows per value, of which fewer say nothing of what lies between values
_FEWEST_REPEATS = 3.0
# Steps: a component that is narrower has one or two values
_NARROW = 0.7
_MOST_NAMED = 6

Name = Callable[[int], str]


def odd_columns(
    sample: np.ndarray, summary: DataSummary, name: Name, counts: np.ndarray | None = None
) -> Iterator[str]:
    """Yields a sentence without its full stop for each kind of odd column.

    Args:
        sample: (n, D) rows, data units; NaN where a row has no value.
        summary: Summary of all rows.
        name: Function from the number of a column to its name, as a message shows it.
        counts: (n,) whole numbers, how many rows each of the sample is; None: each is one.
    """
    found = values_of_columns(sample, counts)
    yield from _few(found, name)
    yield from _coarse(found, summary.spread, name)
    yield from _repeated(found, name)
    yield from _heaped(found, summary.spread, name)
    relations = relations_of(sample, summary, counts)
    for columns, number in relations.groups:
        yield (
            f"columns {listed([name(column) for column in columns])} follow from each other{_but_for(relations)}, as "
            f"far as the rounding of their values tells: {number} of them can be left out"
        )


def column_doubts(
    sample: np.ndarray,
    summary: DataSummary,
    covariance: str,
    widths: np.ndarray,
    name: Name,
    counts: np.ndarray | None = None,
) -> tuple[str, ...]:
    """Lists what in the columns speaks against calling a number of components certain, as parts of a sentence.

    Args:
        sample: (n, D) rows, data units; NaN where a row has no value.
        summary: Summary of all rows.
        covariance: Shape of the components.
        widths: Standard deviations of the components that have rows, (K, D), data units.
        name, counts: As in `odd_columns`.
    """
    found, relations = values_of_columns(sample, counts), relations_of(sample, summary, counts)
    of_values = [*_value_doubts(found, summary.spread, widths, name)]
    doubts = []
    if of_values:
        values = "; ".join(of_values[:_MOST_NAMED]) + ("; and more" if len(of_values) > _MOST_NAMED else "")
        doubts.append(f"components may tell values apart instead of groups of rows ({values})")
    for columns, _ in relations.groups:
        names = f"columns {listed([name(column) for column in columns])} follow from each other"
        if relations.num_others:
            doubts.append(f"{names}{_but_for(relations)}, which may take components of their own")
        elif not COVARIANCES[covariance].is_correlated:
            doubts.append(f'{names}, and the shape "{covariance}" counts the same twice')
    return tuple(doubts)


def _value_doubts(
    found: Sequence[ColumnValues], spread: Sequence[float], widths: np.ndarray, name: Name
) -> Iterator[str]:
    """Yields for each column why components may stand for its values."""
    for column, values in enumerate(found):
        narrowest = float(widths[:, column].min())
        if values.is_few:
            yield f"column {name(column)} has {values.num_values} values"
        elif _is_coarse(values, spread[column]):
            beside = _number(spread[column])
            yield f"the values of column {name(column)} are {values.step:.4g} apart, beside a spread of {beside}"
        elif values.repeated:
            yield _shares_of(values, name(column))
        elif _has_wide_heaps(values, spread[column]):
            yield f"many values of column {name(column)} are multiples of {values.heap_step:.4g}"
        elif narrowest < _NARROW * values.step:
            yield (
                f"a component is {_number(narrowest)} wide in column {name(column)}, whose values are "
                f"{values.step:.4g} apart"
            )


def _is_coarse(values: ColumnValues, spread: float) -> bool:
    is_repeated = values.num_rows >= _FEWEST_REPEATS * values.num_values > _FEWEST_REPEATS
    return is_repeated and not values.is_few and values.step > _COARSE * spread


def _has_wide_heaps(values: ColumnValues, spread: float) -> bool:
    return values.heap_step > _COARSE * spread


def _few(found: Sequence[ColumnValues], name: Name) -> Iterator[str]:
    """Names columns of few values."""
    columns = [column for column, values in enumerate(found) if values.is_few]
    if not columns:
        return
    kinds = [f"{name(column)} ({found[column].num_values} values)" for column in columns]
    one = len(columns) == 1
    them = "it" if one else "them"
    instead = f"Fit without {them}, and compare"
    if len(columns) == len(found):
        instead = "A model of counts or of categories suits such a table"
    yield (
        f"column{'' if one else 's'} {listed(kinds)} {'has' if one else 'have'} few different values: a mixture of "
        f"Gaussians is the wrong tool for {them}, and components may tell values apart instead of groups of rows. "
        f"{instead}"
    )


def _coarse(found: Sequence[ColumnValues], spread: Sequence[float], name: Name) -> Iterator[str]:
    """Names columns whose values are far apart beside their spread."""
    kinds = [
        f"in column {name(column)} by {values.step:.4g}, beside a spread of {_number(spread[column])}"
        for column, values in enumerate(found)
        if _is_coarse(values, spread[column])
    ]
    if kinds:
        yield (
            f"values are far apart {listed(kinds)}: they are taken as rounded to that, and components may still tell "
            "values apart instead of groups of rows"
        )


def _repeated(found: Sequence[ColumnValues], name: Name) -> Iterator[str]:
    """Names columns of which some values are by far more common than those beside them."""
    kinds = [_shares_of(values, name(column)) for column, values in enumerate(found) if values.repeated]
    if kinds:
        yield (
            f"some values are repeated far more often than those beside them: {listed(kinds)}. Components may "
            "describe one of them alone instead of groups of rows: such a value may stand for something else, as zeros "
            "for what was not measured"
        )


def _shares_of(values: ColumnValues, name: str) -> str:
    each = [f"{value:.6g} in {100 * share:.3g} %" for value, share in values.repeated]
    return f"{listed(each)} of the {'values' if values.has_gaps else 'rows'} in column {name}"


def _heaped(found: Sequence[ColumnValues], spread: Sequence[float], name: Name) -> Iterator[str]:
    """Names columns with many more values at multiples of a step than there are by chance."""
    for column, values in enumerate(found):
        if _has_wide_heaps(values, spread[column]):
            yield (
                f"{100 * values.heaped_share:.0f} % of the values of column {name(column)} are multiples of "
                f"{values.heap_step:.4g}, where {100 * values.expected_share:.0f} % would be by chance: those beyond "
                "it are taken as rounded to that"
            )


def _but_for(relations: Relations) -> str:
    number = relations.num_others
    return f" in all but {number} row{'' if number == 1 else 's'} or so" if number else ""


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 100.0 else f"{value:.0f}"
