"""Rows in memory, with what they carry. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfgmm.data.blocks import RowBlock, row_blocks, rows_per_block


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in memory, checked: a 2-D array of numbers, in the user's units, and its columns' names.

    Args:
        values: (N, D) array of any float, integer or bool dtype, with any strides, perhaps read-only. An array that
            the user passed is used as it is, not copied.
        column_names: D names, or None when the data had none.
        name: What the caller's argument is called in error messages.
        num_dropped: Rows of the data with a gap that were left out.
        dropped_gaps: Gaps in each column of those; () where none was left out.
        weights: (N,) float64, positive, how often each row counts; None: each counts once.
        noise: Standard deviations (N, D) or covariances (N, D, D) of the measurement noise; None: there is none.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
        num_empty, num_weightless: Rows without any value, and rows of weight 0, that were left out.
        weights_column: Name of the column of weights, "" where they had none.
        noise_names: D names of the columns of standard deviations; () where they had none.

    Attributes: Those of a `tfgmm.data.sources.RowSource`.
    """

    values: np.ndarray
    column_names: tuple[str, ...] | None = None
    name: str = "x"
    num_dropped: int = 0
    dropped_gaps: tuple[int, ...] = ()
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None
    missing: str = "refuse"
    num_empty: int = 0
    num_weightless: int = 0
    weights_column: str = ""
    noise_names: tuple[str, ...] = ()

    origin: ClassVar[str | None] = None
    is_in_memory: ClassVar[bool] = True
    is_endless: ClassVar[bool] = False
    has_known_length: ClassVar[bool] = True
    has_own_batches: ClassVar[bool] = False

    @property
    def num_data(self) -> int:
        """The number of rows; with weights, N is their sum and not this."""
        return len(self.values)

    @property
    def num_features(self) -> int:
        """D, the number of columns."""
        return int(self.values.shape[1])

    def blocks(self) -> Iterator[RowBlock]:
        """Yields views of the rows, 65,536 at a time, fewer when D is above 128."""
        if self.weights is None and self.noise is None:
            return map(RowBlock, row_blocks(self.values))
        whole, size = RowBlock(self.values, self.weights, self.noise), rows_per_block(self.num_features)
        return (whole.part(slice(start, start + size)) for start in range(0, len(self.values), size))

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""
        return self.weights is not None

    @property
    def noise_axes(self) -> int:
        """0 where there is no noise, 1 for standard deviations, 2 for covariances."""
        return 0 if self.noise is None else self.noise.ndim - 1

    @property
    def weights_name(self) -> str | None:
        """Name of the column of weights; "" where it has none, None where rows have no weights."""
        return None if self.weights is None else self.weights_column

    @property
    def noise_columns(self) -> tuple[str, ...]:
        """D names of the columns of standard deviations, "" where one has none; () where there is no noise."""
        return () if self.noise is None else self.noise_names or ("",) * self.num_features

    def part(self, chosen: slice | np.ndarray) -> Rows:
        """Takes some of the rows, by a slice, by numbers or by a mask, with all that they carry.

        Example:

        >>> rows = Rows(np.array([[1.0], [2.0]]), weights=np.array([1.0, 3.0])).part(slice(1, None))
        >>> rows.values.tolist(), rows.weights.tolist()
        ([[2.0]], [3.0])
        """
        values, weights, noise = RowBlock(self.values, self.weights, self.noise).part(chosen)
        return dataclasses.replace(self, values=values, weights=weights, noise=noise)

    def place(self, row: int) -> str:
        """Names a row in words for an error message: by its number."""
        return str(row)

    def close(self) -> None:
        """Does nothing: the rows are the caller's."""
