"""A table file to be scored: its numbers for the model, and columns to carry along, block by block. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.blocks import BLOCK_ROWS, rows_per_block
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.carried.cleaning import Cleaning
from tfgmm.data.carried.values import value_names
from tfgmm.data.columns import check_once, wanted_columns
from tfgmm.data.files import columnar
from tfgmm.data.files.csv_blocks import csv_file
from tfgmm.data.files.csv_format import GUESSED, CsvOptions
from tfgmm.data.files.csv_text import csv_batches, text_batches
from tfgmm.data.files.file_set import FileSet, columns_of
from tfgmm.data.files.filesystems import place_of
from tfgmm.data.files.kinds import check_file, decoded_type, kind_of, readable
from tfgmm.data.files.streams import BatchSlices, rows_of


class InputNames(NamedTuple):
    """What error messages call the file that is read, and what asks for its columns to be carried along.

    Args:
        path: Name of the argument or option that names the file.
        keep: Argument or option that carries columns along, as a user writes it.
    """

    path: str
    keep: str


IN_PYTHON = InputNames("path", "keep=True")


class ScoredBlock(NamedTuple):
    """Some rows of a file.

    Args:
        rows: (B, D), data units, in the order of the model's columns.
        carried: Columns carried along, `pyarrow.Array` or `ChunkedArray` each.
        noise: Standard deviations of their measurement noise, (B, D), data units; None where none was asked for.
    """

    rows: np.ndarray
    carried: list[Any]
    noise: np.ndarray | None = None


class ScoredInput:
    """A CSV, Parquet or Arrow file with the columns of a model, in any order, and perhaps others.

    Args:
        path: Path or URL of the file.
        column_names: D names of the model's columns; None when it was fitted on rows without names: the file then
            has the D columns, in their order, and no others.
        num_features: D.
        keep: Whether all columns of the file are carried along: as they are, except that categories become their
            values, and that for CSV the model's columns are float64 and the others text.
        names: What error messages call `path` and `keep`.
        csv: How a CSV file is written.
        noise: For columns of the model, the names of those with the standard deviations of their measurement noise.

    Attributes:
        carried_fields: `pyarrow.Field` of each column carried along.
        num_rows: Rows of the file, or None where only reading the file to its end would tell.
        num_columns: Columns of the file.
        names: As given.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or empty, or lacks a column.
        TypeError: A column does not hold numbers.
    """

    def __init__(
        self,
        path: str,
        column_names: Sequence[str] | None,
        num_features: int,
        keep: bool,
        names: InputNames = IN_PYTHON,
        csv: CsvOptions = GUESSED,
        noise: Mapping[str, str] | None = None,
    ) -> None:
        import pyarrow as pa

        self.names, name = names, names.path
        if noise and column_names is None:
            raise ValueError(
                "`noise` must be left out for a model whose columns have no names. "
                f"Received: {dict(noise)!r}. Score rows with their noise in Python, from arrays."
            )
        place = place_of(name, path)
        with readable(name, place):
            is_folder = place.look().is_folder
        if is_folder:
            raise ValueError(f"`{name}` must be a file. Received: '{place}', a folder. Score its files one by one.")
        check_file(name, place)
        columns = columns_of(name, place, csv)
        types, labels = dict(columns), [label for label, _ in columns]
        self._values = wanted_columns(name, str(place), labels, column_names, num_features)
        self._beside = CarriedColumns(None, dict(noise or {}))
        value_names(name, labels, f" in '{place}'", self._values, None, self._beside)
        self._wanted = [*self._values, *self._beside.names]
        check_once(name, sorted(labels if keep else self._wanted), labels, f" in '{place}'")
        self._place, self._is_csv, self._csv = place, kind_of(place.label) == "CSV", csv
        self._files = FileSet(name, [place], self._wanted, same_names=False, csv=csv)
        self.num_columns = len(labels)
        self._carried = labels if keep else []
        self._text = [label for label in self._carried if self._is_csv and label not in self._wanted]
        kinds = {label: decoded_type(kind) for label, kind in types.items()} | dict.fromkeys(self._text, pa.string())
        self.carried_fields = [pa.field(label, kinds[label]) for label in self._carried]
        sequential = columnar.is_sequential(place)
        self.num_rows = None if sequential else sum(columnar.group_rows(name, place, self._wanted[0]))

    def blocks(self) -> Iterator[ScoredBlock]:
        """Yields the rows in the order of the file, about 65,536 at a time, fewer for wide tables.

        Raises:
            ValueError: The file was changed meanwhile, or is damaged.
            ValueError: A standard deviation is negative, or missing where a value is.
            TypeError: A CSV column does not hold numbers.
        """
        labels = list(dict.fromkeys([*self._wanted, *self._carried]))
        size = min(BLOCK_ROWS, rows_per_block(len(labels)))
        main, beside = BatchSlices(self._batches(labels)), BatchSlices(self._texts())
        num_before = 0
        self._files.look_again()
        self._files.check_unchanged(0)
        while batches := _next_batches(main, size):
            columns = _columns_of(batches)
            num_rows = sum(batch.num_rows for batch in batches)
            if self._text:
                columns |= _columns_of(_next_batches(beside, num_rows))
            carried = [_as(field.type, columns[field.name]) for field in self.carried_fields]
            read = rows_of(batches, num_rows, self._wanted, self._files.dtype)
            yield self._scored_block(read, carried, num_before)
            num_before += num_rows
        self._files.look_again()
        self._files.check_unchanged(0)

    def _scored_block(self, read: np.ndarray, carried: list[Any], num_before: int) -> ScoredBlock:
        """Takes apart rows (B, D + E): values, and the columns of their noise, which are checked."""
        clean = Cleaning(self.names.path, tuple(self._values), are_scored=True, carried=self._beside)
        rows = clean(self._beside.split(read, self._values), lambda row: str(num_before + row))
        return ScoredBlock(rows.values, carried, rows.noise)

    def _batches(self, labels: Sequence[str]) -> Iterator[Any]:
        if self._is_csv:
            return csv_batches(csv_file(self.names.path, self._place, self._csv), self._wanted)
        return columnar.batches(self.names.path, self._place, labels)

    def _texts(self) -> Iterator[Any]:
        """Yields the columns of a CSV file that are carried along as text."""
        if not self._text:
            return iter(())
        return text_batches(csv_file(self.names.path, self._place, self._csv), self._text)


def _next_batches(slices: BatchSlices, num_rows: int) -> list[Any]:
    return [batch for batch in slices.batches(num_rows) if batch.num_rows]


def _as(kind: Any, column: Any) -> Any:
    return column if column.type == kind else column.cast(kind)  # CSV flags become numbers


def _columns_of(batches: Sequence[Any]) -> dict[str, Any]:
    import pyarrow as pa

    names = batches[0].schema.names
    return {label: pa.chunked_array([batch.column(label) for batch in batches]) for label in names}
