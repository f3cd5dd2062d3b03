"""The batches of rows that passes over all rows work through, again and again, measured from the centre."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tfgmm.common.threads import read_ahead, slices
from tfgmm.data.blocks import BLOCK_ROWS, RowBlock
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows
from tfgmm.data.row_source import RowSource
from tfgmm.data.streamed import StreamedRows
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import finite_blocks
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import RowSums
from tfgmm.scoring import devices

_SMALLEST_BATCH = 1_024
# Numbers in the (batch, K, D) work of a sweep, which goes chunk by chunk: with more, callbacks are called too seldom.
_SWEEP_NUMBERS = 2**28


def sweep_batch_size(num_data: float, num_components: int, num_features: int) -> int:
    """Chooses B for exact sweeps over rows in memory: all rows, so that they need not be copied, or many.

    Example:

    >>> sweep_batch_size(300_000, 32, 16), sweep_batch_size(10**7, 32, 16)
    (300000, 524288)
    """
    return min(math.ceil(num_data), max(_SMALLEST_BATCH, _SWEEP_NUMBERS // (num_components * num_features)))


class SweepBatches:
    """Rows of any kind as batches, again and again in the same order.

    Args:
        source: The rows.
        q: Posterior whose centre the rows are measured from.
        batch_size: B; None for all rows in memory, or many, and for 65,536 stored ones. A dataset has its own.
        gap_columns: Columns in which some rows have no value.
    """

    def __init__(
        self,
        source: RowSource,
        q: VariationalPosterior,
        batch_size: int | None = None,
        gap_columns: Sequence[int] = (),
    ) -> None:
        self._source, self._form, self._centre = source, q.form, q.centre
        self.gap_columns = tuple(gap_columns)
        self._size, self.num_batches = batch_size or BLOCK_ROWS, 1
        self._kept: list[RowGroups] = []  # rows in memory are measured, and sorted, once
        if isinstance(source, Rows):
            self._size = batch_size or sweep_batch_size(source.num_data, q.num_components, q.num_features)
        if isinstance(source, StreamedRows):
            self.num_batches = source.num_batches
        elif source.num_data:
            self.num_batches = math.ceil(source.num_data / self._size)

    def groups(self) -> Iterator[RowGroups]:
        """Yields the rows of each batch, measured from the centre; those in files are read beside the work on them.

        Raises:
            ValueError: A value is infinite, or NaN where that is an error.
        """
        source = self._source
        if isinstance(source, Rows):
            if not self._kept:
                whole = self._measured(RowBlock(source.values, source.weights, source.noise))
                self._kept = [self._sorted(whole.part(rows)) for rows in slices(0, source.num_data, self._size)]
            return iter(self._kept)
        if isinstance(source, StoredRows):  # which were surveyed
            return map(self._sorted, read_ahead(map(self._measured, source.batches(self._size))))
        return map(self._sorted, map(self._measured, finite_blocks(source)))

    def _measured(self, block: RowBlock) -> RowBlock:
        return block._replace(values=centre_rows(block.values, self._centre, name=self._source.name))

    def _sorted(self, block: RowBlock) -> RowGroups:
        return RowGroups(self._form, block, self.gap_columns)

    def sums(self, coefficients: Sequence[np.ndarray]) -> Iterator[tuple[RowSums, float]]:
        """Yields the sums over each batch, under one posterior, and the sum of the weights of its rows."""
        for groups in self.groups():
            yield devices.sums_of(groups, coefficients), groups.total_weight

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
        """Sums logsumexp_k and max_k of the log joints under R mixtures, (2, R) nats, and the weights of the rows."""
        totals, weight = np.zeros((2, len(coefficients[0]))), 0.0
        for groups in self.groups():
            totals += devices.log_likelihoods_of(groups, coefficients)
            weight += groups.total_weight
        return totals, weight
