"""Cells of CSV files: the spellings of a gap, grouped thousands, and columns that are meant to hold numbers."""

from __future__ import annotations

import pathlib

import numpy as np
import pyarrow as pa
import pytest
from tables_of_rows import text_file

from tfgmm.data.columns import numeric_columns
from tfgmm.data.files.csv_cells import GAPS, is_number, odd_cells, parsed_text, without_gaps
from tfgmm.data.files.opening import open_stored
from tfgmm.data.pass_through import ScoredInput
from tfgmm.data.readers import read_rows

SPELLINGS = [
    "", "?", "None", "<NA>", "NA", "na", "NaN", "nan", "null", "NULL", "N/A", "n/a", ".", "-", "--", " ", "#DIV/0!",
    "#N/A", "#VALUE!", "#NULL!", "#NUM!", "#REF!", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "#N/A N/A", "\\N", "..",
    "NaT", "  ", " NA ", "\tnull",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_usual_spellings_of_a_gap_are_gaps_wherever_csv_is_read(tmp_path: pathlib.Path, spelling: str) -> None:
    path = str(text_file(tmp_path, f"a,b\n1.5,2\n{spelling},3\n0.5,4\n"))
    expected = np.array([[1.5, 2.0], [np.nan, 3.0], [0.5, 4.0]])
    with open_stored("x", [path], ["a", "b"]) as stored:
        (block,) = stored.blocks()
    scored = next(ScoredInput(path, ["a", "b"], 2, keep=False).blocks())
    for values in (read_rows(path).values, block.values, scored.rows):
        np.testing.assert_array_equal(values, expected)
    assert numeric_columns("x", path).names == ("a", "b")


def test_text_that_is_carried_along_keeps_its_spelling(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "a,remark\n1,None\n2,-\n?,\n")
    block = next(ScoredInput(str(path), ["a"], 1, keep=True).blocks())
    assert block.carried[1].to_pylist() == ["None", "-", None] and block.carried[0].to_pylist() == [1.0, 2.0, None]


def test_no_spelling_of_a_gap_is_a_number_beside_nan() -> None:
    assert len(set(GAPS)) == len(GAPS) > 60
    assert not any(is_number(spelling) for spelling in GAPS)


@pytest.mark.parametrize(
    ("cells", "decimal", "numbers"),
    [
        (["1,002.71", "3", None, "12,345,678"], ".", [1002.71, 3.0, None, 12345678.0]),
        (["1.002,71", "3,5", "-1.000"], ",", [1002.71, 3.5, -1000.0]),
        (["1 002,5", "3", "10\u00a0000"], ",", [1002.5, 3.0, 10000.0]),
        (["1'002.5", "+3", "\u22124e2"], ".", [1002.5, 3.0, -400.0]),
        (["1,5", "2.5"], ",", None),  # a point that groups no three digits
        (["1,5", "1,002"], ".", None),  # not the whole column is so
        (["1,0022", "3"], ".", None),
        (["12kg", "3"], ".", None),
    ],
)
def test_thousands_are_numbers_when_the_whole_column_is_so(
    cells: list[str], decimal: str, numbers: list[float] | None
) -> None:
    column = parsed_text(pa.chunked_array([cells]), [pa.float64()], 0, decimal)
    assert column.to_pylist() == numbers if numbers else "text, for example" in column
    told = [is_number(cell, decimal) for cell in cells if cell is not None]
    assert all(told) == bool(numbers)


def test_rows_of_odd_cells_count_from_where_the_column_begins() -> None:
    column = without_gaps(pa.chunked_array([["1", "?", " 12kg ", "x", "12kg"]]))
    assert odd_cells(column, 10) == (12, "12kg", 3, 2, 1)
    assert odd_cells(column, 10).words == "text, for example '12kg' in row 12"


@pytest.mark.parametrize(
    ("num_numbers", "odd", "is_mistake"),
    [
        (397, ["12kg"], True),
        (90, [f"{k}kg" for k in range(10)], True),
        (89, [f"{k}kg" for k in range(10)], False),  # below nine of ten
        (3, ["Total"], True),
        (2, ["Total"], False),  # three rows tell nothing
        (50, ["unknown"] * 50, True),
        (50, ["unknown"] * 51, False),
        (661, [f"PC {k}" for k in range(230)], False),  # tickets of the Titanic
        (20, [], False),
    ],
)
def test_columns_that_are_meant_to_hold_numbers(num_numbers: int, odd: list[str], is_mistake: bool) -> None:
    cells = odd_cells(pa.chunked_array([[*(str(number) for number in range(num_numbers)), *odd]]))
    assert cells.are_mistakes == is_mistake
