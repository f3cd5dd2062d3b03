"""Mean, spread and range of every column in one pass, and the same rows centred: what training needs to know.

The mean is subtracted in float64 before anything becomes float32: at an offset of 1e8 float32 holds multiples of 8
only, and everything that tells the rows apart would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tfgmm.common.shapes import check_shape
from tfgmm.data.blocks import moments, over_rows, pieces, row_blocks
from tfgmm.data.errors import check_no_overflow, not_finite_error, too_large_error
from tfgmm.data.fingerprint import sum_of_hashes
from tfgmm.data.readers import Rows
from tfgmm.data.sampling import SAMPLE_ROWS, RowSample

CONSTANT_RATIO = 1e-13  # below this times the largest value a spread is rounding, not data
_FAR_ROWS = 3.0  # standard deviations beyond this many robust ones are dominated by a few far rows
_NORMAL_QUARTILES = 1.349  # between the quartiles of a normal distribution, in standard deviations


@dataclass(frozen=True)
class DataSummary:
    """What the model keeps of the data it was fitted on; survives JSON exactly.

    Args:
        num_data: N, the number of rows; with weights their sum, a float where it is not whole.
        num_features: D, the number of columns.
        mean: D means, in the data's units.
        scale: D standard deviations (divided by N), in the data's units, all positive; 1.0 for a constant column.
        column_names: D names, or None when the data had none.
        minimum: D smallest values, in the data's units; None in a summary saved by an older version.
        maximum: D largest values, likewise.
        centre: D centres that a few far rows cannot move, in the data's units: `mean`, but the median of a sample
            where `spread` is below `scale`. Default: `mean`.
        spread: D spreads that a few far rows cannot widen, in the data's units: `scale`, but at most 3 IQR / 1.349 of
            a sample (three times what the quartiles of a normal distribution say). Default: `scale`.
        fingerprint: 16 hexadecimal digits that distinguish these rows from others, whatever their order; None in a
            summary saved by an older version; see `fingerprint.sum_of_hashes`.
        num_rows: Rows that were used, where they have weights; 0, the default: as many as `num_data`.
        gaps: D counts of rows without a value in the column; () where every row has all values.
        num_incomplete: Rows that lack some values, and were used.
        num_empty: Rows that lack all values, and were left out.
        num_weightless: Rows of weight 0, which were left out.
        weights_name: Name of the column of weights, "" where they had none; None where rows have no weights.
        noise_columns: D names of the columns of standard deviations, "" where a column has none or they had no names;
            () where there is no measurement noise.

    Raises:
        ValueError: A size is not positive, or a field does not have one entry per column.

    Example:

    >>> summary = DataSummary(num_data=2, num_features=1, mean=(3.0,), scale=(0.5,), column_names=("waiting",))
    >>> DataSummary.from_dict(summary.to_dict()) == summary
    True
    """

    num_data: float
    num_features: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    column_names: tuple[str, ...] | None = None
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    fingerprint: str | None = None
    num_rows: int = 0
    gaps: tuple[int, ...] = ()
    num_incomplete: int = 0
    num_empty: int = 0
    num_weightless: int = 0
    weights_name: str | None = None
    noise_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, instead in (("centre", self.mean), ("spread", self.scale)):
            object.__setattr__(self, field, getattr(self, field) or instead)
        if self.num_data < 1 or self.num_features < 1:
            received = f"num_data={self.num_data}, num_features={self.num_features}"
            raise ValueError(f"`num_data` and `num_features` must be positive. Received: {received}. Pass rows.")
        for field in ("mean", "scale", "column_names", "minimum", "maximum", "centre", "spread"):
            entries = getattr(self, field)
            if entries is not None and len(entries) != self.num_features:
                wanted = f"`{field}` must have num_features={self.num_features} entries"
                raise ValueError(f"{wanted}. Received: {len(entries)}. Give one per column.")

    @property
    def gap_columns(self) -> tuple[int, ...]:
        """Numbers of the columns in which some rows have no value."""
        return tuple(column for column, count in enumerate(self.gaps) if count)

    @property
    def varies(self) -> np.ndarray:
        """(D,) bool: whether a column has several values, so that `scale` and `spread` say how wide it is."""
        if self.minimum is None or self.maximum is None:
            return np.ones(self.num_features, bool)
        # No standard deviation is above half the range: one that is stands for a constant column
        varies: np.ndarray = np.subtract(self.maximum, self.minimum) >= np.array(self.scale)
        return varies

    def to_dict(self) -> dict[str, Any]:
        """Turns the fields into JSON types: lists, Python floats and ints, strings, None."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> DataSummary:
        """Restores the summary that `to_dict` was called on.

        Args:
            saved: Fields, as `to_dict` or JSON gives them; those that older versions did not write may be missing.

        Raises:
            ValueError: A field is missing or unknown.
        """
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING} | {"column_names"}
        if not needed <= set(saved) <= known:
            fix = "Pass what DataSummary.to_dict gave."
            raise ValueError(f"`saved` must have the fields {sorted(needed)}. Received: {sorted(saved)}. {fix}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in saved.items()}
        return cls(**values)


class SummaryAccumulator:
    """A `DataSummary` being computed: takes blocks of rows one after the other, and holds only D numbers of each kind.

    Mean and sum of squared deviations of each piece are merged in float64 (Chan, Golub and LeVeque 1979, "Updating
    formulae and a pairwise algorithm for computing sample variances", equation 2.1).

    Args:
        name: What the caller's argument is called in error messages.
        column_names: D names for the summary and for error messages, or None.
        place: Function from a row, counted from 0 over all blocks, to the words for it. Default: its number.
        block_words: Words for a block; None counts its rows.

    Example:

    >>> accumulator = SummaryAccumulator()
    >>> accumulator.update(np.array([[1.0], [2.0]]))
    >>> accumulator.update(np.array([[6.0]]))
    >>> accumulator.result().mean
    (3.0,)
    """

    def __init__(
        self,
        *,
        name: str = "x",
        column_names: tuple[str, ...] | None = None,
        place: Callable[[int], str] = str,
        block_words: str | None = "this batch",
    ) -> None:
        self.num_data = 0
        self._hashes = 0
        self._name = name
        self._column_names = column_names
        self._place = place
        self._block_words = block_words
        # The first row: all means here are measured from it, so that a large offset costs no digits.
        self._origin: np.ndarray | None = None
        self._mean = self._squares = self._minimum = self._maximum = np.zeros(0)

    def update(self, block: np.ndarray, *, later: Iterable[np.ndarray] | None = None) -> None:
        """Takes one more block into account.

        Args:
            block: (B, D) real numbers of any dtype, in the data's units; B may be 0 and differ from block to block.
            later: Blocks that follow, read only to count all bad values when this block is refused; without them
                the message counts those of this block.

        Raises:
            ValueError: The shape is not (B, D) with the D of the blocks before; values are NaN or infinite; a spread is
                beyond float64.
        """
        sizes = {} if self._origin is None else {"D": self._origin.size}
        check_shape(self._name, block, "BD", fix="Every block must have the same columns.", **sizes)
        if len(block) == 0:
            return
        minimum, maximum = (over_rows(reduce, block).astype(np.float64) for reduce in (np.minimum, np.maximum))
        if not (np.isfinite(minimum).all() and np.isfinite(maximum).all()):
            words = self._place, self._block_words
            raise not_finite_error(self._name, self._column_names, block, self.num_data, later, *words)
        if self._origin is None:
            self._origin = block[0].astype(np.float64)
            self._mean, self._squares = np.zeros((2, block.shape[1]))
            self._minimum, self._maximum = minimum, maximum
        self._minimum = np.minimum(self._minimum, minimum)
        self._maximum = np.maximum(self._maximum, maximum)
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(block, self._origin):
                self._merge(len(piece), *moments(piece))
        if not np.isfinite(self._squares).all():
            column = int(np.argmin(np.isfinite(self._squares)))
            received = f"values up to {self._largest()[column]:.3g}"
            raise too_large_error(self._name, received, self._column_names, column)
        self._hashes = (self._hashes + sum_of_hashes(block)) % 2**64

    def _merge(self, num_rows: int, mean: np.ndarray, squares: np.ndarray) -> None:
        step = mean - self._mean
        share = num_rows / (self.num_data + num_rows)
        self._mean = self._mean + share * step
        self._squares = self._squares + squares + step**2 * (self.num_data * share)
        self.num_data += num_rows

    def _largest(self) -> np.ndarray:
        return np.maximum(np.abs(self._minimum), np.abs(self._maximum))

    def result(self, sample: np.ndarray | None = None) -> DataSummary:
        """Computes the summary of all the blocks so far.

        Args:
            sample: (n, D) float64, some of the rows or all, whose quartiles give `centre` and `spread`. Without it
                they are the mean and the standard deviation.

        Raises:
            ValueError: There was no row.
        """
        if self._origin is None:
            raise ValueError(f"`{self._name}` must have at least one row. Received: no rows. Check how it was made.")
        deviation = np.sqrt(self._squares / self.num_data)
        is_constant = deviation <= CONSTANT_RATIO * self._largest()
        scale = np.where(is_constant, 1.0, deviation)
        mean = self._origin + self._mean
        centre, spread = (mean, scale) if sample is None else _without_far_rows(mean, scale, is_constant, sample)
        figures = (mean, scale, self._minimum, self._maximum, centre, spread)
        means, scales, lowest, highest, middles, spreads = (tuple(figure.tolist()) for figure in figures)
        names, fingerprint = self._column_names, f"{self._hashes:016x}"
        return DataSummary(
            self.num_data, len(means), means, scales, names, lowest, highest, middles, spreads, fingerprint
        )


def summarise(
    rows: Rows | np.ndarray | Iterable[np.ndarray], *, name: str | None = None, sample: np.ndarray | None = None
) -> DataSummary:
    """Computes the number of rows and the mean, standard deviation and range of each column, in one pass by blocks.

    Args:
        rows: `Rows`, an (N, D) array, or (B, D) blocks one after the other (a finite number of them).
        name: What the caller's argument is called in error messages. Default: the name of `Rows`, or x.
        sample: (n, D) float64, some of the rows, whose quartiles give `centre` and `spread`. Default: up to 20,000
            rows of an array; for blocks none, and `centre` and `spread` are the mean and the standard deviation.

    Returns:
        DataSummary, computed in float64; the same for every memory layout of the same numbers.

    Raises:
        ValueError: Values are NaN or infinite (the message says how many, and where the first is); there are no rows;
            blocks differ in their columns; a spread is beyond float64.

    Example:

    >>> summary = summarise(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> summary.mean, summary.scale
    ((2.0, 5.0), (1.0, 1.0))
    """
    values, names, words = _parts_of(rows, name)
    accumulator = SummaryAccumulator(name=words, column_names=names)
    blocks = row_blocks(values) if isinstance(values, np.ndarray) else iter(values)
    chosen = RowSample(SAMPLE_ROWS, seed=0) if sample is None and isinstance(values, np.ndarray) else None
    for block in blocks:
        accumulator.update(block, later=blocks)
        if chosen is not None:
            chosen.update(block)
    return accumulator.result(sample if chosen is None else chosen.result())


def _parts_of(rows: Any, name: str | None) -> tuple[Any, tuple[str, ...] | None, str]:
    """Splits rows that may be `Rows` into values, names of columns, and the name in error messages."""
    return (rows.values, rows.column_names, name or rows.name) if isinstance(rows, Rows) else (rows, None, name or "x")


def centre(
    rows: Rows | np.ndarray, centre: ArrayLike, dtype: DTypeLike = np.float32, *, name: str | None = None
) -> np.ndarray:
    """Computes the rows minus a centre, subtracted in float64 and only then rounded to `dtype`.

    Args:
        rows: (N, D) real numbers of any dtype, in the data's units. NaN and infinite values stay what they are.
        centre: (D,) float64, in the data's units; usually `DataSummary.mean`.
        dtype: Dtype of the result, float32 or float64.
        name: What the caller's argument is called in error messages. Default: the name of `Rows`, or x.

    Returns:
        (N, D) array of `dtype`, C-contiguous, new, in the data's units. No float64 copy of all rows is made.

    Raises:
        ValueError: `centre` does not have one entry per column, or a finite value is beyond `dtype` once centred.

    Example:

    >>> centre(np.array([[100000001.0], [100000002.5]]), [1e8])
    array([[1. ],
           [2.5]], dtype=float32)
    """
    values, names, words = _parts_of(rows, name)
    middle = np.asarray(centre, dtype=np.float64)
    check_shape(words, values, "ND")
    check_shape("centre", middle, "D", D=values.shape[1], fix="Give one number per column.")
    centred = np.empty(values.shape, dtype=dtype)
    start = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in pieces(values, middle):
            part = centred[start : start + len(piece)]
            part[...] = piece
            if not np.isfinite(part).all():
                check_no_overflow(words, names, values[start : start + len(piece)], part, start)
            start += len(piece)
    return centred


def _without_far_rows(
    mean: np.ndarray, scale: np.ndarray, is_constant: np.ndarray, sample: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes centre and spread: mean and scale, but by quartiles of the sample where a few far rows dominate them."""
    low, middle, high = np.quantile(sample, [0.25, 0.5, 0.75], axis=0)
    widest = _FAR_ROWS * (high - low) / _NORMAL_QUARTILES
    is_ruled = (widest > 0) & (widest < scale) & ~is_constant
    return np.where(is_ruled, middle, mean), np.where(is_ruled, widest, scale)
