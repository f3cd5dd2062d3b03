"""Columns that number rows instead of measuring them: counters, and what looks like an id, a code or a date."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

# Levels of an experiment (a dose of 0, 5, 10 ...) are sorted and equally spaced too, but hardly ever ten or more, each
# once; and ten measured values come in order by chance once in ten! / 2 = 1.8 million times
FEWEST_ROWS = 10
COUNTER = "a counter"  # the first words of the reason
_FEWEST_UNIQUE = 20  # whole numbers that differ by chance where they are so few
_CODE_WORDS = {
    "id",
    "ids",
    "uid",
    "uuid",
    "idx",
    "zip",
    "zipcode",
    "postcode",
    "plz",
    "fips",
    "isbn",
    "ssn",
    "code",
    "key",
    "identifier",
}
_WHOLE_NAMES = {
    "index", "row", "rowname", "rownames", "rownumber", "rowno", "rownum", "no", "nr", "obs", "serial", "phone", "date",
    "timestamp", "datetime",
}  # fmt: skip


class CounterWatch:
    """Finds the columns of rows, block by block, that are counters: sorted and equally spaced; or that hold only gaps.

    Args:
        names: Names of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._first = np.full(len(self._names), np.nan)
        self._step = np.full(len(self._names), np.nan)
        self._count = np.ones(len(self._names), bool)
        self._empty = np.ones(len(self._names), bool)
        self._num_rows = 0

    @property
    def undecided(self) -> list[str]:
        """Columns that further rows may show to be something else."""
        return [name for name, count, empty in zip(self._names, self._count, self._empty) if count or empty]

    def update(self, rows: np.ndarray) -> None:
        """Looks at the next rows, (n, D) float32 or float64 as they are stored, gaps NaN."""
        start, self._num_rows = self._num_rows, self._num_rows + len(rows)
        for index in range(len(self._names)):
            if self._empty[index]:
                self._empty[index] = bool(np.isnan(rows[:, index]).all())
            if self._count[index] and len(rows):
                self._count[index] = self._goes_on(index, rows[:, index], start)

    def _goes_on(self, index: int, values: np.ndarray, start: int) -> bool:
        """Tells whether the values of a column follow from the first two of it."""
        if start == 0:
            self._first[index] = values[0]
        if start < 2 <= start + len(values):
            # the second value is in this block; the first, perhaps, was all of the block before
            self._step[index] = values[1 - start] - self._first[index]
        first, step = self._first[index], self._step[index]
        if start + len(values) < 2:
            return bool(np.isfinite(first))
        expected = first + step * np.arange(start, start + len(values))
        # Steps such as 0.1 are rounded, and so is each value
        slack = 1e-6 * abs(step) + 4.0 * float(np.finfo(values.dtype).eps) * np.abs(values)
        return bool(step != 0.0 and np.all(np.abs(values - expected) <= slack))  # False for gaps

    def counters(self) -> dict[str, str]:
        """Says of each counter what it is; none where there are fewer than ten rows."""
        if self._num_rows < FEWEST_ROWS:
            return {}
        columns = zip(self._names, self._count, self._first, self._step)
        return {name: _words(first, step, self._num_rows) for name, count, first, step in columns if count}

    def only_gaps(self) -> list[str]:
        """Lists the columns without a number."""
        return [name for name, empty in zip(self._names, self._empty) if empty]


def _words(first: float, step: float, num_rows: int) -> str:
    last = first + step * (num_rows - 1)
    by = "" if step == 1.0 else f" in steps of {step:.6g}"
    return f"{COUNTER}: {first:.10g} to {last:.10g}{by}, in the order of the rows"


def suspicious_columns(names: Sequence[str], rows: np.ndarray) -> dict[str, str]:
    """Says of columns of whole numbers why they look like ids, codes or dates; those of measurements are left out.

    Args:
        names: D names.
        rows: Rows of the data in their order, (n, D), gaps NaN.

    Example:

    >>> rows = np.array([[20240101.0, 3.5], [20240103.0, 4.5], [20240229.0, 1.0]])
    >>> suspicious_columns(["when", "height"], rows)
    {'when': 'dates written as whole numbers, such as 20240101'}
    """
    found = {name: _suspicion(name, rows[:, index]) for index, name in enumerate(names)}
    return {name: words for name, words in found.items() if words}


def _suspicion(name: str, column: np.ndarray) -> str:
    values = column[np.isfinite(column)]
    if not len(values) or not np.array_equal(values, np.round(values)):
        return ""
    if _are_dates(values):
        return f"dates written as whole numbers, such as {values[0]:.0f}"
    if named_like_a_code(name):
        return "whole numbers under a name that ids and codes have"
    if len(values) >= _FEWEST_UNIQUE and len(np.unique(values)) == len(values):
        return "whole numbers that are all different, as ids are"
    if len(np.unique(values)) >= _FEWEST_UNIQUE and np.isin(np.diff(values), (0.0, 1.0)).all():
        return "whole numbers that go up by 1 from row to row, or stay"
    return ""


def _are_dates(values: np.ndarray) -> bool:
    """Tells whether whole numbers are all dates such as 20240131 or 202401, and not all the same."""
    if values.min() == values.max():
        return False
    for unit in (10_000, 100):
        year, rest = np.divmod(values, unit)
        month, day = np.divmod(rest, 100) if unit == 10_000 else (rest, np.ones_like(rest))
        in_range = (1800 <= year) & (year <= 2200) & (1 <= month) & (month <= 12) & (1 <= day) & (day <= 31)
        if in_range.all():
            return True
    return False


def named_like_a_code(name: str) -> bool:
    """Tells whether a name is one that ids, codes and numbers of rows have.

    Example:

    >>> [named_like_a_code(name) for name in ("Unnamed: 0", "PassengerId", "zip_code", "width", "heat_index", "index")]
    [True, True, True, False, False, True]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    if not words:
        return name == "#"  # or other letters
    is_whole_name = words[0] == "unnamed" or "".join(words) in _WHOLE_NAMES
    return is_whole_name or words[0] in _CODE_WORDS or words[-1] in _CODE_WORDS


def watched(names: Sequence[str], blocks: Iterable[np.ndarray]) -> CounterWatch:
    """Reads rows until no column is left that may be a counter or hold only gaps; see `CounterWatch`."""
    watch = CounterWatch(names)
    for rows in blocks:
        watch.update(rows)
        if not watch.undecided:
            break
    return watch
