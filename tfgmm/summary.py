"""Mean and spread of every column in one pass, and the same rows centred: what training needs to know of the data.

The mean is subtracted in float64 before anything becomes float32: at an offset of 1e8 float32 holds multiples of 8
only, and everything that tells the rows apart would be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tfgmm.readers import BLOCK_ROWS, Rows
from tfgmm.shapes import check_shape

CONSTANT_RATIO = 1e-13  # below this times the largest value a spread is rounding, not data
BLOCK_VALUES = 2**23  # 64 MiB of float64: wide data is read in fewer rows at a time


@dataclass(frozen=True)
class DataSummary:
    """What the model keeps of the data it was fitted on; survives JSON exactly.

    Args:
        num_data: N, the number of rows.
        num_features: D, the number of columns.
        mean: D means, in the data's units.
        scale: D standard deviations (divided by N), in the data's units, all positive; 1.0 for a constant column.
        column_names: D names, or None when the data had none.

    Raises:
        ValueError: a size that is not positive, or a field that has not one entry per column.

    Example:

    >>> summary = DataSummary(num_data=2, num_features=1, mean=(3.0,), scale=(0.5,), column_names=("waiting",))
    >>> DataSummary.from_dict(summary.to_dict()) == summary
    True
    """

    num_data: int
    num_features: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    column_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_data < 1 or self.num_features < 1:
            received = f"num_data={self.num_data}, num_features={self.num_features}"
            raise ValueError(f"`num_data` and `num_features` must be positive. Received: {received}. Pass rows.")
        for field in ("mean", "scale", "column_names"):
            entries = getattr(self, field)
            if entries is not None and len(entries) != self.num_features:
                wanted = f"`{field}` must have num_features={self.num_features} entries"
                raise ValueError(f"{wanted}. Received: {len(entries)}. Give one per column.")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON types: lists, Python floats and ints, strings, None."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> DataSummary:
        """Returns the summary that `to_dict` was called on.

        Args:
            saved: the fields, as `to_dict` or JSON gives them.

        Raises:
            ValueError: a field is missing or unknown.
        """
        wanted = {field.name for field in fields(cls)}
        if set(saved) != wanted:
            fix = "Pass what DataSummary.to_dict gave."
            raise ValueError(f"`saved` must have the fields {sorted(wanted)}. Received: {sorted(saved)}. {fix}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in saved.items()}
        return cls(**values)


class SummaryAccumulator:
    """A `DataSummary` in the making: takes blocks of rows one after the other and keeps only D numbers of each kind.

    Mean and sum of squared deviations of each block are merged in float64 (Chan, Golub and LeVeque 1979, "Updating
    formulae and a pairwise algorithm for computing sample variances", equation 2.1).

    Args:
        name: what the caller's argument is called in error messages.
        column_names: D names for the summary and for error messages, or None.

    Example:

    >>> accumulator = SummaryAccumulator()
    >>> accumulator.update(np.array([[1.0], [2.0]]))
    >>> accumulator.update(np.array([[6.0]]))
    >>> accumulator.result().mean
    (3.0,)
    """

    def __init__(self, *, name: str = "x", column_names: tuple[str, ...] | None = None) -> None:
        self.num_data = 0
        self._name = name
        self._column_names = column_names
        # The first row: what all means in here are measured from, so that a large offset costs no digits.
        self._origin: np.ndarray | None = None
        self._mean = self._squares = self._largest = np.zeros(0)

    def update(self, block: np.ndarray, *, later: Iterable[np.ndarray] | None = None) -> None:
        """Returns nothing; takes one more block into account.

        Args:
            block: (B, D) real numbers of any dtype, in the data's units; B may be 0 and differ from block to block.
            later: the blocks that follow, read only to count all bad values when this block is refused; without them
                the message counts those of this block.

        Raises:
            ValueError: not (B, D) with the D of the blocks before; NaN or infinite values; a spread beyond float64.
        """
        sizes = {} if self._origin is None else {"D": self._origin.size}
        check_shape(self._name, block, "BD", fix="Every block must have the same columns.", **sizes)
        if len(block) == 0:
            return
        # In one memory order, so that the sums, which depend on the order, are the same for every layout.
        block = np.array(block, dtype=np.float64, order="C")
        largest = np.abs(block).max(axis=0)
        if not np.isfinite(largest).all():
            raise _not_finite_error(self._name, self._column_names, block, self.num_data, later)
        if self._origin is None:
            self._origin = block[0].copy()
            self._mean, self._squares, self._largest = np.zeros((3, block.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            block -= self._origin
            self._merge(len(block), *_block_moments(block))
        self._largest = np.maximum(self._largest, largest)
        if not np.isfinite(self._squares).all():
            column = int(np.argmin(np.isfinite(self._squares)))
            raise _too_large_error(self._name, f"values up to {self._largest[column]:.3g}", self._column_names, column)

    def _merge(self, num_rows: int, mean: np.ndarray, squares: np.ndarray) -> None:
        step = mean - self._mean
        share = num_rows / (self.num_data + num_rows)
        self._mean = self._mean + share * step
        self._squares = self._squares + squares + step**2 * (self.num_data * share)
        self.num_data += num_rows

    def result(self) -> DataSummary:
        """Returns the summary of all the blocks so far.

        Raises:
            ValueError: there was no row.
        """
        if self._origin is None:
            raise ValueError(f"`{self._name}` must have at least one row. Received: no rows. Check how it was made.")
        scale = np.sqrt(self._squares / self.num_data)
        scale = np.where(scale <= CONSTANT_RATIO * self._largest, 1.0, scale)
        mean = tuple((self._origin + self._mean).tolist())
        return DataSummary(self.num_data, len(mean), mean, tuple(scale.tolist()), self._column_names)


def summarise(rows: Rows | np.ndarray | Iterable[np.ndarray], *, name: str = "x") -> DataSummary:
    """Returns the number of rows and the mean and standard deviation of each column, in one pass by blocks.

    Args:
        rows: `Rows`, an (N, D) array, or (B, D) blocks one after the other (a finite number of them).
        name: what the caller's argument is called in error messages.

    Returns:
        DataSummary, computed in float64; the same for every memory layout of the same numbers.

    Raises:
        ValueError: NaN or infinite values (how many, where the first is); no rows; blocks that differ in their
            columns; a spread beyond float64.

    Example:

    >>> summary = summarise(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> summary.mean, summary.scale
    ((2.0, 5.0), (1.0, 1.0))
    """
    values, names = (rows.values, rows.column_names) if isinstance(rows, Rows) else (rows, None)
    accumulator = SummaryAccumulator(name=name, column_names=names)
    blocks = row_blocks(values) if isinstance(values, np.ndarray) else iter(values)
    for block in blocks:
        accumulator.update(block, later=blocks)
    return accumulator.result()


def check_finite(rows: Rows, *, name: str = "x") -> None:
    """Returns nothing when every value is finite; raises otherwise. For rows whose summary is not needed.

    Args:
        rows: the rows to look at.
        name: what the caller's argument is called in error messages.

    Raises:
        ValueError: says how many values are NaN or infinite and where the first is.

    Example:

    >>> check_finite(Rows(np.array([[1.0], [np.nan]])), name="validation_data")
    Traceback (most recent call last):
        ...
    ValueError: `validation_data` must hold finite numbers. Received: 1 value that is NaN or infinite, \
the first in row 1, column 0 (rows count from 0). Drop or fill such rows.
    """
    start, blocks = 0, row_blocks(rows.values)
    for block in blocks:
        if not np.isfinite(block).all():
            raise _not_finite_error(name, rows.column_names, block, start, blocks)
        start += len(block)


def centre(rows: Rows | np.ndarray, centre: ArrayLike, dtype: DTypeLike = np.float32, *, name: str = "x") -> np.ndarray:
    """Returns the rows minus a centre, subtracted in float64 and only then rounded to `dtype`.

    Args:
        rows: (N, D) real numbers of any dtype, in the data's units. NaN and infinite values stay what they are.
        centre: (D,) float64, in the data's units; usually `DataSummary.mean`.
        dtype: the result's dtype, float32 or float64.
        name: what the caller's argument is called in error messages.

    Returns:
        (N, D) array of `dtype`, C-contiguous, new, in the data's units. No float64 copy of all rows is made.

    Raises:
        ValueError: `centre` does not have one entry per column, or a finite value is beyond `dtype` once centred.

    Example:

    >>> centre(np.array([[100000001.0], [100000002.5]]), [1e8])
    array([[1. ],
           [2.5]], dtype=float32)
    """
    values, names = (rows.values, rows.column_names) if isinstance(rows, Rows) else (rows, None)
    middle = np.asarray(centre, dtype=np.float64)
    check_shape(name, values, "ND")
    check_shape("centre", middle, "D", D=values.shape[1], fix="Give one number per column.")
    centred = np.empty(values.shape, dtype=dtype)
    start = 0
    for block in row_blocks(values):
        part = centred[start : start + len(block)]
        with np.errstate(over="ignore", invalid="ignore"):
            part[...] = np.subtract(block, middle, dtype=np.float64)
        if not np.isfinite(part).all():
            _check_no_overflow(name, names, block, part, start)
        start += len(block)
    return centred


def row_blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Returns views of (N, D) rows, one block after the other: 65,536 rows each, fewer when D is above 128.

    Example:

    >>> [len(block) for block in row_blocks(np.zeros((100_000, 2)))]
    [65536, 34464]
    """
    check_shape("values", values, "ND")
    size = max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(1, values.shape[1])))
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _block_moments(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and sum of squared deviations of a (B, D) block, which is overwritten."""
    shift = block.mean(axis=0)
    block -= shift
    rest = block.mean(axis=0)  # what rounding left in the mean
    squares = np.square(block).sum(axis=0) - len(block) * rest**2
    return shift + rest, np.maximum(squares, 0.0)


def _column_words(column_names: tuple[str, ...] | None, column: int) -> str:
    return f"column {column if column_names is None else repr(column_names[column])}"


def _not_finite_error(
    name: str, column_names: tuple[str, ...] | None, block: np.ndarray, start: int, later: Iterable[np.ndarray] | None
) -> ValueError:
    row, column = (int(index) for index in np.argwhere(~np.isfinite(block))[0])
    count = int(np.sum(~np.isfinite(block))) + sum(int(np.sum(~np.isfinite(other))) for other in later or ())
    received = f"{count} value{' that is' if count == 1 else 's that are'} NaN or infinite"
    where = f"the first in row {start + row}, {_column_words(column_names, column)} (rows count from 0)"
    in_batch = " in this batch" if later is None else ""
    fix = "Drop or fill such rows."
    return ValueError(f"`{name}` must hold finite numbers. Received: {received}{in_batch}, {where}. {fix}")


def _check_no_overflow(
    name: str, column_names: tuple[str, ...] | None, block: np.ndarray, part: np.ndarray, start: int
) -> None:
    overflow = np.argwhere(np.isfinite(block) & ~np.isfinite(part))
    if len(overflow):
        row, column = (int(index) for index in overflow[0])
        raise _too_large_error(name, f"{block[row, column]:.3g} in row {start + row}", column_names, column)


def _too_large_error(name: str, received: str, column_names: tuple[str, ...] | None, column: int) -> ValueError:
    return ValueError(
        f"`{name}` must hold numbers within 3.4e38 (the range of float32) of their mean. Received: {received}, "
        f"{_column_words(column_names, column)}. Use another unit for this column, or drop the rows."
    )
