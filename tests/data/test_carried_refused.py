"""Weights, noise and gaps that cannot be: one error each, which names the argument, what came, and what to do."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tables_of_rows import message_of

from tfgmm import fit_mixture
from tfgmm.data.columns import numeric_columns
from tfgmm.data.matching import opened, sample_of
from tfgmm.data.readers import Rows, open_rows, read_rows
from tfgmm.data.sources import open_source
from tfgmm.data.survey import check_finite, survey_rows

VALUES = np.arange(12.0).reshape(6, 2)
ONES = np.ones(6)
FRAME = pd.DataFrame(VALUES, columns=["a", "b"]).assign(n=ONES, e=0.5 * ONES, f=ONES, word="x")
MATRICES = np.tile(np.eye(2), (6, 1, 1))


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


WEIGHTS: dict[str, tuple[Any, str]] = {
    "negative": (changed(ONES, 2, -1.0), "Received: -1 in row 2 (rows count from 0). A weight says how often"),
    "NaN": (changed(ONES, 5, np.nan), "Received: nan in row 5"),
    "infinite": (changed(ONES, 0, np.inf), "Received: inf in row 0"),
    "a null": (pd.Series(ONES).astype("Int64").where(ONES < 1), "Received: nan in row 0"),
    "short": (ONES[:5], "of shape (6,). Received: shape (5,). Pass one weight per row."),
    "two axes": (ONES[:, None], "Received: shape (6, 1). Pass one weight per row. sample_weight[:, 0] is one column"),
    "a frame": (FRAME[["n"]], "Received: shape (6, 1)"),
    "one number": (2.0, "must be an array of numbers. Received: 2.0. Pass one weight per row."),
    "a dict": ({"a": 1.0}, "Received: a dict"),
    "huge": (changed(ONES, 1, 1e200), "must be 0 or between 1e-100 and 1e+100. Received: 1e+200 in row 1"),
    "tiny": (changed(ONES, 1, 1e-200), "Received: 1e-200 in row 1"),
    "text": (np.array(list("abcdef")), "must be an array of real numbers"),
    "series of text": (FRAME["word"], "column 'weights' (text)"),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_none_are_refused_as_the_rows_are_opened(kind: str) -> None:
    weights, words = WEIGHTS[kind]
    for data in (VALUES, FRAME[["a", "b"]]):
        message = message_of((ValueError, TypeError), open_source, data, "x", 2, sample_weight=weights)
        assert message.startswith("`sample_weight` must") and words in message


def test_rows_that_all_weigh_nothing_or_hold_nothing_are_refused() -> None:
    empty = np.full((6, 2), np.nan)
    for data, options, words in (
        (VALUES, {"sample_weight": 0 * ONES}, "only 6 rows of weight 0. Give weights above 0"),
        (empty, {"missing": "integrate"}, "only 6 rows without any value. Check the columns"),
        (
            empty,
            {"sample_weight": changed(ONES, 0, 0.0), "missing": "integrate"},
            "1 row of weight 0 and 5 rows without",
        ),
        (VALUES, {"noise": np.full((6, 2), np.inf), "missing": "integrate"}, "only 6 rows without any value"),
    ):
        message = message_of(ValueError, open_source, data, "x", 2, **options)
        assert message.startswith("`x` must have rows with a value and a weight above 0.") and words in message


NOISE: dict[str, tuple[Any, str]] = {
    "negative": (changed(VALUES, (3, 1), -0.1), "Received: -0.1 in row 3, column 1 (rows count from 0)."),
    "NaN": (changed(VALUES, (3, 1), np.nan), "Received: nan in row 3, column 1"),
    "minus infinity": (changed(VALUES, (0, 0), -np.inf), "Received: -inf in row 0"),
    "infinite": (changed(VALUES, (0, 0), np.inf), "infinite noise in row 0, column 0 (rows count from 0). Drop such"),
    "one axis": (ONES, "of shape (6, 2) or covariances of shape (6, 2, 2). Received: shape (6,)"),
    "other columns": (np.ones((6, 3)), "Received: shape (6, 3)"),
    "other matrices": (np.ones((6, 2, 3)), "Received: shape (6, 2, 3)"),
    "one number": (0.1, "Received: 0.1. Pass one standard deviation per number"),
    "text": (np.full((6, 2), "x"), "must be an array of real numbers"),
    "not symmetric": (changed(MATRICES, (2, 0, 1), 0.5), "each symmetric. Received: a matrix that is not, in row 2"),
    "indefinite": (
        MATRICES + changed(0 * MATRICES, (4, [0, 1], [1, 0]), 1.01),
        "each positive semi-definite. Received",
    ),
    "negative variance": (changed(MATRICES, (1, 1, 1), -1.0), "Received: -1 in row 1, column 1"),
    "huge": (
        changed(VALUES, (3, 1), 1e200),
        "must be standard deviations of at most 3.4e+38, or variances of their squares. Received: a standard deviation "
        "of 1e+200 in row 3, column 1 (rows count from 0). Write infinity",
    ),
    "huge variance": (changed(MATRICES, (1, 0, 0), 1e80), "a standard deviation of 1e+40 in row 1, column 0"),
    "NaN covariance": (changed(MATRICES, (1, 0, 1), np.nan), "each finite. Received: a matrix that is not, in row 1"),
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_that_is_none_is_refused_as_the_rows_are_opened(kind: str) -> None:
    noise, words = NOISE[kind]
    message = message_of((ValueError, TypeError), open_source, VALUES, "x", 2, noise=noise)
    assert message.startswith("`noise` must") and words in message


@pytest.mark.filterwarnings("ignore:the noise of column 1 is about")
@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("are_matrices", [False, True])
@pytest.mark.filterwarnings("ignore:.*missing at random")
def test_noise_as_large_as_a_value_may_be_is_like_none_at_all(are_matrices: bool, covariance: str) -> None:
    deviations = np.full((40, 2), 0.3)
    deviations[::4, 1] = 3.4e38
    rows = np.random.default_rng(0).normal(size=deviations.shape)
    fits = []
    for noise in (deviations, np.where(deviations > 1.0, np.inf, deviations)):
        given = np.stack([np.diag(row**2) for row in noise]) if are_matrices else noise
        fits.append(fit_mixture(rows, 1, covariance=covariance, noise=given, restarts=1, missing="integrate"))
    densities = [fit.log_prob(np.zeros((1, 2))) for fit in fits]
    np.testing.assert_allclose(*densities, rtol=0.03)


NAMES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such weights": ({"sample_weight": "k"}, "sample_weight", "Received: 'k', not found"),
    "no such noise": ({"noise": {"a": "k"}}, "noise", "must name columns of `x`. Received: 'k', not found"),
    "no such value": ({"noise": {"k": "e"}}, "noise", "must be stated for columns of `x` that are used. Received: 'k'"),
    "a value that is left out": ({"noise": {"b": "e"}, "columns": ["a"]}, "noise", "The columns used are: 'a'."),
    "weights among values": ({"sample_weight": "n", "columns": ["a", "n"]}, "sample_weight", "Received: 'n' for both"),
    "noise among values": ({"noise": {"a": "e"}, "columns": ["a", "e"]}, "noise", "Received: 'e' for both"),
    "noise of itself": ({"noise": {"a": "a"}}, "noise", "must be in other columns than the values. Received: 'a'"),
    "noise of noise": ({"noise": {"a": "e", "e": "f"}}, "noise", "Received: 'e' for both"),
    "noise as weights": ({"noise": {"a": "e"}, "sample_weight": "e"}, "sample_weight", "than those of `noise`."),
    "noise of weights": ({"noise": {"n": "e"}, "sample_weight": "n"}, "sample_weight", "Received: 'n' for both"),
    "fitted on weights": ({"sample_weight": "n", "column_names": ["a", "n"]}, "sample_weight", "Received: 'n'"),
    "a number as a name": ({"noise": {"a": 3}}, "noise", "must map names of columns to names"),
    "weights of text": ({"sample_weight": "word"}, "", "column 'word' (text"),
    "noise of text": ({"noise": {"a": "word"}}, "", "column 'word' (text"),
    "another missing": ({"missing": "drop"}, "missing", "must be one of 'refuse', 'integrate'"),
}


@pytest.mark.parametrize("source", ["frame", "file", "folder"])
@pytest.mark.parametrize("kind", NAMES)
def test_names_that_do_not_fit_are_refused(kind: str, source: str, tmp_path: pathlib.Path) -> None:
    options, argument, words = NAMES[kind]
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    data = {"frame": FRAME, "file": tmp_path / "x.csv", "folder": tmp_path}[source]
    columns = {"columns": ["a", "b"]} if not {"columns", "column_names"} & set(options) else {}

    def read() -> None:
        rows = open_rows(data, **columns, **options)
        list(rows.blocks())

    message = message_of((ValueError, TypeError), read)
    assert words in message and message.startswith(f"`{argument}` must" if argument else "`")


def test_a_table_of_noise_has_the_columns_of_the_rows() -> None:
    noise = FRAME[["a", "e"]]
    message = message_of(ValueError, open_source, FRAME[["a", "b"]], "x", 2, noise=noise)
    assert "must have a column for every column of the rows. Received: 'a', 'e' for rows with 'a', 'b'" in message
    assert open_source(VALUES, "x", 2, noise={}).noise_axes == 0


def test_a_name_that_stands_twice_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.csv").write_text("a,n,n\n1,2,3\n")
    message = message_of(ValueError, open_rows, tmp_path / "x.csv", columns=["a"], sample_weight="n")
    assert "Received: 'n' more than once" in message


def test_names_need_names_and_files_need_names(tmp_path: pathlib.Path) -> None:
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    for options in ({"sample_weight": "n"}, {"noise": {"a": "e"}}):
        for data in (VALUES, pd.DataFrame(VALUES)):
            message = message_of(ValueError, open_source, data, "x", 2, **options)
            assert "must be an array for data without column names" in message
    for options, words in (
        ({"sample_weight": ONES}, "must be the name of a column for rows in files. Received: an array"),
        ({"noise": VALUES.tolist()}, "must map columns to the columns of their standard deviations for rows in files"),
    ):
        message = message_of(TypeError, open_rows, tmp_path / "x.csv", columns=["a", "b"], **options)
        assert words in message


STORED: dict[str, tuple[str, float, dict[str, Any], str]] = {
    "weight": ("n", -2.0, {}, "Received: -2 in row 1 of '{}', column 'n'"),
    "no weight": ("n", np.nan, {}, "Received: nan in row 1 of '{}', column 'n'"),
    "noise": ("e", -1.0, {}, "Received: -1 in row 1 of '{}', column 'e'"),
    "infinite noise": ("e", np.inf, {}, "Received: infinite noise in row 1 of '{}', column 'e'"),
    "infinite value": ("a", np.inf, {"missing": "integrate"}, "Received: 1 infinite value, the first in row 1 of '{}'"),
    "gap": ("a", np.nan, {}, "1 value that is NaN or infinite in these 4 rows, the first in row 1 of '{}', column 'a'"),
}


@pytest.mark.parametrize("kind", STORED)
def test_what_is_bad_in_a_folder_is_placed_when_its_block_is_reached(kind: str, tmp_path: pathlib.Path) -> None:
    column, value, options, words = STORED[kind]
    FRAME.drop(columns="word").to_csv(tmp_path / "1.csv", index=False)
    bad = FRAME.drop(columns="word")[:5].copy()
    bad.loc[0, "n"] = 0.0
    bad.loc[1, column] = value
    bad.to_csv(tmp_path / "2.csv", index=False)
    asked = {"sample_weight": "n", "noise": {"a": "e"}, "columns": ["a", "b"]}
    for look in (lambda source: survey_rows(source, None, 0), check_finite):
        with open_rows(tmp_path, **asked, **options) as source:  # type: ignore[union-attr]
            assert words.format(tmp_path / "2.csv") in message_of(ValueError, look, source)


def test_files_whose_rows_are_all_left_out_are_refused_at_their_end(tmp_path: pathlib.Path) -> None:
    FRAME.assign(n=0).to_csv(tmp_path / "1.csv", index=False)
    with open_rows(tmp_path, columns=["a"], sample_weight="n") as source:  # type: ignore[union-attr]
        for look in (lambda source: survey_rows(source, None, 0), check_finite):
            assert "only 6 rows of weight 0" in message_of(ValueError, look, source)
    assert "only 6 rows of weight 0" in message_of(ValueError, read_rows, tmp_path, columns=["a"], sample_weight="n")


@pytest.mark.parametrize("missing", ["refuse", "integrate"])
def test_infinite_values_stay_refused_and_rows_without_weight_are_not_looked_at(missing: str) -> None:
    bad = changed(VALUES, (4, 1), np.inf)
    message = message_of(ValueError, open_source, bad, "x", 2, sample_weight=ONES, missing=missing)
    words = "1 infinite value" if missing == "integrate" else "1 value that is NaN or infinite"
    assert f"Received: {words}, the first in row 4, column 1" in message
    weights = changed(ONES, 4, 0.0)
    assert open_source(bad, "x", 2, sample_weight=weights, noise=changed(VALUES, 4, -1.0)).num_data == 5
    message = message_of(ValueError, survey_rows, Rows(bad, missing=missing), None, 0)
    assert "infinite" in message
    assert "infinite" in message_of(ValueError, check_finite, Rows(bad, missing=missing))


def test_a_column_without_a_value_is_refused_by_name() -> None:
    frame = FRAME[["a", "b"]].assign(b=np.nan)
    rows = open_source(frame, "data", None, missing="integrate")
    message = message_of(ValueError, survey_rows, rows, None, 0)
    assert message.startswith(
        "`data` must have values in every column. Received: 6 rows, none of them with a value in column 'b'"
    )


LABELS: dict[str, tuple[Any, str]] = {
    "two axes": ((VALUES, VALUES), "A mixture has no labels"),
    "labels and weights": ((VALUES, ONES, ONES), "A mixture has no labels"),
    "labels and None": ((VALUES, ONES, None), "A mixture has no labels"),
    "labels": ((VALUES, np.arange(6) % 2), "A mixture has no labels"),
    "a list of them": ((VALUES, [0, 1, 0, 1, 2, 2]), "or (rows, None, weights) with one weight per row"),
    "a tensor of them": ((VALUES, tf.constant([0, 1, 0, 1, 2, 2])), "A mixture has no labels"),
    "floats": ((VALUES, ONES), "A mixture has no labels"),
    "negative weights": ((VALUES, None, -ONES), "`x[2]` was taken for weights"),
    "too few": ((VALUES, None, ONES[1:]), "`x[2]` was taken for weights"),
    "text": ((VALUES, None, np.array(list("abcdef"))), "must be an array of real numbers"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_told_from_weights(kind: str) -> None:
    data, words = LABELS[kind]
    assert words in message_of((ValueError, TypeError), open_source, data, "x", 2)


def test_weights_are_given_once_and_where_rows_are_opened() -> None:
    pairs = tf.data.Dataset.from_tensor_slices((VALUES, ONES)).batch(4)
    for data, words in (
        ((VALUES, None, ONES), "must be left out where `x` is a tuple with weights"),
        (Rows(VALUES), "must be left out for rows that were opened before"),
        (pairs, "must be left out for a tf.data dataset"),
    ):
        assert words in message_of(TypeError, open_source, data, "x", 2, sample_weight=ONES)
    assert "`noise` must be left out" in message_of(TypeError, open_source, pairs, "x", 2, noise=VALUES)


def test_datasets_with_bad_weights_say_which_part_they_were() -> None:
    bad = tf.data.Dataset.from_tensor_slices((VALUES, changed(ONES, 5, -1.0))).batch(4)
    message = message_of(ValueError, survey_rows, open_source(bad, "x", 2), None, 0)
    assert "Received: -1 in row 5" in message and "`x[1]` was taken for weights" in message
    uneven = tf.data.Dataset.from_tensors((VALUES, ONES[:3]))
    message = message_of(ValueError, survey_rows, open_source(uneven, "x", 2), None, 0)
    assert "Received: 3 weights for a batch of 6 rows" in message
    labels = np.arange(6) % 2
    for parts in ((VALUES, VALUES), (VALUES, ONES, ONES), (VALUES, np.array(list("abcdef"))), (VALUES, labels)):
        message = message_of(TypeError, open_source, tf.data.Dataset.from_tensor_slices(parts).batch(4), "x", 2)
        assert "A mixture has no labels" in message


def test_columns_of_weights_and_noise_are_no_measurements_of_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.csv"
    FRAME.assign(n=[1, 1, 1, 1, 1, "many"]).to_csv(path, index=False)
    choice = numeric_columns("data", path, leave_out=["n", "e"])
    assert choice.names == ("a", "b", "f") or "a" in choice.left_out
    assert not {"n", "e"} & {*choice.names, *choice.left_out}


def test_files_for_pictures_count_gaps_where_they_are_taken(tmp_path: pathlib.Path) -> None:
    values = np.array([[1.0, 2.0], [np.nan, 3.0], [np.nan, np.nan], [np.inf, 1.0], [4.0, np.nan]])
    pd.DataFrame(values, columns=["a", "b"]).to_csv(tmp_path / "x.csv", index=False)
    with opened(tmp_path / "x.csv", ["b", "a"], 2) as rows:
        sample = sample_of(rows)
        assert (sample.num_rows, sample.num_bad, sample.gaps) == (5, 4, ())
    with opened(tmp_path / "x.csv", ["b", "a"], 2, missing="integrate") as rows:
        sample = sample_of(rows)
        assert (sample.num_rows, sample.num_bad, sample.gaps) == (5, 2, (1, 1))
        np.testing.assert_array_equal(sample.rows, values[[0, 1, 4]][:, ::-1])
    pd.DataFrame(values[2:4], columns=["a", "b"]).to_csv(tmp_path / "y.csv", index=False)
    with opened(tmp_path / "y.csv", ["b", "a"], 2, missing="integrate") as rows:
        assert "with a value and without an infinite one" in message_of(ValueError, sample_of, rows)
