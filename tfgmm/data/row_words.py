"""What rows carry beside their values, in words: gaps, weights, measurement noise, and rows that are left out."""

from __future__ import annotations

from collections.abc import Iterator

from tfgmm.common.columns import column_labels
from tfgmm.common.words import counted, listed, shown_count
from tfgmm.data.summary import DataSummary


def sentences_on_rows(summary: DataSummary) -> list[str]:
    """Writes a sentence without its full stop for everything that rows carry; none for plain rows.

    Example:

    >>> sentences_on_rows(DataSummary(4, 2, (0.0, 0.0), (1.0, 1.0), ("a", "b"), gaps=(0, 1), num_incomplete=1))
    ["1 of 8 values is missing, in 1 of 4 rows and in column 'b': integrated out, as missing at random"]
    """
    return [*sentences_on_gaps(summary), *sentences_on_weights(summary), *sentences_on_noise(summary)]


def sentences_on_gaps(summary: DataSummary) -> Iterator[str]:
    """Yields a sentence without its full stop on values that are missing, and rows that are left out for it."""
    num_rows, names = _num_rows(summary), column_labels(summary.column_names, summary.num_features)
    if summary.gap_columns:
        gaps, total = sum(summary.gaps), num_rows * summary.num_features
        columns = [f"{names[column]!r}" if summary.column_names else str(column) for column in summary.gap_columns]
        several = f"{len(columns)} of {summary.num_features} columns"
        where = f"column {columns[0]}" if len(columns) == 1 else f"{several} ({listed(columns)})"
        yield (
            f"{gaps:,} of {total:,} values {'is' if gaps == 1 else 'are'} missing, in {summary.num_incomplete:,} of "
            f"{counted(num_rows, 'row')} and in {where}: integrated out, as missing at random"
        )
    if summary.num_empty:
        yield sentence_on_empty(summary.num_empty)


def sentence_on_empty(num_empty: int) -> str:
    """Writes a sentence without its full stop on rows that are left out because they have no value.

    Example:

    >>> sentence_on_empty(2)
    '2 rows without any value are left out'
    """
    return f"{counted(num_empty, 'row')} without any value {_are(num_empty)} left out"


def sentences_on_weights(summary: DataSummary) -> Iterator[str]:
    """Yields a sentence without its full stop on weights, and on rows that are left out for theirs."""
    if summary.weights_name is not None:
        column = f" (column {summary.weights_name!r})" if summary.weights_name else ""
        rows = counted(_num_rows(summary), "row")
        yield f"rows count as often as their weights say{column}: {rows} with the sum {shown_count(summary.num_data)}"
    if summary.num_weightless:
        yield f"{counted(summary.num_weightless, 'row')} of weight 0 {_are(summary.num_weightless)} left out"


def sentences_on_noise(summary: DataSummary) -> Iterator[str]:
    """Yields a sentence without its full stop on measurement noise, if there is some."""
    if summary.noise_columns:
        names = column_labels(summary.column_names, summary.num_features)
        pairs = [f"{name!r} ({error!r})" for name, error in zip(names, summary.noise_columns) if error]
        columns = f" in {'column' if len(pairs) == 1 else 'columns'} {listed(pairs)}" if pairs else ""
        yield f"the measurement noise of each row{columns} is taken off: the mixture is that of values without it"


def _num_rows(summary: DataSummary) -> int:
    return summary.num_rows or int(summary.num_data)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
