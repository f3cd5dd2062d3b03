"""CSV files as Arrow reads them: whole columns, or batches of rows, of types that are stated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tfgmm.data.files.csv_cells import GAPS
from tfgmm.data.files.csv_errors import LONGEST_CELL, irregular_error, is_cut_cell
from tfgmm.data.files.csv_format import GUESSED, CsvFormat, CsvOptions, csv_format
from tfgmm.data.files.csv_guess import is_comment
from tfgmm.data.files.filesystems import Place
from tfgmm.data.files.kinds import readable

if TYPE_CHECKING:
    import pyarrow

# Arrow reads some thirty blocks ahead, so that small ones take less memory; a line must fit into one.
_BLOCK_BYTES = 2**18
_BLOCK_LINES = 16


class CsvFile(NamedTuple):
    """A CSV file, and how it is written.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
        format: How it is written.
    """

    name: str
    place: Place
    format: CsvFormat


def csv_file(name: str, place: Place, options: CsvOptions = GUESSED) -> CsvFile:
    """Looks at the first lines of a CSV file for how it is written; errors as in `csv_format`."""
    return CsvFile(name, place, csv_format(name, place, options))


def batches(file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType) -> Iterator[Any]:
    """Yields the batches of a file, all columns of one type; a cell longer than a block makes larger ones follow."""
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


def whole_columns(
    file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType, is_plain: bool, block_size: int = 2**20
) -> list[Any]:
    """Reads whole columns of one type by all cores.

    Args:
        file: The file.
        wanted: Names of the columns.
        column_type: Their type.
        is_plain: Whether no cell has a line break, and no comment stands among the rows; that reads faster.
        block_size: Bytes that one core takes; where a cell is longer, larger ones are tried.
    """
    import pyarrow as pa
    import pyarrow.csv

    options = _options(file, wanted, column_type, is_plain)
    read = _read_options(file, block_size)
    try:
        table = pyarrow.csv.read_csv(file.format.bytes_of(file.place), read_options=read, **options)
    except pa.ArrowInvalid as error:
        if is_plain or not is_cut_cell(error) or block_size >= LONGEST_CELL:
            raise
        return whole_columns(file, wanted, column_type, is_plain, _larger(block_size))
    return [table.column(label) for label in wanted]


@contextlib.contextmanager
def faults_named(file: CsvFile) -> Iterator[None]:
    """Turns what pyarrow and codecs raise for a file that is no table into a ValueError that names it."""
    import pyarrow as pa

    with readable(file.name, file.place):
        try:
            yield
        except (pa.ArrowInvalid, UnicodeError) as error:
            raise irregular_error(file.name, file.place, error, file.format.encoding) from error


def may_lack_rows(file: CsvFile, num_rows: int) -> bool:
    """Tells whether cells may hold line breaks: Arrow, told of none, leaves out rows behind them without a word."""
    with file.format.bytes_of(file.place) as stream:
        if not any(b'"' in part for part in _parts(stream)):
            return False
    with file.format.bytes_of(file.place) as stream:
        num_lines = sum(part.count(b"\n") for part in _parts(stream))
    return num_lines - file.format.skip_rows - (file.format.names is None) > num_rows


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


def _larger(block_size: int) -> int:
    return min(16 * block_size, LONGEST_CELL)


def _open_csv(file: CsvFile, wanted: Sequence[str], column_type: pyarrow.DataType, block_size: int) -> Iterator[Any]:
    import pyarrow.csv

    read = _read_options(file, block_size)
    # Line breaks in cells cost nothing here, where one thread cuts the blocks
    options = _options(file, wanted, column_type, is_plain=False)
    with pyarrow.csv.open_csv(file.format.bytes_of(file.place), read_options=read, **options) as reader:
        yield from reader


def _parts(stream: Any) -> Iterator[bytes]:
    return iter(lambda: stream.read(_BLOCK_BYTES), b"")
