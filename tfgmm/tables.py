"""Tables of any kind, in memory or in a file, as named Arrow columns: the one road that all tabular input takes.

`readers.read_rows` is the door; nothing else calls this module. pyarrow is imported where it is used, and pandas or
polars never: a frame can only arrive when the caller has imported its package already.
"""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow

# An Arrow column; for one that Arrow cannot hold, or a text column of a CSV file, the words that say what it is.
Column: TypeAlias = "pyarrow.ChunkedArray | str"


@dataclass(frozen=True, eq=False)
class TableSource:
    """A table whose names are known and whose columns are read on demand.

    Args:
        names: the columns' names in the table's order; duplicates are possible.
        load: returns the columns of the given names, which stand once in `names`.
        origin: " in 'iris.csv'" for a file, empty for a table in memory; put behind what an error message received.
        named: False when the names only number the columns (a pandas frame made from an array).
    """

    names: tuple[str, ...]
    load: Callable[[Sequence[str]], list[Column]]
    origin: str = ""
    named: bool = True


def is_instance_of(data: Any, package: str, class_name: str) -> bool:
    """Returns whether `data` is an instance of a class of a package, without importing the package.

    Example:

    >>> is_instance_of(3, "a_package_that_is_not_imported", "DataFrame")
    False
    """
    found = getattr(sys.modules.get(package), class_name, None)
    return found is not None and isinstance(data, found)


def open_table(name: str, data: Any) -> TableSource | None:
    """Returns the table that `data` is or names, or None when it is not a table.

    Args:
        name: what the caller's argument is called in error messages.
        data: a path (str or os.PathLike), a pandas.DataFrame, or anything with `__arrow_c_stream__`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of an unknown kind, empty, or cannot be read.
        TypeError: a table in memory that Arrow cannot take.

    Example:

    >>> import pyarrow
    >>> open_table("x", pyarrow.table({"eruptions": [3.6], "waiting": [79.0]})).names
    ('eruptions', 'waiting')
    """
    if isinstance(data, (str, os.PathLike)):
        return _open_file(name, os.fspath(data))
    if is_instance_of(data, "pandas", "DataFrame"):
        return _open_frame(data)
    if hasattr(data, "__arrow_c_stream__"):
        return _open_arrow(name, data)
    return None


def _open_frame(frame: Any) -> TableSource:
    names = tuple(str(label) for label in frame.columns)
    position = {label: index for index, label in enumerate(names)}

    def load(wanted: Sequence[str]) -> list[Column]:
        return [_frame_column(frame.iloc[:, position[label]]) for label in wanted]

    return TableSource(names, load, named=list(frame.columns) != list(range(len(names))))


def _frame_column(series: Any) -> Column:
    """Column by column, because `Table.from_pandas` stops at the first one that it cannot convert."""
    import pyarrow as pa

    try:
        array = pa.array(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return str(series.dtype)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _open_arrow(name: str, data: Any, origin: str = "") -> TableSource:
    import pyarrow as pa

    try:
        table = pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(
            f"`{name}` must be a table that Arrow can take. Received: {type(data).__name__} ({_first_line(error)}). "
            "Cast its columns to float64 first, and pass a table with columns, not a single column."
        ) from error
    names = _names_without_index(table.schema)
    return TableSource(names, lambda wanted: [table.column(label) for label in wanted], origin)


def _names_without_index(schema: pyarrow.Schema) -> tuple[str, ...]:
    """pandas writes a frame's index into files as one more column; it is not one in the frame, so not here either."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return tuple(label for label in schema.names if label not in index)


def _open_file(name: str, path: str) -> TableSource:
    openers = {
        ".csv": _open_csv, ".parquet": _open_parquet, ".pq": _open_parquet,
        ".arrow": _open_ipc, ".feather": _open_ipc, ".ipc": _open_ipc,
    }  # fmt: skip
    suffix = os.path.splitext(path)[1].lower()
    kinds = ", ".join(openers)
    if os.path.isdir(path):
        fix = "Pass one file; to use many, read them into one table first, for example with pyarrow.dataset."
        raise ValueError(f"`{name}` must be the path of one file. Received: the folder '{path}'. {fix}")
    if not os.path.exists(path):
        fix = "Check the path; a relative one starts at the current folder."
        raise FileNotFoundError(f"`{name}` must be the path of a file. Received: '{path:.200}', not found. {fix}")
    if suffix not in openers:
        fix = "Save the data as one of these, or pass an array or a DataFrame."
        raise ValueError(f"`{name}` must be a file whose name ends in {kinds}. Received: '{path}'. {fix}")
    if os.path.getsize(path) == 0:
        raise _file_error(name, path, "which is empty (0 bytes)", "Write the file again.")
    return openers[suffix](name, path)


def _file_error(name: str, path: str, cause: str, fix: str) -> ValueError:
    kind = {".csv": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}.get(os.path.splitext(path)[1].lower(), "Arrow")
    return ValueError(f"`{name}` must be a {kind} file that can be read. Received: '{path}', {cause}. {fix}")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


@contextlib.contextmanager
def _readable(name: str, path: str) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into a message that names the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's own words (permission, input/output) are clear and name the file
        cause = f"which is damaged, cut short or of another kind ({_first_line(error)})"
        raise _file_error(name, path, cause, "Write the file again, or give it the suffix of what it is.") from error


def _open_parquet(name: str, path: str) -> TableSource:
    import pyarrow.parquet as pq

    with _readable(name, path):
        names = _names_without_index(pq.read_schema(path))

    def load(wanted: Sequence[str]) -> list[Column]:
        # Read-ahead buffers cost many times the memory of the columns and save no time on a local disk.
        with _readable(name, path), pq.ParquetFile(path, pre_buffer=False) as file:
            table = file.read(columns=list(wanted))
        return [table.column(label) for label in wanted]

    return TableSource(names, load, f" in '{path}'")


def _open_ipc(name: str, path: str) -> TableSource:
    import pyarrow as pa

    with _readable(name, path), pa.memory_map(path) as file:
        is_stream = file.read(6) != b"ARROW1"
        file.seek(0)
        reader = pa.ipc.open_stream(file) if is_stream else pa.ipc.open_file(file)
        table = reader.read_all()
        table.validate()
    return _open_arrow(name, table, f" in '{path}'")


def _open_csv(name: str, path: str) -> TableSource:
    names = _csv_names(name, path)

    def load(wanted: Sequence[str]) -> list[Column]:
        import pyarrow as pa

        try:
            # Types are given, never guessed: a guess from the first block fails on 300,000 whole numbers and then 1.5.
            return _read_csv(path, wanted, pa.float64())
        except pa.ArrowInvalid:
            return _columns_of_odd_csv(name, path, wanted)

    return TableSource(names, load, f" in '{path}'")


def _csv_names(name: str, path: str) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = (line for line in csv.reader(file) if line)
            header, first_row = next(lines, []), next(lines, None)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _csv_encoding_error(name, path) from error
    other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    if other:
        words = {";": "semicolons", "\t": "tabs", "|": "bars"}[other]
        fix = f"Pass pandas.read_csv('{path}', sep={other!r}) instead (with decimal=',' where numbers are written 1,5)."
        raise _file_error(name, path, f"whose columns are separated by {words}, not commas", fix)
    if not header or all(_is_number(label) for label in header):
        found = "nothing but empty lines" if not header else "numbers"
        fix = "Begin the file with the names of its columns."
        raise _file_error(name, path, f"whose first line must name the columns and holds {found}", fix)
    if first_row is None:
        raise _file_error(name, path, "which has a header line and no rows", "Write the rows below the header line.")
    return tuple(header)


def _csv_encoding_error(name: str, path: str) -> ValueError:
    fix = f"Save it as UTF-8, or pass pandas.read_csv('{path}', encoding='latin-1') instead."
    return _file_error(name, path, "which is not text in UTF-8", fix)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_csv(path: str, wanted: Sequence[str], column_type: pyarrow.DataType) -> list[Column]:
    import pyarrow.csv

    options = pyarrow.csv.ConvertOptions(
        include_columns=list(wanted), column_types=dict.fromkeys(wanted, column_type), strings_can_be_null=True
    )
    table = pyarrow.csv.read_csv(path, convert_options=options)
    return [table.column(label) for label in wanted]


def _columns_of_odd_csv(name: str, path: str, wanted: Sequence[str]) -> list[Column]:
    """Reads everything as text, slowly, to find out which columns are not numbers (true and false are accepted)."""
    import pyarrow as pa

    try:
        texts = _read_csv(path, wanted, pa.string())
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _csv_encoding_error(name, path) from error
        fix = "Every line needs as many values as the header has names; values with commas need quotes."
        raise _file_error(name, path, f"which is not a regular table ({_first_line(error)})", fix) from error
    return [_parsed_text(text) for text in texts]


def _parsed_text(text: pyarrow.ChunkedArray) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(text)
    for column_type in (pa.float64(), pa.bool_()):
        with contextlib.suppress(pa.ArrowInvalid):
            return trimmed.cast(column_type)
    values = enumerate(value.as_py() for value in trimmed)
    odd = ((row, value) for row, value in values if value is not None and not _is_number(value))
    row, example = next(odd, (None, None))
    return "text" if row is None else f"text, for example '{example:.50}' in row {row}"
