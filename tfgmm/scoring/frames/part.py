"""Some rows of a frame scored, in this process or on a worker: NumPy and pyarrow, no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.errors import check_no_overflow
from tfgmm.data.frames import MemoryTable, open_table
from tfgmm.data.readers import Rows
from tfgmm.data.scored_table import ScoredColumns
from tfgmm.scoring.numpy_scorer import NumpyScorer
from tfgmm.scoring.scores import mapped_over_data
from tfgmm.scoring.table_columns import flat_scores, score_columns

NAME = "frame"  # what errors call it


def table_of(frame: Any) -> MemoryTable:
    """Opens a frame in memory: Raises TypeError where it is none."""
    table = open_table(NAME, frame)
    if table is None:
        raise TypeError(f"`{NAME}` must be a table. Received: {type(frame).__name__}. Pass a DataFrame.")
    return table


class PartScorer(NamedTuple):
    """What scores a part of a frame: plain arrays and names, which can be pickled.

    Args:
        scorer: The mixture.
        names: Some of `table_columns.COLUMNS`, in the order of the columns.
        features: D names for the columns of imputed rows.
        columns: The columns of the frame that are scored.
    """

    scorer: NumpyScorer
    names: tuple[str, ...]
    features: tuple[str, ...]
    columns: ScoredColumns

    def dtypes(self) -> dict[str, str]:
        """Lists the columns that scores take, by name, each with the name of its dtype."""
        return score_columns(self.names, len(self.scorer.mixture.log_weights), self.features)

    def scores(self, part: Any, place: Callable[[int], str] = str) -> dict[str, np.ndarray]:
        """Computes the columns of the scores of n rows, (n,) each.

        Args:
            part: A DataFrame of pandas or polars, or an Arrow table, with the columns of the frame.
            place: Function from a row of the part, counted from 0, to the words for it.

        Raises:
            ValueError: A finite value is beyond float32 once centred, or a standard deviation is none.
            TypeError: A column does not hold numbers.
        """
        rows = self.columns.rows_of(NAME, table_of(part), place)
        return flat_scores(self._of_rows(rows, place), self.names, self.features)

    def _of_rows(self, rows: RowBlock, place: Callable[[int], str]) -> dict[str, np.ndarray]:
        """Scores rows block by block, the blocks being those of `Queries.log_prob`: their ends may round otherwise."""
        centre, num_before = self.scorer.mixture.centre, 0

        def of_block(block: RowBlock) -> dict[str, np.ndarray]:
            nonlocal num_before
            by_name, num_bad = self.scorer.scores(block, self.names)
            if num_bad:
                with np.errstate(over="ignore", invalid="ignore"):
                    centred = (block.values - centre).astype(np.float32)
                check_no_overflow(NAME, self.columns.values, block.values, centred, num_before, place)
            num_before += len(block.values)
            return by_name

        source = Rows(rows.values, None, NAME, noise=rows.noise)
        return mapped_over_data(centre, source, of_block, None)
