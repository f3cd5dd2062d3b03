"""Scoring a file of rows into another, block by block, in memory that does not grow with the file. No TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
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
from tfgmm.scoring.table_columns import arrow_array, feature_names, flat_scores, score_columns


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

    def plus(self, other: Counts) -> Counts:
        """Adds the rows of another file, or of another part."""
        return Counts(*map(sum, zip(self, other)))


NONE = Counts(0, 0, 0)


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
    schema, keep_name = schema_of(export, source, columns), source.names.keep
    with written_table(out, schema, overwrite, argument_names, keep_name) as write:
        return score_blocks(Scorer(export), source, columns, write, progress)


def score_blocks(
    scorer: Scorer,
    source: ScoredInput,
    columns: Sequence[str],
    write: Callable[[list[Any]], None],
    progress: Callable[[int], None],
) -> Counts:
    """Scores the rows of a file block by block, hands the columns of each block to `write`, and counts the rows.

    Raises:
        ValueError, TypeError: As `write_scores`.
    """
    mixture, counts = scorer.plug_in(), NONE
    features = feature_names(scorer.column_names, len(mixture.centre))
    for rows, carried, noise in source.blocks():
        scores, bad_here = scorer.scores(RowBlock(rows, None, noise), columns)
        if bad_here:
            _check_range(scorer, source, rows, counts.num_rows)
        write([*carried, *map(arrow_array, flat_scores(scores, columns, features).values())])
        counts = counts.plus(_counts_of(rows))
        progress(len(rows))
    return counts


def schema_of(export: ExportedMixture, source: ScoredInput, columns: Sequence[str]) -> Any:
    """Makes the `pyarrow.Schema` of the table with the scores of a file.

    Raises:
        ValueError: The file has a column with the name of a score.
    """
    import pyarrow as pa

    dtypes = score_columns(columns, len(export.log_weights), feature_names(export.column_names, len(export.centre)))
    fields = [pa.field(name, pa.from_numpy_dtype(dtype)) for name, dtype in dtypes.items()]
    twice = sorted({field.name for field in source.carried_fields} & dtypes.keys())
    if twice:
        raise ValueError(
            f"`{source.names.path}` must have other columns than the scores. Received: {quoted(twice)}{source.origin}. "
            f"Rename them, or leave out {source.names.keep}."
        )
    return pa.schema([*source.carried_fields, *fields])


def _check_range(scorer: Scorer, source: ScoredInput, rows: np.ndarray, start: int) -> None:
    """Checks finite numbers: Raises ValueError for one too far from the centre for float32, and says where it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        centred = (rows - scorer.plug_in().centre).astype(np.float32)
    check_no_overflow(source.names.path, scorer.column_names, rows, centred, start, source.row_place)
