"""What exact sweeps work through where rows are in parts: all rows as one batch, summed where they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from tfgmm.data.row_source import RowSource
from tfgmm.data.shards.rows import ShardRows
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.shard_sums import PartLogLikelihoods, PartSums
from tfgmm.mixture.statistics import RowSums


class ShardBatches:
    """All rows in parts as one batch.

    Args:
        rows: The rows, which were surveyed. They are held from the first sums on, until they are released.
        q: Posterior whose centre they are measured from.
        gap_columns: Columns in which some rows have no value.
    """

    num_batches = 1

    def __init__(self, rows: ShardRows, q: VariationalPosterior, gap_columns: Sequence[int] = ()) -> None:
        self._rows, self._form, self._centre = rows, q.form, q.centre
        self.gap_columns = tuple(gap_columns)

    def sums(self, coefficients: Sequence[np.ndarray]) -> Iterator[tuple[RowSums, float]]:
        """Yields the sums over all rows, once; see `SweepBatches.sums`."""
        linear, constants = coefficients
        function = PartSums(self._form, (linear, constants), self.gap_columns, self._rows.num_features)
        yield function.of_flat(self._sums(function))

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
        """Sums over all rows; see `SweepBatches.log_likelihoods`."""
        function = PartLogLikelihoods(self._form, tuple(coefficients), self.gap_columns)
        return function.of_flat(self._sums(function))

    def _sums(self, function: PartSums | PartLogLikelihoods) -> np.ndarray:
        """Holds the rows, unless they are held, and adds; sweeps that a checkpoint has need no pass."""
        self._rows.hold(self._centre)
        return self._rows.sums(function)


@contextlib.contextmanager
def released(*sources: RowSource | None) -> Iterator[None]:
    """Has engines give back what they hold of rows in parts when a `with` block ends, in whatever way.

    Each is asked to, whatever the others say; an error that ended the block is not hidden by one of theirs.
    """
    held = [source for source in sources if isinstance(source, ShardRows)]
    try:
        yield
    except BaseException:
        for rows in held:
            with contextlib.suppress(Exception):
                rows.release()
        raise
    with contextlib.ExitStack() as stack:
        for rows in held:
            stack.callback(rows.release)
