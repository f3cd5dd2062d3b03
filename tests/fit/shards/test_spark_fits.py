"""Fits to Spark DataFrames."""

from __future__ import annotations

import importlib.util
import pathlib
import random
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import spark_sessions

import tfgmm
from tfgmm.data.sources import open_source
from tfgmm.mixture.shard_sums import PartSums

START = [[1.0, 4.0], [4.0, 1.0], [-3.0, 0.0]]


@pytest.fixture(autouse=True)
def small_parts_with_gaps() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* partitions of |.* values are missing, in ")
        yield


def rows_and_frame(spark: Any, num_rows: int = 2000, num_parts: int = 2) -> tuple[np.ndarray, Any]:
    """Makes rows of three clusters, in columns "a" and "b", in memory and in Spark."""
    columns = "id, 4.0 * (id % 3) + sin(7.0 * id) AS a, (id % 3) * (2 - id % 3) * 5 + cos(3.0 * id * id) AS b"
    frame = spark.sql(f"SELECT {columns} FROM range(0, {num_rows}, 1, {num_parts})")
    return np.array(frame.select("a", "b").collect(), dtype=float), frame


def test_fit_is_that_of_the_rows_in_memory(spark: Any) -> None:
    rows, frame = rows_and_frame(spark)
    options: dict[str, Any] = {"covariance": "full", "start": START, "tolerance": 1e-5}
    found = tfgmm.fit_mixture(frame.select("a", "b"), 3, **options)
    known = tfgmm.fit_mixture(rows, 3, **options)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-9)
    np.testing.assert_allclose(found.locs, known.locs, rtol=1e-7, atol=1e-8)
    assert found.data_summary.column_names == ("a", "b")
    assert spark._jsc.getPersistentRDDs().size() == 0


def test_text_is_refused_before_any_work(spark: Any) -> None:
    frame = spark.sql("SELECT 1.0 AS a, 'river' AS place, raise_error('some work') AS b")
    with pytest.raises(TypeError, match="`data` must have columns of numbers. Received: column 'place' .text.. Encode"):
        tfgmm.fit_mixture(frame, 2)
    with pytest.raises(TypeError, match="`sample_weight` must have columns of numbers. Received: column 'place'"):
        tfgmm.fit_mixture(frame.select("a", "place"), 2, sample_weight="place")


@pytest.mark.slow
def test_a_frame_beside_rows_in_memory_is_not_collected(spark: Any) -> None:
    rows, frame = rows_and_frame(spark)
    words = r"`noise` must be in memory.*Received: a Spark DataFrame.*Pass noise.toPandas\(\), in the order of the rows"
    with pytest.raises(TypeError, match=words):
        tfgmm.fit_mixture(rows, 2, noise=frame.select("a", "b"))
    with pytest.raises(TypeError, match="`X` must be rows in memory or in files here. Received: a Spark DataFrame"):
        tfgmm.BayesianGaussianMixture(2).fit(frame.select("a", "b"))


@pytest.mark.slow
def test_weights_noise_and_gaps_are_those_of_the_rows_in_memory(spark: Any) -> None:
    rows, frame = rows_and_frame(spark)
    frame = frame.selectExpr("IF(id % 11 = 0, NULL, a) AS a", "b", "1 + id % 2 AS times", "0.1 * (id % 4) AS error")
    ids = np.arange(len(rows))
    rows[ids % 11 == 0, 0] = np.nan
    options: dict[str, Any] = {"start": START, "tolerance": 1e-9}
    found = tfgmm.fit_mixture(frame, 3, sample_weight="times", noise={"b": "error"}, **options)
    noise = np.column_stack([np.zeros(len(rows)), 0.1 * (ids % 4)])
    known = tfgmm.fit_mixture(rows, 3, sample_weight=1.0 + ids % 2, noise=noise, **options)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-9)
    np.testing.assert_allclose(found.locs, known.locs, rtol=1e-7, atol=1e-8)
    without = tfgmm.fit_mixture(frame.select("a", "b"), 3, **options)
    assert abs(without.elbo - found.elbo) > 100.0


@pytest.mark.slow
def test_several_numbers_of_components(spark: Any) -> None:
    _, frame = rows_and_frame(spark, 3000)
    two, three = tfgmm.fit_mixture(frame.select("a", "b"), [2, 3], restarts=4, seed=0).results
    assert (len(two.locs), len(three.locs)) == (2, 3) and three.elbo > two.elbo + 1000.0
    assert three.data_summary.num_data == 3000
    assert spark._jsc.getPersistentRDDs().size() == 0


@pytest.mark.slow
def test_bad_rows_are_named_by_partition_and_nothing_stays(spark: Any) -> None:
    _, frame = rows_and_frame(spark, 2000, 4)
    gaps = frame.selectExpr("IF(id IN (603, 1400), NULL, a) AS a", "IF(id = 1999, double('Infinity'), b) AS b")
    with pytest.raises(ValueError, match=r"row 103 of partition 1, column 'a' .* with such rows: 1, 2 and 3\."):
        tfgmm.fit_mixture(gaps, 2, missing="refuse")
    with pytest.raises(ValueError, match="`data` must have at least one row .* Received: no rows in 4 partition"):
        tfgmm.fit_mixture(frame.select("a", "b").filter("a > 1000"), 2)
    with pytest.raises(ValueError, match="`data` must have at least one row .* Received: no rows in 1 partition"):
        tfgmm.fit_mixture(frame.select("a", "b").limit(0), 2)
    with pytest.raises(ValueError, match="`validation_data` must hold finite numbers"):
        tfgmm.fit_mixture(frame.select("a", "b"), 2, validation_data=gaps)
    with pytest.raises(ValueError, match="`validation_data` must hold finite numbers"):
        tfgmm.fit_mixture(np.ones((5, 2)), 2, validation_data=gaps)
    assert spark._jsc.getPersistentRDDs().size() == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_rows_that_come_out_otherwise_when_they_are_made_again_are_refused(spark: Any) -> None:
    frame = spark.range(0, 300, 1, 2).mapInArrow(spark_sessions.random_rows, "x double")
    rows = open_source(frame, "data", None, may_be_shards=True)
    rows.survey(0)
    rows.hold(np.zeros(1))
    sums = PartSums("independent", (np.zeros((2, 1)), np.zeros(1)), (), 1)
    assert sums.of_flat(rows.sums(sums))[1] == 300.0
    rows._engine._blocks.unpersist()  # as where the executors are lost
    with pytest.raises(ValueError, match="`data` must give the same rows in the same order .* Write it to Parq"):
        rows.sums(sums)
    rows.release()


@pytest.mark.slow
def test_same_bytes_when_workers_are_killed_at_random_moments(spark: Any) -> None:
    _, frame = rows_and_frame(spark, 60_000, 5)
    options: dict[str, Any] = {"restarts": 1, "seed": 2}
    known = tfgmm.fit_mixture(frame.select("a", "b"), 4, **options)
    for attempt in range(10):
        killed: list[int] = []
        ended = threading.Event()
        killer = threading.Thread(target=_kill_some, args=(random.Random(attempt), ended, killed))
        killer.start()
        found = tfgmm.fit_mixture(frame.select("a", "b"), 4, **options)
        ended.set()
        killer.join()
        assert killed
        assert found.locs.tobytes() == known.locs.tobytes() and found.history["elbo"] == known.history["elbo"]


def _kill_some(chance: random.Random, ended: threading.Event, killed: list[int]) -> None:
    """Kills up to two of the processes that run Python for Spark."""
    while not ended.is_set() and len(killed) < 2:
        time.sleep(chance.uniform(0.05, 1.0))
        for worker in spark_sessions.python_workers()[:1]:
            killed += spark_sessions.killed(worker)


MASTERS = ["local[1]", "local[2,4]", "local-cluster[2,1,1024]"]


@pytest.mark.slow
def test_same_bytes_on_any_number_of_workers(spark: Any, tmp_path: pathlib.Path) -> None:
    outputs = [spark_sessions.output_of("spark_fit.py", master, str(tmp_path)) for master in MASTERS]
    first, second, has_tensorflow = outputs[0].split()
    assert first != second and has_tensorflow == "False"
    assert outputs[1:] == outputs[:1] * 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("grpc_status") is None, reason="needs pyspark[connect]")
def test_same_bytes_by_spark_connect(spark: Any, tmp_path: pathlib.Path) -> None:
    here, there = (spark_sessions.output_of("spark_fit.py", one, str(tmp_path)) for one in ("local[2,4]", "connect"))
    assert here == there
