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


class CachedRows:
    """Rows in memory that are summed over again and again.

    Args:
        form: Form of the parameters.
        values: (n, D) float32, measured from the centre.
        num_data: Number of rows that they stand for, N: all sums are scaled to it. Default n.
    """

    def __init__(self, form: FormName, values: np.ndarray, num_data: float | None = None) -> None:
        self.values = values
        self.num_data = len(values) if num_data is None else num_data
        self._form = form
        self._groups = RowGroups(form, RowBlock(values), keeps_features=True)

    def __len__(self) -> int:
        return len(self.values)

    @functools.cached_property
    def num_columns(self) -> int:
        """D + P, the columns of features that the components make of a row."""
        num_features = self.values.shape[1]
        return num_features + num_products(FORMS[self._form].write_products, num_features)

    def subset(self, is_chosen: np.ndarray) -> CachedRows:
        """Takes the rows where `is_chosen`, (n,) bool; they stand for themselves."""
        return CachedRows(self._form, self.values[is_chosen])

    def sampled(self, num_rows: int, seed: int) -> CachedRows:
        """Chooses some of the rows at random; they stand for as many as these do."""
        chosen = np.random.default_rng(seed).choice(len(self.values), num_rows, replace=False)
        return CachedRows(self._form, self.values[chosen], self.num_data)

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums over the rows as `sums_over_rows`, scaled to N rows."""
        statistics, *totals = self._groups.sums(coefficients, dtype)
        share = self.num_data / len(self.values)
        return RowSums(scaled(statistics, share), *(share * total for total in totals))
