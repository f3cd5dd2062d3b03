"""Which columns of rows in parts are values, weights and noise: decided by the schema alone, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import Asked, CarriedColumns
from tfgmm.data.carried.values import check_no_names, value_names
from tfgmm.data.files.kinds import not_numbers_error


class Schema(NamedTuple):
    """The columns of rows in parts.

    Args:
        names: Names of all columns, in their order.
        contents: What each holds, in words; "" for numbers. See `words_if_not_numbers`.
        is_named: Whether the names are the user's, and not only numbers of columns.
    """

    names: tuple[str, ...]
    contents: tuple[str, ...]
    is_named: bool = True


class ShardColumns(NamedTuple):
    """The columns of rows in parts that are read.

    Args:
        names: D names of the columns of values, in the order of the mixture; of data without names, their numbers.
        carried: The columns of weights and noise.
        is_named: Whether the columns have names.
    """

    names: tuple[str, ...]
    carried: CarriedColumns
    is_named: bool = True

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """D names, or None where the columns have none."""
        return self.names if self.is_named else None

    @property
    def to_read(self) -> tuple[str, ...]:
        """Names of all columns to read, D + E of them, in the order that `block` takes them in."""
        return (*self.names, *self.carried.names)

    def block(self, rows: np.ndarray) -> RowBlock:
        """Splits rows, (n, D + E) in the order of `to_read`, into values, weights and noise."""
        return self.carried.split(rows, self.names)


def chosen_columns(
    name: str, schema: Schema, asked: Asked, fitted: Sequence[str] | None = None, num_features: int | None = None
) -> ShardColumns:
    """Chooses the columns to read.

    Args:
        name: What the caller's argument is called in error messages.
        schema: The columns there are.
        asked: What rows carry.
        fitted: Names of the columns that a mixture was fitted on: those of values must be these, in any order.
        num_features: D where it is known.

    Raises:
        TypeError: A column does not hold numbers; weights or noise are asked for as arrays.
        ValueError: Columns are unknown, missing, repeated, or not D.
    """
    _check_asked_by_name(name, asked)
    if not schema.is_named:
        check_no_names(name, asked)
    wanted = value_names(name, schema.names, "", None, fitted if schema.is_named else None, asked.columns)
    columns = ShardColumns(wanted, asked.columns, schema.is_named)
    contents = dict(zip(schema.names, schema.contents))
    for argument, labels in (("sample_weight", [asked.columns.weights]), ("noise", asked.columns.noise.values())):
        words = {label: contents[label] for label in labels if label is not None}
        if any(words.values()):
            raise not_numbers_error(argument, words, "", named=False)
    if any(contents[label] for label in wanted):
        raise _not_numbers(name, {label: contents[label] for label in wanted})
    if not wanted or num_features not in (None, len(wanted)):
        needed = "at least one column" if num_features is None else f"{num_features} columns"
        raise ValueError(f"`{name}` must have {needed} of values. Received: {len(wanted)}. Select the columns before.")
    return columns


def _not_numbers(name: str, words: Mapping[str, str]) -> TypeError:
    """Makes the error that columns are no numbers, with what leaves them out: a selection by the frame itself."""
    good = [label for label, content in words.items() if not content]
    error = not_numbers_error(name, words, "", named=False)
    return TypeError(f"{str(error).removesuffix('.')}, or select the others: {name}[{good}].") if good else error


def _check_asked_by_name(name: str, asked: Asked) -> None:
    """Checks that what rows in parts carry is asked for by the names of columns: Raises TypeError otherwise."""
    for argument, value, kind, fix in (
        ("sample_weight", asked.sample_weight, str, 'sample_weight="count"'),
        ("noise", asked.noise, Mapping, "noise={'flux': 'flux_error'}"),
    ):
        if value is not None and not isinstance(value, kind):
            wanted = "the name of a column" if kind is str else "names of columns by those of values"
            received: Any = "an array" if hasattr(value, "__array__") else f"a {type(value).__name__}"
            raise TypeError(
                f"`{argument}` must be {wanted} for rows that are in parts. Received: {received}. "
                f"Put it in columns of `{name}` and name these: {fix}, for example."
            )
