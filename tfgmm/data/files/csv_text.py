"""CSV files: their header, and their columns at once or block by block. Types are stated, never guessed.

A guess from the first block fails on 300,000 whole numbers followed by 1.5.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tfgmm.data.files.kinds import file_error, first_line, not_numbers_error

if TYPE_CHECKING:
    import pyarrow

# An Arrow column of numbers, or the words that say what else it is.
Column: TypeAlias = "pyarrow.ChunkedArray | str"

# Arrow reads some thirty blocks ahead, so that small ones take less memory; a line must fit into one.
_BLOCK_BYTES = 2**18
_BLOCK_LINES = 16


def csv_names(name: str, path: str) -> tuple[str, ...]:
    """Reads the names in the header line of a CSV file.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.

    Raises:
        ValueError: The file is not UTF-8, not separated by commas, or without a header line or anything below it.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = (line for line in csv.reader(file) if line)
            header, first_row = next(lines, []), next(lines, None)
    except UnicodeDecodeError as error:
        raise _encoding_error(name, path) from error
    except csv.Error as error:  # a field of more than 131,072 characters; NUL bytes
        fix = "Look for a quotation mark that is never closed, or for a file that is no table."
        raise file_error(name, path, f"whose first lines are no comma-separated values ({error})", fix) from error
    other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    if other:
        words = {";": "semicolons", "\t": "tabs", "|": "bars"}[other]
        fix = f"Pass pandas.read_csv('{path}', sep={other!r}) instead (with decimal=',' where numbers are written 1,5)."
        raise file_error(name, path, f"whose columns are separated by {words}, not commas", fix)
    if not header or all(_is_number(label) for label in header):
        content = "nothing but empty lines" if not header else "numbers"
        fix = "Begin the file with the names of its columns."
        raise file_error(name, path, f"whose first line must name the columns and holds {content}", fix)
    if first_row is None:
        raise file_error(name, path, "which has a header line and no rows", "Write the rows below the header line.")
    return tuple(header)


def csv_columns(name: str, path: str, wanted: Sequence[str]) -> list[Column]:
    """Reads whole columns of a CSV file as float64, or bool where they hold true and false.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        wanted: Names of the columns.

    Raises:
        ValueError: Lines have different lengths, or the text is not UTF-8.
    """
    import pyarrow as pa

    with contextlib.suppress(pa.ArrowInvalid):
        return _read_csv(path, wanted, pa.float64())
    # Everything as text, slowly, to find out which columns are not numbers
    try:
        texts = _read_csv(path, wanted, pa.string())
    except pa.ArrowInvalid as error:
        raise _irregular_error(name, path, error) from error
    return [_parsed_text(text, (pa.float64(), pa.bool_())) for text in texts]


def csv_batches(name: str, path: str, wanted: Sequence[str]) -> Generator[Any]:
    """Yields the columns of a CSV file, one `pyarrow.RecordBatch` at a time, in the order of the file.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        wanted: Names of the columns.

    Raises:
        TypeError: A column does not hold numbers.
        ValueError: Lines have different lengths, or the text is not UTF-8.
    """
    import pyarrow as pa

    num_rows = 0
    try:
        for batch in _open_csv(path, wanted, pa.float64()):
            yield batch
            num_rows += batch.num_rows
        return
    except pa.ArrowInvalid:
        pass  # read again from the start as text; the rows that were yielded already are skipped
    start = 0
    # A column holds numbers in the whole file, or flags, as it would if the file were read at once.
    types = dict.fromkeys(wanted, (pa.float64(),) if num_rows else (pa.float64(), pa.bool_()))
    for batch in text_batches(name, path, wanted):
        if start + batch.num_rows > num_rows:
            parsed = _parsed_batch(name, path, batch.slice(max(0, num_rows - start)), max(start, num_rows), types)
            types.update((key, (col.type,)) for key, col in zip(wanted, parsed.columns) if col.null_count < len(col))
            yield parsed
        start += batch.num_rows


def text_batches(name: str, path: str, wanted: Sequence[str]) -> Iterator[Any]:
    """Yields the columns of a CSV file as text, as it stands there, one `pyarrow.RecordBatch` at a time.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        wanted: Names of the columns.

    Raises:
        ValueError: Lines have different lengths, or the text is not UTF-8.
    """
    import pyarrow as pa

    try:
        yield from _open_csv(path, wanted, pa.string())
    except pa.ArrowInvalid as error:
        raise _irregular_error(name, path, error) from error


def csv_words(name: str, path: str, wanted: Sequence[str]) -> dict[str, str]:
    """Says what the first block of a CSV file holds, by column: words for text, "" for numbers and flags.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        wanted: Names of the columns, each once.

    Raises:
        ValueError: Lines have different lengths, or the text is not UTF-8.
    """
    import pyarrow as pa

    batch = next(text_batches(name, path, wanted))
    parsed = [_parsed_text(pa.chunked_array([column]), (pa.float64(), pa.bool_())) for column in batch.columns]
    return {label: col if isinstance(col, str) else "" for label, col in zip(batch.schema.names, parsed, strict=True)}


def _parsed_batch(
    name: str, path: str, batch: pyarrow.RecordBatch, start: int, types: Mapping[str, Sequence[pyarrow.DataType]]
) -> Any:
    import pyarrow as pa

    pairs = zip(batch.columns, batch.schema.names)
    columns = [_parsed_text(pa.chunked_array([column]), types[label], start) for column, label in pairs]
    words = {label: column if isinstance(column, str) else "" for label, column in zip(batch.schema.names, columns)}
    if any(words.values()):
        raise not_numbers_error(name, words, f" in '{path}'")
    table = pa.table(dict(zip(batch.schema.names, columns)))
    return table.combine_chunks().to_batches()[0]


def _options(wanted: Sequence[str], column_type: pyarrow.DataType) -> Any:
    import pyarrow.csv

    types = dict.fromkeys(wanted, column_type)
    return pyarrow.csv.ConvertOptions(include_columns=list(wanted), column_types=types, strings_can_be_null=True)


def _open_csv(path: str, wanted: Sequence[str], column_type: pyarrow.DataType) -> Iterator[Any]:
    import pyarrow.csv

    with open(path, "rb") as file:
        longest = max(len(file.readline()) for _ in range(2))
    read = pyarrow.csv.ReadOptions(block_size=max(_BLOCK_BYTES, _BLOCK_LINES * longest))
    with pyarrow.csv.open_csv(path, read_options=read, convert_options=_options(wanted, column_type)) as reader:
        yield from reader


def _read_csv(path: str, wanted: Sequence[str], column_type: pyarrow.DataType) -> list[Column]:
    import pyarrow.csv

    table = pyarrow.csv.read_csv(path, convert_options=_options(wanted, column_type))
    return [table.column(label) for label in wanted]


def _parsed_text(text: pyarrow.ChunkedArray, types: Sequence[pyarrow.DataType], start: int = 0) -> Column:
    """Parses a column of text as the first type that fits; else says in words what it holds from row `start` on."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(text)
    for column_type in types:
        with contextlib.suppress(pa.ArrowInvalid):
            return trimmed.cast(column_type)
    values = enumerate((value.as_py() for value in trimmed), start)
    odd = ((row, value) for row, value in values if value is not None and not _is_number(value))
    row, example = next(odd, (None, None))
    return "text" if row is None else f"text, for example '{example:.50}' in row {row}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _irregular_error(name: str, path: str, error: Exception) -> ValueError:
    if "UTF8" in str(error):
        return _encoding_error(name, path)
    fix = "Every line needs as many values as the header has names; values with commas need quotes."
    return file_error(name, path, f"which is not a regular table ({first_line(error)})", fix)


def _encoding_error(name: str, path: str) -> ValueError:
    fix = f"Save it as UTF-8, or pass pandas.read_csv('{path}', encoding='latin-1') instead."
    return file_error(name, path, "which is not text in UTF-8", fix)
