"""The errors for numbers that cannot be trained on: they name the row and the column."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tfgmm.common.words import counted


def column_words(column_names: tuple[str, ...] | None, column: int) -> str:
    """Names a column in words: by its name, or by its number where it has none."""
    return f"column {column if column_names is None else repr(column_names[column])}"


def not_finite_error(
    name: str,
    column_names: tuple[str, ...] | None,
    block: np.ndarray,
    start: int,
    later: Iterable[np.ndarray] | None,
    place: Callable[[int], str] = str,
    block_words: str | None = None,
) -> ValueError:
    """Makes the error for a block with NaN or infinite values: how many there are, and where the first is.

    Args:
        name: What the caller's argument is called.
        column_names: D names, or None.
        block: (B, D), with at least one such value.
        start: Rows before the block.
        later: Blocks that follow, read to count all such values; without them only those of this block are counted.
        place: Function from a row, counted from 0 over all blocks, to the words for it.
        block_words: Words for the block, in a message that counts the values of this block. Default: "these 100 rows".
    """
    row, column = (int(index) for index in np.argwhere(~np.isfinite(block))[0])
    count = int(np.sum(~np.isfinite(block))) + sum(int(np.sum(~np.isfinite(other))) for other in later or ())
    received = f"{count} value{' that is' if count == 1 else 's that are'} NaN or infinite"
    where = f"the first in row {place(start + row)}, {column_words(column_names, column)} (rows count from 0)"
    part = "" if later is not None else f" in {block_words or f'these {len(block)} rows'}"
    is_gap = bool(np.isnan(block).any())
    fix = "Drop or fill such rows" + (', or take NaN for gaps: missing="integrate".' if is_gap else ".")
    return ValueError(f"`{name}` must hold finite numbers. Received: {received}{part}, {where}. {fix}")


def check_gaps(
    name: str,
    column_names: tuple[str, ...] | None,
    block: np.ndarray,
    missing: str,
    start: int = 0,
    later: Iterable[np.ndarray] | None = None,
    place: Callable[[int], str] = str,
    block_words: str | None = None,
) -> None:
    """Checks a block that has NaN or infinite values: Raises ValueError unless these are gaps, and are allowed.

    Args:
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
        name, column_names, block, start, later, place, block_words: As in `not_finite_error`.
    """
    if missing == "refuse":
        raise not_finite_error(name, column_names, block, start, later, place, block_words)
    if np.isinf(block).any():
        raise infinite_error(name, column_names, block, lambda row: place(start + row))


def infinite_error(
    name: str, column_names: tuple[str, ...] | None, block: np.ndarray, place: Callable[[int], str]
) -> ValueError:
    """Makes the error for rows that may have gaps, (B, D), and have infinite values; see `not_finite_error`."""
    row, column = (int(index) for index in np.argwhere(np.isinf(block))[0])
    received = f"{counted(int(np.sum(np.isinf(block))), 'infinite value')}"
    where = f"the first in row {place(row)}, {column_words(column_names, column)} (rows count from 0)"
    fix = "Drop such rows, or write NaN for a value that is not known."
    return ValueError(f"`{name}` must hold finite numbers and gaps (NaN). Received: {received}, {where}. {fix}")


def no_rows_left_error(name: str, num_weightless: int, num_empty: int) -> ValueError:
    """Makes the error that every row was left out, those of weight 0 and those without any value."""
    words = {"of weight 0": num_weightless, "without any value": num_empty}
    received = " and ".join(f"{counted(number, 'row')} {which}" for which, number in words.items() if number)
    fix = "Check the columns that are used."
    if not num_empty:
        fix = "Give weights above 0 to the rows that count."
    return ValueError(f"`{name}` must have rows with a value and a weight above 0. Received: only {received}. {fix}")


def no_value_error(name: str, column_names: tuple[str, ...] | None, column: int, num_rows: int) -> ValueError:
    """Makes the error that a column has no value in any row."""
    received = f"{counted(num_rows, 'row')}, none of them with a value in {column_words(column_names, column)}"
    return ValueError(f"`{name}` must have values in every column. Received: {received}. Leave this column out.")


def gap_in_every_row_error(name: str, num_rows: int) -> ValueError:
    """Makes the error that every row was left out for a gap."""
    received = f"{num_rows:,} rows, each with a gap or an infinite value in a column that is used"
    fix = "Leave out the columns that have most of the gaps."
    return ValueError(f"`{name}` must have rows without gaps. Received: {received}. {fix}")


def check_no_overflow(
    name: str,
    column_names: tuple[str, ...] | None,
    block: np.ndarray,
    part: np.ndarray,
    start: int,
    place: Callable[[int], str] = str,
) -> None:
    """Checks that every finite value of a block, (B, D) from row `start` on, is finite in `part` too.

    `place` is a function from a row, counted from 0 over all blocks, to the words for it.

    Raises:
        ValueError: A value is beyond the range of float32; the message says which.
    """
    overflow = np.argwhere(np.isfinite(block) & ~np.isfinite(part))
    if len(overflow):
        row, column = (int(index) for index in overflow[0])
        raise too_large_error(name, f"{block[row, column]:.3g} in row {place(start + row)}", column_names, column)


def too_large_error(name: str, received: str, column_names: tuple[str, ...] | None, column: int) -> ValueError:
    """Makes the error for numbers of one column that float32 cannot hold; `received` says what they are."""
    return ValueError(
        f"`{name}` must hold numbers within 3.4e38 (the range of float32) of their mean. Received: {received}, "
        f"{column_words(column_names, column)}. Use another unit for this column, or drop the rows."
    )
