"""Columns that count rows are found, block by block; what looks like an id, a code or a date is said to."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.data import counters
from tfgmm.data.counters import CounterWatch, named_like_a_code, suspicious_columns, watched

ROWS = 100
MONTHS = np.datetime64("2019-11") + np.arange(ROWS)
NUMBERS = np.random.default_rng(0)


def as_numbers(dates: np.ndarray, digits: int) -> np.ndarray:
    """Writes dates as whole numbers, such as 20240131 or 202401."""
    return np.array([float(str(date).replace("-", "")[:digits]) for date in dates])


COUNTERS = {
    "from 0": np.arange(ROWS),
    "from 1": np.arange(1, ROWS + 1),
    "backwards": np.arange(ROWS)[::-1],
    "in steps": 1990.0 + 0.1 * np.arange(ROWS),
    "a minute": 1.6e9 + 60.0 * np.arange(ROWS),
    "float32": (0.1 * np.arange(ROWS)).astype(np.float32),
    "days": as_numbers(np.datetime64("1999-12-20") + np.arange(ROWS), 8),
    "weeks": as_numbers(np.datetime64("1958-03-29") + 7 * np.arange(ROWS), 8),
    "months": as_numbers(MONTHS, 6),
    "ends of months": as_numbers(MONTHS.astype("datetime64[D]") - 1, 8),
    "numbers like months": 200_001 + np.arange(ROWS),
    "hours as days, rounded": (45000 + np.arange(ROWS) / 24).round(4),
    "thirds, rounded": (np.arange(ROWS) / 3).round(2),
}
OTHERS = {
    "shuffled": NUMBERS.permutation(ROWS),
    "one off": np.where(np.arange(ROWS) == 70, 70.5, np.arange(ROWS)),
    "a gap": np.where(np.arange(ROWS) == 70, np.nan, np.arange(ROWS)),
    "a gap first": np.where(np.arange(ROWS) == 0, np.nan, np.arange(ROWS)),
    "twice": np.repeat(np.arange(ROWS // 2), 2),
    "the same": np.full(ROWS, 3.0),
    "sorted": np.sort(NUMBERS.normal(size=ROWS)),
    "restarting": np.arange(ROWS) % 50,
    "nearly thirds": (np.arange(ROWS) / 3).round(2) + 0.03 * (np.arange(ROWS) == 40),
    "bending": (np.arange(ROWS) + 1e-4 * np.arange(ROWS) ** 2).round(2),
    "a day missing": as_numbers(np.delete(np.datetime64("1999-12-20") + np.arange(ROWS + 1), 70), 8),
    "a day that is none": np.where(
        np.arange(ROWS) == 50, 20000231, as_numbers(np.datetime64("2000-01-12") + np.arange(ROWS), 8)
    ),
}


def watch_of(values: np.ndarray, size: int) -> CounterWatch:
    rows = values[:, None]
    return watched(["x"], (rows[start : start + size] for start in range(0, len(rows), size)))


@pytest.mark.parametrize("size", [1, 2, 7, ROWS])
@pytest.mark.parametrize("name", [*COUNTERS, *OTHERS])
def test_a_counter_is_known_whatever_the_blocks(name: str, size: int) -> None:
    values = {**COUNTERS, **OTHERS}[name]
    values = values if values.dtype == np.float32 else values.astype(np.float64)
    assert list(watch_of(values, size).counters()) == (["x"] if name in COUNTERS else [])


def test_what_a_counter_counts_is_said() -> None:
    assert watch_of(np.arange(1.0, 31.0), 30).counters() == {"x": "a counter: 1 to 30, in the order of the rows"}
    words = watch_of(2000.0 + 0.5 * np.arange(11), 30).counters()["x"]
    assert words == "a counter: 2000 to 2005 in steps of 0.5, in the order of the rows"
    words = watch_of(COUNTERS["weeks"], 30).counters()["x"]
    assert words == "a counter: 19580329 to 19600220 in steps of 7 days, in the order of the rows"


@pytest.mark.parametrize("size", [1, 2, 9])
def test_fewer_than_ten_rows_may_be_the_levels_of_an_experiment(size: int) -> None:
    assert watch_of(5.0 * np.arange(10), size).counters() != {}
    for levels in (5.0 * np.arange(9), 2.0 + np.arange(9), np.arange(9.0)[::-1], as_numbers(MONTHS[:9], 6)):
        assert watch_of(levels, size).counters() == {}, levels


@pytest.mark.parametrize("size", [1, 2, 9])
@pytest.mark.parametrize("first", [0.0, 1.0])
def test_the_numbers_of_the_rows_are_a_counter_from_three_rows_on(first: float, size: int) -> None:
    words = f"a counter: {first:.0f} to {first + 2:.0f}, in the order of the rows"
    assert watch_of(first + np.arange(3.0), size).counters() == {"x": words}
    assert watch_of(first + np.arange(2.0), size).counters() == {}


def test_dates_are_counted_only_where_the_first_rows_are_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    whole = counters._months_and_days
    monkeypatch.setattr(counters, "_months_and_days", lambda values: counted.append(len(values)) or whole(values))
    watch_of(NUMBERS.normal(170.0, 8.0, 50_000), 50_000)
    assert sum(counted) < 50
    counted.clear()
    assert watch_of(COUNTERS["days"], ROWS).counters() and ROWS in counted


def test_one_number_alone_is_not_suspicious() -> None:
    assert suspicious_columns(["a"], np.array([[3.0]])) == {}  # a warning is an error here
    assert suspicious_columns(["id"], np.array([[3.0]])) != {}


def test_reading_ends_when_no_column_can_be_a_counter_or_empty() -> None:
    blocks = iter([np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[9.0, 5.0]]), np.array([[4.0, np.nan]])])
    watch = watched(["a", "b"], blocks)
    assert watch.undecided == [] and len(list(blocks)) == 1


def test_columns_of_gaps_alone_are_listed() -> None:
    rows = np.array([[np.nan, 1.0, np.nan]] * 3 + [[np.nan, 1.0, 2.0]])
    watch = watched(["gaps", "same", "late"], [rows[:3], rows[3:]])
    assert watch.only_gaps() == ["gaps"] == watch.undecided


SUSPICIOUS = {
    "day": (np.array([20240131.0, 20240229.0, 19991231.0]), "dates written as whole numbers, such as 20240131"),
    "month": (np.array([202401.0, 202412.0, np.nan]), "dates written as whole numbers, such as 202401"),
    "unique": (NUMBERS.permutation(1000)[:30].astype(float), "whole numbers that are all different, as ids are"),
    "zip_code": (np.array([10115.0, 80331.0, 10115.0]), "whole numbers under a name that ids and codes have"),
    "PassengerId": (np.array([1.0, 1.0]), "whole numbers under a name that ids and codes have"),
    "no day": (np.array([20240131.0, 20240232.0]), ""),
    "one day": (np.array([20240131.0, 20240131.0]), ""),
    "few": (np.arange(19.0)[::-1] ** 2, ""),
    "twice": (np.repeat(np.arange(30.0), 2), "whole numbers that go up by 1 from row to row, or stay"),
    "anew": (
        np.tile(np.arange(1.0, 31.0), 3),
        "whole numbers that go up by 1 from row to row, or stay, and begin anew now and then",
    ),
    "up and down": (np.append(np.repeat(np.arange(30.0), 2), [3.0, 2.0, 9.0, 5.0]), ""),
    "few levels": (np.repeat(np.arange(19.0), 2), ""),
    "rounded": (np.random.default_rng(1).normal(70.0, 9.0, 300).round(), ""),
    "id_share": (np.array([0.5, 0.25]), ""),
    "gaps": (np.array([np.nan, np.nan]), ""),
}


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_ids_codes_and_dates_are_suspicious_and_measurements_are_not(name: str) -> None:
    column, words = SUSPICIOUS[name]
    assert suspicious_columns([name, "y"], np.stack([column, np.full(len(column), 0.5)], axis=1)) == (
        {name: words} if words else {}
    )


def test_names_that_ids_and_codes_have() -> None:
    codes = [
        "id",
        "ID",
        "customer_id",
        "customerId",
        "identifier",
        "Unnamed: 0",
        "rownames",
        "index",
        "zip",
        "ZipCode",
        "#",
        "Row No",
    ]
    others = [
        "width",
        "heat_index",
        "bmi index",
        "fluid",
        "age",
        "number of children",
        "x",
        "列",
        "0",
        "coded",
        "keys held",
    ]
    assert [name for name in codes if not named_like_a_code(name)] == []
    assert [name for name in others if named_like_a_code(name)] == []
