"""The rows that a posterior was fitted to, read once more, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import finite_blocks
from tfgmm.families.variational import VariationalPosterior


def centred_blocks(
    data: Any, posterior: VariationalPosterior, num_data: float, column_names: tuple[str, ...] | None
) -> Iterator[np.ndarray]:
    """Yields the rows of `data`, (B, D) float32, measured from the centre of q, in their order, block by block.

    Args:
        data: Rows of any kind that `fit` takes.
        posterior: The posterior that was fitted to them.
        num_data: Number of rows that it was fitted to, N.
        column_names: Names of the columns, where they have names.

    Raises:
        ValueError: A value is not finite; the number of rows is not N, raised after the last block.
    """
    source = open_source(data, "data", posterior.num_features, column_names)
    check_ends(source, None, "Use .take(n) for its first n batches.")
    num_rows = 0
    for block in finite_blocks(source):
        values = block.plain_values()
        yield centre_rows(values, posterior.centre, name=source.name)
        num_rows += len(values)
    if num_rows != num_data:
        raise ValueError(
            f"`data` must be the rows that the model was fitted to, {num_data or 'none so far'}. "
            f"Received: {num_rows:,} rows. Pass the training rows."
        )
