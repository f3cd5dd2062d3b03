"""What score_frame refuses: by names and types alone, with what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from frames_to_score import frame_of, result, rows_with_gaps

import tfgmm

FRAME = frame_of(rows_with_gaps())


@pytest.mark.parametrize(
    ("columns", "kind", "words"),
    [
        (
            "log_prob",
            TypeError,
            r"`columns` must be a list of names\. Received: 'log_prob'\. Pass columns=\['log_prob'\]",
        ),
        (3, TypeError, "`columns` must be a list of names. Received: 3"),
        (["density"], ValueError, "`columns` must be some of 'log_prob', .*each once. Received: 'density'. Choose"),
        ([1], ValueError, "Received: 1. Choose"),
        ([], ValueError, "Received: no name"),
        (["outlier", "outlier"], ValueError, "Received: 'outlier', 'outlier'"),
    ],
)
def test_columns_that_are_no_scores(columns: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        tfgmm.score_frame(FRAME, result(), columns=columns)


@pytest.mark.parametrize(
    ("noise", "columns", "kind", "words"),
    [
        ([1.0], ["log_prob"], TypeError, "`noise` must map names .* Received: list. Pass noise="),
        ({"depth": "count"}, ["outlier"], ValueError, "`columns` must be without outlier where .* Leave out outlier"),
        ({"depth": "error"}, ["log_prob"], ValueError, "`noise` must name columns of `frame`. Received: 'error'"),
    ],
)
def test_noise_that_cannot_be(noise: Any, columns: list[str], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        tfgmm.score_frame(FRAME, result(), columns=columns, noise=noise)


@pytest.mark.parametrize(
    ("frame", "kind", "words"),
    [
        (FRAME.drop(columns="depth"), ValueError, "Received: a table, without 'depth'; its columns are .*Rename them"),
        (FRAME.assign(width="wide"), TypeError, r"must have columns of numbers. Received: column 'width' \(text\)\."),
        (FRAME.assign(log_prob=0), ValueError, "must have other columns than the scores. Received: 'log_prob'. Rename"),
        (pd.concat([FRAME, FRAME[["id"]]], axis=1), ValueError, "one name per column. Received: 'id' more than once"),
    ],
)
def test_frames_whose_columns_do_not_fit(frame: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        tfgmm.score_frame(frame, result())
    assert "columns=[" not in str(caught.value)  # here they are the scores


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((2, 3)), "Received: numpy.ndarray. Pass a frame; of arrays and lists, log_prob"),
        ([[1.0]], "Received: list. Pass a frame"),
        (None, "Received: NoneType. Pass a frame"),
        ("rows.parquet", "Received: str. Score files and folders with the command `tfgmm score`."),
        (FRAME["width"], r"Received: pandas.Series. Pass frame.to_frame\(\)"),
        (pl.LazyFrame({"width": [1.0]}), r"Received: polars.LazyFrame. Pass frame.collect\(\)"),
        (pa.record_batch({"width": [1.0]}), r"Received: pyarrow.RecordBatch. Pass pyarrow.table\(frame\)"),
    ],
)
def test_what_is_no_frame(frame: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"`frame` must be a DataFrame of pandas, polars, Dask or Spark.*{words}"):
        tfgmm.score_frame(frame, result())


def test_what_holds_no_mixture() -> None:
    with pytest.raises(TypeError, match="`scorer` must be what fit_mixture returns.* Received: int. Pass what holds"):
        tfgmm.score_frame(FRAME, 3)
    selection = tfgmm.fit_mixture(np.random.default_rng(0).normal(size=(40, 1)), [1, 2], restarts=1)
    with pytest.raises(TypeError, match="Received: Selection. Pass its best, scorer.best."):
        tfgmm.score_frame(FRAME, selection)
    with pytest.raises(FileNotFoundError):
        tfgmm.score_frame(FRAME, "nowhere")
