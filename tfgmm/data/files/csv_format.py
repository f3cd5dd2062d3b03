"""How a CSV file is written: compression, encoding, separator, decimal mark, lines above the header; said or guessed.

A guess looks at the first 16 KiB, or 256 KiB where there are no commas between columns.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfgmm.common.words import counted, with_and
from tfgmm.data.files.csv_errors import LONGEST_CELL, UTF8, encoding_error, unclear_error
from tfgmm.data.files.csv_guess import (
    DecimalMark,
    comment_marks,
    comment_names,
    decimal_of,
    delimiter_of,
    grouped_number,
    has_comments,
    split_lines,
    titles_above,
    top_of,
)
from tfgmm.data.files.filesystems import Place, place_of
from tfgmm.data.files.kinds import file_error, readable

_HEAD_BYTES, _LONG_HEAD_BYTES = 2**14, 2**18
_MOST_HEAD_BYTES = 2**24  # of a header line, and one line of values
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
# UTF-32 before UTF-16: its mark begins with that one's
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


@dataclass(frozen=True)
class CsvOptions:
    r"""Says how CSV files are written; what is None is guessed from the first lines of each file.

    Args:
        delimiter: Character between two columns; also "tab" or "\\t", "comma", "semicolon", "bar", "space".
        decimal: Decimal mark, "." or ",".
        encoding: Name of an encoding that Python knows, such as "latin-1".
        skip_rows: Lines at the top to leave out before the header. Comments and empty lines behind them are left out
            too, as they always are.

    Raises:
        ValueError: One of them is something else, or delimiter and decimal mark are the same.

    Example:

    >>> CsvOptions(delimiter="tab").delimiter
    '\t'
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    skip_rows: int | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _NAMED.get(self.delimiter, self.delimiter))
            _check_delimiter(self.delimiter)
        if self.decimal not in (None, ".", ","):
            fix = "Write a point or a comma."
            raise ValueError(f"`decimal` must be the decimal mark, . or , alone. Received: {self.decimal!r:.50}. {fix}")
        if self.decimal is not None and self.decimal == self.delimiter:
            fix = "Leave one of them out."
            raise ValueError(f"`decimal` must be another mark than `delimiter`. Received: {self.decimal!r}. {fix}")
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.skip_rows is not None and not (type(self.skip_rows) is int and self.skip_rows >= 0):
            fix = "Count the lines above the names of the columns."
            raise ValueError(f"`skip_rows` must be a whole number from 0 on. Received: {self.skip_rows!r:.50}. {fix}")


def _check_delimiter(delimiter: Any) -> None:
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\n\r.+-':
        raise ValueError(
            "`delimiter` must be one character that stands between columns, or its name (tab, comma, semicolon, bar, "
            f"space). Received: {delimiter!r:.50}. Look at the first line of the file."
        )


def _check_encoding(encoding: Any) -> None:
    try:
        "".encode(encoding)  # refuses codecs that are no encodings of text too
    except (LookupError, TypeError):
        raise ValueError(
            f"`encoding` must be an encoding that Python knows. Received: {encoding!r:.50}. Write utf-8, utf-16, "
            "latin-1 or cp1252, for example."
        ) from None


GUESSED = CsvOptions()


@dataclass(frozen=True)
class CsvFormat:
    """How one CSV file is written.

    Args:
        delimiter: Character between two columns.
        decimal: Decimal mark.
        encoding: Name of its encoding.
        skip_rows: Lines above the header; where the names stand in a comment, that line is one of them.
        names: Names of the columns where they stand in a comment; else None.
        compression: Name that Arrow has for its compression, or None.
        longest: Characters of the longer one of the first two lines.
        grouped: A number of the first lines whose thousands are grouped, or None.
        unclear: A number of the first lines that has no thousands only because the decimal mark was guessed, or None.
        comments: What comments above the header begin with; lines of another length below that begin so are left out.
        has_comments: Whether there are such lines among the first ones.
    """

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    skip_rows: int = 0
    names: tuple[str, ...] | None = None
    compression: str | None = None
    longest: int = 0
    grouped: str | None = None
    unclear: str | None = None
    comments: tuple[str, ...] = ()
    has_comments: bool = False

    @property
    def words(self) -> str:
        """Says what is not as usual (commas, points, UTF-8, the header in the first line); "" where all is."""
        parts = [] if self.delimiter == "," else [_WORDS.get(self.delimiter, repr(self.delimiter)) + " between columns"]
        parts += self._decimal_words()
        parts += [] if self.encoding in UTF8 else [f"encoding {self.encoding}"]
        if self.skip_rows:
            parts.append(f"{counted(self.skip_rows, 'line')} above the header")
        if self.names is not None:
            parts[-1] = f"the names in a comment, line {self.skip_rows}"
        if self.grouped is not None:
            parts.append(f"thousands grouped as in {self.grouped}")
        parts += ["comments among the rows"] if self.has_comments else []
        return with_and(parts) if parts else ""

    def _decimal_words(self) -> list[str]:
        """Says the decimal mark where it is not as usual, with the number that might be read in another way."""
        is_usual = self.decimal == "."
        example = "" if self.unclear is None else f" as in {self.unclear}"
        # Points are expected beside all separators but semicolons, which stand where commas are decimal
        if is_usual and not (example and self.delimiter == ";"):
            return []
        return [f"decimal {'points' if is_usual else 'commas'}{example}"]

    def bytes_of(self, place: Place) -> Any:
        """Opens the file as a stream of bytes, unpacked, that Arrow reads; close it."""
        return place.stream(self.compression)

    @contextlib.contextmanager
    def rows_of(self, name: str, place: Place) -> Iterator[tuple[Any, Iterator[list[str]]]]:
        """Yields a `csv.reader` of the file, with lines above the header left out, and its rows that are not empty.

        Raises:
            ValueError: The text has another encoding, or fields without end; the file is damaged.
        """
        try:
            with readable(name, place), self.bytes_of(place) as stream:
                text = io.TextIOWrapper(stream, encoding=self.encoding, newline="")
                for _ in itertools.islice(text, self.skip_rows):
                    pass
                reader = csv.reader(text, delimiter=self.delimiter)
                with _long_cells():
                    yield reader, (row for row in reader if row)
        except UnicodeError as error:
            raise encoding_error(name, place, self.encoding) from error
        except csv.Error as error:  # a cell beyond that
            fix = "Look for a quotation mark that is never closed, or for a file that is no table."
            raise file_error(name, place, f"whose first lines are no comma-separated values ({error})", fix) from error


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Lets Python read cells as long as those that Arrow reads; by itself it stops at 131,072 characters."""
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def csv_format(name: str, path: str | Place, options: CsvOptions = GUESSED) -> CsvFormat:
    """Finds out how a CSV file is written.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path or URL of the file.
        options: What the user says of it.

    Raises:
        ValueError: The text has another encoding, or the file is damaged; what the decimal mark is cannot be told.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "rows.csv")
    >>> _ = path.write_text("sep=;\\nlength;width\\n1,5;2\\n")
    >>> csv_format("data", str(path)).words
    'semicolons between columns, decimal commas and 1 line above the header'
    """
    place = place_of(name, path)
    compression = _compression_of(name, place)
    size = _HEAD_BYTES
    while True:
        head, is_whole = _head(name, place, compression, size)
        encoding = options.encoding or _encoding_of(head)
        lines = split_lines(_decoded(name, place, head, encoding), is_whole)
        top = top_of(lines, options.skip_rows or 0)
        above = top.num_lines
        if options.skip_rows is None and top.comment is None:
            above += titles_above(lines[above:], options.delimiter or top.delimiter)
        below = lines[above:]
        if is_whole or size >= _MOST_HEAD_BYTES or len(below) >= 2:
            delimiter = (
                options.delimiter or top.delimiter or delimiter_of(below, tabs_first=".tsv" in place.label.lower())
            )
            if delimiter == "," or is_whole or size >= _LONG_HEAD_BYTES:
                break
        size *= 16
    comment = "" if top.comment is None else lines[top.comment].lstrip("\ufeff")
    names = comment_names(comment, below, delimiter) if comment else None
    body = below if names else below[1:]
    if names is not None and top.comment is not None and not comment.startswith("# "):
        above, names = top.comment, None  # a header whose first name begins with such a mark
    decimal = DecimalMark(options.decimal) if options.decimal else _clear_mark(name, place, body, delimiter)
    marks = comment_marks(lines[options.skip_rows or 0 : above])
    return CsvFormat(
        delimiter,
        decimal.mark,
        encoding,
        skip_rows=above,
        names=names,
        compression=compression,
        longest=max((len(line) for line in below[:2]), default=0),
        grouped=grouped_number(body, delimiter, decimal.mark),
        unclear=decimal.unclear,
        comments=marks,
        has_comments=has_comments(below, delimiter, marks),
    )


def _clear_mark(name: str, place: Place, body: list[str], delimiter: str) -> DecimalMark:
    """Guesses the decimal mark; raises ValueError where numbers of one column may be thousands or decimals."""
    decimal = decimal_of(body, delimiter)
    if decimal.beside is not None:
        raise unclear_error(name, place, delimiter, decimal)
    return decimal


def _compression_of(name: str, place: Place) -> str | None:
    """Finds the compression of a file by its first bytes: None for none; raises ValueError for a zip archive."""
    with readable(name, place):
        magic = place.first_bytes(4)
    if magic == b"PK\x03\x04":
        fix = "Save the table as CSV, or unpack it."
        raise file_error(name, place, "which is a spreadsheet or a zip archive", fix)
    return next((codec for mark, codec in _COMPRESSIONS.items() if magic.startswith(mark)), None)


def _encoding_of(head: bytes) -> str:
    """Guesses the encoding of text from the mark at its start, or from the zeros that UTF-16 has beside plain letters.

    Example:

    >>> _encoding_of("a,b".encode("utf-16")), _encoding_of("a,b".encode("utf-16-le")), _encoding_of(b"a,b")
    ('utf-16', 'utf-16-le', 'utf-8')
    """
    marked = next((word for mark, word in _MARKS.items() if head.startswith(mark)), None)
    zeros = [byte == 0 for byte in head[:4]]
    if marked is None and zeros in ([False, True] * 2, [True, False] * 2):
        return "utf-16-le" if zeros[1] else "utf-16-be"
    return marked or "utf-8"


def _head(name: str, place: Place, compression: str | None, size: int) -> tuple[bytes, bool]:
    """Reads the first bytes of a file, unpacked, and whether they are all of it."""
    with readable(name, place), CsvFormat(compression=compression).bytes_of(place) as stream:
        head = stream.read(size + 1)
    return head[:size], len(head) <= size


def _decoded(name: str, place: Place, head: bytes, encoding: str) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError as error:
        raise encoding_error(name, place, encoding) from error
    if "\0" in text:
        raise encoding_error(name, place, encoding)
    return text
