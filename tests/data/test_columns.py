"""Which columns are taken, by name: those that are numbers, those asked for, those a model was fitted on."""

from __future__ import annotations

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables_of_rows import message_of, text_file

from tfgmm.data.columns import check_once, numeric_columns, wanted_columns, wanted_names

NAMES = ("a", "b", "c")


def test_of_a_file_the_columns_of_numbers_are_chosen_and_the_others_say_why(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "a,b,b,c,,flag\n1,2,3,river,4,true\n")
    choice = numeric_columns("data", path)
    assert choice.names == ("a", "flag")
    assert choice.left_out == {
        "b": "a name that stands there more than once", "c": "text, for example 'river' in row 0", "": "without a name"
    }  # fmt: skip
    pq.write_table(pa.table({"a": [1.5], "place": ["river"]}), tmp_path / "x.parquet")
    assert numeric_columns("data", tmp_path / "x.parquet") == (("a",), {"place": "text"})
    assert "column 'c' (text" in message_of(TypeError, numeric_columns, "data", text_file(tmp_path, "c\nriver\n"))


def test_counters_and_columns_of_gaps_are_left_out_with_the_reason(tmp_path: pathlib.Path) -> None:
    lines = [f"{k + 1},{0.5 + k % 3},NA,{k * k},{2 * k}" for k in range(40)]
    path = text_file(tmp_path, "\n".join(["rownames,width,gaps,area,time", *lines]) + "\n")
    choice = numeric_columns("data", path)
    assert choice.names == ("width", "area") and choice.left_out == {
        "rownames": "a counter: 1 to 40, in the order of the rows",
        "gaps": "only gaps",
        "time": "a counter: 0 to 78 in steps of 2, in the order of the rows",
    }
    table = pa.table({"id": list(range(40)), "width": [1.5, 2.5] * 20, "gaps": pa.nulls(40, pa.float64())})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=7)
    assert numeric_columns("data", tmp_path / "x.parquet") == (
        ("width",), {"id": "a counter: 0 to 39, in the order of the rows", "gaps": "only gaps"}
    )  # fmt: skip


def test_a_column_is_left_out_of_a_folder_when_it_counts_in_every_file(tmp_path: pathlib.Path) -> None:
    for number in range(2):
        lines = [f"{k},{k if number else 3},{k % 5}" for k in range(20)]
        text_file(tmp_path, "\n".join(["both,second,none", *lines]), name=f"{number}.csv")
    choice = numeric_columns("data", tmp_path)
    assert choice.names == ("second", "none") and list(choice.left_out) == ["both"]


def test_a_counter_of_many_rows_is_known_by_all_of_them(tmp_path: pathlib.Path) -> None:
    numbers = list(range(70_000))
    path = text_file(tmp_path, "id,width\n" + "".join(f"{k},{k % 7}\n" for k in numbers))
    assert list(numeric_columns("data", path).left_out) == ["id"]
    numbers[-1] = 5
    path = text_file(tmp_path, "id,width\n" + "".join(f"{k},{k % 7}\n" for k in numbers))
    assert numeric_columns("data", path) == (("id", "width"), {})


def test_columns_of_which_none_measures_anything_are_refused(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "id,gaps,place\n" + "".join(f"{k},NA,x\n" for k in range(12)))
    message = message_of(TypeError, numeric_columns, "data", path)
    assert "column 'id' (a counter: 0 to 11, in the order of the rows); column 'gaps' (only gaps)" in message
    assert "columns=['id']" in message


def test_a_column_with_a_few_cells_that_are_no_numbers_is_refused_by_cell(tmp_path: pathlib.Path) -> None:
    lines = [f"{k % 9},{k % 7},ship {k}" for k in range(30)]
    lines[21] = "Total,12kg,"
    path = text_file(tmp_path, "\n".join(["# of May", "a,b,ship", *lines]))
    message = message_of(TypeError, numeric_columns, "data", path)
    assert "column 'a' ('Total' in row 21, line 24, beside 29 numbers)" in message and str(path) in message
    assert "column 'b' ('12kg' in row 21, line 24, beside 29 numbers)" in message and "ship" not in message
    lines[21] = "?,-,"
    path = text_file(tmp_path, "\n".join(["# of May", "a,b,ship", *lines]))
    assert numeric_columns("data", path).names == ("a", "b")


def test_a_column_that_begins_with_gaps_is_judged_by_what_follows(tmp_path: pathlib.Path) -> None:
    gaps = "1.5,,\n" * 60_000  # more than the first block of lines
    path = text_file(tmp_path, f"a,late,place\n{gaps}2.5,3,river\n")
    assert numeric_columns("data", path) == (("a", "late"), {"place": "text, for example 'river' in row 60000"})


def test_all_columns_some_or_those_of_a_model_are_wanted_in_order() -> None:
    assert wanted_names("x", NAMES, "") == NAMES
    assert wanted_names("x", NAMES, "", columns=["c", "a"]) == ("c", "a")
    assert wanted_names("x", NAMES, "", fitted=["b", "c", "a"]) == ("b", "c", "a")
    assert wanted_names("x", NAMES, "", columns=["c", "a"], fitted=["a", "c"]) == ("a", "c")
    # a name that stands there twice does no harm where it is not wanted
    assert wanted_names("x", ("a", "b", "b"), "", columns=["a"]) == ("a",)


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (NAMES, {"columns": ["d"]}, "`columns` must name columns of `x`. Received: 'd', not found in 'f.csv'."),
        (NAMES, {"columns": []}, "Received: none in 'f.csv'. The columns there are: 'a', 'b', 'c'."),
        (NAMES, {"columns": ["a", "a"]}, "Received: 'a' more than once in 'f.csv'. Rename them."),
        (("a", "b", "b"), {}, "Received: 'b' more than once in 'f.csv'. Rename them."),
        (("a", ""), {}, "Received: column 1 without a name in 'f.csv'. If it is an index, leave it out"),
        (NAMES, {"fitted": ["a", "d"]}, "Received in 'f.csv': missing: 'd'; not expected: 'b', 'c'."),
    ],
)
def test_columns_that_cannot_be_taken_are_refused_by_name(names: tuple[str, ...], options: dict, words: str) -> None:
    assert words in message_of(ValueError, wanted_names, "x", names, " in 'f.csv'", **options)


def test_of_a_file_to_be_scored_other_columns_do_not_matter() -> None:
    assert wanted_columns("data", "f.csv", ["d", "b", "a"], ["a", "b"], 2) == ["a", "b"]
    assert wanted_columns("data", "f.csv", ["d", "b"], None, 2) == ["d", "b"]
    message = message_of(ValueError, wanted_columns, "data", "f.csv", ["d", "b"], ["a", "b"], 2)
    assert message.startswith("`data` must") and "'f.csv', without 'a'; its columns are 'd', 'b'" in message
    assert "with 2: 'd', 'b'" in message_of(ValueError, wanted_columns, "data", "f.csv", ["d", "b"], None, 3)


def test_a_name_counts_among_those_wanted_and_those_there() -> None:
    check_once("x", ["a"], ["a", "b", "b"], "")
    assert "'b' more than once." in message_of(ValueError, check_once, "x", ["a", "b"], ["a", "b", "b"], "")
