"""score_frame of frames in memory: the scores of the methods beside the columns, which stay as they are."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from frames_to_score import ADDED, ALL, NAMES, expected_scores, frame_of, result, rows_with_gaps
from sklearn.exceptions import NotFittedError

import tfgmm
from tfgmm.export.score_file import Counts

ROWS = rows_with_gaps()
FRAME = frame_of(ROWS)


def check_scored(found: Callable[[str], Any]) -> None:
    """Checks columns of scores, as functions of their names, bit for bit."""
    for name, values in expected_scores(ROWS).items():
        np.testing.assert_array_equal(np.asarray(found(name)), values)


def test_pandas_frame_keeps_its_columns_and_index_and_gains_scores() -> None:
    before = FRAME.copy()
    scored = tfgmm.score_frame(FRAME, result(), columns=ALL)
    pd.testing.assert_frame_equal(scored[FRAME.columns], before)
    pd.testing.assert_frame_equal(FRAME, before)
    assert {name: str(scored[name].dtype) for name in scored.columns[7:]} == ADDED
    check_scored(scored.__getitem__)
    assert scored["assignment"].tolist()[5] == scored["assignment"].tolist()[8] == -1
    assert scored["log_prob"].isna().to_numpy().nonzero()[0].tolist() == [5, 8]


@pytest.mark.parametrize("kind", ["polars", "arrow", "nullable", "arrow-backed"])
def test_frames_of_other_kinds_come_back_as_they_are_with_the_same_scores(kind: str) -> None:
    plain = FRAME.reset_index(drop=True)
    frame: Any = {
        "polars": lambda: pl.from_pandas(plain),
        "arrow": lambda: pa.Table.from_pandas(plain, preserve_index=False),
        "nullable": lambda: plain.astype(dict.fromkeys(NAMES, "Float64")),
        "arrow-backed": lambda: plain.astype(dict.fromkeys(NAMES, "float64[pyarrow]")),
    }[kind]()
    scored = tfgmm.score_frame(frame, result(), columns=ALL)
    assert type(scored) is type(frame)
    check_scored(scored.__getitem__)
    names = list(scored.columns) if kind != "arrow" else scored.column_names
    assert names == [*plain.columns, *ADDED]
    if kind == "polars":
        assert scored.select(frame.columns).equals(frame)
        assert scored.schema["log_prob"] == pl.Float32 and scored.schema["assignment"] == pl.Int64
    elif kind == "arrow":
        assert scored.select(frame.column_names).equals(frame)
        assert scored.schema.field("imputed_depth").type == pa.float64()
    else:
        pd.testing.assert_frame_equal(scored[plain.columns], frame)


def test_columns_come_in_the_order_asked_for_and_by_default_two() -> None:
    names = list(tfgmm.score_frame(FRAME, result(), columns=["outlier", "log_prob"]).columns)
    assert names == [*FRAME.columns, "outlier", "log_prob"]
    assert list(tfgmm.score_frame(FRAME, result()).columns) == [*FRAME.columns, "log_prob", "assignment"]


def test_every_holder_of_a_mixture_scores(tmp_path: pathlib.Path) -> None:
    named = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list(NAMES))
    estimator = tfgmm.sklearn.BayesianGaussianMixture(2, random_state=0, n_init=1)
    with pytest.raises(NotFittedError):
        tfgmm.score_frame(FRAME, estimator)
    estimator.fit(named)
    path = result().export(tmp_path / "mixture")
    rows = FRAME[list(NAMES)]
    for scorer in (result(), result().model, path, str(path), tfgmm.load_scorer(path)):
        scored = tfgmm.score_frame(FRAME, scorer, columns=["log_prob", "outlier"])
        np.testing.assert_array_equal(scored["log_prob"], result().log_prob(rows))
        np.testing.assert_array_equal(scored["outlier"], result().outlier(rows))
    found = tfgmm.score_frame(FRAME, estimator)
    finite = np.flatnonzero(~np.isinf(ROWS).any(axis=1))  # scikit-learn refuses what is infinite
    np.testing.assert_array_equal(found["assignment"].iloc[finite], estimator.predict(rows.iloc[finite]))
    assert not np.array_equal(found["log_prob"], result().log_prob(rows), equal_nan=True)


def test_columns_without_names_are_taken_by_their_order() -> None:
    fit = tfgmm.fit_mixture(np.random.default_rng(0).normal(size=(60, 2)), 1, restarts=1)
    rows = ROWS[:, :2]
    for frame in (pd.DataFrame(rows), pd.DataFrame(rows, columns=["b", "a"])):
        scored = tfgmm.score_frame(frame, fit, columns=["log_prob", "imputed"])
        np.testing.assert_array_equal(scored["log_prob"], fit.log_prob(rows))
        assert list(scored.columns)[2:] == ["log_prob", "imputed_0", "imputed_1"]
    with pytest.raises(ValueError, match=r"`frame` must have 2 columns: .*Received: a table, with 3: .*Leave"):
        tfgmm.score_frame(pd.DataFrame(ROWS), fit)
    numbered = tfgmm.score_frame(pd.DataFrame(ROWS), result())  # pandas' own numbers are no names
    np.testing.assert_array_equal(numbered["log_prob"], result().log_prob(ROWS))


@pytest.mark.parametrize("num_rows", [0, 1])
def test_frames_with_no_row_or_one(num_rows: int) -> None:
    scored = tfgmm.score_frame(FRAME.iloc[:num_rows], result(), columns=ALL)
    assert len(scored) == num_rows
    assert {name: str(scored[name].dtype) for name in ADDED} == ADDED


def test_noise_gives_the_scores_of_what_was_measured() -> None:
    frame = FRAME.assign(error=np.linspace(0.1, 2.0, len(FRAME)))
    scored = tfgmm.score_frame(frame, result(), noise={"depth": "error"})
    noise = np.zeros(ROWS.shape)
    noise[:, 2] = frame["error"]
    np.testing.assert_array_equal(scored["log_prob"], result().log_prob(ROWS, noise=noise))
    assert np.nanmax(np.abs(scored["log_prob"] - result().log_prob(ROWS))) > 0.01
    with pytest.raises(ValueError, match=r"`noise` must be .*Received: -1 in row 4, column 'error'"):
        tfgmm.score_frame(frame.assign(error=[1.0] * 4 + [-1.0] * 26), result(), noise={"depth": "error"})


def test_large_frame_is_scored_in_the_blocks_of_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfgmm.scoring.scores._BLOCK_VALUES", 21)
    check_scored(tfgmm.score_frame(FRAME, result(), columns=ALL).__getitem__)
    frame = FRAME.assign(depth=[*FRAME["depth"][:17], 1e300, *FRAME["depth"][18:]])
    with pytest.raises(ValueError, match=r"`frame` must hold numbers within .*1e\+300 in row 17, column 'depth'"):
        tfgmm.score_frame(frame, result())


def test_counts_of_files_add_up() -> None:
    assert Counts(3, 2, 1).plus(Counts(10, 0, 5)) == Counts(13, 2, 6)
