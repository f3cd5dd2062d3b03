"""What exact sweeps over all rows work through: batches of rows, or the rows that restarts have looked at already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm.data.row_source import RowSource
from tfgmm.data.shards.rows import ShardRows
from tfgmm.families.row_batches import SweepBatches
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.shard_batches import ShardBatches
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import RowSums, Statistics


class CachedBatch:
    """All rows as one batch that restarts have looked at already: sorted, with their features at hand.

    Args:
        rows: The rows.
    """

    num_batches = 1

    def __init__(self, rows: CachedRows) -> None:
        self._rows, self.gap_columns = rows, rows.gap_columns

    def groups(self) -> Iterator[RowGroups]:
        """Yields the rows, once."""
        yield self._rows.groups

    def sums(self, coefficients: Sequence[np.ndarray]) -> Iterator[tuple[RowSums, float]]:
        """Yields the sums over all rows, once; see `SweepBatches.sums`."""
        groups = self._rows.groups
        statistics, *totals = groups.sums([value[None] for value in coefficients])
        sums = RowSums(Statistics(*(value[0] for value in statistics)), *(total[0] for total in totals))
        yield sums, groups.total_weight

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
        """Sums over all rows; see `SweepBatches.log_likelihoods`."""
        return self._rows.groups.log_likelihoods(coefficients), self._rows.groups.total_weight


Batches = SweepBatches | CachedBatch | ShardBatches
Logs = dict[str, Any]


def batches_over(
    source: RowSource, q: VariationalPosterior, gap_columns: Sequence[int], batch_size: int | None = None
) -> SweepBatches | ShardBatches:
    """Makes the batches of rows of any kind; those in parts are held from here on.

    Args:
        source: The rows.
        q: Posterior whose centre they are measured from.
        gap_columns: Columns in which some rows have no value.
        batch_size: As `SweepBatches` takes it.
    """
    if isinstance(source, ShardRows):
        return ShardBatches(source, q, gap_columns)
    return SweepBatches(source, q, batch_size, gap_columns)
