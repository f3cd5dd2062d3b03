"""The rows of a fit once they are opened: how far they go, how many there are, those to validate on, their gaps."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.blocks import is_finite
from tfgmm.data.row_source import RowSource
from tfgmm.data.shards.rows import ShardRows
from tfgmm.data.sources import check_ends
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey, finite_blocks, no_rows_error
from tfgmm.data.validation import open_validation


def check_length(source: RowSource) -> None:
    """Checks that it is known how far the rows go.

    Raises:
        ValueError: It is not.
    """
    if not source.has_known_length:
        raise ValueError(
            "`data` must have a known length: a sweep ends with the last batch. Received: a dataset of unknown or "
            "endless length. Apply tf.data.experimental.assert_cardinality(num_batches), remove .repeat(), or train a "
            "GaussianMixtureModel with compile(num_data=..., step_sizes=tfgmm.StepSizes())."
        )


def opened_validation(source: RowSource, data: Any) -> tuple[RowSource | None, tuple[int, ...]]:
    """Opens the rows to validate on, in the columns of the source, and finds the columns in which they have gaps.

    Returns:
        The rows, and numbers of columns: of a dataset, which is not read for this, all where values may be missing.
        None and () where there are no rows to validate on.
    """
    if data is None:
        return None, ()
    validation = open_validation(data, source, may_be_shards=True)
    if isinstance(validation, ShardRows):
        return validation, _surveyed(validation).summary.gap_columns
    check_ends(validation, None, "Use .take(n), or remove .repeat().")
    may_have_gaps = validation.missing == "integrate"
    if validation.has_own_batches:
        if next(iter(validation.blocks()), None) is None:
            raise no_rows_error(validation.name)
        return validation, tuple(range(source.num_features)) if may_have_gaps else ()
    columns: set[int] = set()
    for block in finite_blocks(validation):
        if may_have_gaps and not is_finite(block.values):
            columns |= set(np.flatnonzero(np.isnan(block.values).any(axis=0)).tolist())
    return validation, tuple(sorted(columns))


def _surveyed(validation: ShardRows) -> Survey:
    """Surveys rows in parts to validate on; what the engine kept for it is given back where it fails."""
    try:
        return validation.survey(0, stacklevel=6)
    except BaseException:
        with contextlib.suppress(Exception):
            validation.release()
        raise


def check_rows(summary: DataSummary, num_components: int, name: str = "num_components") -> None:
    """Checks that there are as many rows as components: Raises ValueError otherwise, which calls K by its name."""
    num_rows = max(summary.num_rows, summary.num_data)  # a row of weight 2 is two rows
    if num_rows < num_components:
        words = {"of weight 0": summary.num_weightless, "without any value": summary.num_empty}
        left_out = [f"beside {counted(number, 'row')} {which}" for which, number in words.items() if number]
        received = ", ".join([f"{name}={num_components} for {counted(num_rows, 'row')}", *left_out])
        raise ValueError(
            f"`{name}` must be at most the number of rows. Received: {received}. Ask for fewer components."
        )
