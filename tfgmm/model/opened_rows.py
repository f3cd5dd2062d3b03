"""Rows to train on and to validate on, opened with the weights, the noise and the gaps that Keras's calls name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends, open_source
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

    def by_name(self) -> Carried:
        """Leaves what holds for other rows in the same columns: weights and noise in columns by name."""
        weights = self.sample_weight if isinstance(self.sample_weight, str) else None
        return self._replace(sample_weight=weights, noise=self.noise if isinstance(self.noise, Mapping) else None)


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
        names = source.column_names or columns.names
        held_out = open_validation(validation.data, Columns(columns.number, names), carried, source)
        check_ends(held_out, validation.steps, "Pass validation_steps=..., or remove .repeat().")
        return source, held_out
    if validation.split:
        return split_rows(source, validation.split)
    return source, None


def open_validation(data: Any, columns: Columns, carried: Carried, training: RowSource) -> RowSource:
    """Opens rows to validate on: alone, or as Keras has them, (x, None, sample_weight); then their noise, if any.

    Args:
        data: Rows of any kind, or a tuple.
        columns: Columns of the rows to train on.
        carried: What those carry; names of columns, and gaps, hold for these rows too.
        training: The rows to train on.

    Raises:
        ValueError, TypeError: There are labels; the rows to train on have noise, and these do not; as `open_carried`.
    """
    rows, carried = _taken_apart(data, carried.by_name())
    source = open_carried(rows, "validation_data", columns, carried)
    if training.noise_axes and not source.noise_axes:
        raise ValueError(
            "`validation_data` must have measurement noise, as `x` has: rows with noise are spread more widely. "
            "Received: rows without. Pass (rows, None, sample_weight or None, noise)."
        )
    return source


def _taken_apart(data: Any, carried: Carried) -> tuple[Any, Carried]:
    if not (isinstance(data, tuple) and 2 <= len(data) <= 4 and _is_whole_table(data[0])):
        return data, carried
    rows, labels, *others = data
    if labels is not None:
        raise TypeError(
            "`validation_data` must be rows, or (rows, None, sample_weight): a mixture has no labels. "
            f"Received: a tuple whose second part is a {type(labels).__name__}. Pass None there."
        )
    if others:
        carried = carried._replace(**dict(zip(("sample_weight", "noise"), others)))
    return rows, carried


def _is_whole_table(part: Any) -> bool:
    """Tells whether the first part of a tuple is rows by itself, and not one row of a nested list."""
    is_table = len(getattr(part, "shape", ())) > 1 or hasattr(part, "__arrow_c_stream__")
    return is_table or isinstance(part, (str, tf.data.Dataset)) or hasattr(part, "__fspath__") or _is_nested(part)


def _is_nested(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and isinstance(part[0], (list, tuple))
