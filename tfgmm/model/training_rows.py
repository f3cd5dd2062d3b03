"""The rows that a model was fitted to, read once more, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfgmm.common.shapes import Tensor
from tfgmm.data.sampling import SAMPLE_ROWS
from tfgmm.data.sources import check_ends, open_source
from tfgmm.families.variational import VariationalPosterior
from tfgmm.model.batches import default_batch_size, ordered_batches


def centred_batches(
    data: Any, posterior: VariationalPosterior, num_data: int, column_names: tuple[str, ...] | None
) -> Iterator[Tensor]:
    """Yields batches of the rows of `data`, (B, D) float32, measured from the centre of q, in their order.

    Args:
        data: Rows of any kind that `fit` takes.
        posterior: The posterior that was fitted to them.
        num_data: Number of rows that it was fitted to, N.
        column_names: Names of the columns, where they have names.

    Raises:
        ValueError: The number of rows is not N; raised after the last batch.
    """
    source = open_source(data, "data", posterior.num_features, column_names)
    check_ends(source, None, "Use .take(n) for its first n batches.")
    size = default_batch_size(num_data or SAMPLE_ROWS, posterior.num_components, posterior.num_features)
    num_rows = 0
    for rows in ordered_batches(source, posterior.centre.numpy(), size):
        num_rows += len(rows)
        yield rows
    if num_rows != num_data:
        raise ValueError(
            f"`data` must be the rows that the model was fitted to, {num_data or 'none so far'}. "
            f"Received: {num_rows:,} rows. Pass the training rows."
        )
