"""Rows in memory that restarts sum over again and again."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import RowSums, scaled
from tfgmm.mixture.virtual_copies import are_whole, copies


class CachedRows:
    """Rows in memory that are summed over again and again.

    Args:
        form: Form of the parameters.
        block: (n, D) float32 values, measured from the centre, with weights and noise.
        num_data: Number of rows that they stand for, N: all sums are scaled to it. Default: the sum of their weights.
        gap_columns: Columns in which some rows have no value.
    """

    def __init__(
        self, form: FormName, block: RowBlock, num_data: float | None = None, gap_columns: Sequence[int] = ()
    ) -> None:
        self.block, self.gap_columns = block, tuple(gap_columns)
        self._form = form
        self._groups = RowGroups(form, block, gap_columns, keeps_features=True)
        self.num_data = self._groups.total_weight if num_data is None else num_data

    def __len__(self) -> int:
        return len(self.block.values)

    @property
    def values(self) -> np.ndarray:
        """(n, D) float32, measured from the centre; NaN where a row has no value."""
        return self.block.values

    @property
    def share(self) -> float:
        """How many rows each of them stands for on average, by weight."""
        return self.num_data / self._groups.total_weight

    @property
    def rows_each(self) -> float:
        """How many rows each of them stands for where those of large weight tell no more than one (Kish 1965)."""
        weights = self.block.weights
        num_rows = float(len(self)) if weights is None else float(weights.sum() ** 2 / np.square(weights).sum())
        return self.num_data / num_rows

    @property
    def groups(self) -> RowGroups:
        """The rows, sorted for passes over them."""
        return self._groups

    @functools.cached_property
    def num_columns(self) -> int:
        """D + P, the columns of features that the components make of a row, and one more for each column with gaps."""
        num_features = self.values.shape[1]
        num_masks = len(self.gap_columns) if self._form == "independent" else 0
        return num_features + num_products(FORMS[self._form].write_products, num_features) + num_masks

    @property
    def num_copies(self) -> float:
        """How many rows they are when each is written as often as it counts; n where weights are not whole."""
        weights = self.block.weights
        return len(self) if weights is None or not are_whole(weights) else float(weights.sum())

    def subset(self, chosen: np.ndarray, weights: np.ndarray | None = None) -> CachedRows:
        """Takes the rows `chosen`, (m,) int, with these weights; they stand for themselves."""
        return CachedRows(self._form, self.block.part(chosen)._replace(weights=weights), None, self.gap_columns)

    def sampled(self, num_rows: int, seed: int) -> CachedRows:
        """Chooses some of the rows at random, by their weights; they stand for as many as these do."""
        weights = self.block.weights
        if weights is None:
            chosen = np.random.default_rng(seed).choice(len(self), num_rows, replace=False)
        else:
            chosen = copies(weights, num_rows, seed)
        part = self.block.part(chosen)._replace(weights=None)
        return CachedRows(self._form, part, self.num_data, self.gap_columns)

    def as_copies(self, most: int, seed: int) -> np.ndarray:
        """Writes each row as often as it counts, (m, D) float64, up to `most` rows in all; see `virtual_copies`."""
        values, weights = self.values.astype(np.float64), self.block.weights
        return values if weights is None else values[copies(weights, most, seed)]

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums over the rows as `RowGroups.sums`, scaled to N rows."""
        statistics, *totals = self._groups.sums(coefficients, dtype)
        return RowSums(scaled(statistics, self.share), *(self.share * total for total in totals))
