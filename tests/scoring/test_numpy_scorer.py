"""The scorer of plain numbers: what a pickle of it holds, and that it gives the same scores elsewhere."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from frames_to_score import ALL, result, rows_with_gaps

from tfgmm.data.blocks import RowBlock
from tfgmm.scoring.numpy_scorer import NumpyScorer
from tfgmm.scoring.table_columns import arrow_array, feature_names


def test_pickle_holds_the_mixture_and_nothing_that_was_worked_out() -> None:
    mixture, table = result().plug_in(), result().outlier_table()
    scorer = NumpyScorer(mixture, table)
    size = len(pickle.dumps(scorer))
    block = RowBlock(rows_with_gaps())
    by_name, num_bad = scorer.scores(block, ALL)
    assert num_bad == 2 and len(pickle.dumps(scorer)) == size < 10_000
    again = pickle.loads(pickle.dumps(scorer)).scores(block, ALL).by_name
    for name in ALL:
        np.testing.assert_array_equal(again[name], by_name[name])


def test_outlier_scores_need_a_table() -> None:
    with pytest.raises(ValueError, match="`outlier` must be asked of an export with an outlier table"):
        NumpyScorer(result().plug_in()).scores(RowBlock(rows_with_gaps()), ["outlier"])


def test_names_of_columns_and_arrays_of_every_stride() -> None:
    assert feature_names(("b", "a"), 2) == ("b", "a") and feature_names(None, 2) == ("0", "1")
    values = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    assert arrow_array(values[:, 1]).to_pylist() == [1.0, 4.0, 7.0, 10.0]
    assert str(arrow_array(np.arange(3)).type) == "int64"
