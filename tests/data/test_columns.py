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
