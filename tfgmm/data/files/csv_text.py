"""CSV files: their header, and their columns at once or block by block. Types are stated, never guessed.

A guess from the first block fails on 300,000 whole numbers followed by 1.5.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfgmm.data.files.csv_blocks import CsvFile, batches, faults_named, may_lack_rows, whole_columns
from tfgmm.data.files.csv_cells import Column, OddCells, is_number, odd_cells, parsed_text, without_gaps
from tfgmm.data.files.csv_guess import is_comment
from tfgmm.data.files.kinds import file_error, not_numbers_error

if TYPE_CHECKING:
    import pyarrow

ONLY_GAPS = "only gaps"


def csv_names(file: CsvFile) -> tuple[str, ...]:
    """Reads the names of the columns of a CSV file.

    Raises:
        ValueError: The text has another encoding; there is no header line or nothing below it.
    """
    name, place, written = file
    with written.rows_of(name, place) as (_, rows):
        header = list(written.names or next(rows, []))
        first_row = next(rows, None)
    if header and written.skip_rows == 0:
        header[0] = header[0].removeprefix("\ufeff")
    if not header or all(is_number(label, written.decimal) for label in header):
        content = "nothing but empty lines" if not header else "numbers"
        fix = "Begin the file with the names of its columns."
        raise file_error(name, place, f"whose first line must name the columns and holds {content}", fix)
    if first_row is None:
        raise file_error(name, place, "which has a header line and no rows", "Write the rows below the header line.")
    return tuple(header)


def csv_columns(file: CsvFile, wanted: Sequence[str]) -> list[Column]:
    """Reads whole columns of a CSV file as float64, or bool where they hold true and false.

    Args:
        file: The file.
        wanted: Names of the columns.

    Raises:
        ValueError: Lines have different lengths, or the text has another encoding.
    """
    import pyarrow as pa

    with faults_named(file):
        for is_plain in (True, False):
            try:
                columns = whole_columns(file, wanted, pa.float64(), is_plain)
                if not is_plain or not may_lack_rows(file, len(columns[0])):
                    return columns
            except pa.ArrowInvalid as error:
                if "conversion error" in str(error):
                    break  # not for a line break in quotation marks, or a comment among the rows
        # Everything as text, slowly, to find out which columns are not numbers
        texts = whole_columns(file, wanted, pa.string(), False)
    columns = [parsed_text(text, (pa.float64(), pa.bool_()), 0, file.format.decimal) for text in texts]
    return [_with_line(file, column) if isinstance(column, str) else column for column in columns]


def csv_batches(file: CsvFile, wanted: Sequence[str]) -> Generator[Any]:
    """Yields the columns of a CSV file, one `pyarrow.RecordBatch` at a time, in the order of the file.

    Args:
        file: The file.
        wanted: Names of the columns.

    Raises:
        TypeError: A column does not hold numbers.
        ValueError: Lines have different lengths, or the text has another encoding.
    """
    import pyarrow as pa

    num_rows = 0
    with faults_named(file):
        try:
            for batch in batches(file, wanted, pa.float64()):
                yield batch
                num_rows += batch.num_rows
            return
        except pa.ArrowInvalid:
            pass  # read again from the start as text; the rows that were yielded already are skipped
    start = 0
    # A column holds numbers in the whole file, or flags, as it would if the file were read at once.
    types = dict.fromkeys(wanted, (pa.float64(),) if num_rows else (pa.float64(), pa.bool_()))
    for batch in text_batches(file, wanted):
        if start + batch.num_rows > num_rows:
            parsed = _parsed_batch(file, batch.slice(max(0, num_rows - start)), max(start, num_rows), types)
            types.update((key, (col.type,)) for key, col in zip(wanted, parsed.columns) if col.null_count < len(col))
            yield parsed
        start += batch.num_rows


def text_batches(file: CsvFile, wanted: Sequence[str]) -> Iterator[Any]:
    """Yields the columns of a CSV file as text, as it stands there, one `pyarrow.RecordBatch` at a time.

    Args:
        file: The file.
        wanted: Names of the columns.

    Raises:
        ValueError: Lines have different lengths, or the text has another encoding.
    """
    import pyarrow as pa

    with faults_named(file):
        yield from batches(file, wanted, pa.string())


def csv_contents(file: CsvFile, wanted: Sequence[str]) -> dict[str, OddCells | str]:
    """Says what columns of a CSV file hold: "" for numbers and flags, `ONLY_GAPS`, or the odd cells of text.

    The first block that has a cell in the column is looked at; a column of gaps is read to the end of the file.

    Args:
        file: The file.
        wanted: Names of the columns, each once.

    Raises:
        ValueError: Lines have different lengths, or the text has another encoding.
    """
    import pyarrow as pa

    found: dict[str, OddCells | str] = {}
    start = 0
    for batch in text_batches(file, wanted):
        for label, column in zip(batch.schema.names, batch.columns, strict=True):
            cells = without_gaps(pa.chunked_array([column]))
            if label not in found and cells.null_count < len(cells):
                parsed = parsed_text(cells, (pa.float64(), pa.bool_()), start, file.format.decimal)
                found[label] = odd_cells(cells, start, file.format.decimal) if isinstance(parsed, str) else ""
        if len(found) == len(wanted):
            break
        start += batch.num_rows
    return {label: found.get(label, ONLY_GAPS) for label in wanted}


def line_of(file: CsvFile, row: int) -> int:
    """Finds the line of a CSV file, counted from 1, in which a row ends, counted from 0 below the header."""
    with file.format.rows_of(file.name, file.place) as (reader, rows):
        num_cells = len(file.format.names or next(rows, []))
        marks = file.format.comments
        table = (cells for cells in rows if not (len(cells) != num_cells and is_comment(cells[0], marks)))
        next(itertools.islice(table, row, None), None)
        return file.format.skip_rows + int(reader.line_num)


def _with_line(file: CsvFile, words: str) -> str:
    """Adds to the words of `odd_cells` the line of the file, as an editor counts it."""
    found = re.search(r" in row (\d+)$", words)
    return f"{words}, line {line_of(file, int(found[1]))}" if found else words


def _parsed_batch(
    file: CsvFile, batch: pyarrow.RecordBatch, start: int, types: Mapping[str, Sequence[pyarrow.DataType]]
) -> Any:
    import pyarrow as pa

    pairs = zip(batch.columns, batch.schema.names)
    decimal = file.format.decimal
    columns = [parsed_text(pa.chunked_array([column]), types[label], start, decimal) for column, label in pairs]
    words = {label: column if isinstance(column, str) else "" for label, column in zip(batch.schema.names, columns)}
    if any(words.values()):
        lines = {label: content and _with_line(file, content) for label, content in words.items()}
        raise not_numbers_error(file.name, lines, f" in '{file.place}'")
    table = pa.table(dict(zip(batch.schema.names, columns)))
    return table.combine_chunks().to_batches()[0]
