"""Scoring a file of rows into another, block by block, in memory that does not grow with the file. No TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.common.words import quoted
from tfgmm.data.blocks import RowBlock, is_finite
from tfgmm.data.errors import check_no_overflow
from tfgmm.data.pass_through import ScoredInput
from tfgmm.data.table_writer import written_table
from tfgmm.export.reading import ExportedMixture
from tfgmm.export.scorer import Scorer

_DTYPES = {
    "log_prob": "float32",
    "assignment": "int64",
    "responsibilities": "float32",
    "outlier": "float32",
    "imputed": "float64",
}
COLUMNS = tuple(_DTYPES)


def feature_names(export: ExportedMixture) -> tuple[str, ...]:
    """Lists the names of the D columns; numbers where they have none."""
    return export.column_names or tuple(map(str, range(len(export.centre))))


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


def _columns_of(name: str, num_components: int, features: Sequence[str]) -> list[str]:
    if name == "responsibilities":
        return [f"responsibility_{k}" for k in range(num_components)]
    return [f"imputed_{feature}" for feature in features] if name == "imputed" else [name]


class Counts(NamedTuple):
    """How many rows were scored.

    Args:
        num_rows: All rows.
        num_incomplete: Rows with gaps, scored by the columns that they have.
        num_bad: Rows without any value, or with an infinite one.
    """

    num_rows: int
    num_incomplete: int
    num_bad: int


def _counts_of(rows: np.ndarray) -> Counts:
    if is_finite(rows):
        return Counts(len(rows), 0, 0)
    is_gap = np.isnan(rows)
    is_bad = is_gap.all(axis=1) | np.isinf(rows).any(axis=1)
    return Counts(len(rows), int((is_gap.any(axis=1) & ~is_bad).sum()), int(is_bad.sum()))


def write_scores(
    export: ExportedMixture,
    source: ScoredInput,
    out: pathlib.Path,
    columns: Sequence[str],
    *,
    overwrite: bool = False,
    argument_names: ArgumentNames = IN_PYTHON,
    progress: Callable[[int], None] = lambda num_rows: None,
) -> Counts:
    """Writes the scores of a file's rows into another file, and counts the rows.

    Rows with gaps are scored by the columns that they have. Those without any value, or with an infinite one, get NaN
    and the assignment -1.

    Args:
        export: Mixture to score with.
        source: File that is read; the columns that it carries along come first.
        out: File that is written: CSV, Parquet or Arrow, by its ending.
        columns: Scores to write, some of `COLUMNS`, in their order in the file; "responsibilities" are K columns,
            responsibility_0 and so on, "imputed" D columns, imputed_ and the name of the column.
        overwrite: Whether a file at `out` is replaced.
        argument_names: What messages call `out` and `overwrite`.
        progress: Function that is called with the number of rows of each block that was written.

    Raises:
        FileExistsError: `out` is there, and `overwrite` is False. OSError: the disk refuses.
        ValueError, TypeError: the rows cannot be read or scored, or a column is there already.
    """
    scorer, counts, features = Scorer(export), Counts(0, 0, 0), feature_names(export)
    with written_table(out, _schema(export, source, columns), overwrite, argument_names, source.names.keep) as write:
        for rows, carried, noise in source.blocks():
            scores, bad_here = scorer.scores(RowBlock(rows, None, noise), columns)
            if bad_here:
                _check_range(export, source.names.path, rows, counts.num_rows)
            write([*carried, *map(_array, flat_scores(scores, columns, features).values())])
            counts = Counts(*map(sum, zip(counts, _counts_of(rows))))
            progress(len(rows))
    return counts


def _schema(export: ExportedMixture, source: ScoredInput, columns: Sequence[str]) -> Any:
    import pyarrow as pa

    dtypes = score_columns(columns, len(export.log_weights), feature_names(export))
    fields = [pa.field(name, pa.from_numpy_dtype(dtype)) for name, dtype in dtypes.items()]
    twice = sorted({field.name for field in source.carried_fields} & dtypes.keys())
    if twice:
        raise ValueError(
            f"`{source.names.path}` must have other columns than the scores. Received: {quoted(twice)}. "
            f"Rename them, or leave out {source.names.keep}."
        )
    return pa.schema([*source.carried_fields, *fields])


def _array(values: np.ndarray) -> Any:
    """Makes a `pyarrow.Array`; `pyarrow.array` would import pandas, which takes half of a small file's time."""
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _check_range(export: ExportedMixture, name: str, rows: np.ndarray, start: int) -> None:
    """Checks finite numbers: Raises ValueError for one too far from the centre for float32, and says where it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        centred = (rows - export.centre).astype(np.float32)
    check_no_overflow(name, export.column_names, rows, centred, start)
