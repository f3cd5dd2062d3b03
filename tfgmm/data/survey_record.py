"""What one pass over the rows tells: the record, without the pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.record import DataSummary


class Survey(NamedTuple):
    """What one pass over the data tells.

    summary: Summary of all rows.
    sample: (n, D) float64 rows, data units, n <= 20,000; NaN where a row has no value.
    weights: (n,) float64, what each of them stands for, with the sum N; None: each stands for N / n rows.
    noise: Their measurement noise, as `RowBlock` has it; None: there is none.
    """

    summary: DataSummary
    sample: np.ndarray
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None

    @property
    def rows(self) -> RowBlock:
        """The sample with all that its rows carry."""
        return RowBlock(self.sample, self.weights, self.noise)

    @property
    def is_sample(self) -> bool:
        """Whether the sample has fewer rows than the data."""
        return len(self.sample) < (self.summary.num_rows or self.summary.num_data)
