"""What may be read in two ways is refused or said, and no row of a CSV file vanishes without a word."""

from __future__ import annotations

import csv
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables_of_rows import message_of, text_file

from tfgmm.data.columns import numeric_columns
from tfgmm.data.files.csv_format import CsvOptions
from tfgmm.data.files.opening import open_stored, words_of_format
from tfgmm.data.pass_through import ScoredInput
from tfgmm.data.readers import open_rows, read_rows


def counted_numbers(mark: str) -> str:
    return "".join(
        f"{name}\t{number}\n" for name, number in zip(("n", *"abc"), ("sold", "950", f"1{mark}117", f"2{mark}134"))
    )


@pytest.mark.parametrize("mark", [",", "."])
@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
def test_thousands_that_may_be_decimals_are_refused_until_it_is_said(
    tmp_path: pathlib.Path, delimiter: str, mark: str
) -> None:
    path = text_file(tmp_path, counted_numbers(mark).replace("\t", delimiter))
    other = "," if mark == "." else "."
    for read in (read_rows, functools.partial(numeric_columns, "data"), open_rows):
        message = message_of(ValueError, read, path)
        assert f"with '1{mark}117' and '950': '{mark}' may stand between thousands" in message and str(path) in message
        assert f"--decimal {other} for thousands, or --decimal {mark} for decimals" in message
    said = {
        decimal: next(open_rows(path, columns=["sold"], csv=CsvOptions(decimal=decimal)).blocks()) for decimal in ",."
    }
    assert said[other].values[:, 0].tolist() == [950.0, 1117.0, 2134.0]
    assert said[mark].values[:, 0].tolist() == [950.0, 1.117, 2.134]
    assert pd.read_csv(path, sep=delimiter, thousands=mark, decimal=other)["sold"].tolist() == [950, 1117, 2134]


def test_another_column_may_tell_thousands_from_decimals(tmp_path: pathlib.Path) -> None:
    header, *lines = counted_numbers(",").splitlines()
    for price, sold in (("0.5", [950.0, 1117.0, 2134.0]), ("0,5", [950.0, 1.117, 2.134])):
        path = text_file(tmp_path, f"{header}\tprice\n" + "".join(f"{line}\t{price}\n" for line in lines))
        assert read_rows(path, columns=["sold", "price"]).values.tolist() == [[number, 0.5] for number in sold]


def test_a_decimal_mark_that_was_guessed_is_said_with_its_number(tmp_path: pathlib.Path) -> None:
    for text, words in (
        ("a;b\n1,117;2\n2,134;3\n", "semicolons between columns and decimal commas as in 1,117"),
        ("a;b\n1.117;2\n2.134;3\n", "semicolons between columns and decimal points as in 1.117"),
        ("a\tb\n1.117\t2\n2.134\t3\n", "tabs between columns"),
    ):
        assert words_of_format("x", str(text_file(tmp_path, text))) == words
    path = str(text_file(tmp_path, "a;b\n1,117;2\n"))
    assert words_of_format("x", path, CsvOptions(decimal=",")) == "semicolons between columns and decimal commas"


def test_two_points_in_a_number_group_thousands(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "place;people\nCologne;1.101.000\nBonn;338.396\nHof;47.296\nUlm;950\n")
    choice = numeric_columns("x", path)
    assert choice.names == ("people",)
    assert read_rows(path, columns=["people"]).values[:, 0].tolist() == [1_101_000.0, 338_396.0, 47_296.0, 950.0]


ODD_LINES = {"#": "#12 Main St, Springfield,2.5", "%": "%7,3,9", "//": "//z,4,5"}


def readers_of(path: pathlib.Path) -> list[Callable[[], Any]]:
    def stored() -> Any:
        return np.concatenate([block.values for block in open_stored("x", [str(path)], ["price"]).blocks()])

    def scored() -> Any:
        return np.concatenate([block.rows for block in ScoredInput(str(path), ["price"], 1, keep=True).blocks()])

    return [lambda: read_rows(path, columns=["price"]).values, stored, scored]


@pytest.mark.parametrize("mark", ODD_LINES)
@pytest.mark.parametrize("above", ["", "# of May\n", "//of May\n"])
def test_rows_that_begin_like_a_comment_do_not_vanish(tmp_path: pathlib.Path, mark: str, above: str) -> None:
    lines = ["place,price", "a,1.5", ODD_LINES[mark], "b,2.5"]
    path = text_file(tmp_path, above + "\n".join(lines) + "\n")
    for read in readers_of(path):
        if mark == "//" and above == "//of May\n":
            assert read()[:, 0].tolist() == [1.5, 2.5]  # as the comment above the header begins
        else:
            message = message_of(ValueError, read)
            assert f"Expected 2 columns, got 3: {ODD_LINES[mark]}" in message and str(path) in message
            assert "Take comments out, or write one that begins in the same way above the header." in message
    text_file(tmp_path, above + "\n".join(lines).replace(ODD_LINES[mark], "b,c,4") + "\n")
    assert all("Take comments" not in message_of(ValueError, read) for read in readers_of(path))


def test_rows_of_the_right_length_are_rows_whatever_they_begin_with(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "# of May\nplace,price\n# a,1.5\n#,2.5\n%b,3.5\n")
    assert [read()[:, 0].tolist() for read in readers_of(path)] == [[1.5, 2.5, 3.5]] * 3


@pytest.mark.parametrize("row", [0, 1, 3_000])
@pytest.mark.parametrize("length", [200_000, 1_500_000, 5_000_000])
def test_a_long_cell_is_text_like_a_short_one(tmp_path: pathlib.Path, row: int, length: int) -> None:
    prices = (np.arange(4_000) % 97 + 0.5).tolist()
    path = tmp_path / "x.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["remark", "price"])
        writer.writerows(["a, b\n" * (length // 5) if k == row else "-", price] for k, price in enumerate(prices))
    assert numeric_columns("x", path).names == ("price",)
    assert all(read()[:, 0].tolist() == prices for read in readers_of(path))
    with open(path, "a") as file:
        file.write("-,12kg\n")
    assert csv.field_size_limit() == 131_072  # as Python has it
    message = message_of(TypeError, read_rows, path, columns=["price"])
    assert f"'12kg' in row 4000, line {4_002 + length // 5}" in message


def test_a_quotation_without_end_is_refused_in_its_own_words(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = text_file(tmp_path, "place,price\n" + "a,1.5\n" * 100 + '"b,2.5\n' + "a,1.5\n" * 400_000)
    for read in readers_of(path):  # not a row of it may be missing without a word
        assert "Look for a quotation mark that is never closed" in message_of(ValueError, read)
    monkeypatch.setattr("tfgmm.data.files.csv_blocks.LONGEST_CELL", 2**19)
    for read in readers_of(path):
        message = message_of(ValueError, read)
        assert "a cell of more than" in message and "a quotation mark that is never closed" in message
        assert "Every line needs" not in message


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_files_with_quotation_marks_and_no_line_breaks_in_them_are_read_as_before(
    tmp_path: pathlib.Path, end: str
) -> None:
    lines = ['"place","price"', *(f'"a, b",{k % 7}.5' for k in range(1_000))]
    path = text_file(tmp_path, (end[:2] if "\r" in end else "\n").join(lines) + end)
    assert [read()[:, 0].tolist() for read in readers_of(path)] == [[k % 7 + 0.5 for k in range(1_000)]] * 3
