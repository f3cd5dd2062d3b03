"""What happens to rows with weights, noise and gaps on their way in: checked, and those that say nothing left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock, is_finite
from tfgmm.data.carried.asked import CarriedColumns, pair_words
from tfgmm.data.errors import check_gaps, column_words


@dataclass
class LeftOut:
    """Counts of rows that were left out in one pass over a source.

    Args:
        num_empty: Rows without any value.
        num_weightless: Rows of weight 0.
    """

    num_empty: int = 0
    num_weightless: int = 0


@dataclass(frozen=True)
class Cleaning:
    """Checks and cleans blocks: afterwards weights are positive, noise is finite, and every row has a value.

    Args:
        name: What the caller's argument for the rows is called in error messages.
        column_names: D names, or None.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
        are_scored: Whether the rows are to be scored: none is left out then, and no value is refused.
        carried: Names of the columns of weights and noise, for error messages.
        weights_part: As in `Asked`.
    """

    name: str
    column_names: tuple[str, ...] | None
    missing: str = "refuse"
    are_scored: bool = False
    carried: CarriedColumns = field(default_factory=CarriedColumns)
    weights_part: str = ""

    def __call__(
        self, block: RowBlock, place: Callable[[int], str], left_out: LeftOut | None = None, is_all: bool = False
    ) -> RowBlock:
        """Cleans a block.

        Args:
            block: Rows as they come from where they are; `noise` and `weights` float64.
            place: Function from a row of the block, counted from 0, to the words for it.
            left_out: Counts that rows which are left out are added to.
            is_all: Whether the block holds all rows, so that an error counts values in all of them.

        Raises:
            ValueError: A weight, a standard deviation, a covariance or a value is not what it must be.
        """
        left_out = LeftOut() if left_out is None else left_out
        if block.weights is not None and not self.are_scored:
            self._check_weights(block.weights, place)
            block, place, dropped = _only(block, block.weights > 0.0, place)
            left_out.num_weightless += dropped
        if block.noise is not None:
            block = self._with_clean_noise(block, block.noise, place)
        if self.are_scored or is_finite(block.values):
            return block
        later = () if is_all else None
        check_gaps(self.name, self.column_names, block.values, self.missing, later=later, place=place)
        block, _, dropped = _only(block, ~np.isnan(block.values).all(axis=1), place)
        left_out.num_empty += dropped
        return block

    def _check_weights(self, weights: np.ndarray, place: Callable[[int], str]) -> None:
        is_good = (weights >= 0.0) & (weights < np.inf)
        if not is_good.all():
            row = int(np.argmin(is_good))
            where = "" if self.carried.weights is None else f", column {self.carried.weights!r}"
            raise ValueError(
                "`sample_weight` must be weights of 0 or more, all of them finite. "
                f"Received: {weights[row]:.6g} in row {place(row)}{where} (rows count from 0). "
                f"A weight says how often its row counts: write 0 for none.{pair_words(self.weights_part)}"
            )
        is_good = (weights == 0.0) | ((weights >= 1.0 / _LARGEST) & (weights <= _LARGEST))
        if not is_good.all():
            row = int(np.argmin(is_good))
            raise ValueError(
                f"`sample_weight` must be 0 or between {1.0 / _LARGEST:g} and {_LARGEST:g}. "
                f"Received: {weights[row]:.6g} in row {place(row)} (rows count from 0). Divide all by one number."
            )

    def _with_clean_noise(self, block: RowBlock, noise: np.ndarray, place: Callable[[int], str]) -> RowBlock:
        """Takes infinite noise for a gap and puts 0 where there is a gap; checks the rest."""
        spread = noise if noise.ndim == 2 else np.diagonal(noise, axis1=1, axis2=2)
        gaps = np.isnan(block.values) if block.values.dtype.kind == "f" else np.zeros(block.values.shape, bool)
        is_infinite = np.isposinf(spread) & ~gaps
        values = block.values
        if is_infinite.any():
            self._check_may_be_missing(is_infinite, place)
            values, gaps = np.where(is_infinite, np.nan, values), gaps | is_infinite
        if gaps.any():
            is_unused = gaps if noise.ndim == 2 else gaps[:, :, None] | gaps[:, None, :]
            noise = np.where(is_unused, 0.0, noise)
        if noise.ndim == 2:
            self._refuse(~(noise >= 0.0), noise, place, "standard deviations of 0 or more")
        else:
            noise = self._checked_covariances(noise, place)
        self._check_size(noise, place)
        return RowBlock(values, block.weights, noise)

    def _check_size(self, noise: np.ndarray, place: Callable[[int], str]) -> None:
        """Checks that noise is no larger than a value may be: Raises ValueError otherwise."""
        spread: Any = noise if noise.ndim == 2 else np.sqrt(np.diagonal(noise, axis1=1, axis2=2))
        if (is_bad := spread > _LARGEST_NOISE).any():
            row, column = (int(index) for index in np.argwhere(is_bad)[0])
            raise ValueError(
                f"`noise` must be standard deviations of at most {_LARGEST_NOISE:.2g}, or variances of their squares. "
                f"Received: a standard deviation of {spread[row, column]:.6g} in row {place(row)}, "
                f"{self._column(column)} (rows count from 0). Write infinity for a value that says nothing."
            )

    def _check_may_be_missing(self, is_infinite: np.ndarray, place: Callable[[int], str]) -> None:
        if self.missing == "refuse" and not self.are_scored:
            row, column = (int(index) for index in np.argwhere(is_infinite)[0])
            raise ValueError(
                "`noise` must be finite: infinite noise is a missing value. "
                f"Received: infinite noise in row {place(row)}, {self._column(column)} (rows count from 0). "
                'Drop such rows, or pass missing="integrate".'
            )

    def _column(self, column: int) -> str:
        """Names the column of noise in words, or that of the values where noise has no columns of its own."""
        label = self.carried.noise.get(self.column_names[column]) if self.column_names else None
        return column_words(self.column_names, column) if label is None else f"column {label!r}"

    def _refuse(self, is_bad: np.ndarray, noise: np.ndarray, place: Callable[[int], str], wanted: str) -> None:
        """Refuses the first entry of noise, (B, D), that is bad; where no value is there is none."""
        if is_bad.any():
            row, column = (int(index) for index in np.argwhere(is_bad)[0])
            raise ValueError(
                f"`noise` must be {wanted} wherever a value is. "
                f"Received: {noise[row, column]:.6g} in row {place(row)}, {self._column(column)} (rows count from 0). "
                "Write 0 for a value without noise, and infinity for one that says nothing."
            )

    def _checked_covariances(self, noise: np.ndarray, place: Callable[[int], str]) -> np.ndarray:
        """Checks covariances, (B, D, D), 0 where there are gaps, and makes them symmetric to the last digit."""
        variances = np.diagonal(noise, axis1=1, axis2=2)
        self._refuse(~(variances >= 0.0), variances, place, "covariances with variances of 0 or more")
        faults = (
            (~np.isfinite(noise).all(axis=(1, 2)), "finite"),
            (_asymmetry(noise) > _TOLERANCE, "symmetric"),
        )
        for is_bad, wanted in faults:
            self._refuse_matrix(is_bad, place, wanted)
        noise = 0.5 * (noise + noise.swapaxes(1, 2))
        self._refuse_matrix(_smallest_eigenvalues(noise) < -_TOLERANCE, place, "positive semi-definite")
        return noise

    def _refuse_matrix(self, is_bad: np.ndarray, place: Callable[[int], str], wanted: str) -> None:
        if is_bad.any():
            raise ValueError(
                f"`noise` must be covariances, each {wanted}. "
                f"Received: a matrix that is not, in row {place(int(np.argmax(is_bad)))} (rows count from 0). "
                "Pass S with S[i, j] = S[j, i] and no negative eigenvalue."
            )


_LARGEST = 1e100  # weight: sums of squares of larger ones, and parts of smaller ones, leave float64
_LARGEST_NOISE = float(np.finfo(np.float32).max)  # standard deviation: values, which are float32, end there too
_TOLERANCE = 1e-5  # of correlations: what float32 leaves of a matrix that is symmetric and singular


def _only(block: RowBlock, kept: np.ndarray, place: Callable[[int], str]) -> tuple[RowBlock, Callable[[int], str], int]:
    """Keeps some rows of a block, with the function that places them, and counts the others."""
    if kept.all():
        return block, place, 0
    numbers = np.flatnonzero(kept)
    return block.part(kept), lambda row: place(int(numbers[row])), len(kept) - len(numbers)


def _correlations(noise: np.ndarray) -> np.ndarray:
    """Divides covariances, (B, D, D), by their standard deviations; by 1 where one is 0."""
    spread: Any = np.sqrt(np.diagonal(noise, axis1=1, axis2=2))
    spread = np.where(spread > 0.0, spread, 1.0)
    return noise / spread[:, :, None] / spread[:, None, :]


def _asymmetry(noise: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        correlations = _correlations(noise)
        largest: np.ndarray = np.abs(correlations - correlations.swapaxes(1, 2)).max(axis=(1, 2), initial=0.0)
    return largest


def _smallest_eigenvalues(noise: np.ndarray) -> np.ndarray:
    smallest: np.ndarray = np.linalg.eigvalsh(_correlations(noise))[:, 0]
    return smallest
