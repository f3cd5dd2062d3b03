"""Weights and noise read from arrays, or found in the columns of a table by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.common.words import quoted
from tfgmm.data.arrays import real_array
from tfgmm.data.carried.asked import Asked, CarriedColumns, pair_words
from tfgmm.data.columns import check_once, wanted_names
from tfgmm.data.containers import check_in_memory
from tfgmm.data.frames import MemoryTable, open_table
from tfgmm.data.table_values import table_values


def value_names(
    name: str,
    names: Sequence[str],
    origin: str,
    columns: Sequence[str] | None,
    fitted: Sequence[str] | None,
    carried: CarriedColumns,
) -> tuple[str, ...]:
    """Finds the names of the columns of values as `wanted_names` does, where others hold weights and noise.

    Raises:
        ValueError: As `wanted_names`; or a column of weights or noise does not exist, is there twice, or is a column of
            values; or noise is stated for a column that is not used.
    """
    if not carried.names:
        return wanted_names(name, names, origin, columns, fitted)
    _check_there(name, names, origin, carried)
    check_once(name, carried.names, names, origin)
    _check_apart(carried, columns, fitted)
    rest = [label for label in names if label not in carried.names]
    wanted = wanted_names(name, rest, origin, columns, fitted)
    unknown = [label for label in carried.noise if label not in wanted]
    if unknown:
        raise ValueError(
            f"`noise` must be stated for columns of `{name}` that are used. Received: {quoted(unknown)}{origin}. "
            f"The columns used are: {quoted(wanted)}."
        )
    return wanted


def _check_there(name: str, names: Sequence[str], origin: str, carried: CarriedColumns) -> None:
    """Checks that the table has the columns of weights and noise: Raises ValueError otherwise."""
    asked = {"sample_weight": [] if carried.weights is None else [carried.weights], "noise": carried.noise.values()}
    for argument, labels in asked.items():
        unknown = [label for label in labels if label not in names]
        if unknown:
            raise ValueError(
                f"`{argument}` must name {'a column' if argument == 'sample_weight' else 'columns'} of `{name}`. "
                f"Received: {quoted(unknown)}, not found{origin}. The columns there are: {quoted(names)}."
            )


def _check_apart(carried: CarriedColumns, columns: Sequence[str] | None, fitted: Sequence[str] | None) -> None:
    """Checks that columns of values, weights and noise are different ones: Raises ValueError otherwise."""
    noise, values = set(carried.noise.values()), {*(columns or ()), *(fitted or ()), *carried.noise}
    if carried.weights in noise:
        raise ValueError(
            f"`sample_weight` must be another column than those of `noise`. Received: {carried.weights!r} for both. "
            "Name the column of weights."
        )
    if carried.weights in values:
        raise ValueError(
            f"`sample_weight` must be another column than those of values. Received: {carried.weights!r} for both. "
            "Leave it out of the columns, or name the column of weights."
        )
    both = sorted(noise & values)
    if both:
        raise ValueError(
            f"`noise` must be in other columns than the values. Received: {quoted(both)} for both. "
            "Leave them out of the columns, or name the columns of standard deviations."
        )


def check_no_names(name: str, asked: Asked) -> None:
    """Checks that nothing is asked for by name in data whose columns have none: Raises ValueError otherwise."""
    if isinstance(asked.sample_weight, str):
        raise ValueError(
            f"`sample_weight` must be an array for data without column names. Received: {asked.sample_weight!r}. "
            f"Pass one weight per row of `{name}`, or a table with names."
        )
    if isinstance(asked.noise, Mapping):
        raise ValueError(
            f"`noise` must be an array for data without column names. Received: {quoted(list(map(str, asked.noise)))} "
            f"as names of columns. Pass one standard deviation per number of `{name}`, or a table with names."
        )


def check_only_names(path: str, asked: Asked) -> None:
    """Checks that what a file is to carry is asked for by name: Raises TypeError where it is an array."""
    if asked.sample_weight is not None and not isinstance(asked.sample_weight, str):
        raise TypeError(
            "`sample_weight` must be the name of a column for rows in files. "
            f"Received: {_kind_of(asked.sample_weight)}, with '{path}'. "
            'Put the weights in a column and name it: sample_weight="count", for example.'
        )
    if asked.noise is not None and not isinstance(asked.noise, Mapping):
        raise TypeError(
            "`noise` must map columns to the columns of their standard deviations for rows in files. "
            f"Received: {_kind_of(asked.noise)}, with '{path}'. "
            "Put them in columns and name these: noise={'flux': 'flux_error'}, for example."
        )


def _kind_of(data: Any) -> str:
    return "an array" if hasattr(data, "__array__") else f"a {type(data).__name__}"


def weights_of(asked: Asked, num_rows: int) -> np.ndarray:
    """Reads weights that are no column of the rows as (N,) float64; NaN where there is none.

    Args:
        asked: What was asked for, `sample_weight` among it.
        num_rows: N.

    Raises:
        TypeError: They are no real numbers.
        ValueError: They have another shape than (N,).
    """
    argument, data = "sample_weight", asked.sample_weight
    check_in_memory(argument, data)
    _check_is_array(argument, data, "Pass one weight per row.")
    array = _column_of(argument, data) if _is_column(data) else real_array(argument, data)
    if array.ndim != 1 or len(array) != num_rows:
        axes = "" if array.ndim == 1 else f" {argument}[:, 0] is one column of an array." if array.ndim == 2 else ""
        raise ValueError(
            f"`{argument}` must be weights of the rows, of shape ({num_rows},). "
            f"Received: shape {array.shape}. Pass one weight per row.{axes}{pair_words(asked.weights_part)}"
        )
    return array.astype(np.float64)


_COLUMNS = (("pandas", "Series"), ("polars", "Series"), ("pyarrow", "Array"), ("pyarrow", "ChunkedArray"))


def _is_column(data: Any) -> bool:
    return any(is_instance_of(data, package, kind) for package, kind in _COLUMNS)


def _column_of(argument: str, data: Any) -> np.ndarray:
    """Reads a single column of pandas, polars or Arrow, nulls as NaN."""
    import pyarrow as pa

    if is_instance_of(data, "pandas", "Series"):
        table: Any = data.to_frame("weights")
    else:
        table = pa.table({"weights": data.to_arrow() if hasattr(data, "to_arrow") else data})
    opened = open_table(argument, table)
    values: np.ndarray = np.zeros((0, 1)) if opened is None else table_values(argument, opened, opened.names, True)
    return values[:, 0]


def noise_of(
    asked: Asked, num_rows: int, wanted: Sequence[str] | None, own_order: Sequence[str] | None, num_features: int
) -> np.ndarray:
    """Reads noise that is not in columns of the rows, (N, D) or (N, D, D) float64, in the order of the columns.

    Args:
        asked: What was asked for, `noise` among it.
        num_rows: N.
        wanted: D names of the columns of values, in the order that they were put in; None where they have none.
        own_order: The same in the order of the data, which arrays follow; tables follow their names.
        num_features: D.

    Raises:
        TypeError: They are no real numbers.
        ValueError: The shape is another.
    """
    check_in_memory("noise", asked.noise)  # a Spark DataFrame offers Arrow all its rows, in any order
    table = None if isinstance(asked.noise, np.ndarray) else open_table("noise", asked.noise)
    if table is None:
        _check_is_array("noise", asked.noise, "Pass one standard deviation per number, as numpy.full(x.shape, 0.1).")
    if table is not None and table.named and wanted is not None:
        return _of_shape(_named_noise(table, wanted), num_rows, num_features)
    noise = real_array("noise", asked.noise) if table is None else table_values("noise", table, table.names, True)
    noise = _of_shape(noise, num_rows, num_features)
    if wanted is None or own_order is None or tuple(own_order) == tuple(wanted):
        return noise
    order = np.array([list(own_order).index(label) for label in wanted])
    return noise[:, order] if noise.ndim == 2 else noise[:, order[:, None], order]


def _check_is_array(argument: str, data: Any, fix: str) -> None:
    """Checks the kind of weights or noise: Raises TypeError for what is no array, list or column."""
    if not (isinstance(data, (list, tuple)) or hasattr(data, "__array__") or _is_column(data)):
        received = repr(data) if isinstance(data, (int, float, str)) else f"a {type(data).__name__}"
        if argument == "noise" and isinstance(data, str):
            fix = f"Say which column it belongs to: noise={{'flux': {data!r}}}, for example."
        raise TypeError(f"`{argument}` must be an array of numbers. Received: {received}. {fix}")


def _named_noise(table: MemoryTable, wanted: Sequence[str]) -> np.ndarray:
    if sorted(table.names) != sorted(wanted):
        raise ValueError(
            f"`noise` must have a column for every column of the rows. Received: {quoted(table.names)} for rows with "
            f"{quoted(wanted)}. Name its columns as those of the rows, or pass an array."
        )
    return table_values("noise", table, wanted_names("noise", table.names, "", None, wanted), True)


def _of_shape(noise: np.ndarray, num_rows: int, num_features: int) -> np.ndarray:
    shapes = (num_rows, num_features), (num_rows, num_features, num_features)
    if noise.shape not in shapes:
        raise ValueError(
            f"`noise` must be standard deviations of shape {shapes[0]} or covariances of shape {shapes[1]}. "
            f"Received: shape {noise.shape}. Pass one standard deviation per number, or one matrix per row."
        )
    return noise.astype(np.float64)
