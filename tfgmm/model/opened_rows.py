"""Rows to train on and to validate on, opened with the weights, the noise and the gaps that Keras's calls name."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.validation import open_validation
from tfgmm.model.batches import split_rows
from tfgmm.model.keras_arguments import refuse_generators


class Carried(NamedTuple):
    """What rows carry beside their values, as the caller states it.

    sample_weight: (N,) weights, or the name of their column.
    noise: Standard deviations (N, D), covariances (N, D, D), or {column: column of its standard deviation}.
    missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
    """

    sample_weight: Any = None
    noise: Any = None
    missing: str = "refuse"


class Columns(NamedTuple):
    """The columns of a model: their number D, and their names where they have some."""

    number: int
    names: tuple[str, ...] | None


def open_carried(x: Any, name: str, columns: Columns, carried: Carried) -> RowSource:
    """Opens rows of any kind with what they carry.

    Args:
        x: Rows.
        name: What the argument is called in errors.
        columns: Columns of the model.
        carried: What they carry.

    Raises:
        ValueError, TypeError: As `tfgmm.data.sources.open_source`; the rows come from a generator.
    """
    refuse_generators(name, x, columns.number)
    return open_source(x, name, *columns, **carried._asdict())


class Validation(NamedTuple):
    """What to validate on: rows of their own, or a share of those to train on; and the batches to stop after."""

    data: Any
    split: float
    steps: int | None = None


def open_training(
    x: Any, columns: Columns, carried: Carried, validation: Validation, batch_size: int | None, steps: int | None
) -> tuple[RowSource, RowSource | None]:
    """Opens rows to train on, and those to validate on or None.

    Args:
        x: Rows of any kind.
        columns: Columns of the model.
        carried: What the rows carry.
        validation: What to validate on.
        batch_size: B as the caller states it; a dataset has its own.
        steps: Steps of an epoch as the caller states them.

    Raises:
        ValueError, TypeError: As `open_carried`; a dataset is endless, or is to be cut.
    """
    source = open_carried(x, "x", columns, carried)
    check_ends(source, steps, "Pass steps_per_epoch=..., or remove .repeat().")
    if source.has_own_batches and (batch_size is not None or validation.split):
        raise ValueError(
            "`batch_size` and `validation_split` must be left out when `x` is a dataset, which has its own "
            f"batches. Received: batch_size={batch_size}, validation_split={validation.split}. "
            "Use dataset.unbatch().batch(...), and pass validation_data."
        )
    if validation.data is not None:
        held_out = opened_validation(validation.data, columns, source)
        check_ends(held_out, validation.steps, "Pass validation_steps=..., or remove .repeat().")
        return source, held_out
    if validation.split:
        return split_rows(source, validation.split)
    return source, None


def opened_validation(data: Any, columns: Columns, training: RowSource) -> RowSource:
    """Opens rows to validate on; see `tfgmm.data.validation.open_validation`."""
    refuse_generators("validation_data", data, columns.number)
    return open_validation(data, training, columns.names)
