"""The names of columns on axes: those of a table, where the caller gives no others."""

from __future__ import annotations

from typing import Any

from tfgmm.data.frames import open_table


def names_of_columns(rows: Any) -> tuple[str, ...]:
    """Looks up the names of a table's columns; empty where rows are no table, or one without names.

    Example:

    >>> names_of_columns([[1.0, 2.0]])
    ()
    """
    table = None if rows is None else open_table("rows", rows)
    return table.names if table is not None and table.named else ()


def name_of_values(column_name: str | None, values: Any) -> str:
    """Chooses the name of a column: the one given, else that of a pandas or polars Series, else "data value".

    Example:

    >>> name_of_values(None, [1.0]), name_of_values("length (m)", [1.0])
    ('data value', 'length (m)')
    """
    if column_name is not None:
        return column_name
    name = getattr(values, "name", None)
    return name if isinstance(name, str) and name else "data value"
