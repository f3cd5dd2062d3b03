"""A summary of rows being computed, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tfgmm.common.shapes import check_shape
from tfgmm.data.blocks import RowBlock, moments, over_rows, pieces, weighted_moments
from tfgmm.data.errors import check_gaps, no_value_error, too_large_error
from tfgmm.data.fingerprint import sum_of_hashes
from tfgmm.data.quantiles import column_quantiles
from tfgmm.data.record import DataSummary

CONSTANT_RATIO = 1e-13  # below this times the largest value a spread is rounding, not data
_FAR_ROWS = 3.0  # standard deviations beyond this many robust ones are dominated by a few far rows
_NORMAL_QUARTILES = 1.349  # between the quartiles of a normal distribution, in standard deviations
# All that blocks change
_NUMBERS = (
    "num_rows", "num_incomplete", "total", "is_weighted", "hashes", "origin", "totals", "gaps", "mean", "squares",
    "minimum", "maximum",
)  # fmt: skip


class SummaryAccumulator:
    """A `DataSummary` being computed: takes blocks of rows one after the other, and holds only D numbers of each kind.

    Mean and sum of squared deviations of each piece are merged in float64 (Chan, Golub and LeVeque 1979, "Updating
    formulae and a pairwise algorithm for computing sample variances", equation 2.1).

    Args:
        name: What the caller's argument is called in error messages.
        column_names: D names for the summary and for error messages, or None.
        place: Function from a row, counted from 0 over all blocks, to the words for it. Default: its number.
        block_words: Words for a block; None counts its rows.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.

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
        missing: str = "refuse",
    ) -> None:
        self._num_rows, self._num_incomplete = 0, 0
        self._total, self._is_weighted = 0.0, False
        self._hashes = 0
        self._name = name
        self._column_names = column_names
        self._place = place
        self._block_words = block_words
        self._missing = missing
        # The first row, or the first value of a column: all means here are measured from it, so that a large offset
        # costs no digits.
        self._origin: np.ndarray | None = None
        # Sums of weights of the rows that have a value in a column, and counts of those that have none
        self._totals, self._gaps = np.zeros(0), np.zeros(0, np.int64)
        self._mean = self._squares = self._minimum = self._maximum = np.zeros(0)

    def kept(self) -> dict[str, Any]:
        """Writes what it holds as arrays and numbers, from which `going_on` goes on."""
        return {name: getattr(self, f"_{name}") for name in _NUMBERS}

    @classmethod
    def going_on(cls, kept: Mapping[str, Any], **words: Any) -> SummaryAccumulator:
        """Goes on from what `kept` wrote.

        Args:
            kept: What it wrote.
            words: Arguments of the accumulator.
        """
        accumulator = cls(**words)
        for name in _NUMBERS:
            setattr(accumulator, f"_{name}", kept[name])
        return accumulator

    @classmethod
    def after(cls, summary: DataSummary, **words: Any) -> SummaryAccumulator:
        """Goes on from a summary, which must be of this version.

        Where rows have both weights and gaps, the weights of those with a value in a column are taken to be average.

        Args:
            summary: Summary of the rows so far.
            words: Arguments of the accumulator, but for the names of columns.
        """
        accumulator = cls(column_names=summary.column_names, **words)
        num_rows = summary.num_rows or int(summary.num_data)
        gaps = np.array(summary.gaps or [0] * summary.num_features, np.int64)
        accumulator._num_rows, accumulator._num_incomplete, accumulator._gaps = num_rows, summary.num_incomplete, gaps
        accumulator._total, accumulator._is_weighted = float(summary.num_data), bool(summary.num_rows)
        accumulator._hashes = int(summary.fingerprint or "0", 16)
        accumulator._origin, accumulator._mean = np.array(summary.mean), np.zeros(summary.num_features)
        accumulator._totals = summary.num_data * (1.0 - gaps / num_rows)
        accumulator._squares = np.where(summary.varies, np.square(summary.scale), 0.0) * accumulator._totals
        accumulator._minimum, accumulator._maximum = np.array(summary.minimum), np.array(summary.maximum)
        return accumulator

    @property
    def num_data(self) -> float:
        """N so far: the number of rows, or the sum of their weights, an int where it is whole."""
        if not self._is_weighted:
            return self._num_rows
        return int(self._total) if self._total.is_integer() else self._total

    def update(self, block: np.ndarray | RowBlock, *, later: Iterable[np.ndarray] | None = None) -> None:
        """Takes one more block into account.

        Args:
            block: Rows, (B, D) real numbers of any dtype, in the data's units, or these with what they carry; B may be
                0 and differ from block to block.
            later: Blocks that follow, read only to count all bad values when this block is refused; without them
                the message counts those of this block.

        Raises:
            ValueError: The shape is not (B, D) with the D of the blocks before; values are infinite, or NaN where it is
                refused; a spread is beyond float64.
        """
        values, weights, noise = block if isinstance(block, RowBlock) else (block, None, None)
        sizes = {} if self._origin is None else {"D": self._origin.size}
        check_shape(self._name, values, "BD", fix="Every block must have the same columns.", **sizes)
        if len(values) == 0:
            return
        has_gaps = self._update_range(values, later)
        origin = self._updated_origin(values)
        if has_gaps or weights is not None:
            self._merge_weighted(values, np.ones(len(values)) if weights is None else weights, origin)
        else:
            self._merge_plain(values, origin)
        self._check_squares()
        self._num_rows += len(values)
        self._total += len(values) if weights is None else float(weights.sum())
        self._is_weighted |= weights is not None
        self._hashes = (self._hashes + sum_of_hashes(values, weights, noise, has_gaps)) % 2**64

    def _update_range(self, values: np.ndarray, later: Iterable[np.ndarray] | None) -> bool:
        """Takes a block into account for the range, the origin and the gaps; tells whether it has gaps."""
        minimum, maximum = (over_rows(reduce, values).astype(np.float64) for reduce in (np.minimum, np.maximum))
        has_gaps = not (np.isfinite(minimum).all() and np.isfinite(maximum).all())
        if has_gaps:
            names, place, words = self._column_names, self._place, self._block_words
            check_gaps(self._name, names, values, self._missing, self._num_rows, later, place, words)
            minimum, maximum = (over_rows(reduce, values).astype(np.float64) for reduce in (np.fmin, np.fmax))
        if self._origin is None:
            self._mean, self._squares, self._totals = np.zeros((3, values.shape[1]))
            self._minimum, self._maximum = minimum, maximum
            self._gaps = np.zeros(values.shape[1], np.int64)
        self._minimum, self._maximum = np.fmin(self._minimum, minimum), np.fmax(self._maximum, maximum)
        return has_gaps

    def _updated_origin(self, values: np.ndarray) -> np.ndarray:
        """Finds what means are measured from: the first row, and in a column without a value there the first value."""
        origin = values[0].astype(np.float64) if self._origin is None else self._origin
        if np.isnan(origin).any():
            first = np.argmin(np.isnan(values), axis=0)
            found = values[first, np.arange(values.shape[1])].astype(np.float64)
            origin = np.where(np.isnan(origin), found, origin)
        self._origin = origin
        return origin

    def _merge_plain(self, values: np.ndarray, origin: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(values, origin):
                self._merge(len(piece), *moments(piece))

    def _merge_weighted(self, values: np.ndarray, weights: np.ndarray, origin: np.ndarray) -> None:
        """Takes rows with weights, and perhaps gaps, into account."""
        is_gap = np.isnan(values)
        self._gaps = self._gaps + is_gap.sum(axis=0)  # not in place: `kept` may have handed it on
        self._num_incomplete += int(is_gap.any(axis=1).sum())
        start = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(values, origin):
                part = slice(start, start + len(piece))
                self._merge(*weighted_moments(piece, is_gap[part], weights[part]))
                start += len(piece)

    def _merge(self, total: float | np.ndarray, mean: np.ndarray, squares: np.ndarray) -> None:
        """Merges rows of this total weight, one number or (D,), with those before."""
        step = mean - self._mean
        together = self._totals + total
        share = total / np.where(together > 0.0, together, 1.0)
        self._mean = self._mean + share * step
        self._squares = self._squares + squares + step**2 * (self._totals * share)
        self._totals = together

    def merge(self, kept: Mapping[str, Any]) -> None:
        """Takes the rows of another accumulator into account, which wrote `kept`, as if they came after these.

        Raises:
            ValueError: A spread is beyond float64.
        """
        other = SummaryAccumulator.going_on(kept)
        if other._origin is None:
            return
        if self._origin is None:
            for name in _NUMBERS:
                setattr(self, f"_{name}", kept[name])
            return
        # In a column without a value so far means are measured from the other's origin
        self._origin = np.where(np.isnan(self._origin), other._origin, self._origin)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = (other._origin - self._origin) + other._mean
            self._merge(other._totals, np.where(other._totals > 0.0, mean, self._mean), other._squares)
        self._minimum = np.fmin(self._minimum, other._minimum)
        self._maximum = np.fmax(self._maximum, other._maximum)
        self._check_squares()
        self._gaps = self._gaps + other._gaps
        self._num_rows += other._num_rows
        self._num_incomplete += other._num_incomplete
        self._total += other._total
        self._is_weighted |= other._is_weighted
        self._hashes = (self._hashes + other._hashes) % 2**64

    def _check_squares(self) -> None:
        if not np.isfinite(self._squares).all():
            column = int(np.argmin(np.isfinite(self._squares)))
            received = f"values up to {self._largest()[column]:.3g}"
            raise too_large_error(self._name, received, self._column_names, column)

    def _largest(self) -> np.ndarray:
        return np.maximum(np.abs(self._minimum), np.abs(self._maximum))

    def result(self, sample: np.ndarray | RowBlock | None = None) -> DataSummary:
        """Computes the summary of all the blocks so far.

        Args:
            sample: (n, D) float64, some of the rows or all, or these with their weights, whose quartiles give `centre`
                and `spread`. Without it they are the mean and the standard deviation.

        Raises:
            ValueError: There was no row, or no value in a column.
        """
        if self._origin is None:
            raise ValueError(f"`{self._name}` must have at least one row. Received: no rows. Check how it was made.")
        if not self._totals.all():
            raise no_value_error(self._name, self._column_names, int(np.argmin(self._totals)), self._num_rows)
        deviation = np.sqrt(self._squares / self._totals)
        is_constant = deviation <= CONSTANT_RATIO * self._largest()
        scale = np.where(is_constant, 1.0, deviation)
        mean = self._origin + self._mean
        centre, spread = (mean, scale) if sample is None else _without_far_rows(mean, scale, is_constant, sample)
        figures = (mean, scale, self._minimum, self._maximum, centre, spread)
        means, scales, lowest, highest, middles, spreads = (tuple(figure.tolist()) for figure in figures)
        names, fingerprint = self._column_names, f"{self._hashes:016x}"
        return DataSummary(
            self.num_data, len(means), means, scales, names, lowest, highest, middles, spreads, fingerprint,
            num_rows=self._num_rows if self._is_weighted else 0,
            gaps=tuple(self._gaps.tolist()) if self._gaps.any() else (),
            num_incomplete=self._num_incomplete,
        )  # fmt: skip


def _without_far_rows(
    mean: np.ndarray, scale: np.ndarray, is_constant: np.ndarray, sample: np.ndarray | RowBlock
) -> tuple[np.ndarray, np.ndarray]:
    """Computes centre and spread: mean and scale, but by quartiles of the sample where a few far rows dominate them."""
    block = sample if isinstance(sample, RowBlock) else RowBlock(sample)
    low, middle, high = column_quantiles(block.values, block.weights, [0.25, 0.5, 0.75])
    widest = _FAR_ROWS * (high - low) / _NORMAL_QUARTILES
    is_ruled = (widest > 0) & (widest < scale) & ~is_constant
    return np.where(is_ruled, middle, mean), np.where(is_ruled, widest, scale)
