"""Guesses from the first lines of a CSV file: what stands above the header, between columns, and as decimal mark."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tfgmm.data.files.csv_cells import GAPS, grouped_pattern, is_number

_DELIMITERS = (",", ";", "\t", "|")
_MOST_TITLES = 20  # lines above the header
_MOST_LINES, _MOST_CELLS = 100, 20_000  # that a guess looks at
COMMENTS = ("#", "%", "//")
_COMMENT = re.compile(r"(#|%|//)(\s?)")
_GROUPS = str.maketrans("", "", " \u00a0\u202f\u2009'\u2019")  # between thousands, beside points and commas
_NUMBER = re.compile(r"[-+\u2212]?(\d+([.,]\d+)*|[.,]\d+)([eE][-+]?\d+)?")
# A mark is decimal before one, two or more than three digits or an exponent, behind a zero, four digits or other marks,
# and where the other mark is there twice; 1,234 may be either
_DECIMAL = {
    mark: re.compile(
        rf"\D?(\d*{mark}(\d{{1,2}}|\d{{4,}})|(0?|\d{{4,}}){mark}\d+|\d{{1,3}}({other}\d{{3}})+{mark}\d+)([eE].*)?"
        rf"|\D?\d+{mark}\d+[eE].*|\D?\d{{1,3}}({other}\d{{3}}){{2,}}"
    )
    for mark, other in (("\\.", ","), (",", "\\."))
}
_EITHER = re.compile(r"\D?\d{1,3}[.,]\d{3}")


class Top(NamedTuple):
    """What stands above the header.

    Args:
        num_lines: Lines above it.
        comment: Number of the line with the last comment there, or None.
        delimiter: Separator that a line `sep=;` states, as spreadsheets write it, or None.
    """

    num_lines: int
    comment: int | None
    delimiter: str | None


class DecimalMark(NamedTuple):
    """The decimal mark of a file.

    Args:
        mark: The mark.
        unclear: A number such as 1,234 where no number tells whether it is a thousand; else None.
        beside: A number that makes its reading doubtful: one without a mark in its column, or one with the other mark.
    """

    mark: str
    unclear: str | None = None
    beside: str | None = None


def split_lines(text: str, is_whole: bool) -> list[str]:
    """Splits text into lines; the last one is left out where it may be cut off.

    Example:

    >>> split_lines("a,b\\n1,2\\n3,", is_whole=False)
    ['a,b\\n', '1,2\\n']
    """
    lines = list(io.StringIO(text, newline=""))
    return lines if is_whole else lines[:-1]


def top_of(lines: Sequence[str], skip_rows: int) -> Top:
    """Finds the end of what stands above the header: lines to skip, empty ones, `sep=;`, and comments with #, % or //.

    Example:

    >>> top_of(["# of May\\n", "sep=;\\n", "a;b\\n"], 0)
    Top(num_lines=2, comment=0, delimiter=';')
    """
    comment, delimiter = None, None
    for number, line in enumerate(lines):
        words = line.strip(" \r\n").lstrip("\ufeff")
        stated = re.fullmatch(r'"?sep=(.)"?', words, flags=re.IGNORECASE)
        if stated and delimiter is None:
            delimiter = stated[1]
        elif words.startswith(COMMENTS) and number >= skip_rows:
            comment = number
        elif words and number >= skip_rows:
            return Top(number, comment, delimiter)
    return Top(len(lines), comment, delimiter)


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Splits lines into rows of cells, as many as a guess looks at; a quotation that is not closed ends them."""
    rows, num_cells = [], 0
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                rows.append(row)
                num_cells += len(row)
            if num_cells > _MOST_CELLS:
                break
    except csv.Error:
        pass  # a field without end: whoever reads the file says so
    return rows


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.translate(_GROUPS)) is not None


def delimiter_of(lines: Sequence[str], *, tabs_first: bool = False) -> str:
    """Guesses what stands between columns: what cuts all lines into as many cells as the header, most of them numbers.

    Spaces only where all cells below the header are numbers.

    Args:
        lines: The header and lines below it.
        tabs_first: Whether tabs win where two fit alike.

    Example:

    >>> delimiter_of(["length, m;width, m\\n", "1,5;2,5\\n"])
    ';'
    """
    order = ("\t", *_DELIMITERS) if tabs_first else _DELIMITERS
    lines = lines[:_MOST_LINES]
    if _is_cut_by(order[0], lines):
        return order[0]
    if _are_numbers_by_spaces(lines):
        return " "
    scores = {delimiter: _fit(lines, delimiter) for delimiter in order}
    return max(scores, key=lambda delimiter: scores[delimiter])


def titles_above(lines: Sequence[str], delimiter: str | None = None) -> int:
    """Counts lines above the header that are titles: they are cut into other numbers of cells than all lines below.

    Args:
        lines: Lines of the file, comments left out.
        delimiter: Separator where it is known.

    Example:

    >>> titles_above(["Report of May, by us, in Euro\\n", "\\n", "day,price\\n", "Monday,1.5\\n"])
    2
    """
    lines = lines[:_MOST_LINES]
    marks = _DELIMITERS if delimiter is None else (delimiter,)
    if any(_is_regular(_rows(lines, mark)) for mark in marks):
        return 0
    for start in range(1, min(_MOST_TITLES, len(lines) - 1)):
        tables = (_rows(lines[start:], mark) for mark in marks) if lines[start].strip() else ()
        for header, first_row, *_ in filter(_is_regular, tables):
            if not any(map(_is_number, header)) and any(map(_is_number, first_row)):
                return start
    return 0


def _is_regular(rows: Sequence[Sequence[str]]) -> bool:
    return len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1


def _is_cut_by(delimiter: str, lines: Sequence[str]) -> bool:
    """Tells whether lines are cut by this separator without a doubt, as most files are by commas."""
    others = set(_DELIMITERS) - {delimiter}
    return _is_regular(_rows(lines, delimiter)) and not any(mark in lines[0] for mark in others)


def _are_numbers_by_spaces(lines: Sequence[str]) -> bool:
    """Tells whether single spaces cut all lines alike, into names above and numbers below: text has spaces too."""
    rows = _rows(lines, " ")
    if not _is_regular(rows) or any(mark in rows[0][0] for mark in _DELIMITERS):
        return False
    return all(cell in GAPS or _is_number(cell) for row in rows[1:] for cell in row)


def _fit(lines: Sequence[str], delimiter: str) -> tuple[float, float, int]:
    """Says how well lines are cut: the share of them with as many cells as the header, that of numbers, the cells."""
    rows = _rows(lines, delimiter)
    if not rows:
        return 0.0, 0.0, 0
    header, body = rows[0], rows[1:]
    if len(header) == 1 and any(mark in header[0] for mark in _DELIMITERS):
        return -1.0, 0.0, 1  # other marks cut it
    same = sum(len(row) == len(header) for row in body)
    cells = [cell for row in body for cell in row]
    numbers = sum(map(_is_number, cells))
    return round(same / max(1, len(body)), 2), round(numbers / max(1, len(cells)), 2), len(header)


def decimal_of(lines: Sequence[str], delimiter: str) -> DecimalMark:
    """Guesses the decimal mark of lines without a header.

    Where "1,234" is all there is, commas between columns make it a thousand, and other separators a decimal comma.

    Example:

    >>> decimal_of(["1,5;2\\n"], ";").mark, decimal_of(["1.101.000;2\\n"], ";").mark
    (',', ',')
    >>> decimal_of(["950\\n", "1,117\\n"], ";")
    DecimalMark(mark=',', unclear='1,117', beside='950')
    """
    if delimiter == "," and not any('"' in line for line in lines):
        return DecimalMark(".")
    rows = _rows(lines, delimiter)
    cells = [cell.translate(_GROUPS) for row in rows for cell in row if _is_number(cell)]
    points, commas = (sum(_DECIMAL[mark].fullmatch(cell) is not None for cell in cells) for mark in ("\\.", ","))
    if points or commas or delimiter == ",":
        return DecimalMark("," if commas > points else ".")
    return _unclear_mark(rows)


def _unclear_mark(rows: Sequence[Sequence[str]]) -> DecimalMark:
    """Looks for numbers such as 1,234 in columns of numbers, and for what makes them doubtful."""
    marked: dict[str, str] = {}
    plain = None
    for column in itertools.zip_longest(*rows, fillvalue=""):
        cells = [cell.strip() for cell in column if cell.strip() not in GAPS]
        either = list(filter(_EITHER.fullmatch, cells))
        if either and all(map(_is_number, cells)):
            for cell in either:
                marked.setdefault("," if "," in cell else ".", cell)
            plain = plain or next((cell for cell in cells if "," not in cell and "." not in cell), None)
    mark = "," if "," in marked else "."
    other = marked.get(".") if mark == "," else None
    return DecimalMark(mark, marked.get(mark), other or plain)


def comment_marks(lines: Iterable[str]) -> tuple[str, ...]:
    """Lists what comments among these lines begin with, a space behind it included.

    Example:

    >>> comment_marks(["# of May\\n", "#\\n", "Prices\\n", "%by us\\n"])
    ('# ', '%')
    """
    found = [_COMMENT.match(line.lstrip("\ufeff")) for line in lines]
    return tuple(dict.fromkeys(match[1] + (" " if match[2] else "") for match in found if match))


def has_comments(lines: Sequence[str], delimiter: str, marks: tuple[str, ...]) -> bool:
    """Tells whether comments stand among rows: lines that begin with such a mark and have another number of cells."""
    rows = _rows(lines, delimiter) if marks else []
    return any(len(row) != len(rows[0]) and is_comment(row[0], marks) for row in rows)


def is_comment(line: str, marks: tuple[str, ...]) -> bool:
    """Tells whether a line begins as the comments above the header do, or is such a mark alone.

    Example:

    >>> is_comment("# by us", ("# ",)), is_comment("#", ("# ",)), is_comment("#12 Main St", ("# ",))
    (True, True, False)
    """
    return line.startswith(marks) or line.strip() in {mark.strip() for mark in marks}


def grouped_number(lines: Sequence[str], delimiter: str, decimal: str) -> str | None:
    """Finds a number whose thousands are grouped, in a column of numbers; None where there is none.

    Args:
        lines: Lines below the header.
        delimiter: Separator.
        decimal: Decimal mark.

    Example:

    >>> grouped_number(['"1,002.71",12 345\\n', "2,x\\n"], ",", ".")
    '1,002.71'
    """
    if delimiter == "," and not any('"' in line for line in lines):
        return None
    pattern = re.compile(grouped_pattern(decimal))
    for column in zip(*_rows(lines[:_MOST_LINES], delimiter), strict=False):
        cells = [cell.strip() for cell in column]
        grouped = next(filter(pattern.fullmatch, cells), None)
        if grouped and all(cell in GAPS or is_number(cell, decimal) for cell in cells):
            return grouped
    return None


def comment_names(comment: str, lines: Sequence[str], delimiter: str) -> tuple[str, ...] | None:
    """Reads the names of the columns from the last comment; None where the line below it is the header.

    The comment has the names when it is cut into as many as the line below it has cells, and that line holds a number
    or a gap, as a header does not. `numpy.savetxt` writes "# " before them; other marks are part of the first name.

    Example:

    >>> comment_names("# a, b", ["1.5,x\\n"], ","), comment_names("#a,b", ["1.5,x\\n"], ",")
    (('a', 'b'), ('#a', 'b'))
    >>> comment_names("# of May, by us", ["a,b\\n", "1.5,x\\n"], ",") is None
    True
    """
    rows = _rows(lines[:_MOST_LINES], delimiter)
    names = next(csv.reader([comment.strip("\ufeff\r\n").removeprefix("# ")], delimiter=delimiter), [])
    if not rows or len(names) != len(rows[0]) or len(names) == 1 and " " in names[0]:
        return None
    if not any(_is_number(cell) or (cell and cell in GAPS) for cell in rows[0]):
        return None
    return tuple(name.strip() for name in names) if comment.startswith("# ") else tuple(names)
