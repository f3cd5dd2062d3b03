"""Spark DataFrames as rows in parts."""

from __future__ import annotations

import decimal
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import spark_sessions

from tfgmm.data.carried.asked import Asked
from tfgmm.data.shards import spark_engine, spark_part
from tfgmm.data.shards.chosen_columns import chosen_columns
from tfgmm.data.shards.eights import added_by_eights
from tfgmm.data.shards.spark_engine import SparkEngine

ODD_NAME = "a.b `c`"


def engine_of(frame: Any, weights: str | None = None, noise: Mapping[str, str] | None = None) -> SparkEngine:
    asked = Asked(weights, noise, "integrate")
    return SparkEngine(frame, chosen_columns("data", SparkEngine.schema(frame, "data"), asked), "data")


def num_kept(spark: Any) -> int:
    """Counts what Spark keeps."""
    return int(spark._jsc.getPersistentRDDs().size())


@pytest.mark.slow
def test_columns_are_judged_by_their_types(spark: Any) -> None:
    kinds = "string, timestamp, date, array<double>, struct<a:int>, binary, decimal(5,1), tinyint, varchar(3), void"
    columns = [f"CAST(NULL AS {kind}) AS c{index}" for index, kind in enumerate(kinds.split(", "))]
    schema = SparkEngine.schema(spark.sql(f"SELECT {', '.join(columns)}"), "data")
    words = ("text", "timestamp", "date", "array<double>", "struct<a:int>", "binary", "", "", "text", "")
    assert schema.contents == words and schema.names == tuple(f"c{index}" for index in range(10)) and schema.is_named


@pytest.mark.slow
def test_a_stream_is_refused(spark: Any) -> None:
    frame = spark.readStream.format("rate").load()
    with pytest.raises(TypeError, match="`rows` must have an end. Received: a streaming DataFrame of Spark. Write it"):
        SparkEngine.schema(frame, "rows")


@pytest.mark.slow
def test_sums_need_held_rows(spark: Any) -> None:
    engine = engine_of(spark.range(3))
    engine.release()
    with pytest.raises(RuntimeError, match="rows must be held before sums are taken. Received: none. Call `hold`"):
        engine.sums(spark_sessions.inverse_cubes)


def test_functions_for_workers_are_refused_elsewhere() -> None:
    pytest.importorskip("pyspark")
    with pytest.raises(RuntimeError, match="this is done on Spark's workers alone. Received: a call elsewhere. Give"):
        list(spark_part.of_blocks(spark_sessions.inverse_cubes, iter(())))


@pytest.mark.parametrize("number", [1, 2, 8, 9, 64, 65, 100])
def test_arrays_are_added_by_eights(number: int) -> None:
    arrays = [np.random.default_rng(seed).normal(size=3) ** 9 for seed in range(number)]
    eights = [sum(arrays[start + 1 : start + 8], arrays[start]) for start in range(0, number, 8)]
    sixties = [sum(eights[start + 1 : start + 8], eights[start]) for start in range(0, len(eights), 8)]
    before = [array.copy() for array in arrays]
    assert added_by_eights(arrays).tobytes() == sum(sixties[1:], sixties[0]).tobytes()
    np.testing.assert_array_equal(arrays, before)


@pytest.mark.slow
def test_parts_are_those_of_the_frame_in_its_order(spark: Any) -> None:
    """Four partitions, the third empty; integers, decimals, booleans and nulls; names that mean something to Spark."""
    amounts = [None if i % 7 == 0 else decimal.Decimal(i) / 8 for i in range(40)]
    rows = [[i, 0.1 * i, amounts[i], None if i == 5 else i % 2 == 0, i * 2**40] for i in range(40)]
    frame = spark.createDataFrame(rows, "a smallint, x double, amount decimal(12,3), flag boolean, large bigint")
    places = frame.selectExpr("*", "IF(a < 10, 0, IF(a < 20, 1, 3)) AS place")
    frame = places.repartitionById(4, places.place).drop("place").toDF(ODD_NAME, "x", "amount", "flag", "X")
    engine = engine_of(frame, "X", {"x": "amount"})
    answers = engine.survey(spark_sessions.facts)

    assert [number for number, *_ in answers] == [0, 1, 2, 3]
    assert [len(blocks) for _, _, blocks, _ in answers] == [1, 1, 0, 1]
    assert not any(has_tensorflow for *_, has_tensorflow in answers)
    expected = np.array(rows, dtype=np.float64)
    for (_, _, (block,), _), part in zip([answers[0], answers[1], answers[3]], np.split(expected, [10, 20])):
        np.testing.assert_array_equal(block.values, part[:, [0, 1, 3]])
        np.testing.assert_array_equal(block.weights, part[:, 4])
        np.testing.assert_array_equal(block.noise[:, 1], part[:, 2])
        assert not block.noise[:, [0, 2]].any() and block.values.dtype == np.float64
    assert num_kept(spark) == 1
    engine.release()
    assert num_kept(spark) == 0


@pytest.mark.slow
def test_held_blocks_are_added_in_the_same_order_whoever_dies(
    spark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    engine = engine_of(spark.range(0, 1000, 1, 11).selectExpr("CAST(sin(id) AS float) AS x"))
    parts = [blocks[0] for _, _, blocks, _ in engine.survey(spark_sessions.facts)]
    assert parts[0].values.dtype == np.float32

    engine.hold(spark_sessions.doubled)
    total = engine.sums(spark_sessions.inverse_cubes)

    held = [list(spark_sessions.doubled(number, iter([part]))) for number, part in enumerate(parts)]
    sums = [spark_sessions.inverse_cubes(number, iter(part)) for number, part in enumerate(held)]
    assert total.tobytes() == added_by_eights(sums).tobytes()
    assert total.tobytes() == engine.sums(spark_sessions.Killing(tmp_path, 7)).tobytes()
    assert (tmp_path / "killed").exists()
    monkeypatch.setattr(spark_engine, "_MOST_BYTES", 0)  # nothing is small enough
    assert total.tobytes() == engine.sums(spark_sessions.inverse_cubes).tobytes()
    assert num_kept(spark) == 1
    engine.release()
    engine.release()
    assert num_kept(spark) == 0


@pytest.mark.slow
def test_blocks_do_not_depend_on_record_batches(spark: Any) -> None:
    engine = engine_of(spark.range(0, 140_000, 1, 1))
    ((_, _, blocks, _),) = engine.survey(spark_sessions.facts)
    engine.release()
    assert [len(block.values) for block in blocks] == [65_536, 65_536, 8_928]
    np.testing.assert_array_equal(np.concatenate([block.values[:, 0] for block in blocks]), np.arange(140_000))


@pytest.mark.slow
@pytest.mark.parametrize("change", ["GROUP BY", "ORDER BY", "rand()"])
def test_frames_that_differ_each_time_are_read_once(spark: Any, change: str) -> None:
    frame = {
        "GROUP BY": "SELECT avg(id) AS x FROM range(0, 3000, 1, 4) GROUP BY id % 500",
        "ORDER BY": "SELECT sin(id) AS x FROM range(0, 3000, 1, 4) ORDER BY x",
        "rand()": "SELECT rand() AS x FROM range(0, 3000, 1, 4)",
    }[change]
    engine = engine_of(spark.sql(frame))
    first, again = engine.survey(spark_sessions.facts), engine.survey(spark_sessions.facts)
    engine.hold(spark_sessions.doubled)
    total = engine.sums(spark_sessions.inverse_cubes)
    engine.release()
    for (number, _, one, _), (same_number, _, other, _) in zip(first, again, strict=True):
        assert number == same_number
        np.testing.assert_array_equal(one[0].values, other[0].values)
    held = [spark_sessions.doubled(number, iter(blocks)) for number, _, blocks, _ in first]
    expected = added_by_eights([spark_sessions.inverse_cubes(number, part) for number, part in enumerate(held)])
    assert total.tobytes() == expected.tobytes()


@pytest.mark.slow
def test_failures_of_workers_are_told_in_words(spark: Any, tmp_path: pathlib.Path) -> None:
    spark.range(0, 100, 1, 2).write.parquet(str(tmp_path / "rows"))
    frame = spark.read.parquet(str(tmp_path / "rows"))
    engine = engine_of(frame)
    with pytest.raises(RuntimeError, match=r"of `data`. Received: Python worker exited .*\. Make the partitions small"):
        engine.survey(spark_sessions.always_killed)
    with pytest.raises(RuntimeError, match="Received: MemoryError: Unable to allocate 3.00 GiB. Make the partitions"):
        engine.survey(spark_sessions.without_memory)
    engine.release()
    for path in (tmp_path / "rows").glob("part-*"):
        path.unlink()
    engine = engine_of(frame)
    with pytest.raises(RuntimeError, match=r"Received: \[FAILED_READ_FILE.*Write this file again, and read the frame"):
        engine.survey(spark_sessions.facts)
    engine.release()


@pytest.mark.slow
def test_a_frame_without_partitions_has_one_answer(spark: Any) -> None:
    engine = engine_of(spark.range(3).limit(0))
    assert [answer[2] for answer in engine.survey(spark_sessions.facts)] == [[]]
    engine.release()


class Kept:
    """What Spark keeps, of which giving back fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.num_asked = 0

    def unpersist(self) -> None:
        self.num_asked += 1
        raise self.error


def test_giving_back_asks_for_both_parts_and_a_session_that_is_gone_for_none() -> None:
    errors = pytest.importorskip("pyspark.errors")
    engine: Any = SparkEngine.__new__(SparkEngine)
    engine._argument = "data"
    engine._rows, engine._blocks = one, other = (
        Kept(errors.PySparkException("busy")),
        Kept(errors.PySparkException("no")),
    )
    with pytest.raises(RuntimeError, match="Spark must get through all partitions of `data`. Received: no."):
        engine.release()
    assert (one.num_asked, other.num_asked) == (1, 1)
    gone = Kept(errors.PySparkException("[SESSION_OR_CONTEXT_NOT_EXISTS] SparkContext should be created first."))
    engine._rows = gone
    engine.release()
    assert gone.num_asked == 1 and engine._rows is None
