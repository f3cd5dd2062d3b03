"""The batches of rows that exact sweeps over all rows work through, measured from the centre."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

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
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.row_sums import log_likelihoods_over_rows
from tfgmm.mixture.statistics import RowSums, Statistics
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
    """

    def __init__(self, source: RowSource, q: VariationalPosterior, batch_size: int | None = None) -> None:
        self._source, self._form, self._centre = source, q.form, q.centre
        self._size, self.num_batches = batch_size or BLOCK_ROWS, 1
        self._centred: np.ndarray | None = None  # rows in memory are measured once
        if isinstance(source, Rows):
            self._size = batch_size or sweep_batch_size(source.num_data, q.num_components, q.num_features)
        if isinstance(source, StreamedRows):
            self.num_batches = source.num_batches
        elif source.num_data:
            self.num_batches = math.ceil(source.num_data / self._size)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the rows, (B, D) float32, measured from the centre; those in files are read beside the work on them.

        Raises:
            ValueError: A value is not finite.
        """
        source = self._source
        if isinstance(source, Rows):
            self._centred = centre_rows(source, self._centre) if self._centred is None else self._centred
            return map(self._centred.__getitem__, slices(0, source.num_data, self._size))
        if isinstance(source, StoredRows):  # which were surveyed
            return read_ahead(map(self._measured, source.batches(self._size)))
        return map(self._measured, finite_blocks(source))

    def _measured(self, block: RowBlock) -> np.ndarray:
        return centre_rows(block.plain_values(), self._centre, name=self._source.name)

    def sums(self, coefficients: Sequence[np.ndarray]) -> Iterator[tuple[RowSums, int]]:
        """Yields the sums over each batch, under one posterior, and its number of rows."""
        for rows in self.blocks():
            yield devices.sums(self._form, coefficients, RowBlock(rows)), len(rows)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
        """Sums logsumexp_k and max_k of the log joints under R mixtures, (2, R) nats, and counts the rows."""
        totals, num_rows = np.zeros((2, len(coefficients[0]))), 0
        for rows in self.blocks():
            totals += devices.log_likelihoods(self._form, coefficients, RowBlock(rows))
            num_rows += len(rows)
        return totals, num_rows


class CachedBatch:
    """All rows as one batch that restarts have looked at already: their features are at hand.

    Args:
        rows: The rows.
        q: Posterior whose centre the rows are measured from.
    """

    num_batches = 1

    def __init__(self, rows: CachedRows, q: VariationalPosterior) -> None:
        self._rows, self._form = rows, q.form

    def sums(self, coefficients: Sequence[np.ndarray]) -> Iterator[tuple[RowSums, int]]:
        """Yields the sums over all rows, once; see `SweepBatches.sums`."""
        statistics, *totals = self._rows.sums([value[None] for value in coefficients], np.float64)
        yield RowSums(Statistics(*(value[0] for value in statistics)), *(total[0] for total in totals)), len(self._rows)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
        """Sums over all rows; see `SweepBatches.log_likelihoods`."""
        write_products, block = FORMS[self._form].write_products, RowBlock(self._rows.values)
        return log_likelihoods_over_rows(write_products, block, coefficients), len(self._rows)


Batches = SweepBatches | CachedBatch
Logs = dict[str, Any]
