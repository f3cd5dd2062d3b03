"""The errors for CSV files that are no table, or that can be read in two ways."""

from __future__ import annotations

import re

from tfgmm.data.files.csv_guess import DecimalMark
from tfgmm.data.files.filesystems import Place
from tfgmm.data.files.kinds import file_error, first_line

LONGEST_CELL = 2**26  # bytes; Arrow holds some of that size in memory
UTF8 = ("utf-8", "utf-8-sig")


def unclear_error(name: str, place: Place, delimiter: str, decimal: DecimalMark) -> ValueError:
    """Makes the error that numbers may be thousands or decimals, and nothing tells which."""
    mark, other = decimal.mark, "," if decimal.mark == "." else "."
    cause = f"with '{decimal.unclear}' and '{decimal.beside}': '{mark}' may stand between thousands or before decimals"
    fix = (
        f"Say --decimal {other} for thousands, or --decimal {mark} for decimals; in Python pass "
        f"pandas.read_csv('{place}', sep={delimiter!r}, thousands='{mark}'), or the same with decimal='{mark}'."
    )
    return file_error(name, place, cause, fix)


def encoding_error(name: str, place: Place, encoding: str = "utf-8") -> ValueError:
    """Makes the error that a CSV file is no text in this encoding."""
    if encoding not in UTF8:
        return file_error(name, place, f"which is not text in {encoding}", "Name its encoding, or save it as UTF-8.")
    fix = f"Save it as UTF-8, or pass pandas.read_csv('{place}', encoding='latin-1') instead."
    return file_error(name, place, "which is not text in UTF-8", fix)


def is_cut_cell(error: Exception) -> bool:
    """Tells whether Arrow stopped at a cell that is longer than the blocks it reads."""
    return str(error).startswith("straddling object")


def irregular_error(name: str, place: Place, error: Exception, encoding: str) -> ValueError:
    """Makes the error for what Arrow cannot split into rows of one length, or not read as text."""
    if "UTF8" in str(error) or isinstance(error, UnicodeError):
        return encoding_error(name, place, encoding)
    if is_cut_cell(error):
        fix = "Look for a quotation mark that is never closed, or leave the column with such text out of the file."
        return file_error(name, place, f"with a cell of more than {LONGEST_CELL >> 20} MiB", fix)
    said = first_line(error)
    fix = "Every line needs as many values as the header has names; values with commas need quotes."
    if re.search(r"got \d+: (#|%|//)", said):
        fix += " Take comments out, or write one that begins in the same way above the header."
    if said.count('"') % 2:
        fix += " Look for a quotation mark that is never closed."
    return file_error(name, place, f"which is not a regular table ({said})", fix)
