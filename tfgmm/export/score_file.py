"""A file of rows scored into another, block by block, in memory that does not grow with the file. No TensorFlow."""

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
    found: ExportedMixture,
    source: ScoredInput,
    out: pathlib.Path,
    columns: Sequence[str],
    *,
    overwrite: bool = False,
    argument_names: ArgumentNames = IN_PYTHON,
    progress: Callable[[int], None] = lambda num_rows: None,
) -> Counts:
    """Returns how many rows were scored and written, and how many of them are not finite (NaN, assignment -1).

    Args:
        found: the mixture.
        source: the file that is read; the columns that it carries along stand first.
        out: the file that is written, by its ending CSV, Parquet or Arrow.
        columns: the scores wanted, of `COLUMNS`, in their order in the file; "responsibilities" are K columns,
            responsibility_0 and so on.
        overwrite: replace a file at `out`.
        argument_names: What messages call `out` and `overwrite`.
        progress: called with the number of rows of each block that was written.

    Raises:
        FileExistsError: `out` is there, and `overwrite` is False. OSError: the disk refuses.
        ValueError, TypeError: the rows cannot be read or scored, or a column is there already.
    """
    scorer, num_rows, num_bad = Scorer(found), 0, 0
    with written_table(out, _schema(found, source, columns), overwrite, argument_names) as write:
        for block in source.blocks():
            scores, bad_here = scorer.scores(RowBlock(block.rows), columns)
            if bad_here:
                _check_range(found, block.rows, num_rows)
            num_bad += bad_here
            write([*block.carried, *_flat(scores, columns)])
            num_rows += len(block.rows)
            progress(len(block.rows))
    return Counts(num_rows, num_bad)


def _schema(found: ExportedMixture, source: ScoredInput, columns: Sequence[str]) -> Any:
    import pyarrow as pa

    kinds = {"log_prob": pa.float32(), "assignment": pa.int64(), "outlier": pa.float32()}
    fields = []
    for name in columns:
        if name == "responsibilities":
            fields += [pa.field(f"responsibility_{k}", pa.float32()) for k in range(len(found.log_weights))]
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
    """Returns the scores as columns of a table, one each, responsibilities one per component."""
    arrays = []
    for name in columns:
        lines = scores[name].T if scores[name].ndim == 2 else scores[name][None]
        arrays += [_array(np.ascontiguousarray(line)) for line in lines]
    return arrays


def _array(values: np.ndarray) -> Any:
    """Returns numbers as a `pyarrow.Array`; `pyarrow.array` would import pandas, for half of a small file's time."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _check_range(found: ExportedMixture, rows: np.ndarray, start: int) -> None:
    """Refuses a finite number that is too far from the centre for float32, and says where it is: ValueError."""
    with np.errstate(over="ignore", invalid="ignore"):
        centred = (rows - found.centre).astype(np.float32)
    check_no_overflow(INPUT, found.column_names, rows, centred, start)
