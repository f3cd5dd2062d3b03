"""The rows of a fit once they are opened: how far they go, how many there are, those to validate on, their gaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends, open_validation
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import check_finite, no_rows_error


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


def opened_validation(source: RowSource, data: Any) -> RowSource | None:
    """Opens the rows to validate on, in the columns of the source; None for None."""
    if data is None:
        return None
    validation = open_validation(data, source)
    check_ends(validation, None, "Use .take(n), or remove .repeat().")
    if not validation.has_own_batches:
        check_finite(validation)
    elif next(iter(validation.blocks()), None) is None:
        raise no_rows_error(validation.name)
    return validation


def check_rows(summary: DataSummary, num_components: int) -> None:
    """Checks that there are as many rows as components: Raises ValueError otherwise."""
    num_rows = summary.num_rows or summary.num_data
    if num_rows < num_components:
        raise ValueError(
            f"`num_components` must be at most the number of rows. Received: num_components={num_components} for "
            f"{counted(num_rows, 'row')}. Ask for fewer components."
        )


def gap_columns_of(summary: DataSummary, validation: RowSource | None) -> tuple[int, ...]:
    """Finds the columns in which some rows have no value, those to validate on included; of a dataset all may."""
    columns = set(summary.gap_columns)
    if validation is not None and validation.missing == "integrate":
        if validation.has_own_batches:
            return tuple(range(summary.num_features))
        for block in validation.blocks():
            columns |= set(np.flatnonzero(np.isnan(block.values).any(axis=0)).tolist())
    return tuple(sorted(columns))
