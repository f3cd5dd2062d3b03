"""score_frame of Dask's frames and arrays: lazy, the same scores, and everything else as it was."""

from __future__ import annotations

import os
import pathlib
import pickle
import subprocess
import sys
from typing import Any

import dask
import dask.array
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.delayed import delayed
from frames_to_score import ADDED, ALL, NAMES, expected_scores, frame_of, result, rows_with_gaps

import tfgmm

ROWS = rows_with_gaps()
FRAME = frame_of(ROWS)


def computed(frame: Any) -> pd.DataFrame:
    return frame.compute(scheduler="synchronous")


def never(*_: Any) -> pd.DataFrame:
    raise AssertionError("a partition was computed")


@pytest.fixture
def frame() -> Any:
    return dd.from_pandas(FRAME, npartitions=4)


def test_scores_are_those_of_the_methods_beside_columns_that_stay(frame: Any) -> None:
    scored = tfgmm.score_frame(frame, result(), columns=ALL)
    assert scored.divisions == frame.divisions and None not in scored.divisions
    assert scored.index.name == "number"
    found = computed(scored)
    pd.testing.assert_series_equal(scored.dtypes, found.dtypes)
    assert {name: str(found[name].dtype) for name in ADDED} == ADDED
    pd.testing.assert_frame_equal(found[FRAME.columns], computed(frame))
    assert found["kind"].cat.categories.tolist() == ["low", "none", "high"]
    for name, values in expected_scores(ROWS).items():
        np.testing.assert_array_equal(found[name], values)


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    parts = [delayed(never)(number) for number in range(2)]
    lazy = dd.from_delayed(parts, meta=FRAME.iloc[:0], verify_meta=False)
    with dask.config.set(scheduler="synchronous"):
        scored = tfgmm.score_frame(lazy, result(), columns=ALL)
        assert list(scored.columns) == [*FRAME.columns, *ADDED]
        with pytest.raises(AssertionError, match="a partition was computed"):
            scored.compute()


def test_partitions_without_rows_and_unknown_divisions(frame: Any) -> None:
    filtered = frame[frame["when"] < pd.Timestamp("2024-02-28 11:00")].reset_index(drop=True)
    lengths = [len(part) for part in dask.compute(*filtered.to_delayed(), scheduler="synchronous")]
    assert 0 in lengths and sum(lengths) == 11
    scored = tfgmm.score_frame(filtered, result(), columns=["log_prob", "imputed"])
    assert not scored.known_divisions
    np.testing.assert_array_equal(computed(scored)["log_prob"], result().log_prob(ROWS)[: sum(lengths)])
    nothing = computed(tfgmm.score_frame(frame[frame["id"] == "none"], result(), columns=ALL))
    assert len(nothing) == 0 and {name: str(nothing[name].dtype) for name in ADDED} == ADDED


@pytest.mark.parametrize("dtype", ["Float64", "float32", "float64[pyarrow]"])
def test_columns_of_every_type_of_numbers(dtype: str) -> None:
    typed = FRAME.astype(dict.fromkeys(NAMES, dtype))
    found = computed(tfgmm.score_frame(dd.from_pandas(typed, npartitions=3), result()))
    np.testing.assert_array_equal(found["log_prob"], tfgmm.score_frame(typed, result())["log_prob"])
    assert found["width"].dtype == typed["width"].dtype


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask writes in pandas 2's manner
def test_written_parquet_has_the_scores(frame: Any, tmp_path: pathlib.Path) -> None:
    scored = tfgmm.score_frame(frame, result().export(tmp_path / "mixture"), columns=["assignment", "outlier"])
    with dask.config.set(scheduler="synchronous"):
        scored.to_parquet(tmp_path / "scored")
    found = pd.read_parquet(tmp_path / "scored")
    np.testing.assert_array_equal(found["outlier"], result().outlier(ROWS))
    assert found["assignment"].dtype == np.int64 and found["id"].tolist() == FRAME["id"].tolist()


def test_a_few_columns_are_worked_out_alone(frame: Any) -> None:
    scored = tfgmm.score_frame(frame, result(), columns=["log_prob", "outlier"])
    found = computed(scored[scored["outlier"] < 0.2]["outlier"])
    expected = result().outlier(ROWS)
    np.testing.assert_array_equal(found, expected[expected < 0.2])


# --- Arrays


@pytest.mark.parametrize("chunks", [(8, 3), (7, 2), (30, 1)])
def test_array_becomes_a_frame_with_the_names_of_the_model(chunks: tuple[int, int]) -> None:
    scored = tfgmm.score_frame(dask.array.from_array(ROWS, chunks=chunks), result(), columns=ALL)
    found = computed(scored)
    assert list(found.columns) == [*NAMES, *ADDED]
    np.testing.assert_array_equal(found[list(NAMES)], ROWS)
    for name, values in expected_scores(ROWS).items():
        np.testing.assert_array_equal(found[name], values)


def test_array_of_unknown_length_and_names_that_are_numbers() -> None:
    fit = tfgmm.fit_mixture(np.random.default_rng(0).normal(size=(60, 3)), 1, restarts=1)
    rows = dask.array.from_array(ROWS, chunks=(8, 2))
    some = rows[rows[:, 1] > 0.0]
    found = computed(tfgmm.score_frame(some, fit, columns=["log_prob", "imputed"]))
    np.testing.assert_array_equal(found["log_prob"], fit.log_prob(ROWS[ROWS[:, 1] > 0.0]))
    assert list(found.columns) == ["0", "1", "2", "log_prob", "imputed_0", "imputed_1", "imputed_2"]


@pytest.mark.parametrize(
    ("array", "kind", "words"),
    [
        (dask.array.zeros((4, 2)), ValueError, r"must have shape \(N, 3\).*Received: a Dask Array of shape \(4, 2\)"),
        (dask.array.zeros(4), ValueError, r"Received: a Dask Array of shape \(4,\)\. Pass the training"),
        (dask.array.zeros((4, 3), dtype="complex64"), TypeError, "real numbers. Received: a Dask Array of complex64"),
    ],
)
def test_arrays_that_do_not_fit(array: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        tfgmm.score_frame(array, result())


# --- Refusals, before any work


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda frame: frame.drop(columns="depth"), ValueError, "Received: a table, without 'depth'"),
        (lambda frame: frame.assign(width="wide"), TypeError, r"Received: column 'width' \(text"),
        (lambda frame: frame.assign(width=frame["kind"]), TypeError, r"Received: column 'width' \(categorical\)"),
        (lambda frame: frame.assign(width=frame["when"]), TypeError, r"Received: column 'width' \(timestamp"),
        (lambda frame: frame.assign(outlier=1.0, log_prob=1.0), ValueError, "Received: 'log_prob'. Rename them"),
        (lambda frame: frame["width"], TypeError, r"Pass frame.to_frame\(\)"),
    ],
)
def test_frames_that_do_not_fit_are_refused_from_their_types(change: Any, kind: type[Exception], words: str) -> None:
    parts = [delayed(never)(number) for number in range(2)]
    lazy = dd.from_delayed(parts, meta=FRAME.iloc[:0], verify_meta=False)
    with dask.config.set(scheduler="synchronous"), pytest.raises(kind, match=words):
        tfgmm.score_frame(change(lazy), result())


def test_objects_are_no_numbers_even_where_some_would_be() -> None:
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(FRAME.astype({"width": object}), npartitions=2)
        with pytest.raises(TypeError, match=r"column 'width' \(text or other objects\)"):
            tfgmm.score_frame(frame, result())


def test_number_beyond_float32_is_told_with_its_partition(frame: Any) -> None:
    scored = tfgmm.score_frame(frame.assign(depth=frame["depth"].where(frame["id"] != "017", 1e300)), result())
    with pytest.raises(ValueError, match=r"1e\+300 in row 1 of partition 2, column 'depth'"):
        computed(scored)


# --- Where the rows are

ON_A_WORKER = """
import pathlib, pickle, sys
function, part, scorer = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
print(repr(function(part, scorer)["log_prob"].tolist()))
print([name for name in ("tensorflow", "keras", "scipy", "sklearn", "dask") if name in sys.modules])
"""


@pytest.mark.slow
def test_workers_need_neither_tensorflow_nor_dask(frame: Any, tmp_path: pathlib.Path) -> None:
    from tfgmm.scoring.frames.dask_frames import scored_partition
    from tfgmm.scoring.frames.request import request_of

    request = request_of(result(), ALL, None)
    scorer = request.part_scorer(request.columns_of(list(FRAME.columns)))
    (tmp_path / "task").write_bytes(pickle.dumps((scored_partition, FRAME, scorer)))
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(tfgmm.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", ON_A_WORKER, str(tmp_path / "task")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100)
    assert done.stdout == f"{result().log_prob(ROWS).tolist()}\n[]\n", done.stderr


@pytest.mark.slow
def test_workers_of_a_cluster_give_the_same_scores(frame: Any) -> None:
    from distributed import Client, LocalCluster

    def loaded() -> list[str]:
        return [name for name in ("tensorflow", "keras") if name in sys.modules]

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", processes=True) as cluster,
        Client(cluster) as client,
    ):
        found = tfgmm.score_frame(frame, result(), columns=ALL).compute()
        assert set(map(tuple, client.run(loaded).values())) == {()}
    for name, values in expected_scores(ROWS).items():
        np.testing.assert_array_equal(found[name], values)
