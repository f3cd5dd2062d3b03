"""Rows in memory put together with their weights and noise, and cleaned of those that say nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfgmm.data.blocks import RowBlock, is_finite, together
from tfgmm.data.carried.asked import Asked, CarriedColumns
from tfgmm.data.carried.cleaning import Cleaning, LeftOut
from tfgmm.data.carried.values import noise_of, weights_of
from tfgmm.data.errors import no_rows_left_error
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.frames import MemoryTable
from tfgmm.data.rows import Rows
from tfgmm.data.table_values import table_values


def beside_values(table: MemoryTable, carried: CarriedColumns, num_rows: int) -> np.ndarray:
    """Reads the E columns of weights and noise of a table, (N, E)."""
    parts = [np.zeros((num_rows, 0))]
    for argument, is_weight in (("sample_weight", True), ("noise", False)):
        names = [label for label in carried.names if (label == carried.weights) is is_weight]
        if names:
            parts.append(table_values(argument, table, names, allow_empty=True))
    return np.concatenate(parts, axis=1)


def rows_with(
    name: str,
    wanted: tuple[str, ...] | None,
    block: RowBlock,
    asked: Asked,
    own_order: Sequence[str] | None = None,
) -> Rows:
    """Puts rows together with what they carry in arrays or, in `block`, in columns; `own_order` as in `noise_of`."""
    if asked.is_plain:
        return Rows(block.values, wanted, name)
    num_rows, num_features = block.values.shape
    weights, noise, carried = block.weights, block.noise, asked.columns
    if weights is None and asked.sample_weight is not None:
        weights = weights_of(asked, num_rows)
    if noise is None and asked.noise is not None and not isinstance(asked.noise, Mapping):
        noise = noise_of(asked, num_rows, wanted, own_order, num_features)
    return Rows(
        block.values,
        wanted,
        name,
        weights=weights,
        noise=noise,
        missing=asked.missing,
        weights_column=carried.weights or "",
        noise_names=carried.noise_columns(wanted or ()),
    )


def cleaned(rows: Rows, asked: Asked) -> Rows:
    """Checks weights, noise and gaps of all rows, and leaves out those that say nothing."""
    if rows.weights is None and rows.noise is None and is_finite(rows.values):
        return rows
    left_out, block = LeftOut(), RowBlock(rows.values, rows.weights, rows.noise)
    clean = Cleaning(rows.name, rows.column_names, asked.missing, asked.are_scored, asked.columns, asked.weights_part)
    values, weights, noise = clean(block, str, left_out, is_all=True)
    if len(rows.values) and not len(values) and not (asked.may_be_gaps and left_out.num_empty):
        raise no_rows_left_error(rows.name, left_out.num_weightless, left_out.num_empty)
    return dataclasses.replace(rows, values=values, weights=weights, noise=noise, **dataclasses.asdict(left_out))


def gathered(stored: StoredRows, blocks: list[RowBlock]) -> Rows:
    """Puts blocks of stored rows together with what they carry."""
    if not sum(len(block.values) for block in blocks):
        raise no_rows_left_error(stored.name, stored.num_weightless, stored.num_empty)
    values, weights, noise = together(blocks)
    return Rows(
        values,
        stored.column_names,
        stored.name,
        weights=weights,
        noise=noise,
        missing=stored.missing,
        num_empty=stored.num_empty,
        num_weightless=stored.num_weightless,
        weights_column=stored.weights_name or "",
        noise_names=stored.noise_columns,
    )
