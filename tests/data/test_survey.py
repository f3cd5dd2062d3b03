"""One pass over rows of any kind: their summary, a sample, and errors that place what is not finite."""

from __future__ import annotations

import math
import pathlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tables_of_rows import message_of

from tfgmm.data.readers import Rows
from tfgmm.data.sources import open_source
from tfgmm.data.survey import check_finite, survey_rows

VALUES = np.random.default_rng(0).normal(size=(30_000, 2))
BAD = np.where(np.arange(30_000)[:, None] == [29_000, 29_001], math.nan, VALUES)


def test_rows_in_memory_and_in_batches_give_the_same_survey() -> None:
    batches = open_source(tf.data.Dataset.from_tensor_slices(VALUES).batch(777), "x", 2)
    one, other = survey_rows(Rows(VALUES, ("a", "b")), None, 1), survey_rows(batches, None, 1)
    assert one.summary.column_names == ("a", "b") and other.summary.column_names is None
    assert one.summary.num_data == other.summary.num_data == 30_000
    assert one.summary.fingerprint == other.summary.fingerprint
    assert one.sample.shape == (20_000, 2)
    np.testing.assert_array_equal(one.sample, other.sample)


def test_what_is_not_finite_is_counted_and_placed_by_the_kind_of_rows(tmp_path: pathlib.Path) -> None:
    batches = open_source(tf.data.Dataset.from_tensor_slices(BAD).batch(10_000), "data", 2)
    pd.DataFrame(BAD, columns=["a", "b"]).to_csv(tmp_path / "1.csv", index=False)
    expected = {
        "in memory": (Rows(BAD, None, "data"), "2 values that are NaN or infinite, the first in row 29000, column 0"),
        "in batches": (batches, "2 values that are NaN or infinite in this batch, the first in row 29000, column 0"),
        "in files": (
            open_source(tmp_path, "data", 2),
            f"2 values that are NaN or infinite in these 30000 rows, the first in row 29000 of '{tmp_path / '1.csv'}', "
            "column 'a'",
        ),
    }
    for kind, (source, words) in expected.items():
        for look in (lambda source: survey_rows(source, None, 0), check_finite)[: 1 if kind == "in batches" else 2]:
            message = message_of(ValueError, look, source)
            assert message.startswith("`data` must hold finite numbers. Received: " + words), kind


def test_later_blocks_in_memory_are_counted_too() -> None:
    values = np.zeros((200_000, 1))
    values[[3, 150_000]] = math.inf
    assert "2 values that are NaN" in message_of(ValueError, survey_rows, Rows(values), None, 0)


@pytest.mark.parametrize("num_rows", [0, 5])
def test_no_rows_are_refused_and_few_are_the_sample(num_rows: int) -> None:
    source = open_source(tf.data.Dataset.from_tensor_slices(VALUES).take(num_rows).batch(2), "data", 2)
    if num_rows:
        np.testing.assert_array_equal(survey_rows(source, None, 0).sample, VALUES[:5])
    else:
        message = message_of(ValueError, survey_rows, source, None, 0)
        assert message.startswith("`data` must hold at least one batch of rows.")


def test_a_stream_is_cut_at_20_000_rows_and_a_bad_value_below_is_not_seen() -> None:
    stream = tf.data.Dataset.from_tensor_slices(BAD).batch(7_000).filter(lambda rows: True)
    survey = survey_rows(open_source(stream, "x", 2), 30_000, 0)
    np.testing.assert_array_equal(survey.sample, VALUES[:20_000])
    assert survey.summary.num_data == 30_000
    assert "`num_data`, the number of rows" in message_of(ValueError, survey_rows, open_source(stream, "x", 2), None, 0)
