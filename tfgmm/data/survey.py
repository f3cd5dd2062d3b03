"""What one pass over the rows tells: their summary and some rows to start from, or only that all are finite."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from tfgmm.data.blocks import RowBlock, is_finite
from tfgmm.data.errors import check_gaps, no_rows_left_error
from tfgmm.data.row_source import RowSource
from tfgmm.data.sampling import SAMPLE_ROWS, RowSample
from tfgmm.data.shards.rows import ShardRows
from tfgmm.data.summary import SummaryAccumulator, with_facts_of
from tfgmm.data.survey_record import Survey as Survey


def survey_rows(source: RowSource, num_data: float | None, seed: int) -> Survey:
    """Summarises the whole data and draws a sample of its rows, in the order of the rows, in one pass; see `RowSample`.

    The same rows in the same order give the same sample, from whatever kind of source they come, but for rows in parts:
    their sample depends on the parts too. For a stream of unknown length, only the first 20,000 rows are looked at:
    they are the sample, and N = `num_data`.

    Args:
        source: Rows of any kind.
        num_data: N as the user states it, or None.
        seed: Seed of the sample.

    Raises:
        ValueError: N is neither known nor stated; there are no rows; values are NaN or infinite.

    Example:

    >>> from tfgmm.data.readers import Rows
    >>> survey_rows(Rows(np.array([[1.0], [3.0]])), None, seed=0).summary.mean
    (2.0,)
    """
    if isinstance(source, ShardRows):
        return source.survey(seed)
    if num_data is None and not source.has_known_length:
        raise ValueError(
            f"`num_data`, the number of rows in the whole data set, must be known: it scales the KL term. "
            f"Received: `{source.name}`, a dataset of unknown or endless length. "
            "Pass compile(..., num_data=...), or apply tf.data.experimental.assert_cardinality to the dataset."
        )
    accumulator = SummaryAccumulator(
        name=source.name,
        column_names=source.column_names,
        place=source.place,
        block_words="this batch" if source.has_own_batches else None,
        missing=source.missing,
    )
    chosen = RowSample(SAMPLE_ROWS, seed)
    following = _first_blocks(source)
    later = (block.values for block in following) if source.is_in_memory else None
    for block in following:
        accumulator.update(block, later=later)
        chosen.update(block)
    check_some_rows(source, accumulator.num_data > 0)
    sample = chosen.block(accumulator.num_data)
    summary = with_facts_of(accumulator.result(sample), source)
    if num_data is not None and not source.has_known_length:
        summary = dataclasses.replace(summary, num_data=num_data)
        if sample.weights is not None:
            sample = sample._replace(weights=sample.weights * (num_data / sample.weights.sum()))
    return Survey(summary, *sample)


def _first_blocks(source: RowSource) -> Iterator[RowBlock]:
    """Yields all rows, block by block; for a stream of unknown length only the first 20,000."""
    left = math.inf if source.has_known_length else SAMPLE_ROWS
    for block in source.blocks():
        yield block if left >= len(block.values) else block.part(slice(0, int(left)))
        left -= len(block.values)
        if left <= 0:
            return


def check_some_rows(source: RowSource, has_rows: bool) -> None:
    """Checks, after a pass over the blocks of a source, that there was a row: Raises ValueError otherwise."""
    if has_rows:
        return
    if source.num_weightless or source.num_empty:
        raise no_rows_left_error(source.name, source.num_weightless, source.num_empty)
    raise no_rows_error(source.name)


def no_rows_error(name: str) -> ValueError:
    """Makes the error that a dataset has no rows."""
    return ValueError(
        f"`{name}` must hold at least one batch of rows. Received: a dataset without rows. "
        "If it was made with drop_remainder=True, the data may be shorter than one batch."
    )


def check_finite(source: RowSource) -> None:
    """Checks rows whose summary is not needed: Raises ValueError unless every value is finite, or a gap that may be.

    The error says how many values are NaN or infinite and where the first is.

    Example:

    >>> from tfgmm.data.readers import Rows
    >>> check_finite(Rows(np.array([[1.0], [np.nan]]), name="validation_data"))
    Traceback (most recent call last):
        ...
    ValueError: `validation_data` must hold finite numbers. Received: 1 value that is NaN or infinite, \
the first in row 1, column 0 (rows count from 0). Drop or fill such rows, or take NaN for gaps: missing="integrate".
    """
    for _ in finite_blocks(source):
        pass


def finite_blocks(source: RowSource) -> Iterator[RowBlock]:
    """Yields all rows in their order, block by block, with what they carry, data units.

    Raises:
        ValueError: A value is infinite, or NaN where that is refused; as `check_finite`, when its block is reached.
            All rows were left out, at the end.
    """
    start, words = 0, "this batch" if source.has_own_batches else None
    following = source.blocks()
    for block in following:
        if not is_finite(block.values):
            later = (block.values for block in following) if source.is_in_memory else None
            check_gaps(
                source.name, source.column_names, block.values, source.missing, start, later, source.place, words
            )
        start += len(block.values)
        yield block
    if not start and (source.num_weightless or source.num_empty):
        check_some_rows(source, False)
