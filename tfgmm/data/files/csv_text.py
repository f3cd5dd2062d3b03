"""CSV files: their header, and their columns at once or block by block. Types are stated, never guessed.

A guess from the first block fails on 300,000 whole numbers followed by 1.5.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tfgmm.data.files.csv_cells import GAPS, Column, OddCells, is_number, odd_cells, parsed_text, without_gaps
from tfgmm.data.files.csv_errors import LONGEST_CELL, irregular_error, is_cut_cell
from tfgmm.data.files.csv_format import GUESSED, CsvFormat, CsvOptions, csv_format
from tfgmm.data.files.csv_guess import is_comment
from tfgmm.data.files.kinds import file_error, not_numbers_error, readable

if TYPE_CHECKING:
    import pyarrow

# Arrow reads some thirty blocks ahead, so that small ones take less memory; a line must fit into one.
_BLOCK_BYTES = 2**18
_BLOCK_LINES = 16
ONLY_GAPS = "only gaps"


class CsvFile(NamedTuple):
    """A CSV file, and how it is written.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        format: How it is written.
    """

    name: str
    path: str
    format: CsvFormat


def csv_file(name: str, path: str, options: CsvOptions = GUESSED) -> CsvFile:
    """Looks at the first lines of a CSV file for how it is written; errors as in `csv_format`."""
    return CsvFile(name, path, csv_format(name, path, options))


def csv_names(file: CsvFile) -> tuple[str, ...]:
    """Reads the names of the columns of a CSV file.

    Raises:
        ValueError: The text has another encoding; there is no header line or nothing below it.
    """
    name, path, written = file
    with written.rows_of(name, path) as (_, rows):
        header = list(written.names or next(rows, []))
        first_row = next(rows, None)
    if header and written.skip_rows == 0:
        header[0] = header[0].removeprefix("\ufeff")
    if not header or all(is_number(label, written.decimal) for label in header):
        content = "nothing but empty lines" if not header else "numbers"
        fix = "Begin the file with the names of its columns."
        raise file_error(name, path, f"whose first line must name the columns and holds {content}", fix)
    if first_row is None:
        raise file_error(name, path, "which has a header line and no rows", "Write the rows below the header line.")
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

    with _faults_named(file):
        for is_plain in (True, False):
            try:
                return _read_csv(file, wanted, pa.float64(), is_plain)
            except pa.ArrowInvalid as error:
                if "conversion error" in str(error):
                    break  # not for a line break in quotation marks, or a comment among the rows
        # Everything as text, slowly, to find out which columns are not numbers
        texts = _read_csv(file, wanted, pa.string(), False)
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
    with _faults_named(file):
        try:
            for batch in _batches(file, wanted, pa.float64()):
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

    with _faults_named(file):
        yield from _batches(file, wanted, pa.string())


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
    with file.format.rows_of(file.name, file.path) as (reader, rows):
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
        raise not_numbers_error(file.name, lines, f" in '{file.path}'")
    table = pa.table(dict(zip(batch.schema.names, columns)))
    return table.combine_chunks().to_batches()[0]


def _options(file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType, is_plain: bool) -> dict[str, Any]:
    """Collects the options that Arrow reads the file with; not plain: line breaks in cells, comments among the rows."""
    import pyarrow as pa
    import pyarrow.csv

    written = file.format
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(wanted),
        column_types=dict.fromkeys(wanted, column_type),
        strings_can_be_null=True,
        null_values=GAPS if column_type == pa.float64() else [""],
        decimal_point=written.decimal,
    )
    parse = pyarrow.csv.ParseOptions(
        delimiter=written.delimiter,
        newlines_in_values=not is_plain,
        invalid_row_handler=None if is_plain else _skip_comments(written.comments),
    )
    return {"convert_options": convert, "parse_options": parse}


def _skip_comments(marks: tuple[str, ...]) -> Callable[[Any], str]:
    return lambda row: "skip" if is_comment(row.text, marks) else "error"


def _read_options(file: CsvFile, block_size: int) -> Any:
    import pyarrow.csv

    written = file.format
    # Arrow reads UTF-8 fastest when it is not told; it knows its mark
    encoding = "utf8" if written.encoding.startswith("utf-8") else written.encoding
    return pyarrow.csv.ReadOptions(
        block_size=block_size, skip_rows=written.skip_rows, column_names=written.names, encoding=encoding
    )


def _batches(file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType) -> Iterator[Any]:
    """Yields the batches of a file; where a cell is longer than a block, it goes on with larger blocks."""
    import pyarrow as pa

    num_rows = 0
    block_size = max(_BLOCK_BYTES, 4 * _BLOCK_LINES * file.format.longest)
    while True:
        start = 0
        try:
            for batch in _open_csv(file, wanted, column_type, block_size):
                start += batch.num_rows
                if start > num_rows:  # rows that smaller blocks have not given
                    new, num_rows = start - num_rows, start
                    yield batch.slice(batch.num_rows - new)
            return
        except pa.ArrowInvalid as error:
            if not is_cut_cell(error) or block_size >= LONGEST_CELL:
                raise
        block_size = _larger(block_size)


def _larger(block_size: int) -> int:
    return min(16 * block_size, LONGEST_CELL)


def _open_csv(file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType, block_size: int) -> Iterator[Any]:
    import pyarrow.csv

    read = _read_options(file, block_size)
    # Line breaks in cells cost nothing here, where one thread cuts the blocks
    options = _options(file, wanted, column_type, is_plain=False)
    with pyarrow.csv.open_csv(file.format.bytes_of(file.path), read_options=read, **options) as reader:
        yield from reader


def _read_csv(
    file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType, is_plain: bool, block_size: int = 2**20
) -> list[Any]:
    import pyarrow as pa
    import pyarrow.csv

    options = _options(file, wanted, column_type, is_plain)
    read = _read_options(file, block_size)
    try:
        table = pyarrow.csv.read_csv(file.format.bytes_of(file.path), read_options=read, **options)
    except pa.ArrowInvalid as error:
        if is_plain or not is_cut_cell(error) or block_size >= LONGEST_CELL:
            raise
        return _read_csv(file, wanted, column_type, is_plain, _larger(block_size))
    return [table.column(label) for label in wanted]


@contextlib.contextmanager
def _faults_named(file: CsvFile) -> Iterator[None]:
    """Turns what pyarrow and codecs raise for a file that is no table into a ValueError that names it."""
    import pyarrow as pa

    with readable(file.name, file.path):
        try:
            yield
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise irregular_error(file.name, file.path, error, file.format.encoding) from error
