"""How scores stand in a table: names, dtypes and order of their columns; the same for files, frames and servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_DTYPES = {
    "log_prob": "float32",
    "assignment": "int64",
    "responsibilities": "float32",
    "outlier": "float32",
    "imputed": "float64",
}
COLUMNS = tuple(_DTYPES)


def feature_names(column_names: Sequence[str] | None, num_features: int) -> tuple[str, ...]:
    """Lists the names of the D columns of a mixture; numbers where they have none.

    Example:

    >>> feature_names(None, 2)
    ('0', '1')
    """
    return tuple(column_names or map(str, range(num_features)))


def score_columns(names: Sequence[str], num_components: int, features: Sequence[str]) -> dict[str, str]:
    """Lists the columns that scores take in a table, by name, each with the name of its dtype.

    Args:
        names: Some of `COLUMNS`, each once, in the order of the table.
        num_components: K; responsibilities take K columns.
        features: D names; imputed rows take D columns.

    Example:

    >>> score_columns(["assignment", "responsibilities"], 2, ["width"])
    {'assignment': 'int64', 'responsibility_0': 'float32', 'responsibility_1': 'float32'}
    >>> score_columns(["imputed"], 2, ["width"])
    {'imputed_width': 'float64'}
    """
    return {column: _DTYPES[name] for name in names for column in _columns_of(name, num_components, features)}


def flat_scores(
    scores: Mapping[str, np.ndarray], names: Sequence[str], features: Sequence[str]
) -> dict[str, np.ndarray]:
    """Arranges the scores of B rows as columns of a table, (B,) each, named and ordered as `score_columns` has them.

    Args:
        scores: Scores by name, (B,) each, responsibilities (B, K), imputed (B, D).
        names: Those that the table has, each once, in its order.
        features: D names.
    """
    columns: dict[str, np.ndarray] = {}
    for name in names:
        lines = scores[name].T if scores[name].ndim == 2 else scores[name][None]
        columns |= zip(_columns_of(name, len(lines), features), lines)
    return columns


def arrow_array(values: np.ndarray) -> Any:
    """Makes a `pyarrow.Array` of numbers; `pyarrow.array` would import pandas."""
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _columns_of(name: str, num_components: int, features: Sequence[str]) -> list[str]:
    if name == "responsibilities":
        return [f"responsibility_{k}" for k in range(num_components)]
    return [f"imputed_{feature}" for feature in features] if name == "imputed" else [name]
