"""Scoring a file of rows into another, block by block, in memory that does not grow with the file. No TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.common.words import quoted
from tfgmm.data.blocks import RowBlock
from tfgmm.data.errors import check_no_overflow
from tfgmm.data.pass_through import NAME as INPUT
from tfgmm.data.pass_through import ScoredInput
from tfgmm.data.table_writer import written_table
from tfgmm.export.reading import ExportedMixture
from tfgmm.export.scorer import Scorer

COLUMNS = ("log_prob", "assignment", "responsibilities", "outlier")


class Counts(NamedTuple):
    """How many rows were scored, and how many of them are not finite."""

    num_rows: int
    num_bad: int


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

    Rows that are not finite get NaN, and the assignment -1.

    Args:
        export: Mixture to score with.
        source: File that is read; the columns that it carries along come first.
        out: File that is written: CSV, Parquet or Arrow, by its ending.
        columns: Scores to write, some of `COLUMNS`, in their order in the file; "responsibilities" are K columns,
            responsibility_0 and so on.
        overwrite: Whether a file at `out` is replaced.
        argument_names: What messages call `out` and `overwrite`.
        progress: Function that is called with the number of rows of each block that was written.

    Raises:
        FileExistsError: `out` is there, and `overwrite` is False. OSError: the disk refuses.
        ValueError, TypeError: the rows cannot be read or scored, or a column is there already.
    """
    scorer, num_rows, num_bad = Scorer(export), 0, 0
    with written_table(out, _schema(export, source, columns), overwrite, argument_names) as write:
        for block in source.blocks():
            scores, bad_here = scorer.scores(RowBlock(block.rows), columns)
            if bad_here:
                _check_range(export, block.rows, num_rows)
            num_bad += bad_here
            write([*block.carried, *_flat(scores, columns)])
            num_rows += len(block.rows)
            progress(len(block.rows))
    return Counts(num_rows, num_bad)


def _schema(export: ExportedMixture, source: ScoredInput, columns: Sequence[str]) -> Any:
    import pyarrow as pa

    kinds = {"log_prob": pa.float32(), "assignment": pa.int64(), "outlier": pa.float32()}
    fields = []
    for name in columns:
        if name == "responsibilities":
            fields += [pa.field(f"responsibility_{k}", pa.float32()) for k in range(len(export.log_weights))]
        else:
            fields.append(pa.field(name, kinds[name]))
    twice = sorted({field.name for field in source.carried_fields} & {field.name for field in fields})
    if twice:
        raise ValueError(
            f"`{INPUT}` must have other columns than the scores. Received: {quoted(twice)}. "
            "Rename them, or leave out --keep."
        )
    return pa.schema([*source.carried_fields, *fields])


def _flat(scores: dict[str, np.ndarray], columns: Sequence[str]) -> list[Any]:
    """Arranges the scores as columns of a table: one for each score, and one per component for responsibilities."""
    arrays = []
    for name in columns:
        lines = scores[name].T if scores[name].ndim == 2 else scores[name][None]
        arrays += [_array(np.ascontiguousarray(line)) for line in lines]
    return arrays


def _array(values: np.ndarray) -> Any:
    """Makes a `pyarrow.Array`; `pyarrow.array` would import pandas, which takes half of a small file's time."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _check_range(export: ExportedMixture, rows: np.ndarray, start: int) -> None:
    """Checks finite numbers: Raises ValueError for one too far from the centre for float32, and says where it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        centred = (rows - export.centre).astype(np.float32)
    check_no_overflow(INPUT, export.column_names, rows, centred, start)
