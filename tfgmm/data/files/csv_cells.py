"""Cells of a CSV file as numbers: how gaps are spelled, thousands and signs, and which cell of a column is none."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import pyarrow

# An Arrow column of numbers, or the words that say what else it is.
Column: TypeAlias = "pyarrow.ChunkedArray | str"

_ANY_CASE = ("na", "nan", "null", "none", "n/a", "n.a.", "nil", "nat", "missing", "undefined")
_SPREADSHEETS = (
    "#DIV/0!", "#N/A", "#N/A N/A", "#NA", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#SPILL!", "#CALC!",
    "#FIELD!", "#GETTING_DATA", "#NV", "#WERT!", "#ZAHL!", "#BEZUG!", "#DIV/0",
)  # fmt: skip
_OTHERS = (
    "", " ", "?", "??", ".", "..", "...", "-", "--", "---", "–", "—", "*", "<NA>", "<null>", "(null)", "[NULL]", "\\N",
    "-nan", "-NaN", "-nan(ind)", "nan(ind)", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "1.#IND00", "-1.#IND00", "NA.",
)  # fmt: skip

_FORMS = [form for word in _ANY_CASE for form in (word, word.upper(), word.capitalize(), word.title())]
# All spellings of a gap
GAPS = tuple(dict.fromkeys((*_OTHERS, *_SPREADSHEETS, *_FORMS, "NaN", "NaT")))

# What groups digits by threes: spaces, also those that do not break, and apostrophes, beside the other decimal mark
_GROUPS = " \u00a0\u202f\u2009'\u2019"


class OddCells(NamedTuple):
    """What stands in a column of text beside numbers.

    Args:
        row: Row of the first cell that is no number; None where Arrow takes a number for none.
        cell: The cell.
        num_odd: Cells that are neither numbers nor gaps.
        num_kinds: How many different ones there are.
        num_numbers: Cells that are numbers.
    """

    row: int | None
    cell: str
    num_odd: int
    num_kinds: int
    num_numbers: int

    @property
    def words(self) -> str:
        """Says what the column holds."""
        return "text" if self.row is None else f"text, for example '{self.cell:.50}' in row {self.row}"

    @property
    def are_mistakes(self) -> bool:
        """Whether the column is meant to hold numbers, so that to leave it out would be wrong.

        Nine cells of ten are numbers; or all but one, of four at least; or half of them, and the others are all the
        same word: a gap, or the label of a sum. Ticket numbers of ships and house numbers have more text than that.
        """
        numbers, odd = self.num_numbers, self.num_odd
        one_word = self.num_kinds == 1 and numbers >= odd
        return odd > 0 and (numbers >= 9 * odd or (odd == 1 and numbers >= 3) or (one_word and numbers >= 4))


def parsed_text(text: pyarrow.ChunkedArray, types: Sequence[Any], start: int = 0, decimal: str = ".") -> Column:
    """Parses a column of text as the first type that fits; else says in words what it holds from row `start` on.

    Thousands are grouped as in 1,002.71 where all cells of the column can be read so.

    Args:
        text: Cells as they stand in the file.
        types: Arrow types: float64, or bool.
        start: Rows of the file above these.
        decimal: Decimal mark.
    """
    import pyarrow as pa

    trimmed = without_gaps(text)
    for column_type in types:
        for prepare in (_with_points, _as_plain) if column_type == pa.float64() else (_as_they_are,):
            with contextlib.suppress(pa.ArrowInvalid):
                return prepare(trimmed, decimal).cast(column_type)
    return odd_cells(trimmed, start, decimal).words


def without_gaps(text: pyarrow.ChunkedArray) -> Any:
    """Trims cells, and turns the spellings of a gap into nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(text)
    is_gap = pc.is_in(trimmed, value_set=_gaps())
    return pc.if_else(is_gap, pa.scalar(None, trimmed.type), trimmed)


@functools.cache
def _gaps() -> Any:
    import pyarrow as pa

    return pa.array(GAPS, pa.string())


def odd_cells(trimmed: pyarrow.ChunkedArray, start: int = 0, decimal: str = ".") -> OddCells:
    """Counts the cells of a column that are no numbers, and finds the first; `trimmed` as `without_gaps` gives it."""
    values = [(row, value) for row, value in enumerate((cell.as_py() for cell in trimmed), start) if value is not None]
    odd = [(row, value) for row, value in values if not is_number(value, decimal)]
    row, cell = odd[0] if odd else (None, "")
    return OddCells(row, cell, len(odd), len({value for _, value in odd}), len(values) - len(odd))


def is_number(text: str, decimal: str = ".") -> bool:
    """Tells whether a cell is a number, its thousands perhaps grouped.

    Example:

    >>> is_number("1,002.5"), is_number("12kg"), is_number("1.002,5", ","), is_number("1,5")
    (True, False, True, False)
    """
    text = text.replace("\u2212", "-")
    if re.fullmatch(grouped_pattern(decimal), text):
        return True
    if decimal != ".":
        text = text.replace(".", " ").replace(decimal, ".")
    with contextlib.suppress(ValueError):
        return "_" not in text and float(text) == float(text)
    return False


def _as_they_are(text: Any, decimal: str) -> Any:
    return text


def _with_points(text: Any, decimal: str) -> Any:
    """Replaces decimal commas by points; what has points as well becomes no number."""
    import pyarrow.compute as pc

    if decimal == ".":
        return text
    return pc.replace_substring(pc.replace_substring(text, ".", " "), decimal, ".")


def _as_plain(text: Any, decimal: str) -> Any:
    """Takes thousands out of cells, and plus signs, where all cells are numbers so; else the cells as they are."""
    import pyarrow.compute as pc

    text = pc.replace_substring(pc.replace_substring_regex(text, r"^\+", ""), "\u2212", "-")
    patterns = (grouped_pattern(decimal), _plain(decimal))
    either = pc.or_(*(pc.match_substring_regex(text, f"^{pattern}$") for pattern in patterns))
    if not pc.all(either).as_py():
        return text
    return _with_points(pc.replace_substring_regex(text, _marks(decimal), ""), decimal)


def _marks(decimal: str) -> str:
    other = "," if decimal == "." else "."
    return f"[{other}{_GROUPS}]"


def _plain(decimal: str) -> str:
    return rf"[+-]?(\d+[{decimal}]?\d*|[{decimal}]\d+)([eE][+-]?\d+)?"


def grouped_pattern(decimal: str) -> str:
    """Writes a regular expression for numbers whose thousands are grouped, as in 1,002.71."""
    return rf"[+-]?\d{{1,3}}({_marks(decimal)}\d{{3}})+([{decimal}]\d*)?"
