"""Which columns of a table are scored, matched by name or by position, and its rows as blocks. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.carried.cleaning import Cleaning
from tfgmm.data.carried.values import value_names
from tfgmm.data.columns import check_once, wanted_columns
from tfgmm.data.frames import MemoryTable
from tfgmm.data.table_values import table_values


class ScoredColumns(NamedTuple):
    """The columns of a table that are scored.

    Args:
        values: D names of the columns of values, in the order of the model.
        beside: Names of the columns of the standard deviations of their noise.
    """

    values: tuple[str, ...]
    beside: CarriedColumns

    @property
    def wanted(self) -> list[str]:
        """Lists the D + E columns that are read: those of values, and then those of noise."""
        return [*self.values, *self.beside.names]

    def rows_of(self, name: str, table: MemoryTable, place: Callable[[int], str] = str) -> RowBlock:
        """Reads the rows of a table in memory; arguments and errors as `block`.

        Raises:
            TypeError: A column does not hold numbers.
        """
        # No advice to choose columns: all of the model's are needed
        unnamed = dataclasses.replace(table, named=False)
        return self.block(name, table_values(name, unnamed, self.wanted, allow_empty=True), place)

    def block(self, name: str, read: np.ndarray, place: Callable[[int], str] = str) -> RowBlock:
        """Takes apart rows (B, D + E) in the order of `wanted`: values, and their noise, which is checked.

        Args:
            name: What the table is called in error messages.
            read: The rows.
            place: Function from a row of the block, counted from 0, to the words for it.

        Raises:
            ValueError: A standard deviation is negative, or missing where a value is.
        """
        clean = Cleaning(name, self.values, are_scored=True, carried=self.beside)
        return clean(self.beside.split(read, self.values), place)


def scored_columns(
    name: str,
    path: str,
    labels: Sequence[str],
    fitted: Sequence[str] | None,
    num_features: int,
    noise: Mapping[str, str] | None = None,
    keeps_all: bool = False,
) -> ScoredColumns:
    """Finds the columns of a table that a model scores.

    Args:
        name: What the table is called in error messages.
        path: Path of the file; "" for a table in memory.
        labels: Names of its columns.
        fitted: D names of the model's columns, which the table has in any order, and perhaps others; None where they
            have no names: the table then has D columns, in the order of the model, and no others.
        num_features: D.
        noise: For columns of the model, the names of those with the standard deviations of their measurement noise.
        keeps_all: Whether all columns are carried along, so that no two may have the same name.

    Raises:
        ValueError: A column is missing, or there twice.

    Example:

    >>> scored_columns("x", "", ["id", "height", "width"], ["width", "height"], 2).values
    ('width', 'height')
    """
    if noise and fitted is None:
        raise ValueError(
            "`noise` must be left out for a model whose columns have no names. "
            f"Received: {dict(noise)!r}. Score rows with their noise in Python, from arrays."
        )
    origin = f" in '{path}'" if path else ""
    values = wanted_columns(name, path, labels, fitted, num_features)
    beside = CarriedColumns(None, dict(noise or {}))
    value_names(name, labels, origin, values, None, beside)
    found = ScoredColumns(tuple(values), beside)
    check_once(name, sorted(labels if keeps_all else found.wanted), labels, origin)
    return found
