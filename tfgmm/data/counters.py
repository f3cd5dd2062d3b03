"""Columns that number rows instead of measuring them: counters, and what looks like an id, a code or a date."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

# Levels of an experiment (a dose of 0, 5, 10 ...) are sorted and equally spaced too, but hardly ever ten or more, each
# once; and ten measured values come in order by chance once in ten! / 2 = 1.8 million times
FEWEST_ROWS = 10
_FEWEST_NUMBERS = 3  # rows of 0, 1, 2 ... and 1, 2, 3 ..., which are hardly ever measured
_FIRST_FEW = 8  # rows after which hardly a measurement is equally spaced
COUNTER = "a counter"  # the first words of the reason
_FEWEST_UNIQUE = 20  # whole numbers that differ by chance where they are so few
_GOES_UP = 0.95  # share of the rows after which a number that goes up by 1 or stays is no measurement
_CODE_WORDS = {
    "id", "ids", "uid", "uuid", "idx", "zip", "zipcode", "postcode", "postleitzahl", "plz", "fips", "isbn", "ean",
    "sku", "ssn", "code", "key", "identifier", "kundennr", "kundennummer", "matrikelnummer",
}  # fmt: skip
_WHOLE_NAMES = {
    "index", "row", "rowname", "rownames", "rownumber", "rowno", "rownum", "no", "nr", "obs", "serial", "phone", "date",
    "timestamp", "datetime",
}  # fmt: skip


class CounterWatch:
    """Finds the columns of rows, block by block, that are counters: sorted and equally spaced; or that hold only gaps.

    Dates written as whole numbers are equally spaced where days or months are.

    Args:
        names: Names of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._sequences = [[_Sequence(unit) for unit in _UNITS] for _ in self._names]
        self._empty = np.ones(len(self._names), bool)
        self._num_rows = 0

    @property
    def undecided(self) -> list[str]:
        """Columns that further rows may show to be something else."""
        return [name for name, left, empty in zip(self._names, self._sequences, self._empty) if left or empty]

    def update(self, rows: np.ndarray) -> None:
        """Looks at the next rows, (n, D) float32 or float64 as they are stored, gaps NaN."""
        start, self._num_rows = self._num_rows, self._num_rows + len(rows)
        if not len(rows):
            return
        for index, values in enumerate(rows.T):
            if self._empty[index]:
                self._empty[index] = bool(np.isnan(values).all())
            self._sequences[index] = [one for one in self._sequences[index] if one.goes_on(values, start)]

    def counters(self) -> dict[str, str]:
        """Says of each counter what it is; where there are fewer than ten rows, only of 0, 1, 2 ... and 1, 2, 3 ..."""
        left = {name: sequences[0] for name, sequences in zip(self._names, self._sequences) if sequences}
        return {name: one.words() for name, one in left.items() if self._num_rows >= one.fewest_rows}

    def only_gaps(self) -> list[str]:
        """Lists the columns without a number."""
        return [name for name, empty in zip(self._names, self._empty) if empty]


class _Sequence:
    """What follows from the first two values of a column, if they are equally spaced in some unit.

    Args:
        unit: Name of the unit, in `_UNITS`.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._first = self._told_first = self._told_last = np.nan
        # The steps that all values allow so far, and what values were rounded to
        self._least, self._most, self._rounding = -np.inf, np.inf, 0.0

    @property
    def _step(self) -> float:
        middle = 0.5 * (self._least + self._most)
        digits = float(f"{middle:.6g}")
        return digits if self._least <= digits <= self._most else middle

    @property
    def fewest_rows(self) -> int:
        """Rows from which on it is a counter and not the levels of an experiment."""
        numbers_rows = not self._unit and self._step == 1.0 and self._first in (0.0, 1.0)
        return _FEWEST_NUMBERS if numbers_rows else FEWEST_ROWS

    def goes_on(self, values: np.ndarray, start: int) -> bool:
        """Tells whether the values from row `start` on follow from the first two."""
        # Dates take long to count, and measurements are none from the first rows on
        return self._follow(values[:_FIRST_FEW], start) and self._follow(values, start)

    def _follow(self, values: np.ndarray, start: int) -> bool:
        counted = _UNITS[self._unit](values)
        if start == 0:
            self._first, self._told_first = counted[0], values[0]
        if start < 2:
            self._rounding = _rounding_of(counted if start == 0 else np.append(self._first, counted))
        self._told_last = values[-1]
        numbers = np.arange(start, start + len(counted))[start == 0 :]
        if not len(numbers):
            return bool(np.isfinite(self._first))
        later = counted[start == 0 :]
        if not (np.isfinite(self._first) and np.isfinite(later).all()):
            return False
        slack = self._rounding + 4.0 * float(np.finfo(counted.dtype).eps) * (np.abs(later) + abs(self._first))
        self._least = max(self._least, float(((later - self._first - slack) / numbers).max()))
        self._most = min(self._most, float(((later - self._first + slack) / numbers).min()))
        return bool(self._least <= self._most and self._least * self._most > 0.0)

    def words(self) -> str:
        """Says what it counts."""
        by = f" in steps of {self._step:.6g}{' ' if self._unit else ''}{self._unit}"
        by = by if self._unit or self._step != 1.0 else ""
        return f"{COUNTER}: {self._told_first:.10g} to {self._told_last:.10g}{by}, in the order of the rows"


def _rounding_of(values: np.ndarray) -> float:
    """Finds the decimal place that values end at, where steps are twenty of it or more; otherwise 0."""
    for decimals in range(7):
        if np.allclose(values, np.round(values, decimals), rtol=1e-12, atol=1e-9):
            unit = 10.0**-decimals
            return unit if len(values) > 1 and abs(values[1] - values[0]) >= 20.0 * unit else 0.0
    return 0.0


def _as_days(values: np.ndarray) -> np.ndarray:
    """Counts the days of dates such as 20240131, (n,) float64; NaN where a number is none."""
    months, day = _months_and_days(values)
    days = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    is_date = (day >= 1) & (days.astype("datetime64[M]") == months)
    return np.where(is_date, days.astype(np.float64), np.nan)


def _as_months(values: np.ndarray) -> np.ndarray:
    """Counts the months of dates such as 202401, or of first or last days of months, (n,) float64; otherwise NaN."""
    if np.all(values < _SMALLEST_DATE):
        values = 100.0 * values + 1.0
    months, day = _months_and_days(values)
    last = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    return np.where((day == 1) | (day == last), months.astype(np.float64), np.nan)


def _months_and_days(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divides dates into months (n,), datetime64, and days; where a number is no date, NaT and 0."""
    whole = np.where(np.isfinite(values), values, 0.0).astype(np.float64)
    year, rest = np.divmod(whole, 10_000)
    month, day = np.divmod(rest, 100)
    is_date = (year >= 1800) & (year <= 2200) & (month >= 1) & (month <= 12) & (whole == np.rint(whole))
    months = np.where(is_date, 12.0 * (year - 1970) + month - 1, 0.0).astype(np.int64).astype("datetime64[M]")
    months[~is_date] = np.datetime64("NaT")
    return months, np.where(is_date, day, 0.0).astype(np.int64)


_SMALLEST_DATE = 18_000_101.0
_UNITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"": np.asarray, "days": _as_days, "months": _as_months}


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
    num_unique = len(np.unique(values))
    if num_unique < _FEWEST_UNIQUE:
        return ""
    if num_unique == len(values):
        return "whole numbers that are all different, as ids are"
    goes_up = np.isin(np.diff(values), (0.0, 1.0)).mean()
    if goes_up >= _GOES_UP:
        begins_anew = "" if goes_up == 1.0 else ", and begin anew now and then"
        return f"whole numbers that go up by 1 from row to row, or stay{begins_anew}"
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
